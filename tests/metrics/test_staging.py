"""Staging: one current row per id, whatever the order in which its states arrived."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations
from typing import Any

import duckdb
import pytest

from tests.metrics.markets import MIDNIGHT, ExchangeObject, at, closed_rfq, followed, quote, rfq
from tests.metrics.warehouse import warehouse
from transforms.metrics import evaluate
from transforms.metrics.objects import load_objects
from transforms.settings import Settings
from transforms.staging import stage

LATER = Settings(as_of=MIDNIGHT + timedelta(hours=1))
PRIVATE = ("user_id", "order_id", "subaccount", "post_only")
HIDDEN = ("", "0", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def staged_rfq(*versions: ExchangeObject, settings: Settings = LATER) -> dict[str, Any]:
    return _staged("rfqs", versions, [], settings)


def staged_quote(*versions: ExchangeObject, settings: Settings = LATER) -> dict[str, Any]:
    return _staged("quotes", [], versions, settings)


def _staged(
    table: str,
    rfqs: Sequence[ExchangeObject],
    quotes: Sequence[ExchangeObject],
    settings: Settings,
) -> dict[str, Any]:
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        load_objects(connection, rfqs, quotes)
        stage(connection, settings)
        return connection.sql(f"from staging.{table}").pl().row(0, named=True)


def test_the_order_of_delivery_does_not_choose_the_state() -> None:
    fresh, accepted = quote("q1", "r1"), followed(quote("q1", "r1"), accepted=3)
    executed = followed(quote("q1", "r1"), accepted=3, confirmed=4, executed=20)

    states = [staged_quote(*order) for order in permutations([fresh, accepted, executed])]

    assert {state["status"] for state in states} == {"executed"}
    assert len({str(state) for state in states}) == 1


def test_the_furthest_status_wins_between_states_of_one_moment() -> None:
    accepted = followed(quote("q1", "r1"), accepted=3)
    confirmed = followed(quote("q1", "r1"), accepted=3, confirmed=3)

    assert staged_quote(confirmed, accepted)["status"] == "confirmed"


def test_a_field_that_a_later_view_hides_is_kept() -> None:
    """The maker's view shows sizes and the confirmation, a later view of others does not."""
    rich = followed(quote("q1", "r1", no_contracts_fp="8.19"), accepted=3, confirmed=4)
    poor = quote("q1", "r1") | {"status": "confirmed", "updated_ts": at(9)}

    state = staged_quote(rich, poor)

    assert str(state["no_contracts"]) == "8.19"
    assert state["confirmed_ts"] == MIDNIGHT + timedelta(seconds=4)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_requester_hidden_at_first_stays_known_by_its_first_sight(hidden: str) -> None:
    first = rfq("r1", creator_id=hidden)
    revealed = closed_rfq("r1", 0, 30) | {"creator_id": "somebody"}

    state = staged_rfq(revealed, first)

    assert (state["requester_id_first"], state["requester_id_last"]) == (None, "somebody")


def test_what_a_version_says_of_later_moments_is_not_known_yet() -> None:
    """A state updated at 30 s, seen at 10 s: its accept is past, its execution is not."""
    executed = followed(quote("q1", "r1"), accepted=5, confirmed=12, executed=30)

    state = staged_quote(executed, settings=Settings(as_of=MIDNIGHT + timedelta(seconds=10)))

    assert state["status"] == "accepted"
    assert (state["confirmed_ts"], state["executed_ts"]) == (None, None)


def test_an_rfq_is_open_until_its_close_has_been_announced() -> None:
    closed = rfq("r1") | {"status": "closed", "updated_ts": at(30)}

    early = staged_rfq(closed, settings=Settings(as_of=MIDNIGHT + timedelta(seconds=29)))
    late = staged_rfq(closed, settings=Settings(as_of=MIDNIGHT + timedelta(seconds=30)))

    assert (early["status"], late["status"]) == ("open", "closed")


def test_a_status_without_its_timestamp_is_dated_by_the_update() -> None:
    cancelled = quote("q1", "r1") | {"status": "cancelled", "updated_ts": at(7)}

    assert staged_quote(cancelled)["cancelled_ts"] == MIDNIGHT + timedelta(seconds=7)


