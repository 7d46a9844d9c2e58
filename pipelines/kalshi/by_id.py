"""Records read one by one, because no list would show what is new about them."""

import logging
from collections.abc import Callable, Generator, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from hashlib import sha256
from json import dumps
from typing import Any, TypeAlias

import pyarrow as pa

from pipelines.kalshi.client.endpoints import UUID
from pipelines.kalshi.client.errors import (
    CredentialsRefused,
    ExchangeError,
    NotFound,
    RequestRefused,
)
from pipelines.kalshi.client.reader import Page
from pipelines.kalshi.entities import RFQ
from pipelines.kalshi.extraction import Extraction
from pipelines.kalshi.lists import RFQ_LIFETIME
from pipelines.kalshi.pages import Rejected, Rows, read_record
from pipelines.kalshi.paging import Batch, served_ts
from pipelines.kalshi.reading import (
    ERRORS_OF_ONE_LIST,
    Ending,
    Reading,
    Row,
    Step,
    Steps,
    Taken,
)
from pipelines.kalshi.versions import GONE
from pipelines.kalshi.watermark import DAY

_log = logging.getLogger(__name__)
_LEFT = "%s: %d reads failed, so the rest is left to the next run"

# A refusal of one record says nothing of the key: the lists were read with it.
OF_ONE_RECORD = (*ERRORS_OF_ONE_LIST, CredentialsRefused)
READS_PER_LOAD = 1_000
# Taking in an answer costs about as much as taking in a batch of them.
RECORDS_PER_BATCH = 50
# Stop after 2 failed records: each used 5 attempts, and 20 failed attempts in a row open the
# client's circuit breaker, which would end the run.
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

# An RFQ that a quote names, or one of ours or that was quoted that must be over by now.
_WANTED_RFQS = """
select id from candidates.unknown_rfqs
union select id from candidates.rfqs where is_own or created_ts < $1
"""


def _gone(resource: str, since: str) -> str:
    """What is gone of the ids that were seen at *since* or later."""
    tombstones = f"(from held_tombstones where gone_ts >= {since} - interval 1 day)"
    return GONE.format(tombstones=tombstones, resource=resource, since="'-infinity'::timestamptz")


_SPAN_BEGINS = "coalesce($1, '-infinity'::timestamptz)"
_EXECUTED = f"""
select rfq_id, max(observed_ts) from held_quote_versions
where executed_ts is not null and observed_ts between {_SPAN_BEGINS} and $2
    and rfq_id not in (select id from ({_gone("rfqs", _SPAN_BEGINS)}))
group by rfq_id
"""  # noqa: S608

# Neither open nor over. One that was seen so only after its timers stays so: it needs no look. The
# pairs of times let DuckDB skip what is older.
_UNSETTLED = f"""
with seen as (
    select id, created_ts, any_value(rfq_id) as rfq_id, max(observed_ts) as observed_ts
    from held_quote_versions
    where observed_ts between coalesce($1, '-infinity'::timestamptz) and $2
        and status not in ('open', 'executed', 'cancelled')
        and coalesce(confirmed_ts, accepted_ts, updated_ts, created_ts) > observed_ts - $3::interval
    group by id, created_ts
),
over as (
    select id from held_quote_versions semi join seen using (created_ts, id)
    where status in ('executed', 'cancelled')
),
accounts as (select communications_id from held_accounts),
others as (
    select id from held_quote_versions semi join seen using (created_ts, id)
    group by id having bool_or(coalesce(
        creator_id in (from accounts) or rfq_creator_id in (from accounts), false
    )) and not bool_or(coalesce($4 in (creator_id, rfq_creator_id), false))
)
select id, rfq_id, observed_ts from seen
where id not in (from over union all from others)
    and id not in (select id from ({_gone("quotes", _SPAN_BEGINS)}))
"""  # noqa: S608

