"""How often RFQs are filled, by three populations and three weights."""

import polars as pl

from transforms.definitions.partition import CAPTURE_PARTITION
from transforms.definitions.populations import is_executed, is_filled_within, is_own, is_terminal
from transforms.definitions.statistics import count, rate_columns, rows
from transforms.settings import Settings

POPULATIONS = ("all", "terminal", "matured")
COUNTS = ("n_rfq", "n_censored", "n_immature", "n_live_capture")
WEIGHTS = ("contracts", "target_cost")


def fill_rates(rfq_facts: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """Share of RFQs that were executed, with what is needed to add partitions up.

    Populations: `all` RFQs (low while some are open); `terminal`, executed / (executed + closed
    unfilled) (leaves open ones out, so short lives are over-represented near as_of); `matured`,
    the default: RFQs at least M old, filled within M of their creation. A later fill does not
    count there. Weights: by RFQ; by contracts, over contract-sized RFQs; by target cost, over
    target-cost RFQs. Weighted intervals are Wilson's on Kish's effective n, (Σw)²/Σw².

    Only the requester sees what became of an RFQ. Unless visibility is `own`, numerators,
    denominators and rates are therefore NULL and only the counts of RFQs stand.

    Never average rates. Add the parts, then divide:

        select n_legs, sum(fill_rate_matured_numerator) as x,
            sum(fill_rate_matured_denominator) as n, x / nullif(n, 0) as fill_rate,
            marts.wilson_low(x, n) as low, marts.wilson_high(x, n) as high
        from marts.fill_rates where visibility = 'own' and capture <> 'backfill' group by n_legs

    Read `live` and `late` together; a `backfill` holds executed RFQs and few others, since the
    exchange forgets the rest.

    One row per cohort_date, market_ticker, series_ticker (an attribute of the market), visibility,
    n_legs, size_bucket and capture.
    """
    return fill_rates_of(fill_rate_parts(rfq_facts, settings))


def fill_rate_parts(rfq_facts: pl.LazyFrame, settings: Settings) -> pl.LazyFrame:
    """Count and add up what the rates are made of. One row per `CAPTURE_PARTITION`."""
    return rfq_facts.group_by(CAPTURE_PARTITION).agg(
        n_rfq=rows(),
        n_censored=count(~is_terminal()),
        n_immature=count(~pl.col("is_matured")),
        n_live_capture=count(pl.col("capture") == "live"),
        **_parts(settings.maturity_s),
    )


def fill_rates_of(parts: pl.LazyFrame) -> pl.LazyFrame:
    """Divide the *parts*, where we are the requester, and order the columns."""
    return (
        parts.with_columns(_only_own())
        .with_columns(**_rates())
        .select(*CAPTURE_PARTITION, *COUNTS, *_in_order())
        .sort(CAPTURE_PARTITION)
    )


def _parts(maturity_s: float) -> dict[str, pl.Expr]:
    parts: dict[str, pl.Expr] = {}
    for population in POPULATIONS:
        member, filled = _population(population, maturity_s)
        parts |= {
            f"fill_rate_{population}_numerator": count(member & filled),
            f"fill_rate_{population}_denominator": count(member),
        }
        for weight in WEIGHTS:
            parts |= _weighted(f"fill_rate_{weight}_{population}", weight, member, filled)
    return parts


def _population(name: str, maturity_s: float) -> tuple[pl.Expr, pl.Expr]:
    """Who belongs to the population, and who of it counts as filled."""
    match name:
        case "matured":
            return pl.col("is_matured"), is_filled_within(maturity_s)
        case "terminal":
            return is_terminal(), is_executed()
        case _:
            return pl.col("rfq_id").is_not_null(), is_executed()


def _weighted(name: str, weight: str, member: pl.Expr, filled: pl.Expr) -> dict[str, pl.Expr]:
    requested, executed = _sizes(weight)
    sized = member & (pl.col("size_mode") == weight) & (requested > 0)
    return {
        f"{name}_numerator": executed.filter(sized & filled).sum(),
        f"{name}_denominator": requested.filter(sized).sum(),
        f"{name}_denominator_squares": (requested * requested).filter(sized).sum(),
        f"{name}_n": count(sized),
    }


def _sizes(weight: str) -> tuple[pl.Expr, pl.Expr]:
    """What was asked for and what was executed, in the unit of *weight*.

    A target cost has no executed counterpart of its own: an executed RFQ counts with its target.
    """
    if weight == "contracts":
        return pl.col("contracts"), pl.col("executed_contracts")
    return pl.col("target_cost_dollars"), pl.col("target_cost_dollars")


def _only_own() -> pl.Expr:
    return pl.when(is_own()).then(pl.col("^fill_rate_.*$"))


def _rates() -> dict[str, pl.Expr]:
    columns: dict[str, pl.Expr] = {}
    for population in POPULATIONS:
        name = f"fill_rate_{population}"
        columns |= rate_columns(name, f"{name}_numerator", f"{name}_denominator")
        for weight in WEIGHTS:
            columns |= _weighted_rate(f"fill_rate_{weight}_{population}")
    return columns


def _weighted_rate(name: str) -> dict[str, pl.Expr]:
    parts = (f"{name}_numerator", f"{name}_denominator")
    return rate_columns(name, *parts, n=f"{name}_n", squares=f"{name}_denominator_squares")


def _in_order() -> list[pl.Expr]:
    """Each rate followed by its interval, flag and parts."""
    names = [f"{weight}_" for weight in WEIGHTS]
    rates = [f"fill_rate_{weight}{p}" for weight in ("", *names) for p in POPULATIONS]
    parts = "low|high|suppressed|numerator|denominator|denominator_squares|n"
    return [pl.col(f"^(is_)?{rate}(_({parts}))?$") for rate in rates]
