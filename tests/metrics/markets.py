"""Exchange objects by hand, and random markets for the properties."""

import json
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from transforms.metrics import evaluate

ExchangeObject = dict[str, Any]
MIDNIGHT = datetime(2026, 5, 4, tzinfo=UTC)
MAKERS = ("A", "B", "C", "D")
BIDS = ("0.0000", "0.0500", "0.3000", "0.3100", "0.4000", "0.4550", "0.5000", "0.5200", "0.6000")
SIDES = ("yes", "no")
STAGES = ("accepted_ts", "confirmed_ts", "executed_ts", "cancelled_ts")


@dataclass(frozen=True)
class Market:
    """One data set and the moment at which it is looked at."""

    rfqs: tuple[ExchangeObject, ...]
    quotes: tuple[ExchangeObject, ...]
    as_of: datetime
    viewer_id: str | None = None
    passes: tuple[ExchangeObject, ...] | None = None

    def metrics(self, **settings: Any) -> dict[str, Any]:
        seen = {"viewer_id": self.viewer_id, "passes": self.passes}
        return evaluate(self.rfqs, self.quotes, self.as_of, **(seen | settings))

    def mapped(self, change: Callable[[ExchangeObject], ExchangeObject]) -> "Market":
        """The same market with every object changed."""
        rfqs, quotes = map(change, self.rfqs), map(change, self.quotes)
        passes = None if self.passes is None else tuple(map(change, self.passes))
        return replace(self, rfqs=tuple(rfqs), quotes=tuple(quotes), passes=passes)


def at(seconds: float) -> str:
    """The exchange's spelling of a moment after midnight: no trailing zeros."""
    moment = MIDNIGHT + timedelta(microseconds=round(seconds * 1e6))
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def rfq(rfq_id: str, created_s: float = 0, **changes: Any) -> ExchangeObject:
    """An open RFQ for 100 contracts."""
    return {
        "id": rfq_id,
        "creator_id": "desk",
        "market_ticker": "KXRAIN-26-NYC",
        "contracts_fp": "100.00",
        "status": "open",
        "created_ts": at(created_s),
        "updated_ts": at(created_s),
    } | changes


def closed_rfq(rfq_id: str, created_s: float, end_s: float, **changes: Any) -> ExchangeObject:
    """An RFQ that its requester cancelled."""
    end = {"status": "closed", "cancelled_ts": at(end_s), "updated_ts": at(end_s)}
    return rfq(rfq_id, created_s, **end, **changes)


def quote(quote_id: str, rfq_id: str, created_s: float = 1, **changes: Any) -> ExchangeObject:
    """Maker A's open quote of 0.40 at 0.45."""
    return {
        "id": quote_id,
        "rfq_id": rfq_id,
        "creator_id": "A",
        "rfq_creator_id": "desk",
        "contracts_fp": "100.00",
        "yes_bid_dollars": "0.4000",
        "no_bid_dollars": "0.5500",
        "status": "open",
        "created_ts": at(created_s),
        "updated_ts": at(created_s),
    } | changes


def followed(each: ExchangeObject, side: str = "no", **stages: float) -> ExchangeObject:
    """A quote taken through *stages* (accepted=5.0, confirmed=7.0, ...), seconds after midnight."""
    reached = {f"{stage}_ts": at(seconds) for stage, seconds in stages.items()}
    accepted = {"accepted_side": side} if "accepted" in stages else {}
    updated = max([moment(each["created_ts"]), *map(moment, reached.values())])
    status = [*stages][-1] if stages else "open"
    return each | reached | accepted | {"status": status, "updated_ts": stamp(updated)}


def executed_quote(quote_id: str, rfq_id: str, created_s: float = 1) -> ExchangeObject:
    """Maker A's quote, whose NO bid was hit 4 s later, confirmed after 2 s, executed after 15."""
    stages = {"accepted": created_s + 4, "confirmed": created_s + 6, "executed": created_s + 21}
    return followed(quote(quote_id, rfq_id, created_s), **stages)


def cancelled_quote(
    quote_id: str, rfq_id: str, created_s: float = 1, **changes: Any
) -> ExchangeObject:
    """Maker A's quote, cancelled 29 s later."""
    return followed(quote(quote_id, rfq_id, created_s, **changes), cancelled=created_s + 29)