def test_an_unknown_status_passes_through() -> None:
    assert staged_quote(quote("q1", "r1", status="frozen"))["status"] == "frozen"


def test_a_zero_bid_is_no_price() -> None:
    state = staged_quote(quote("q1", "r1", yes_bid_dollars="0.0000"))

    assert state["yes_bid_dollars"] is None
    assert str(state["no_bid_dollars"]) == "0.550000"


@pytest.mark.parametrize("bid", ["1.0001", "-0.0001", "1000"])
def test_an_impossible_bid_is_in_no_figure(bid: str) -> None:
    impossible = quote("q1", "r1", yes_bid_dollars=bid)

    state = staged_quote(impossible)
    figures = evaluate([rfq("r1")], [impossible], LATER.as_of)

    assert (state["yes_bid_dollars"], state["out_of_bounds"]) == (None, "yes_bid_dollars")
    assert (figures["n_two_sided"], figures["best_yes_bid"]) == (0, {"r1": None})
    assert figures["quote_spread"] == {"q1": None}


def test_the_bounds_themselves_are_possible() -> None:
    state = staged_quote(quote("q1", "r1", yes_bid_dollars="1.0000", no_bid_dollars="0.0000"))

    assert str(state["yes_bid_dollars"]) == "1.000000"
    assert state["out_of_bounds"] is None


def test_a_leg_settles_between_nothing_and_a_dollar() -> None:
    values = ("0.5000", "1.5000", None)
    legs = [{"side": "yes", "yes_settlement_value_dollars": value} for value in values]

    with warehouse([rfq("r1", mve_selected_legs=legs)], [], LATER) as tables:
        shown = tables["staging.rfq_legs"].sort("position")["yes_settlement_value_dollars"]
        beyond = tables["staging.rfqs"]["out_of_bounds"]

    assert list(map(str, shown)) == ["0.500000", "None", "None"]
    assert beyond.to_list() == ["yes_settlement_value_dollars"]


def test_a_denied_id_is_gone_until_it_is_seen_again() -> None:
    gone = [("rfqs", "r1", 50.0)]

    with warehouse([rfq("r1")], [], LATER, gone, seen_s=8) as tables:
        denied = tables["staging.rfqs"].row(0, named=True)
    with warehouse([rfq("r1")], [], LATER, gone, seen_s=60) as tables:
        back = tables["staging.rfqs"].row(0, named=True)

    assert denied["gone_ts"] == MIDNIGHT + timedelta(seconds=50)
    assert back["gone_ts"] is None


def test_an_id_that_came_back_unchanged_is_not_gone() -> None:
    """The exchange denies r1 at 50 s and serves the same state of it again at 70 s."""
    with duckdb.connect() as connection:
        load_objects(connection, [rfq("r1")], [])
        denials = [at(50), None], [at(50), at(70)]
        for gone_ts, seen_again_ts in denials:
            connection.execute(
                "insert into raw.tombstones values ('rfqs', 'r1', $1, $1, $2, 0)",
                [gone_ts, seen_again_ts],
            )
        seen = {as_of_s: gone_at(connection, as_of_s) for as_of_s in (40, 60, 80)}

    assert seen == {40: False, 60: True, 80: False}


def test_a_private_field_proves_an_rfq_ours_and_stays_behind() -> None:
    viewer = Settings(as_of=LATER.as_of, viewer_id="me")

    mine = staged_rfq(rfq("r1", creator_user_id="user"), settings=viewer)
    other = staged_rfq(rfq("r1"), settings=viewer)

    assert (mine["is_own"], other["is_own"]) == (True, False)
    assert not [name for name in mine if any(word in name for word in PRIVATE)]


