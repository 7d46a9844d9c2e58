"""The `rfq` command and what it runs.

Libraries take settings of their own from the environment, most of them while they are imported.
This package is imported before any of them, so it removes their variables: a name that begins with
one of `REMOVED` reaches no library. Those of rfq itself begin with SOURCES__KALSHI__, TRANSFORMS__
or ALERTS__.
"""

import os

REMOVED = (
    # dlt: its folders, naming convention, JSON parser, plugins and load intervals. The settings
    # that it spells without a prefix never reach it either: see `pipelines.destination`.
    "DLT_",
    # Polars: how frames are split, spilled, sorted and parsed, and where queries are reported to.
    "POLARS_",
    "ARROW_",
    # OpenSSL writes the keys of each TLS session there, and with them our signatures can be read.
    "SSLKEYLOGFILE",
    # Typer: a width that is no number ends it.
    "TERMINAL_WIDTH",
    "TYPER_",
    "_TYPER_",
    # pytz and zoneinfo: where time zones are read from.
    "PYTZ_",
    "PYTHONTZPATH",
    # marimo: sandboxes, keys and folders of its own.
    "MARIMO_",
    "_MARIMO_",
    # Uvicorn, which serves the sandbox and the pages to explore.
    "WEB_CONCURRENCY",
    "FORWARDED_ALLOW_IPS",
    "UVICORN_",
)

# A shell that completes a word asks by these; with any other value they would run instead of us.
COMPLETES = ("complete_bash", "complete_zsh", "complete_fish")
COMPLETION = ("_RFQ_COMPLETE", "_TYPER_COMPLETE_")
# The span that an orchestrator asks for, for `rfq backfill` alone. dlt would take it for its own.
INTERVAL = tuple(os.environ.get(f"DLT_INTERVAL_{end}", "") for end in ("START", "END"))


def _is_removed(name: str) -> bool:
    if name.startswith(COMPLETION):
        return os.environ.get("_RFQ_COMPLETE") not in COMPLETES
    return name.startswith(REMOVED)


for _name in [name for name in os.environ if _is_removed(name)]:
    del os.environ[_name]
