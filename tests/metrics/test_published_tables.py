"""Every scalar is the figure that SQL finds in the published tables, on random markets."""

from typing import Any

import duckdb
import pytest

from tests.metrics.comparison import is_same
from tests.metrics.markets import Market, many_markets, many_watched_markets
from transforms.build import build
from transforms.catalogue import describe
from transforms.marts import MARTS
from transforms.metrics.objects import load_objects, utc
from transforms.settings import Settings

OWN_QUOTES = "marts.quote_facts where visibility = 'own' and not is_orphan"
LIVE_QUOTES = f"{OWN_QUOTES} and capture = 'live'"
LIVE = "marts.watched_by_day where capture = 'live'"
TIMELY = "marts.fill_rates where visibility = 'own' and capture <> 'backfill'"
OTHERS = "marts.rfq_facts where visibility <> 'own' and is_first_seen_open"
MINE = """
marts.quote_facts join marts.rfq_facts using (rfq_id)
where quote_facts.visibility = 'quoted' and is_made_by_viewer and is_valid_response
    and rfq_facts.capture = 'live'"""


def first_quotes(quantile: float) -> str:
    return f"""
        select quantile_cont(time_to_first_quote_s, {quantile}) from marts.rfq_facts
        where visibility = 'own' and capture = 'live'"""


def of_rfqs(condition: str) -> str:
    return f"select count(*) filter ({condition}) from marts.rfq_facts where visibility = 'own'"


def of_quotes(condition: str) -> str:
    return f"select count(*) filter ({condition}) from {OWN_QUOTES}"


def of_makers(column: str) -> str:
    return f"select coalesce(sum({column}), 0) from marts.makers where visibility = 'own'"


def share(part: str, whole: str, table: str) -> str:
    return f"select sum({part}) / nullif(sum({whole}), 0) from {table}"