def test_a_quote_tells_on_which_side_we_are() -> None:
    viewer = Settings(as_of=LATER.as_of, viewer_id="me")

    made = staged_quote(quote("q1", "r1", creator_id="me"), settings=viewer)
    received = staged_quote(quote("q1", "r1", rfq_creator_order_id="o"), settings=viewer)

    assert (made["is_made_by_viewer"], made["is_on_own_rfq"]) == (True, False)
    assert (received["is_made_by_viewer"], received["is_on_own_rfq"]) == (False, True)
    assert not [name for name in made if any(word in name for word in PRIVATE)]


def test_what_an_older_run_read_with_another_accounts_key_is_not_ours() -> None:
    viewer = Settings(as_of=LATER.as_of, viewer_id="me")
    mine = rfq("r1", creator_id="me", creator_user_id="user")
    theirs = rfq("r2", creator_id="them", creator_user_id="them too")

    with duckdb.connect() as connection:
        load_objects(connection, [mine, theirs], [])
        connection.execute("insert into raw.accounts values ('me', now()), ('them', now())")
        stage(connection, viewer)
        own = connection.execute("select rfq_id, is_own from staging.rfqs order by 1").fetchall()

    assert own == [("r1", True), ("r2", False)]


def test_legs_keep_the_order_of_the_exchange() -> None:
    legs = [{"market_ticker": f"KXLEG-{n}", "side": "yes"} for n in (3, 1, 2)]
    combo = rfq("r1", mve_collection_ticker="KXMVE-R", mve_selected_legs=legs)

    with warehouse([combo, combo], [], LATER) as tables:
        staged = tables["staging.rfq_legs"].sort("position")

    assert staged.select("position", "market_ticker").rows() == [
        (1, "KXLEG-3"),
        (2, "KXLEG-1"),
        (3, "KXLEG-2"),
    ]


def test_an_empty_list_takes_no_legs_away() -> None:
    legs = [{"market_ticker": f"KXLEG-{n}", "side": "yes"} for n in (1, 2)]
    combo = rfq("r1", mve_selected_legs=legs)
    later = combo | {"updated_ts": at(10), "mve_selected_legs": []}

    with warehouse([combo, later], [], LATER) as tables:
        ((n_legs, is_combo),) = tables["staging.rfqs"].select("n_legs", "is_combo").rows()
        staged = tables["staging.rfq_legs"]

    assert (n_legs, is_combo, staged.height) == (2, True, 2)


def test_a_version_counts_whenever_it_was_read_without_what_it_dates_later() -> None:
    """A load at 200 s showed that q1 was accepted at 5 s and cancelled at 60 s."""
    with duckdb.connect() as connection:
        cancelled = followed(quote("q1", "r1"), accepted=5, cancelled=60)
        load_objects(connection, [], [cancelled])
        connection.execute(f"update raw.quote_versions set observed_ts = timestamptz '{at(200)}'")
        seen = {as_of_s: status_at(connection, "quotes", as_of_s) for as_of_s in (3, 50, 150)}

    assert seen == {3: "open", 50: "accepted", 150: "cancelled"}


def test_a_closing_without_a_time_counts_once_it_was_read() -> None:
    """Of r1, open at first, a load at 100 s showed that it was closed, and not since when."""
    with duckdb.connect() as connection:
        undated = rfq("r1", updated_ts=None)
        load_objects(connection, [undated, undated | {"status": "closed"}], [])
        connection.execute(
            f"update raw.rfq_versions set observed_ts = timestamptz '{at(100)}'"
            " where status = 'closed'"
        )
        seen = {as_of_s: status_at(connection, "rfqs", as_of_s) for as_of_s in (99, 100)}

    assert seen == {99: "open", 100: "closed"}


def test_what_came_in_after_a_run_had_read_past_it_is_shown_late() -> None:
    """The second run began with all read up to 50 s: q2 is from before, q1's accept as well."""
    with duckdb.connect() as connection:
        first = quote("q1", "r1", created_s=10)
        late = [followed(first, accepted=40), quote("q2", "r1", created_s=20)]
        timely = [quote("q3", "r1", created_s=60), followed(quote("q4", "r1"), accepted=55)]
        load_objects(connection, [], [first, quote("q4", "r1"), *late, *timely])
        connection.execute(
            f"insert into raw.loads values (1, 'a', true, null), (2, 'b', true, '{at(50)}')"
        )
        connection.execute("update raw.quote_versions set load = if(rowid < 2, 1, 2)")
        stage(connection, Settings(as_of=MIDNIGHT + timedelta(seconds=100)))

        shown = connection.execute("select quote_id, is_shown_late from staging.quotes").fetchall()

    assert {quote_id for quote_id, is_late in shown if is_late} == {"q1", "q2"}
    assert len(shown) == 4


