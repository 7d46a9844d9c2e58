"""Records read one by one, because no list would show what is new about them."""

import logging
from collections.abc import Callable, Generator, Iterator, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from json import dumps
from typing import Any

import pyarrow as pa

from pipelines.kalshi.client.endpoints import UUID
from pipelines.kalshi.client.errors import (
    CredentialsRefused,
    ExchangeError,
    NotFound,
    RequestRefused,
)
from pipelines.kalshi.client.reader import Page
from pipelines.kalshi.entities import QUOTE, RFQ, Entity, into
from pipelines.kalshi.extraction import Extraction, PassReport
from pipelines.kalshi.lists import ERRORS_OF_ONE_LIST, RFQ_LIFETIME, new_version_items, report_rows
from pipelines.kalshi.pages import Rejected, Rows, read_record
from pipelines.kalshi.paging import Batch, served_ts
from pipelines.kalshi.versions import GONE, Tombstones, Versions
from pipelines.kalshi.watermark import DAY, Watermark
from transforms.raw import raw_schema

_log = logging.getLogger(__name__)
_LEFT = "%s: %d reads failed, so the rest is left to the next run"

# A refusal of one record says nothing of the key: the lists were read with it.
OF_ONE_RECORD = (*ERRORS_OF_ONE_LIST, CredentialsRefused)
READS_PER_LOAD = 1_000
# Stop after 2 failed records: each used 5 attempts, and 20 failed attempts in a row open the
# client's circuit breaker, which would end every other pass as well.
FAILURES = 2
# An execution reveals who asked. The RFQ is read at once, and again a day later for whatever the
# exchange changes late.
EXECUTED_READ_AFTER = (timedelta(0), timedelta(days=1))
# An accept lapses after 30 s and a confirmed quote executes after 15 s, sooner on combos. After
# 60 s both are over, so a read by id shows what the list did not; a read a day later is the last.
UNSETTLED_READ_AFTER = (timedelta(seconds=60), timedelta(days=1))
# A row that could not be read is asked for by id in the run that met it and in the next three,
# since the exchange may correct it soon; after that once a day.
READS_OF_REJECTED = 4

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

# Neither open nor over. One that was seen so only after its timers stays so: it needs no look. The
# pairs of times let DuckDB skip what is older.
_UNSETTLED = f"""
with seen as (
    select id, created_ts, any_value(rfq_id) as rfq_id, max(observed_ts) as observed_ts
    from raw.quote_versions
    where observed_ts between coalesce($1, '-infinity'::timestamptz) and $2
        and status not in ('open', 'executed', 'cancelled')
        and coalesce(confirmed_ts, accepted_ts, updated_ts, created_ts) > observed_ts - $3::interval
    group by id, created_ts
),
over as (
    select id from raw.quote_versions semi join seen using (created_ts, id)
    where status in ('executed', 'cancelled')
),
accounts as (select communications_id from raw.accounts),
others as (
    select id from raw.quote_versions semi join seen using (created_ts, id)
    group by id having bool_or(coalesce(
        creator_id in (from accounts) or rfq_creator_id in (from accounts), false
    )) and not bool_or(coalesce($4 in (creator_id, rfq_creator_id), false))
)
select id, rfq_id, observed_ts from seen
where id not in (from over) and id not in (from others) and id not in ({_GONE_QUOTES})
"""  # noqa: S608