SCALARS = {
    "n_rfq": "select count(*) from marts.rfq_facts",
    "n_rfq_seen": "select count(*) from marts.rfq_facts",
    "n_rfq_own": of_rfqs("true"),
    "n_rfq_foreign": "select count(*) from marts.rfq_facts where visibility = 'foreign'",
    "n_open": "select count(*) from marts.rfq_facts where state = 'open'",
    "n_matured": of_rfqs("is_matured"),
    "n_rfq_quoted": of_rfqs("n_makers > 0 or has_accept"),
    "n_rfq_accepted": of_rfqs("has_accept"),
    "n_rfq_confirmed": of_rfqs("has_confirm"),
    "n_rfq_executed": of_rfqs("state = 'executed'"),
    "n_rfq_filled_after_lapse": of_rfqs("is_filled_after_lapse"),
    "n_composite_crossed": of_rfqs("is_composite_crossed"),
    "n_foreign_hidden_first_seen": f"""
        select count(*) from {OTHERS} and requester_id_first is null""",
    "n_foreign_revealed": f"""
        select count(*) from {OTHERS} and requester_id_first is null
            and requester_id_last is not null""",
    "n_quote_rows": "select count(*) from marts.quote_facts",
    "n_quotes_raw": of_quotes("true"),
    "n_quotes_effective": of_quotes("is_effective"),
    "n_two_sided": of_quotes("is_effective and is_two_sided"),
    "n_self_crossed": of_quotes("is_self_crossed"),
    "n_replaced": of_quotes("end_cause = 'replaced'"),
    "n_withdrawn": of_quotes("end_cause = 'withdrawn'"),
    "n_quotes_after_close": of_quotes("is_after_close"),
    "n_neg_latency": of_quotes("is_negative_latency"),
    "n_neg_latency_clamped": of_quotes("is_negative_latency and response_latency_s = 0"),
    "n_neg_latency_rejected": of_quotes("is_negative_latency and response_latency_s is null"),
    "n_responding_makers": f"""
        select count(distinct maker_id) from {OWN_QUOTES} and is_valid_response""",
    "n_accepts": of_makers("n_accepts"),
    "n_accepts_pending": of_makers("n_accepts_pending"),
    "n_accepts_matured": of_makers("n_accepts_matured"),
    "n_lapsed": of_makers("n_lapsed"),
    "n_executions": of_makers("n_executions"),
    "n_confirmed_stuck": """
        select count(*) from marts.quote_facts
        where visibility = 'own' and has_accept and is_confirmed_stuck""",
    "fill_rate_all": share("fill_rate_all_numerator", "fill_rate_all_denominator", TIMELY),
    "fill_rate_own": share("fill_rate_all_numerator", "fill_rate_all_denominator", TIMELY),
    "fill_rate_terminal": share(
        "fill_rate_terminal_numerator", "fill_rate_terminal_denominator", TIMELY
    ),
    "fill_rate_matured": share(
        "fill_rate_matured_numerator", "fill_rate_matured_denominator", TIMELY
    ),
    "fill_rate_contracts": share(
        "fill_rate_contracts_matured_numerator", "fill_rate_contracts_matured_denominator", TIMELY
    ),
    "fill_rate_target_cost": share(
        "fill_rate_target_cost_matured_numerator",
        "fill_rate_target_cost_matured_denominator",
        TIMELY,
    ),
    "response_rate_5s": share("n_answered_5s", "n_rfq", LIVE),
    "response_rate_all": share("n_answered", "n_rfq", LIVE),
    "response_rate_own": share("n_answered", "n_rfq", LIVE),
    "abandonment_rate": share("n_abandoned", "n_answered_ended", LIVE),
    "one_sided_share": share("n_one_sided", "n_quotes_effective", LIVE),
    "withdraw_rate_effective": share("n_withdrawn", "n_quotes_effective", LIVE),
    "mean_quote_spread_effective": f"""
        select sum(quote_spread_sum_microdollars) / 1e6 / nullif(sum(n_spread), 0) from {LIVE}""",
    "lapse_rate": share("n_lapsed", "n_accepts_matured", "marts.makers where visibility = 'own'"),
    "confirm_rate": """
        select avg(has_confirm::int) from marts.quote_facts
        where visibility = 'own' and is_accept_matured""",
    "my_quote_rate": f"""
        select (select count(distinct rfq_id) from {MINE})
            / nullif(count(*), 0) from marts.rfq_facts
        where visibility <> 'own' and capture = 'live'""",
    "my_hit_ratio": share(
        "n_rfq_won",
        "n_rfq_decided",
        "marts.makers where visibility = 'quoted' and capture = 'live'",
    ),
    "requester_unknown_share_foreign": f"""
        select avg((requester_id_first is null)::int) from {OTHERS}""",
    "executed_premium_requester_dollars": """
        select coalesce(sum(premium_dollars), 0) from marts.quote_facts
        where visibility = 'own' and executed_ts is not null and is_reference_accept""",
    "executed_payout_notional_dollars": """
        select coalesce(sum(payout_notional_dollars), 0) from marts.quote_facts
        where visibility = 'own' and executed_ts is not null and is_reference_accept""",
    "response_latency_p50_s": f"""
        select quantile_cont(response_latency_s, 0.5) from {LIVE_QUOTES} and version = 1""",
    "confirm_latency_p50_s": """
        select quantile_cont(confirm_latency_s, 0.5) from marts.quote_facts
        where visibility = 'own' and has_accept""",
    "confirm_latency_p90_s": """
        select quantile_cont(confirm_latency_s, 0.9) from marts.quote_facts
        where visibility = 'own' and has_accept""",
    "ttfq_p50_quoted_only_s": first_quotes(0.5),
}


@pytest.mark.parametrize("market", [many_markets(8), many_watched_markets(9)], ids=["all", "seen"])
def test_sql_over_the_published_tables_finds_every_scalar(market: Market) -> None:
    settings = Settings(utc(market.as_of), market.viewer_id, is_watched=market.passes is None)
    with duckdb.connect() as connection:
        load_objects(connection, market.rfqs, market.quotes, market.passes or ())
        build(connection, MARTS, settings)
        describe(connection)
        found = {name: one(connection, query) for name, query in SCALARS.items()}

    metrics = market.metrics()

    unviewed = {"my_quote_rate", "my_hit_ratio"} if market.viewer_id is None else set()
    differing = {
        name: (metrics[name], value)
        for name, value in found.items()
        if name not in unviewed and not is_same(metrics[name], value)
    }
    assert differing == {}


def test_the_table_names_every_scalar() -> None:
    """But for those of curves, concentration and fills, which have tests of their own."""
    metrics = many_watched_markets(9).metrics()
    scalars = {name for name, value in metrics.items() if not isinstance(value, dict)}
    elsewhere = {
        name
        for name in scalars
        if name.startswith(("hhi_", "ttfq_", "cif_", "km_")) or "fills" in name
    }
    elsewhere |= {"fill_completeness", "fill_rate_foreign", "response_rate_matured"}
    elsewhere |= {"quote_fill_rate_raw", "quote_fill_rate_effective"}
    elsewhere |= {"revealed_execution_rate_hidden"}

    assert scalars - elsewhere <= {*SCALARS}


def one(connection: duckdb.DuckDBPyConnection, query: str) -> Any:
    ((value,),) = connection.execute(query).fetchall()
    return value if value is None or isinstance(value, int) else float(value)