def status_at(connection: duckdb.DuckDBPyConnection, table: str, as_of_s: float) -> str:
    stage(connection, Settings(as_of=MIDNIGHT + timedelta(seconds=as_of_s)))
    return str(connection.execute(f"select status from staging.{table}").fetchall()[0][0])


def gone_at(connection: duckdb.DuckDBPyConnection, as_of_s: float) -> bool:
    stage(connection, Settings(as_of=MIDNIGHT + timedelta(seconds=as_of_s)))
    gone_ts = connection.execute("select gone_ts from staging.rfqs").fetchall()[0][0]
    return gone_ts is not None


@pytest.mark.parametrize("stage", ["accepted", "confirmed", "executed", "cancelled"])
@pytest.mark.parametrize("updated_ts", [at(5), None])
def test_what_happened_at_the_as_of_time_to_a_quote_counts(
    stage: str, updated_ts: str | None
) -> None:
    """And what happened a microsecond later does not, told by its own time or by the update."""
    earlier = {"accepted": 3.0} if stage in ("confirmed", "executed") else {}
    shown = followed(quote("q1", "r1"), **earlier, **{stage: 5.0}) | {"updated_ts": updated_ts}

    then, before = (staged_quote(shown, settings=just_at(5, late)) for late in (0, 1))

    assert then[f"{stage}_ts"] == MIDNIGHT + timedelta(seconds=5)
    assert before[f"{stage}_ts"] is None


@pytest.mark.parametrize("name", ["updated_ts", "cancelled_ts", "observed_ts"])
def test_what_closed_an_rfq_at_the_as_of_time_counts(name: str) -> None:
    """By whichever of its times is known: by when it was read if it shows none."""
    hidden = {each: None for each in ("updated_ts", "cancelled_ts") if each != name}
    shown = closed_rfq("r1", 0, 5) | hidden | {"observed_ts": at(5)}

    then, before = (staged_rfq(rfq("r1"), shown, settings=just_at(5, late)) for late in (0, 1))

    assert (then["status"], before["status"]) == ("closed", "open")


def test_what_is_shown_of_a_later_closing_does_not_undo_an_earlier_one() -> None:
    """Two states without the time of the closing, updated at 5 s and at 20 s, as of 10 s."""
    closings = [closed_rfq("r1", 0, end_s) | {"cancelled_ts": None} for end_s in (5, 20)]

    assert staged_rfq(*closings, settings=just_at(10, 0))["status"] == "closed"


def just_at(seconds: float, before_us: int) -> Settings:
    """As of so many seconds after midnight, less some microseconds."""
    return Settings(as_of=MIDNIGHT + timedelta(seconds=seconds, microseconds=-before_us))


@pytest.mark.parametrize("name", ["rfqs", "quotes"])
def test_of_several_sights_the_latest_is_the_last(name: str) -> None:
    """Seen open at 5 s, 60 s and 30 s, and at 90 s in whatever state."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        load_objects(connection, [rfq("each")], [quote("each", "r1")])
        connection.execute(
            f"update raw.{name.removesuffix('s')}_versions"
            f" set observed_ts = '{at(5)}', observed_pass = 'load'"
        )
        for open_s, seen_s in ((60, 90), (30, 30)):
            connection.execute(
                "insert into raw.last_seen values ($1, 'each', $2, $3, 1)",
                [name, at(seen_s), at(open_s)],
            )
        stage(connection, LATER)
        sights = connection.execute(
            f"select last_observed_ts, last_seen_open_ts from staging.{name}"
        ).fetchall()

    assert sights == [(MIDNIGHT + timedelta(seconds=90), MIDNIGHT + timedelta(seconds=60))]
