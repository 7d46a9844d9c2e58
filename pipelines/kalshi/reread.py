"""Records read one by one, because no list would show what is new about them."""

import logging
import re
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from json import dumps
from typing import Any

import pyarrow as pa

from pipelines.kalshi.client import Page
from pipelines.kalshi.errors import (
    CredentialsRefused,
    ExchangeError,
    NotFound,
    RequestRefused,
)
from pipelines.kalshi.extraction import Extraction, PassReport
from pipelines.kalshi.pages import Rejected, read_record
from pipelines.kalshi.passes import OF_ONE_LIST, hand_on, report_rows
from pipelines.kalshi.schema import QUOTE, RFQ, Entity
from pipelines.kalshi.sweep import Batch, served_ts
from pipelines.kalshi.tables import TOMBSTONES, into
from pipelines.kalshi.tombstones import GONE, Tombstones
from pipelines.kalshi.versions import Versions
from pipelines.kalshi.watermark import Watermark

_log = logging.getLogger(__name__)
_LEFT = "%s: %d reads failed, so the rest is left to the next run"

# A refusal of one record says nothing of the key: the lists were read with it.
OF_ONE_RECORD = (*OF_ONE_LIST, CredentialsRefused)
UUID = re.compile(r"[0-9a-fA-F-]{36}")
READS_PER_LOAD = 1_000
# More failures than these in one pass are no accident of the ids. So few that the pass ends before
# the client takes the whole exchange for down: each stands for five attempts.
FAILURES = 2
# Observed: an RFQ that nobody closes is closed by the exchange after three hours.
RFQ_LIFETIME = timedelta(hours=3)
# Execution reveals who asked; whatever else it changes late is met by a second look a day after.
LOOKS = (timedelta(0), timedelta(days=1))

_GONE_RFQS = f"select id from ({GONE.format(resource='rfqs')})"  # noqa: S608 -- no input in it
_GONE_QUOTES = f"select id from ({GONE.format(resource='quotes')})"  # noqa: S608

# A quote names its RFQ even where no list showed it: opened and closed between two runs.
_NAMED_BY_A_QUOTE = f"""
select distinct rfq_id from raw.quote_versions
anti join raw.rfq_versions as held on held.id = rfq_id
where rfq_id not in ({_GONE_RFQS})
"""  # noqa: S608

# Our own, which the private creator id tells, and those we quoted that must be over by now.
_HELD_OPEN = f"""
with own as (select distinct id from raw.rfq_versions where creator_user_id is not null),
overdue as (
    select distinct rfq_id as id from raw.quote_versions
    where rfq_id in (select id from raw.rfq_versions where created_ts < $1)
)
select id from raw.rfq_versions
where id in (from own union from overdue) and id not in ({_GONE_RFQS})
group by id having bool_and(status = 'open')
"""  # noqa: S608

_EXECUTED = """
select rfq_id, max(observed_ts) from raw.quote_versions
where executed_ts is not null and observed_ts between coalesce($1, '-infinity'::timestamptz) and $2
group by rfq_id
"""

# Open quotes may vanish with their RFQ: no list says so.
_OUTLIVED = f"""
with accounts as (select communications_id from raw.accounts),
held_open as (
    select id, any_value(rfq_id) as rfq_id, min(created_ts) as created_ts from raw.quote_versions
    where id not in ({_GONE_QUOTES})
    group by id having bool_and(status = 'open')
    -- The quotes of another account of ours are not found with this key, and not gone.
    and (
        bool_or(coalesce($2 in (creator_id, rfq_creator_id), false))
        or not bool_or(coalesce(
            creator_id in (from accounts) or rfq_creator_id in (from accounts), false
        ))
    )
),
ended as (
    select id from raw.rfq_versions
    where id in (select rfq_id from held_open) and status <> 'open'
    union {_GONE_RFQS}
)
select id, rfq_id from held_open
where rfq_id in (from ended) or created_ts < $1
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where one kind of record is read from and kept."""

    entity: Entity
    record: str
    versions: Versions
    gone: Tombstones
    read: Callable[[str], Page]


def rfqs_by_id_pass(extraction: Extraction, state: dict[str, Any]) -> Iterator[Any]:
    """Read the RFQs that a quote names, that we hold as open unseen, or that just executed."""
    watermark = extraction.watermark(state, "rfqs_by_id")
    report = PassReport(extraction, "rfqs_by_id", watermark, sweeps=1)
    read = extraction.reader.get_rfq
    shelf = Shelf(RFQ, "rfq", extraction.rfqs, extraction.gone_rfqs, read)
    # A list that showed an RFQ in this run has shown all that a second read could.
    wanted = _wanted_rfqs(extraction) - extraction.own_rfqs_seen
    executed = _executed(extraction, watermark) - extraction.own_rfqs_seen
    yield from _read_all(report, shelf, wanted, executed)