# What could not be read though its id could, while the exchange keeps it and nothing newer is held.
_REJECTED = """
with listed as (
    select id, max(rfq_id) as rfq_id, max(observed_ts) as observed_ts from raw.rejected_rows
    where resource = '{resource}' and is_read_again and observed_ts >= $1 group by id
)
select id, rfq_id, observed_ts from listed
where id not in ({gone}) and not exists (
    select 1 from raw.{table} as held
    where held.id = listed.id and held.observed_ts > listed.observed_ts
)
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
class RecordKind:
    """Where one kind of record is read from and kept; `rfq_of` tells the RFQ of a quote."""

    entity: Entity
    record: str
    versions: Versions
    gone: Tombstones
    read: Callable[[str], Page]
    rfq_of: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unread:
    """The records of which a list showed rows that could not be read, by id: the RFQs of quotes."""

    rfq_of: dict[str, str | None]
    due: set[str]


def rfqs_by_id_pass(extraction: Extraction, state: dict[str, Any]) -> Iterator[Any]:
    """Read the RFQs that a quote names, that we hold as open unseen, or that just executed."""
    watermark = extraction.watermark(state, "rfqs_by_id")
    report = PassReport(extraction, "rfqs_by_id", watermark, sweeps=1)
    read = extraction.reader.get_rfq
    record_kind = RecordKind(RFQ, "rfq", extraction.rfqs, extraction.gone_rfqs, read)
    unread = _unread(report, record_kind)
    # A list that showed an RFQ in this run has shown all that a second read could.
    wanted = _wanted_rfqs(extraction) - extraction.own_rfqs_seen
    executed = _executed(extraction, watermark) - extraction.own_rfqs_seen
    yield from _read_all(report, record_kind, wanted, executed | unread.due)


def quotes_by_id_pass(extraction: Extraction, state: dict[str, Any]) -> Iterator[Any]:
    """Read the quotes that no list will show again, though we do not hold their end.

    Open although their RFQ is over; accepted or confirmed although their timers are; unreadable.
    """
    watermark = extraction.watermark(state, "quotes_by_id")
    report = PassReport(extraction, "quotes_by_id", watermark, sweeps=1)
    asked = [extraction.now - RFQ_LIFETIME, extraction.account]
    outlived: dict[str, str | None] = dict(_fetch(extraction, _OUTLIVED, asked))
    unsettled = _unsettled(extraction, watermark)
    rfq_of: dict[str, str] = {}

    def read(quote_id: str) -> Page:
        return extraction.reader.get_quote(quote_id, rfq_id=rfq_of.get(quote_id))

    quotes, gone = extraction.quotes, extraction.gone_quotes
    record_kind = RecordKind(QUOTE, "quote", quotes, gone, read, rfq_of)
    unread = _unread(report, record_kind)
    for id_, rfq_id in (unread.rfq_of | unsettled | outlived).items():
        if rfq_id and UUID.fullmatch(rfq_id):
            rfq_of[id_] = rfq_id
    yield from _read_all(report, record_kind, outlived.keys(), unsettled.keys() | unread.due)


def _wanted_rfqs(extraction: Extraction) -> set[str]:
    """What every run wants anew until it was read: RFQs that a quote names, or held as open."""
    named = {rfq_id for (rfq_id,) in _fetch(extraction, _NAMED_BY_A_QUOTE)}
    overdue = extraction.now - RFQ_LIFETIME
    held_open = {rfq_id for (rfq_id,) in _fetch(extraction, _HELD_OPEN, [overdue])}
    return named | held_open


def _executed(extraction: Extraction, watermark: Watermark) -> set[str]:
    """RFQs with an execution that was not looked at yet: at once, and once more a day later."""
    due: set[str] = set()
    for look in EXECUTED_READ_AFTER:
        due |= _looked_at(
            extraction, watermark, look, lambda span: _fetch(extraction, _EXECUTED, span)
        )
    return due


def _unsettled(extraction: Extraction, watermark: Watermark) -> dict[str, str | None]:
    """Quotes held as accepted or confirmed whose timers are over, with their RFQs."""
    rfq_of: dict[str, str | None] = {}
    due: set[str] = set()
    for look in UNSETTLED_READ_AFTER:

        def find(span: list[Any], look: timedelta = look) -> list[Any]:
            found = _fetch(extraction, _UNSETTLED, [*span, look, extraction.account])
            rfq_of.update({id_: rfq_id for id_, rfq_id, _ in found})
            return [(id_, seen) for id_, _, seen in found]

        due |= _looked_at(extraction, watermark, look, find)
    return {id_: rfq_of[id_] for id_ in due}


def _looked_at(
    extraction: Extraction,
    watermark: Watermark,
    look: timedelta,
    find: Callable[[list[Any]], list[Any]],
) -> set[str]:
    """Return what *find* finds, in the span that has become *look* old since the last time."""
    margin = extraction.reach.overlap + watermark.step_back
    looked = watermark.state.setdefault(f"looked_after_{look}", {"ids": []})
    # The exchange tells whole seconds: what is observed now may bear the second to come.
    until = extraction.now - look + timedelta(seconds=1)
    since = _moment(looked.get("up_to"))
    found = dict(find([None if since is None else min(since, until) - margin, until]))
    due = found.keys() - set(looked["ids"])
    looked["up_to"] = until.isoformat()
    looked["ids"] = sorted(id_ for id_, seen in found.items() if seen >= until - margin)
    return due


def _unread(report: PassReport, record_kind: RecordKind) -> Unread:
    """Find what could not be read in a list, and which of it is due.

    That is all in the run that met it and in the next three, then each once a day.
    """
    extraction, state = report.extraction, report.watermark.state
    resource, table, now = record_kind.entity.key, record_kind.versions.table, extraction.now
    gone = _GONE_QUOTES if resource == "quotes" else _GONE_RFQS
    query = _REJECTED.format(resource=resource, table=table, gone=gone)
    since = now - extraction.reach.retention
    readable = {i: at for i, at in state.get("readable", {}).items() if _at(at) >= since}
    state["readable"] = readable
    listed = [
        (id_, rfq_id, seen)
        for id_, rfq_id, seen in _fetch(extraction, query, [since])
        if id_ not in readable or _at(readable[id_]) < seen
    ]
    report.known_to_be_unreadable = frozenset(id_ for id_, _, _ in listed)
    before = _note_run(state, extraction)
    due = {id_ for id_, _, seen in listed if _is_due(seen, before, now)}
    return Unread({id_: rfq_id for id_, rfq_id, _ in listed}, due)


def _note_run(state: dict[str, Any], extraction: Extraction) -> list[datetime]:
    """Remember when this run reads; return when those before it did, the last few."""
    runs: list[dict[str, str]] = state.get("runs", [])
    if not runs or runs[-1]["run_id"] != extraction.run_id:
        runs = [*runs, {"run_id": extraction.run_id, "ts": extraction.now.isoformat()}]
    state["runs"] = runs[-READS_OF_REJECTED - 1 :]
    return [_at(run["ts"]) for run in state["runs"][:-1]]


def _is_due(seen: datetime, before: list[datetime], now: datetime) -> bool:
    since = [run for run in before if run >= seen]
    return len(since) < READS_OF_REJECTED or (now - seen) // DAY > (since[-1] - seen) // DAY


def _read_all(
    report: PassReport, record_kind: RecordKind, wanted: Set[str], wanted_once: set[str]
) -> Iterator[Any]:
    """Read what is wanted, as much of it as one load takes, and what was left unanswered before.

    Remembers what nothing else would name again: *wanted_once*, and what was asked for in vain.
    """
    extraction, state = report.extraction, report.watermark.state
    asked_before = set(state.get("pending", ()))
    # What this run has read, in an earlier load, it remembers only if it got no answer.
    remembered = (wanted_once - extraction.read_by_id) | asked_before
    due = (wanted | remembered) - extraction.read_by_id
    # What failed before comes last, or a few ids that always fail would keep the rest waiting.
    readable = sorted(filter(UUID.fullmatch, due), key=lambda id_: (id_ in asked_before, id_))
    for id_ in readable[:READS_PER_LOAD]:
        extraction.read_by_id.add(id_)
        remembered.add(id_)
        if (yield from _read_one(report, record_kind, id_)):
            remembered.discard(id_)
        if report.failures > FAILURES:
            _log.warning(_LEFT, report.name, report.failures)
            break
    else:
        extraction.is_unfinished |= len(readable) > READS_PER_LOAD
    state["pending"] = sorted(filter(UUID.fullmatch, remembered))
    if readable:
        yield from report_rows(report)


def _read_one(report: PassReport, record_kind: RecordKind, id_: str) -> Generator[Any, None, bool]:
    """Read one record; return whether there is no need to ask for it again."""
    extraction, state = report.extraction, report.watermark.state
    try:
        answer = record_kind.read(id_)
        rows = _with_ids(
            read_record(record_kind.entity, record_kind.record, answer.body, id_), record_kind, id_
        )
    except NotFound:
        gone = record_kind.gone.missed(state, id_, extraction.run_id, extraction.now)
        if gone:
            yield into("tombstones", pa.Table.from_pylist(gone, schema=raw_schema("tombstones")))
        return bool(gone)
    except OF_ONE_RECORD as error:
        _set_aside(report, record_kind, id_, error)
        return False
    state.get("missing", {}).pop(id_, None)
    batch = Batch(rows, 1, served_ts(answer), served_ts(answer))
    versions = report.new_versions
    yield from new_version_items(report, record_kind.versions, record_kind.gone, batch)
    if rows.table.num_rows and report.new_versions == versions:
        # Nothing in raw will say that it can be read again.
        _note_readable(report, id_)
    return True


def _with_ids(rows: Rows, record_kind: RecordKind, id_: str) -> Rows:
    """Say by which ids a record was read: it may not show its own."""
    rfq_id = record_kind.rfq_of.get(id_)
    named = (replace(row, id=id_, rfq_id=rfq_id) for row in rows.rejected)
    return replace(rows, rejected=tuple(named))


def _note_readable(report: PassReport, id_: str) -> None:
    if id_ in report.known_to_be_unreadable:
        report.watermark.state["readable"][id_] = report.extraction.now.isoformat()


def _set_aside(report: PassReport, record_kind: RecordKind, id_: str, error: ExchangeError) -> None:
    """Note an id that cannot be read: it must hold back neither the others nor later runs."""
    report.is_verified = False
    # What is refused for good is a matter of that record alone.
    report.failures += not isinstance(error, RequestRefused)
    reason = f"it could not be read by id: {type(error).__name__}"
    digest = sha256(f"{reason} {id_}".encode()).hexdigest()
    # Not counted with the rejected rows: it was no row.
    report.keep_aside(Rejected(record_kind.entity.key, reason, digest, dumps({"id": id_}), id_))


def _fetch(extraction: Extraction, query: str, values: list[Any] | None = None) -> list[Any]:
    return extraction.cursor.execute(query, values).fetchall()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else _at(text)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
