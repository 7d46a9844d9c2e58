"""Recorded exchange objects go through the whole job: every row lands, nothing is rejected."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pipelines import job
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import SystemClock, replay, serve
from pipelines.store.database import Database
from tests.running import access_of, ignore, read

pytestmark = pytest.mark.usefixtures("few_marts")

COMPOSED = Path(__file__).parent / "recorded" / "requester_view.json"
RECORDED = Path(__file__).parent.parent.parent / "shared" / "recorded"


def load(database: Database, *recordings: Path) -> job.Outcome:
    market = replay(list(recordings), clock=SystemClock())
    reading = market.add_key(market.account("recorder"), scopes=("read",))
    with serve(market) as exchange:
        access = access_of(exchange, reading, LoadSettings())
        return job.run(database, access, ignore)


@pytest.fixture(scope="module")
def composed(
    few_marts: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Database, job.Outcome]:
    """What a requester would have seen, loaded once; nobody changes it."""
    database = Database(tmp_path_factory.mktemp("composed") / "rfq.duckdb")
    return database, load(database, COMPOSED)


def test_every_recorded_row_lands(composed: tuple[Database, job.Outcome]) -> None:
    database, outcome = composed

    assert outcome.new_versions == {"rfq_versions": 4, "quote_versions": 4}
    assert read(database, "select sum(rejected_rows) from raw.extraction_runs") == [(0,)]


def test_the_accepted_side_is_the_makers_bid_that_was_hit(
    composed: tuple[Database, job.Outcome],
) -> None:
    database, _ = composed

    assert read(
        database,
        "select requester_side, requester_price_dollars, executed_contracts from marts.rfq_facts"
        " where state = 'executed' order by created_ts",
    ) == [
        ("buy_yes", Decimal("0.190000"), Decimal("99.61")),
        ("buy_no", Decimal("0.580000"), Decimal("50.00")),
    ]


def test_a_recorded_lapse_is_not_a_fill_and_its_rfq_counts_as_unfilled(
    composed: tuple[Database, job.Outcome],
) -> None:
    database, _ = composed

    assert read(database, "select count(*) from marts.quote_facts where outcome = 'lapsed'") == [
        (1,)
    ]
    assert read(
        database,
        "select sum(fill_rate_terminal_numerator), sum(fill_rate_terminal_denominator)"
        " from marts.fill_rates where visibility = 'own'",
    ) == [(2, 3)]


def test_the_offered_sizes_of_a_target_cost_rfq_are_kept(
    composed: tuple[Database, job.Outcome],
) -> None:
    database, _ = composed

    offered = read(
        database,
        "select no_contracts from staging.quotes where contracts = 0 order by quote_id",
    )
    assert offered == [(Decimal("99.61"),), (Decimal("94.69"),), (Decimal("99.61"),)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The recordings of the real exchange, as replay takes them."""
    if not RECORDED.is_dir():
        pytest.skip("the recordings are not beside this checkout")
    lives = json.loads((RECORDED / "quote_lives_demo_2026-07.json").read_text())
    quotes = tmp_path_factory.mktemp("recorded") / "quote_lives.json"
    quotes.write_text(json.dumps({"quotes": [life["quote"] for life in recorded_lives(lives)]}))
    return [
        quotes,
        RECORDED / "quotes_target_cost_prod_2026-09.json",
        RECORDED / "rfqs_market_wide_prod_2026-09.json",
    ]


def recorded_lives(lives: dict[str, Any]) -> list[dict[str, Any]]:
    """Each recorded quote in its last state, with the fills of its maker's order."""
    found = []
    for steps in lives["scenarios"].values():
        data = {step["step"]: step["data"] for step in steps}
        if "quote_terminal" in data:
            fills = data.get("fills_by_creator_order_id", {}).get("fills", [])
            found.append({"quote": data["quote_terminal"], "fills": fills})
    return found


@pytest.fixture(scope="module")
def real(
    few_marts: None, recorded: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Database, list[job.Outcome]]:
    """What the real exchange served, loaded twice; nobody changes it."""
    database = Database(tmp_path_factory.mktemp("real") / "rfq.duckdb")
    return database, [load(database, *recorded) for _ in range(2)]


def test_real_objects_run_through_the_whole_job(
    recorded: list[Path], real: tuple[Database, list[job.Outcome]]
) -> None:
    database, (outcome, again) = real
    served = [json.loads(path.read_text()) for path in recorded]
    n_rfqs = sum(len(page.get("rfqs", [])) for page in served)
    n_quotes = sum(len(page.get("quotes", [])) for page in served)

    assert outcome.new_versions == {"rfq_versions": n_rfqs, "quote_versions": n_quotes}
    assert again.new_versions == {"rfq_versions": 0, "quote_versions": 0}
    assert read(database, "select sum(rejected_rows) from raw.extraction_runs") == [(0,)]
    assert read(database, "select count(*) from staging.rfqs") == [(n_rfqs,)]
    assert read(database, "select count(*) from staging.quotes") == [(n_quotes,)]


def test_real_executed_quotes_agree_with_their_fills(
    real: tuple[Database, list[job.Outcome]],
) -> None:
    database, _ = real
    lives = recorded_lives(json.loads((RECORDED / "quote_lives_demo_2026-07.json").read_text()))
    shown = {
        quote_id: (outcome, side, price)
        for quote_id, outcome, side, price in read(
            database,
            "select quote_id, outcome, requester_side, requester_price_dollars"
            " from marts.quote_facts",
        )
    }
    for life in lives:
        outcome, side, price = shown[life["quote"]["id"]]
        if not life["fills"]:
            assert outcome == "lapsed"
            continue
        (fill,) = life["fills"]
        # The fill is the maker's: who bought NO from it bought YES from the requester's side.
        bought = "yes" if fill["outcome_side"] == "no" else "no"
        assert outcome == "done"
        assert side == f"buy_{bought}"
        assert price == Decimal(fill[f"{bought}_price_dollars"])


def test_real_target_cost_quotes_keep_their_sizes(
    recorded: list[Path], real: tuple[Database, list[job.Outcome]]
) -> None:
    database, _ = real
    quotes = json.loads(recorded[1].read_text())["quotes"]
    shown = dict(read(database, "select quote_id, no_contracts from staging.quotes"))
    assert {quote["id"]: shown[quote["id"]] for quote in quotes} == {
        quote["id"]: Decimal(quote["no_contracts_fp"]) for quote in quotes
    }


def test_times_land_to_the_microsecond(
    recorded: list[Path], real: tuple[Database, list[job.Outcome]]
) -> None:
    database, _ = real
    rfqs = json.loads(recorded[2].read_text())["rfqs"]
    shown = dict(read(database, "select rfq_id, created_ts from staging.rfqs"))
    for rfq in rfqs:
        assert shown[rfq["id"]] == datetime.fromisoformat(rfq["created_ts"])
