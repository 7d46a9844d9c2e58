"""The lists of legs that the RFQs of a market share: raw keeps each once, apart from the versions.

They are more than half of what the market's list shows, and RFQs of one market show the same ones.
"""

from hashlib import md5
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.kalshi.entities import LEG_LIST, LEGS_FIELD
from pipelines.kalshi.hashing import SEPARATOR, as_json
from transforms.raw import raw_schema

_STORE = """
insert into raw.leg_lists by name
select * from _lists anti join raw.leg_lists as held using (leg_list)
"""


class LegLists:
    """Stores lists of legs, in transactions of their own.

    A list that a killed load has stored stays, and waits for a version that names it.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._cursor = connection.cursor()

    def kept_apart(self, versions: pa.Table, load: int) -> pa.Table:
        """Return *versions* with `leg_list` in place of their legs, once raw has all of these."""
        place = versions.schema.get_field_index(LEGS_FIELD)
        markets = pc.fill_null(versions.column("market_ticker"), "")
        told = pc.binary_join_element_wise(markets, as_json(versions.column(place)), SEPARATOR)
        distinct = told.combine_chunks().dictionary_encode()
        lists = [_list(each, load) for each in distinct.dictionary.to_pylist()]
        self._store(pa.Table.from_pylist(lists, schema=raw_schema("leg_lists")))
        ids = pa.array([each[LEG_LIST] for each in lists], pa.string())
        return versions.set_column(place, LEG_LIST, ids.take(distinct.indices))

    def _store(self, lists: pa.Table) -> None:
        if not lists.num_rows:
            return
        self._cursor.register("_lists", lists)
        try:
            self._cursor.execute(_STORE)
        finally:
            self._cursor.unregister("_lists")


def _list(told: str, load: int) -> dict[str, Any]:
    """The row of a list, of its market and itself in one text.

    Its id is the one that `older_layouts` makes of legs that stand in the versions themselves.
    """
    market, _, legs = told.rpartition(SEPARATOR)
    id_ = md5(told.encode(), usedforsecurity=False).hexdigest()
    return {LEG_LIST: id_, "market_ticker": market or None, LEGS_FIELD: legs, "load": load}