def read_at(moment_s: float, objects: Iterable[ExchangeObject]) -> list[ExchangeObject]:
    """The objects as they were read, all of them at one moment."""
    return [each | {"observed_ts": at(moment_s)} for each in objects]


def stamp(when: datetime) -> str:
    return at((when - MIDNIGHT).total_seconds())


def as_it_stood(each: ExchangeObject, then: datetime) -> ExchangeObject:
    """The object as the exchange would have served it at *then*."""
    past = {
        name: value for name, value in each.items() if name not in STAGES or moment(value) <= then
    }
    reached = [name for name in STAGES if name in past]
    if "accepted_ts" not in past:
        past.pop("accepted_side", None)
    if "rfq_id" in each:
        past["status"] = reached[-1].removesuffix("_ts") if reached else "open"
    elif moment(each["updated_ts"]) > then:
        past["status"] = "open"
    updated = max(moment(past[name]) for name in ("created_ts", *reached))
    is_unchanged = moment(each["updated_ts"]) <= then
    return past | {"updated_ts": each["updated_ts"] if is_unchanged else stamp(updated)}


PATHS: tuple[tuple[str, ...], ...] = (
    (),
    ("cancelled",),
    ("cancelled",),
    ("accepted",),
    ("accepted", "confirmed"),
    ("accepted", "confirmed", "executed"),
    ("accepted", "confirmed", "executed"),
)


def random_market(chance: random.Random, prefix: str = "r") -> Market:
    """A few RFQs, some gone, with versions, withdrawals, accepts, lapses, combos, target costs."""
    rfqs: list[ExchangeObject] = []
    quotes: list[ExchangeObject] = []
    for number in range(chance.randint(0, 4)):
        request, answers = random_life(chance, f"{prefix}{number}")
        is_gone = chance.random() < 0.1
        rfqs.extend([] if is_gone else [request])
        quotes.extend(answers)
    as_of = MIDNIGHT + timedelta(seconds=chance.randint(1, 9000) / 10)
    return Market(tuple(rfqs), tuple(quotes), as_of)


def random_life(chance: random.Random, rfq_id: str) -> tuple[ExchangeObject, list[ExchangeObject]]:
    """One RFQ and what became of it."""
    created_s = chance.randint(0, 3000) / 10
    end_s = created_s + chance.randint(1, 1200) / 10
    request = chance.choice([closed_rfq(rfq_id, created_s, end_s), rfq(rfq_id, created_s)])
    if chance.random() < 0.5:
        request |= {"contracts_fp": "0.00", "target_cost_dollars": "25.000000"}
    if chance.random() < 0.5:
        legs = [{"market_ticker": f"KXLEG-{leg}", "side": "yes"} for leg in range(3)]
        request |= {"mve_collection_ticker": "KXMVE-R", "mve_selected_legs": legs}
    ids = [f"{rfq_id}q{number}" for number in range(chance.randint(0, 5))]
    return request, [random_quote(chance, each, rfq_id, created_s, end_s) for each in ids]


def random_quote(
    chance: random.Random, quote_id: str, rfq_id: str, rfq_created_s: float, rfq_end_s: float
) -> ExchangeObject:
    """One quote, somewhere around its RFQ's life, with stages in order."""
    created_s = rfq_created_s + chance.randint(-3, 900) / 10
    yes_bid, no_bid = chance.choice(BIDS), chance.choice(BIDS)
    each = quote(
        quote_id,
        rfq_id,
        created_s,
        creator_id=chance.choice(MAKERS),
        yes_bid_dollars=yes_bid,
        no_bid_dollars=no_bid,
    )
    has_bid = {yes_bid, no_bid} != {BIDS[0]}
    path = chance.choice(PATHS if has_bid else PATHS[:2])
    # No accept comes within the half second after the quote, so none precedes its RFQ.
    steps = [chance.randint(5, 400) / 10 for _ in path]
    stages = {stage: created_s + sum(steps[: n + 1]) for n, stage in enumerate(path)}
    if path == ("cancelled",) and chance.random() < 0.5:
        stages["cancelled"] = max(created_s, rfq_end_s)
    side = "yes" if no_bid == BIDS[0] else "no" if yes_bid == BIDS[0] else chance.choice(SIDES)
    return followed(each, side, **stages)


