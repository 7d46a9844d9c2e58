"""RFQs read one by one, because no list would show what is new about them."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipelines.kalshi.errors import NotFound
from pipelines.kalshi.extraction import Extraction, PassReport
from pipelines.kalshi.pages import read_record
from pipelines.kalshi.passes import hand_on, report_rows
from pipelines.kalshi.schema import RFQ
from pipelines.kalshi.sweep import Batch, served_ts
from pipelines.kalshi.tables import TOMBSTONES, into

UUID = re.compile(r"[0-9a-fA-F-]{36}")

# A quote names its RFQ even where no list showed it: opened and closed between two runs.
_NAMED_BY_A_QUOTE = """
select distinct rfq_id from raw.quote_versions
where rfq_id not in (select id from raw.rfq_versions)
  and rfq_id not in (select id from raw.tombstones where resource = 'rfqs')
"""

# Only an RFQ that showed its private creator id is certainly our own.
_OWN_HELD_OPEN = """
select id from raw.rfq_versions
where id not in (select id from raw.tombstones where resource = 'rfqs')
group by id
having bool_or(creator_user_id is not null)
   and max_by(status, (coalesce(updated_ts, created_ts), status <> 'open', observed_ts)) = 'open'
"""

# Execution reveals who asked, and that changes no list position that a stranger could see.
_JUST_EXECUTED = """
select rfq_id, max(observed_ts) from raw.quote_versions
where executed_ts is not null and observed_ts > coalesce($1, '-infinity'::timestamptz)
group by rfq_id
"""


def rfqs_by_id_pass(extraction: Extraction, state: dict[str, Any]) -> Iterator[Any]:
    """Read the RFQs that a quote names, that we hold as open unseen, or that just executed."""
    watermark = extraction.watermark(state, "rfqs_by_id")
    report = PassReport(extraction, "rfqs_by_id", watermark, sweeps=1)
    wanted, executed_up_to = _wanted(extraction, watermark.state)
    gone: list[dict[str, Any]] = []
    for rfq_id in sorted(wanted):
        try:
            batch = _read_rfq(extraction, rfq_id)
        except NotFound:
            gone += _missed(watermark.state, rfq_id, extraction)
        else:
            watermark.state.get("missing", {}).pop(rfq_id, None)
            yield from hand_on(report, extraction.rfqs, batch)
    if gone:
        yield into("tombstones", pa.Table.from_pylist(gone, schema=TOMBSTONES))
    if executed_up_to is not None:
        watermark.state["executed_up_to"] = executed_up_to.isoformat()
    if wanted:
        yield from report_rows(report)


def _wanted(extraction: Extraction, state: dict[str, Any]) -> tuple[set[str], datetime | None]:
    cursor = extraction.connection.cursor()
    named = {rfq_id for (rfq_id,) in cursor.execute(_NAMED_BY_A_QUOTE).fetchall()}
    held_open = {rfq_id for (rfq_id,) in cursor.execute(_OWN_HELD_OPEN).fetchall()}
    mark = state.get("executed_up_to")
    executed = cursor.execute(_JUST_EXECUTED, [mark]).fetchall()
    just_executed = {rfq_id for rfq_id, _ in executed}
    # A list that showed the RFQ in this run has shown all that a second read could.
    wanted = (named | held_open | just_executed) - extraction.own_rfqs_seen
    readable = {rfq_id for rfq_id in wanted if UUID.fullmatch(rfq_id)}
    return readable, max((observed for _, observed in executed), default=None)


def _read_rfq(extraction: Extraction, rfq_id: str) -> Batch:
    answer = extraction.reader.get_rfq(rfq_id)
    rows = read_record(RFQ, "rfq", answer.body)
    return Batch(rows, 1, served_ts(answer), served_ts(answer), None)


def _missed(state: dict[str, Any], rfq_id: str, extraction: Extraction) -> list[dict[str, Any]]:
    """Note that the exchange does not know an RFQ; the second run that finds so buries it."""
    missing: dict[str, dict[str, str]] = state.setdefault("missing", {})
    first = missing.setdefault(
        rfq_id, {"run_id": extraction.run_id, "ts": extraction.now.isoformat()}
    )
    if first["run_id"] == extraction.run_id:
        return []
    del missing[rfq_id]
    return [
        {
            "resource": "rfqs",
            "id": rfq_id,
            "first_missing_ts": datetime.fromisoformat(first["ts"]),
            "gone_ts": extraction.now,
        }
    ]