# What could not be read though its id could, while the exchange keeps it and nothing newer is held.
_REJECTED = """
with listed as (
    select id, max(rfq_id) as rfq_id, max(observed_ts) as observed_ts from held_rejected_rows
    where resource = '{resource}' and is_read_again and observed_ts >= $1 group by id
)
select id, rfq_id, observed_ts from listed
where id not in (select id from ({gone})) and not exists (
    select 1 from held_{table} as held
    where held.id = listed.id and held.observed_ts > listed.observed_ts
)
"""

# Open quotes may vanish with their RFQ: no list says so. The quotes of another account of ours are
# not found with this key, and not gone.
_OUTLIVED = """
with accounts as (select communications_id from held_accounts)
select id, rfq_id from candidates.quotes
where (is_rfq_over or created_ts < $1) and (
    coalesce($2 in (creator_id, rfq_creator_id), false)
    or not coalesce(creator_id in (from accounts) or rfq_creator_id in (from accounts), false)
)
"""


OfOne: TypeAlias = Generator[Step, Any, None]
"""Steps of a pass, as `Steps`, for one record."""


@dataclass(frozen=True, slots=True)
class Unread:
    """The records of which a list showed rows that could not be read, by id: the RFQs of quotes."""

    rfq_of: dict[str, str | None]
    due: set[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """The row of one record and when it was served."""

    rows: Rows
    served_ts: datetime


@dataclass(slots=True)
class Wanted:
    """The records to read: what every run asks for anew until it was read, and what is due once."""

    always: Set[str]
    once: Set[str]
    unread: Unread
    rfq_of: Mapping[str, str] = field(default_factory=dict)


def rfqs_by_id(reading: Reading) -> Steps:
    """Read the RFQs that a quote names, that we hold as open unseen, or that just executed."""
    extraction = reading.extraction
    unread = _unread(reading)
    # A list that showed an RFQ in this run has shown all that a second read could.
    always = _wanted_rfqs(extraction) - extraction.own_rfqs_seen
    executed = _executed(reading) - extraction.own_rfqs_seen
    return (yield from _read_all(reading, Wanted(always, executed | unread.due, unread)))


def quotes_by_id(reading: Reading) -> Steps:
    """Read the quotes that no list will show again, though we do not hold their end.

    Open although their RFQ is over; accepted or confirmed although their timers are; unreadable.
    """
    extraction = reading.extraction
    asked = [extraction.now - RFQ_LIFETIME, extraction.account]
    with extraction.held.candidates(extraction.load):
        outlived: dict[str, str | None] = dict(extraction.held.fetch(_OUTLIVED, asked))
    unsettled = _unsettled(reading)
    unread = _unread(reading)
    named = unread.rfq_of | unsettled | outlived
    rfq_of = {id_: rfq_id for id_, rfq_id in named.items() if rfq_id and UUID.fullmatch(rfq_id)}
    wanted = Wanted(outlived.keys(), unsettled.keys() | unread.due, unread, rfq_of)
    return (yield from _read_all(reading, wanted))


def _wanted_rfqs(extraction: Extraction) -> set[str]:
    """What every run wants anew until it was read: RFQs that a quote names, or held as open."""
    with extraction.held.candidates(extraction.load):
        found = extraction.held.fetch(_WANTED_RFQS, [extraction.now - RFQ_LIFETIME])
    return {rfq_id for (rfq_id,) in found}


def _executed(reading: Reading) -> set[str]:
    """RFQs with an execution that was not looked at yet: at once, and once more a day later."""
    due: set[str] = set()
    for look in EXECUTED_READ_AFTER:
        due |= _looked_at(
            reading, look, lambda span: reading.extraction.held.fetch(_EXECUTED, span)
        )
    return due


def _unsettled(reading: Reading) -> dict[str, str | None]:
    """Quotes held as accepted or confirmed whose timers are over, with their RFQs."""
    extraction = reading.extraction
    rfq_of: dict[str, str | None] = {}
    due: set[str] = set()
    for look in UNSETTLED_READ_AFTER:

        def find(span: list[Any], look: timedelta = look) -> list[Any]:
            found = extraction.held.fetch(_UNSETTLED, [*span, look, extraction.account])
            rfq_of.update({id_: rfq_id for id_, rfq_id, _ in found})
            return [(id_, seen) for id_, _, seen in found]

        due |= _looked_at(reading, look, find)
    return {id_: rfq_of[id_] for id_ in due}


def _looked_at(
    reading: Reading, look: timedelta, find: Callable[[list[Any]], list[Any]]
) -> set[str]:
    """Return what *find* finds, in the span that has become *look* old since the last time."""
    extraction = reading.extraction
    margin = extraction.reach.overlap + reading.watermark.step_back
    looked = reading.state.setdefault(f"looked_after_{look}", {"ids": []})
    # The exchange tells whole seconds: what is observed now may bear the second to come.
    until = extraction.now - look + timedelta(seconds=1)
    since = _moment(looked.get("up_to"))
    found = dict(find([None if since is None else min(since, until) - margin, until]))
    due = found.keys() - set(looked["ids"])
    looked["up_to"] = until.isoformat()
    looked["ids"] = sorted(id_ for id_, seen in found.items() if seen >= until - margin)
    return due


def _unread(reading: Reading) -> Unread:
    """Find what could not be read in a list, and which of it is due.

    That is all in the run that met it and in the next three, then each once a day.
    """
    extraction, state, entity = reading.extraction, reading.state, reading.pass_.entity
    now = extraction.now
    query = _REJECTED.format(resource=entity.key, table=entity.table, gone=_gone(entity.key, "$1"))
    since = now - extraction.reach.retention
    readable = {i: at for i, at in state.get("readable", {}).items() if _at(at) >= since}
    state["readable"] = readable
    listed = [
        (id_, rfq_id, seen)
        for id_, rfq_id, seen in extraction.held.fetch(query, [since])
        if id_ not in readable or _at(readable[id_]) < seen
    ]
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


def _read_all(reading: Reading, wanted: Wanted) -> Steps:
    """Read what is wanted, as much of it as one load takes, and what was left unanswered before.

    Remembers what nothing else would name again: what is due once, and what was asked for in vain.
    """
    before, state = reading.extraction.read_by_id, reading.state
    asked_before = set(state.get("pending", ()))
    # What this run has read, in an earlier load, it remembers only if it got no answer.
    remembered = set(wanted.once - before) | asked_before
    due = (wanted.always | remembered) - before
    # What failed comes last, what did so longest ago before the others: or a few ids that always
    # fail would keep the rest waiting.
    failing: dict[str, str] = state.get("failing", {})
    readable = sorted(filter(UUID.fullmatch, due), key=lambda id_: (failing.get(id_, ""), id_))
    reads = Reads(reading, wanted, remembered)
    if readable:
        # What other passes have met says nothing of records.
        reading.extraction.reader.try_again()
    for id_ in readable[:READS_PER_LOAD]:
        yield from reads.read(id_)
        if reads.is_over:
            break
    yield from reads.taken_in()
    state["pending"] = sorted(filter(UUID.fullmatch, remembered))
    failed = failing | reads.failed_at
    state["failing"] = {id_: at for id_, at in failed.items() if id_ in remembered}
    return Ending(
        has_more=not reads.is_over and len(readable) > READS_PER_LOAD,
        failure=reads.failure,
        ends_run=reads.failure is not None,
        is_verified=not reads.refusals,
        has_read=bool(readable),
        ids=frozenset(reads.asked),
    )


@dataclass(slots=True)
class Reads:
    """Reads by id in a row. *remembered* are the ids that are still to be answered."""

    reading: Reading
    wanted: Wanted
    remembered: set[str]
    asked: set[str] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)
    failed_at: dict[str, str] = field(default_factory=dict)
    refusals: int = 0
    failure: ExchangeError | None = None
    """What ends the run."""

    @property
    def is_over(self) -> bool:
        """Whether the rest is left to a later run."""
        return self.failure is not None or len(self.failed_at) > FAILURES

    def read(self, id_: str) -> OfOne:
        """Ask for one record, and take in what comes of it."""
        self.asked.add(id_)
        self.remembered.add(id_)
        is_counted = id_ in self.wanted.unread.rfq_of
        if is_counted or len(self.answers) >= RECORDS_PER_BATCH:
            yield from self.taken_in()
        try:
            answer = _read_one(self.reading, self.wanted, id_)
        except NotFound:
            yield from self._missed(id_)
        except OF_ONE_RECORD as error:
            yield from self._refused(id_, error)
        except ExchangeError as error:
            # What was due once must still be remembered, and what was answered taken in.
            self.failure = error
        else:
            self.remembered.discard(id_)
            self.reading.state.get("missing", {}).pop(id_, None)
            self.answers.append(answer)
            if is_counted:
                yield from self._taken_in_alone(id_)

    def taken_in(self) -> OfOne:
        """Hand over what was answered so far."""
        if self.answers:
            yield _batch(self.answers)
            self.answers.clear()

    def _taken_in_alone(self, id_: str) -> OfOne:
        (answer,) = self.answers
        taken: Taken = yield _batch(self.answers)
        self.answers.clear()
        if answer.rows.table.num_rows and not taken.new_versions:
            # Nothing in raw will say that it can be read again.
            self.reading.state["readable"][id_] = self.reading.extraction.now.isoformat()

    def _missed(self, id_: str) -> OfOne:
        gone = _missed(self.reading, id_)
        if gone:
            self.remembered.discard(id_)
            yield Row("tombstones", gone)

    def _refused(self, id_: str, error: ExchangeError) -> OfOne:
        yield _set_aside(self.reading, id_, error)
        # What is refused for good is a matter of that record alone.
        if not isinstance(error, RequestRefused):
            self.failed_at[id_] = self.reading.extraction.now.isoformat()
        self.refusals += 1
        if self.is_over:
            _log.warning(_LEFT, self.reading.pass_.name, len(self.failed_at))


