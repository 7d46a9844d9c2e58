"""The `rfq` command and what it runs.

Libraries take settings of their own from the environment, most of them while they are imported.
This package is imported before any of them, so it removes their variables: a name that begins with
one of `REMOVED` reaches no library. The settings of rfq itself begin with SOURCES__KALSHI__.
"""

import os

REMOVED = (
    # dlt: its folders, naming convention, JSON parser, plugins and load intervals. The settings
    # that it spells without a prefix never reach it either: see `pipelines.dlt_settings`.
    "DLT_",
    # Polars: how frames are split, spilled, sorted and parsed, and where queries are reported to.
    "POLARS_",
    "ARROW_",
    # OpenSSL writes the keys of each TLS session there, and with them our signatures can be read.
    "SSLKEYLOGFILE",
    # Typer: a width that is no number ends it, and a shell's completion would run instead of us.
    "TERMINAL_WIDTH",
    "TYPER_",
    "_TYPER_",
    "_RFQ_COMPLETE",
    # pytz and zoneinfo: where time zones are read from.
    "PYTZ_",
    "PYTHONTZPATH",
    # Uvicorn, which serves the sandbox.
    "WEB_CONCURRENCY",
    "FORWARDED_ALLOW_IPS",
    "UVICORN_",
)

for _name in [name for name in os.environ if name.startswith(REMOVED)]:
    del os.environ[_name]
