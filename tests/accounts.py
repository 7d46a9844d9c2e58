"""What an account was shown of a market small enough to be added up by hand, in a published file.

M is 300 s and as_of 1,000 s after midnight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import duckdb

from pipelines.store.database import Database
from tests.metrics.markets import (
    MIDNIGHT,
    ExchangeObject,
    at,
    closed_rfq,
    followed,
    moment,
    quote,
    rfq,
)
from transforms.build import build
from transforms.catalogue import define
from transforms.marts import MARTS
from transforms.metrics.objects import load_objects
from transforms.settings import Settings

AS_OF_S = 1000
LISTS = ("rfqs_market", "quotes_made", "quotes_received")
LEGS = [{"market_ticker": f"KXLEG-{leg}", "side": "yes"} for leg in range(2)]
COMBO = {
    "mve_collection_ticker": "KXMVE-R",
    "mve_selected_legs": LEGS,
    "market_ticker": "KXMVE-26-1",
}


@dataclass(frozen=True)
class Shown:
    """What one account was shown, and who it is."""

    viewer: str
    rfqs: Sequence[ExchangeObject]
    quotes: Sequence[ExchangeObject] = ()
    compared: tuple[int, int] | None = None
    scope: str = "market"
    maturity_s: int = 300
    is_market_complete: bool = True
    passes: Sequence[ExchangeObject] = field(
        default_factory=lambda: [
            {"side": side, "served_ts": at(20)} for side in ("made", "received")
        ]
    )


def published(path: Path, shown: Shown) -> Database:
    """Build the marts of what was shown into a file; every list was read up to as_of."""
    as_of = MIDNIGHT + timedelta(seconds=AS_OF_S)
    with duckdb.connect(path) as connection:
        load_objects(connection, shown.rfqs, shown.quotes, shown.passes)
        connection.execute("insert into raw.accounts values ($1, $2)", [shown.viewer, as_of])
        for name in LISTS:
            connection.execute(
                "insert into raw.extraction_runs by name select '' as run_id, $1 as pass,"
                " '' as origin, $2 as started_ts, $2 as ended_ts, 1 as pages, 1 as rows_seen,"
                " 1 as new_versions, 0 as rejected_rows, 1 as sweeps, true as is_verified,"
                " $3 as watermark_before_ts, $2 as watermark_after_ts",
                [name, as_of, MIDNIGHT],
            )
        if shown.compared:
            connection.execute(
                "insert into raw.coverage values ('', $1, 1, true, $2, $3, 0)",
                [MIDNIGHT, *shown.compared],
            )
        asked = {
            name: getattr(shown, name) for name in ("scope", "maturity_s", "is_market_complete")
        }
        # Whoever builds may be anywhere: days and hours are those of UTC.
        connection.execute("set timezone = 'Pacific/Kiritimati'")
        build(connection, MARTS, Settings(as_of, shown.viewer, **asked))
        define(connection)
    return Database(path)


def by(maker: str, quote_id: str, rfq_id: str, created_s: float, no_bid: str) -> ExchangeObject:
    """A quote of 0.40 for YES, so 0.60 less the bid for NO is its spread."""
    return quote(quote_id, rfq_id, created_s, creator_id=maker, no_bid_dollars=no_bid)


def of_desk() -> tuple[list[ExchangeObject], list[ExchangeObject]]:
    """Singles: one filled in 27 s, one in 337 s, one closed, one open, one young; a combo closed.

    The pass at 20 s has watched the first two. A stranger's RFQ is no business of the desk's.
    """
    rfqs = [
        rfq("filled soon", 0),
        closed_rfq("closed", 2, 60),
        rfq("filled late", 100),
        rfq("open", 500),
        rfq("young", 900),
        closed_rfq("combo", 200, 230, **COMBO),
        closed_rfq("stranger's", 50, 80, creator_id="stranger"),
    ]
    quotes = [
        followed(by("A", "q1", "filled soon", 1, "0.5500"), accepted=10, confirmed=12, executed=27),
        by("A", "q2", "closed", 4, "0.5000"),
        by("B", "q3", "closed", 5, "0.0000"),
        followed(
            by("A", "q4", "filled late", 103, "0.5500"), accepted=420, confirmed=422, executed=437
        ),
        by("A", "q5", "combo", 200.5, "0.5000"),
    ]
    return rfqs, quotes


def seen_open(each: ExchangeObject, seen_s: float = 21) -> list[ExchangeObject]:
    """The RFQ as it was read while it was open, and as it was read when it was over."""
    opened = {k: v for k, v in each.items() if k != "cancelled_ts"} | {
        "status": "open",
        "updated_ts": each["created_ts"],
        "observed_ts": at(seen_s),
    }
    is_over = each["status"] == "closed"
    return [opened, *([each | {"observed_ts": each["updated_ts"]}] if is_over else [])]


def of_maker(me: str = "A") -> tuple[list[ExchangeObject], list[ExchangeObject]]:
    """Of three singles and a combo that were watched, it quoted two and the combo, and won one.

    Later one accept of its quotes lapses and one is pending; nobody has watched those RFQs.
    """
    theirs = {"creator_id": "stranger"}
    rfqs = [
        *seen_open(closed_rfq("won", 0, 27, **theirs)),
        *seen_open(closed_rfq("lost", 2, 60, **theirs)),
        *seen_open(closed_rfq("unquoted", 3, 60, **theirs)),
        *seen_open(rfq("undecided", 4, **theirs, **COMBO)),
        closed_rfq("lapsed", 100, 200, **theirs),
        rfq("pending", 980, **theirs),
    ]
    quotes = [
        followed(by(me, "m1", "won", 1, "0.5500"), accepted=10, confirmed=12, executed=27),
        by(me, "m2", "lost", 4, "0.5000"),
        by(me, "m3", "undecided", 4.5, "0.5000"),
        followed(by(me, "m4", "lapsed", 101, "0.5500"), accepted=110),
        followed(by(me, "m5", "pending", 981, "0.5500"), accepted=990),
    ]
    return rfqs, [each | {"rfq_creator_id": "stranger"} for each in quotes]


WEEK_AND_A_DAY_S = 8 * 86_400.0


def of_both() -> Shown:
    """The account `desk` asked, quoted and looked on, of every capture and in every state.

    Both passes were served at 20 s. What was created eight days before was first read today.

    | RFQ           | asked by | lived      | capture  | what became of it                     |
    |---------------|----------|------------|----------|---------------------------------------|
    | o filled      | desk     | 0 to 27    | live     | A's and B's quotes; A's executed      |
    | o closed      | desk     | 2 to 60    | live     | A's quote for YES alone               |
    | o filled late | desk     | 100 to 437 | late     | B's quote executed after M            |
    | o lapsed      | desk     | 300 to 400 | late     | A's quote accepted and not confirmed  |
    | o open        | desk     | 500 on     | late     |                                       |
    | o young       | desk     | 900 on     | late     | younger than M                        |
    | o combo       | desk     | 200 to 230 | late     | A's quote, and a better one           |
    | o old         | desk     | -8 d, 27 s | backfill | A's quote executed                    |
    | t won         | stranger | 0 to 27    | live     | our quote executed                    |
    | t lost        | stranger | 2 to 60    | live     | our quote left, and a better one      |
    | t combo       | stranger | 4 on       | live     | our quote stands                      |
    | t pending     | stranger | 980 on     | late     | our quote accepted at 990             |
    | t old         | stranger | -8 d, 27 s | backfill | our quote executed                    |
    | f seen        | stranger | 3 to 60    | live     |                                       |
    | f dollars     | stranger | 700 on     | late     | for 25 dollars                        |
    """
    theirs = {"creator_id": "stranger"}
    old, today = -WEEK_AND_A_DAY_S, {"observed_ts": at(0)}
    rfqs = [
        closed_rfq("o filled", 0, 27),
        closed_rfq("o closed", 2, 60),
        rfq("o filled late", 100),
        closed_rfq("o lapsed", 300, 400),
        rfq("o open", 500),
        rfq("o young", 900),
        closed_rfq("o combo", 200, 230, **COMBO),
        closed_rfq("o old", old, old + 27, **today),
        *seen_open(closed_rfq("t won", 0, 27, **theirs)),
        *seen_open(closed_rfq("t lost", 2, 60, **theirs)),
        *seen_open(rfq("t combo", 4, **theirs, **COMBO)),
        rfq("t pending", 980, **theirs),
        closed_rfq("t old", old, old + 27, **theirs, **today),
        *seen_open(closed_rfq("f seen", 3, 60, **theirs)),
        rfq("f dollars", 700, contracts_fp="0.00", target_cost_dollars="25.000000", **theirs),
    ]
    quotes = [
        followed(by("A", "q1", "o filled", 1, "0.5500"), accepted=10, confirmed=12, executed=27),
        followed(by("B", "q2", "o filled", 3, "0.5000"), cancelled=27),
        followed(by("A", "q3", "o closed", 4, "0.0000"), cancelled=60),
        followed(
            by("B", "q4", "o filled late", 103, "0.5500"), accepted=420, confirmed=422, executed=437
        ),
        followed(by("A", "q5", "o lapsed", 301, "0.5400"), accepted=310),
        followed(by("A", "q6", "o combo", 200.5, "0.5000"), cancelled=210),
        followed(by("A", "q8", "o combo", 210, "0.5200"), cancelled=230),
        _long_ago(by("A", "q7", "o old", old + 1, "0.5500")),
    ]
    ours = [
        followed(by("desk", "m1", "t won", 1, "0.5500"), accepted=10, confirmed=12, executed=27),
        by("desk", "m2", "t lost", 4, "0.5000"),
        by("desk", "m6", "t lost", 10, "0.5200"),
        by("desk", "m3", "t combo", 4.5, "0.5000"),
        followed(by("desk", "m4", "t pending", 981, "0.5500"), accepted=990),
        _long_ago(by("desk", "m5", "t old", old + 1, "0.5500")),
    ]
    ours = [each | {"rfq_creator_id": "stranger"} for each in ours]
    return Shown("desk", rfqs, [*quotes, *ours], compared=(20, 1))


def _long_ago(each: ExchangeObject) -> ExchangeObject:
    """A quote that was accepted 9 s after it, confirmed 2 s and executed 17 s after that."""
    created_s = (moment(each["created_ts"]) - MIDNIGHT).total_seconds()
    accepted, confirmed, executed = (created_s + s for s in (9, 11, 26))
    stages = {"accepted": accepted, "confirmed": confirmed, "executed": executed}
    return followed(each, **stages) | {"observed_ts": at(0)}