def quotes_by_id_pass(extraction: Extraction, state: dict[str, Any]) -> Iterator[Any]:
    """Read the quotes that we hold as open although their RFQ is over."""
    watermark = extraction.watermark(state, "quotes_by_id")
    report = PassReport(extraction, "quotes_by_id", watermark, sweeps=1)
    asked = [extraction.now - RFQ_LIFETIME, extraction.account]
    rows = _fetch(extraction, _OUTLIVED, asked)
    rfq_of = {id_: rfq_id if UUID.fullmatch(rfq_id) else None for id_, rfq_id in rows}

    def read(quote_id: str) -> Page:
        return extraction.reader.get_quote(quote_id, rfq_id=rfq_of.get(quote_id))

    shelf = Shelf(QUOTE, "quote", extraction.quotes, extraction.gone_quotes, read)
    yield from _read_all(report, shelf, set(rfq_of), set())


def _wanted_rfqs(extraction: Extraction) -> set[str]:
    """What every run wants anew until it was read: RFQs that a quote names, or held as open."""
    named = {rfq_id for (rfq_id,) in _fetch(extraction, _NAMED_BY_A_QUOTE)}
    overdue = extraction.now - RFQ_LIFETIME
    held_open = {rfq_id for (rfq_id,) in _fetch(extraction, _HELD_OPEN, [overdue])}
    return named | held_open


def _executed(extraction: Extraction, watermark: Watermark) -> set[str]:
    """RFQs with an execution that was not looked at yet: at once, and once more a day later."""
    margin = extraction.reach.overlap + watermark.step_back
    due: set[str] = set()
    for look in LOOKS:
        looked = watermark.state.setdefault(f"looked_after_{look}", {"ids": []})
        # The exchange tells whole seconds: what is observed now may bear the second to come.
        until = extraction.now - look + timedelta(seconds=1)
        since = _moment(looked.get("up_to"))
        asked = [None if since is None else min(since, until) - margin, until]
        found = dict(_fetch(extraction, _EXECUTED, asked))
        due |= found.keys() - set(looked["ids"])
        looked["up_to"] = until.isoformat()
        looked["ids"] = sorted(id_ for id_, seen in found.items() if seen >= until - margin)
    return due


def _read_all(
    report: PassReport, shelf: Shelf, wanted: set[str], wanted_once: set[str]
) -> Iterator[Any]:
    """Read what is wanted, as much of it as one load takes, and what was left unanswered before.

    Remembers what nothing else would name again: *wanted_once*, and what was asked for in vain.
    """
    extraction, state = report.extraction, report.watermark.state
    asked_before = set(state.get("pending", ()))
    remembered = wanted_once | asked_before
    due = (wanted | remembered) - extraction.read_by_id
    # What failed before comes last, or a few ids that always fail would keep the rest waiting.
    readable = sorted(filter(UUID.fullmatch, due), key=lambda id_: (id_ in asked_before, id_))
    for id_ in readable[:READS_PER_LOAD]:
        extraction.read_by_id.add(id_)
        remembered.add(id_)
        if (yield from _read_one(report, shelf, id_)):
            remembered.discard(id_)
        if report.failures > FAILURES:
            _log.warning(_LEFT, report.name, report.failures)
            break
    else:
        extraction.is_unfinished |= len(readable) > READS_PER_LOAD
    state["pending"] = sorted(filter(UUID.fullmatch, remembered))
    if readable:
        yield from report_rows(report)


def _read_one(report: PassReport, shelf: Shelf, id_: str) -> Generator[Any, None, bool]:
    """Read one record; return whether there is no need to ask for it again."""
    extraction, state = report.extraction, report.watermark.state
    try:
        answer = shelf.read(id_)
        rows = read_record(shelf.entity, shelf.record, answer.body)
    except NotFound:
        gone = shelf.gone.missed(state, id_, extraction.run_id, extraction.now)
        if gone:
            yield into("tombstones", pa.Table.from_pylist(gone, schema=TOMBSTONES))
        return bool(gone)
    except OF_ONE_RECORD as error:
        _set_aside(report, shelf, id_, error)
        return False
    state.get("missing", {}).pop(id_, None)
    batch = Batch(rows, 1, served_ts(answer), served_ts(answer))
    yield from hand_on(report, shelf.versions, shelf.gone, batch)
    return True


def _set_aside(report: PassReport, shelf: Shelf, id_: str, error: ExchangeError) -> None:
    """Note an id that cannot be read: it must hold back neither the others nor later runs."""
    report.is_verified = False
    # Kept with the rejected rows and not counted with them: it was no row.
    report.unanswered += 1
    # What is refused for good is a matter of that record alone.
    report.failures += not isinstance(error, RequestRefused)
    reason = f"it could not be read by id: {type(error).__name__}"
    digest = sha256(id_.encode()).hexdigest()
    report.reject(Rejected(shelf.entity.key, reason, digest, dumps({"id": id_})))


def _fetch(extraction: Extraction, query: str, values: list[Any] | None = None) -> list[Any]:
    return extraction.cursor.execute(query, values).fetchall()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
