# /// script
# [tool.marimo.display]
# theme = "system"
# [tool.marimo.runtime]
# dotenv = []
# ///

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="RFQ makers")

with app.setup(hide_code=True):
    import marimo as mo

    from notebooks.explore import live


@app.cell(hide_code=True)
def _():
    address = mo.query_params()
    source = live.source()
    newest = live.watched(source)
    return address, newest, source


@app.cell(hide_code=True)
def _(address):
    live.head("makers", address)
    return


@app.cell(hide_code=True)
def _(newest, source):
    published = live.opening(source, newest)
    controls = live.controls("makers", published)
    live.row(controls, published)
    return controls, published


@app.cell(hide_code=True)
def _(address, published):
    live.content("makers", published, address)
    return


if __name__ == "__main__":
    app.run()
