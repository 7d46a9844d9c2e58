"""The pages to explore: each `notebooks/<page>.py` calls what stands here.

`opening` has the published file, `address` what follows the question mark, `view` both with the
report's scope; `pages` has what each page shows, `desk`, `maker`, `market` and `one_rfq` their
charts and `forms` how these are drawn; `content` is a page as HTML, `live` all that marimo does
(controls, and the look for a newer file), `server` all pages as one application. Figures, most
charts and drawing are the report's.
"""