def _read_one(reading: Reading, wanted: Wanted, id_: str) -> Answer:
    """Ask for one record. Raises `NotFound`, and what may befall any request."""
    entity = reading.pass_.entity
    read = getattr(reading.extraction.reader, entity.record_method)
    rfq_id = wanted.rfq_of.get(id_)
    answer: Page = read(id_) if entity is RFQ else read(id_, rfq_id=rfq_id)
    rows = read_record(entity, answer.body, id_)
    is_counted = id_ in wanted.unread.rfq_of
    # A record may not show its own id: the one that it was read by is known.
    rejected = tuple(
        replace(row, id=id_, rfq_id=rfq_id, is_counted=is_counted) for row in rows.rejected
    )
    return Answer(replace(rows, rejected=rejected), served_ts(answer))


def _batch(answers: list[Answer]) -> Batch:
    """Join *answers*, each row with the moment at which it was served."""
    tables = [
        answer.rows.dated([answer.served_ts] * answer.rows.table.num_rows).table
        for answer in answers
    ]
    rejected = tuple(row for answer in answers for row in answer.rows.rejected)
    first, last = answers[0].served_ts, answers[-1].served_ts
    return Batch(Rows(pa.concat_tables(tables), rejected), len(answers), first, last)


def _missed(reading: Reading, id_: str) -> dict[str, Any] | None:
    """Note that *id_* was not found; return its tombstone where that is certain."""
    extraction = reading.extraction
    tombstones = extraction.gone[reading.pass_.entity]
    return tombstones.missed(reading.state, id_, extraction.run_id, extraction.now)


def _set_aside(reading: Reading, id_: str, error: ExchangeError) -> Rejected:
    """Note an id that cannot be read: it must hold back neither the others nor later runs.

    It is not counted with the rejected rows: it was no row.
    """
    key = reading.pass_.entity.key
    reason = f"it could not be read by id: {type(error).__name__}"
    digest = sha256(f"{reason} {id_}".encode()).hexdigest()
    return Rejected(key, reason, digest, dumps({"id": id_}), id_)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else _at(text)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text)
