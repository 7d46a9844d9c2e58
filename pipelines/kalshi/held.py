"""What raw holds together with what this load has handed on for it, which dlt stores at its end.

Passes that ask what is held come after others in the same load, and must see what those have read.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from pipelines.kalshi.candidates import Candidates
from transforms.raw import raw_schema

# The columns of raw tables that passes ask for.
_COLUMNS = {
    "rfq_versions": ("id", "status", "created_ts", "observed_ts", "creator_user_id"),
    "quote_versions": (
        *("id", "rfq_id", "status", "creator_id", "rfq_creator_id", "observed_ts"),
        *("created_ts", "updated_ts", "accepted_ts", "confirmed_ts", "executed_ts"),
    ),
    "tombstones": ("resource", "id", "first_missing_ts", "gone_ts", "seen_again_ts"),
    "rejected_rows": ("resource", "row_hash", "id", "rfq_id", "observed_ts", "is_read_again"),
    "accounts": ("communications_id",),
}


class Held:
    """Asks raw and the news of this load at once: `held_quote_versions` is both, and so on."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self._news: dict[str, list[pa.Table]] = {}
        # The tables whose news the views do not show as they are.
        self._unshown = set(_COLUMNS)
        self._has_views = False

    def forget_news(self) -> None:
        """Raw holds by now what the load before has handed on."""
        self._news.clear()
        self._unshown = set(_COLUMNS)

    def note(self, table: str, rows: pa.Table) -> None:
        """Note what this load hands on for a raw table."""
        if table in _COLUMNS:
            self._news.setdefault(table, []).append(rows.select(_COLUMNS[table]))
            self._unshown.add(table)

    def fetch(self, query: str, values: list[Any] | None = None) -> list[Any]:
        """Return the rows of *query* over the views."""
        self._register()
        return self._cursor.execute(query, values).fetchall()

    @contextmanager
    def candidates(self, load: int) -> Iterator[None]:
        """Within, the tables of `candidates` say what may have to be read by id in *load*."""
        candidates = Candidates(self._cursor)
        self._register()
        candidates.bring_up(load)
        # Bringing up shows the news of earlier loads instead.
        self._unshown = set(_COLUMNS)
        self._register()
        try:
            with candidates.with_news():
                yield
        finally:
            # What was shown within was rolled back.
            self._unshown = set(_COLUMNS)

    def _register(self) -> None:
        """Show the news that came since; each table costs a millisecond."""
        for table in sorted(self._unshown):
            schema = pa.schema(raw_schema(table).field(name) for name in _COLUMNS[table])
            news = pa.concat_tables([schema.empty_table(), *self._news.get(table, [])])
            self._cursor.register(f"rows_of_{table}", news)
            self._cursor.execute(
                f"create or replace temp view news_of_{table} as from rows_of_{table}"
            )
        self._unshown.clear()
        self._make_views()

    def _make_views(self) -> None:
        if self._has_views:
            return
        for table, columns in _COLUMNS.items():
            shown = ", ".join(columns)
            self._cursor.execute(
                f"create or replace temp view held_{table} as select {shown} from raw.{table}"  # noqa: S608
                f" union all select {shown} from news_of_{table}"
            )
        self._has_views = True
