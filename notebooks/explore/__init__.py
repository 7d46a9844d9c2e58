"""The pages to explore: each `notebooks/<page>.py` calls what stands here.

`opening` has the published file, `address` what follows the question mark, `pages` what each page
shows, `content` the page as HTML, and `live` all that marimo does: controls, and looking for a
newer file. Figures, charts and drawing are the report's.
"""