def many_markets(number: int) -> Market:
    """125 random markets, two under each ticker, all looked at in one moment."""
    chance = random.Random(number)
    made = [random_market(chance, f"m{n}r") for n in range(125)]
    rfqs = [
        each | {"market_ticker": f"KXM{n // 2}-26-NYC"}
        for n, market in enumerate(made)
        for each in market.rfqs
    ]
    quotes = [each for market in made for each in market.quotes]
    return Market(tuple(rfqs), tuple(quotes), chance.choice(made).as_of)


def many_watched_markets(number: int) -> Market:
    """The same as the account `desk` saw them, which asked for two in three and looked at times."""
    chance = random.Random(number)
    return Onlooker(chance).sees(many_markets(number))


class Onlooker:
    """The account `desk`, with passes now and then, some of them slow.

    It finds quotes gone with their RFQ, and reads who asked only once an RFQ was executed.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        served = sorted(chance.sample(range(900), 20))
        # A pass takes time: what it served is read up to half a minute later.
        self._read_s = {each: each + chance.choice([0, 1, 30]) for each in served}

    def sees(self, market: Market) -> Market:
        asks = {each["id"]: self._chance.random() < 2 / 3 for each in market.rfqs}
        executed = {each["rfq_id"] for each in market.quotes if "executed_ts" in each}
        ends = {each["id"]: each["cancelled_ts"] for each in market.rfqs if "cancelled_ts" in each}
        rfqs = [
            version
            for each in market.rfqs
            for version in self._rfq(each, asks[each["id"]], each["id"] in executed)
        ]
        quotes = [
            seen
            for each in market.quotes
            if asks.get(each["rfq_id"], True) or each["creator_id"] == "A"
            for seen in self._quote(each, asks.get(each["rfq_id"], True), ends)
        ]
        passes = tuple(
            {"side": side, "served_ts": at(served)}
            for served in self._read_s
            for side in ("made", "received")
            if self._chance.random() < 0.9
        )
        return Market(tuple(rfqs), tuple(quotes), market.as_of, "desk", passes)

    def _rfq(self, each: ExchangeObject, is_asked: bool, is_executed: bool) -> list[ExchangeObject]:
        if is_asked:
            return [each | {"observed_ts": self._read_after(each["updated_ts"])}]
        hidden = ("creator_id", "updated_ts", "cancelled_ts")
        shown = {name: value for name, value in each.items() if name not in hidden}
        closed_ts = each["updated_ts"]
        versions = [shown | {"status": "open", "observed_ts": self._read_after(each["created_ts"])}]
        if each["status"] == "closed":
            versions.append(shown | {"observed_ts": self._read_after(closed_ts)})
        if is_executed:
            versions.append(versions[-1] | {"creator_id": "someone"})
        return versions

    def _quote(
        self, each: ExchangeObject, is_asked: bool, ends: dict[str, str]
    ) -> list[ExchangeObject]:
        seen = each if is_asked else each | {"creator_id": "desk", "rfq_creator_id": ""}
        end_ts = ends.get(each["rfq_id"])
        stands = each["status"] == "open" and end_ts is not None
        if not stands or self._chance.random() < 0.2:
            return [seen | {"observed_ts": self._read_after(each["updated_ts"])}]
        read = self._last_read_between(each["created_ts"], end_ts)
        return [] if read is None else [seen | {"observed_ts": read}]

    def _read_after(self, then: str) -> str:
        """When the first pass that was served after *then* had been read."""
        seconds = (moment(then) - MIDNIGHT).total_seconds()
        later = (read for served, read in self._read_s.items() if served > seconds)
        return at(next(later, max(seconds, 960)))

    def _last_read_between(self, since: str, until: str) -> str | None:
        """When the last pass that was served in the span had been read."""
        span = [(moment(each) - MIDNIGHT).total_seconds() for each in (since, until)]
        reads = [read for served, read in self._read_s.items() if span[0] < served < span[1]]
        return at(reads[-1]) if reads else None


def plain(metrics: Mapping[str, Any]) -> str:
    """Metrics as text, so that a failing comparison shows the first difference."""
    return json.dumps(metrics, indent=1, sort_keys=True)
