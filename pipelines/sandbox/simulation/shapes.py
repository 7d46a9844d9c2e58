"""How large and how often things are: the magnitudes of the real market in 2026, as observed by
participants, all for sports combos in production unless a comment says otherwise.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated

from pipelines.sandbox.simulation.chance import Quantiles, weighted
from pipelines.sandbox.switches import Switch

# Requests.
RFQ_LIFETIME_S = Quantiles(
    {
        0: 0.3,
        0.1: 2.4,
        0.25: 8.7,
        0.5: 19.2,
        0.75: 33.6,
        0.82: 60,
        0.9: 205,
        0.94: 600,
        0.98: 6_091,
        # From here on nobody deletes: the 3-hour ridge.
        0.985: 20_000,
        1: 20_000,
    }
)
TARGET_COST_CENTS = weighted(
    {1000: 34, 500: 14, 2000: 12, 300: 9, 3000: 6, 5000: 8, 100: 4, 200: 3, 2500: 3, 10_000: 2}
)
ODD_TARGET_COST_CENTS = Quantiles({0: 3, 0.25: 260, 0.5: 1000, 0.75: 2600, 1: 17_000})
CONTRACTS_HUNDREDTHS = Quantiles({0: 100, 0.25: 5_000, 0.5: 23_200, 0.75: 80_000, 1: 900_000})
LEGS = weighted(
    {2: 262, 3: 220, 4: 210, 5: 131, 6: 103, 7: 80, 8: 62, 9: 46, 10: 36, 12: 40, 15: 30, 20: 22}
    | {26: 8}
)
COMBO_FAIR = Quantiles({0: 0.004, 0.1: 0.03, 0.25: 0.08, 0.5: 0.16, 0.75: 0.28, 1: 0.62})
SINGLE_FAIR = Quantiles({0: 0.06, 0.25: 0.3, 0.5: 0.5, 0.75: 0.66, 1: 0.94})
DECISION_S = Quantiles({0: 0.05, 0.1: 0.12, 0.25: 0.48, 0.5: 2.26, 0.75: 5.4, 0.9: 372, 1: 3_000})

# Weights of the 24 hours of a day in UTC (United States evenings lead) and of Monday to Sunday.
HOUR_WEIGHTS = (
    *(1.7, 1.6, 1.4, 1.1, 0.8, 0.5, 0.3, 0.25, 0.25, 0.3, 0.35, 0.45),
    *(0.6, 0.75, 0.85, 0.95, 1.1, 1.2, 1.3, 1.35, 1.35, 1.45, 1.6, 1.75),
)
DAY_WEIGHTS = (0.9, 0.8, 0.85, 1.0, 0.95, 1.25, 1.5)


@dataclass(frozen=True, slots=True)
class Shape:
    """Shares and rates of a simulated market."""

    desk_share: Annotated[
        float,
        Switch(
            "RFQs sent by the account `desk`.",
            "chosen, so that one account has much to read",
        ),
    ] = 0.3
    single_share: Annotated[
        float,
        Switch(
            "RFQs on single markets instead of combos.",
            "0 of 20,000 observed; kept so that they are met at all",
        ),
    ] = 0.02
    target_cost_share: Annotated[
        float, Switch("RFQs sized by a target cost.", "observed: 397,849 of 418,218")
    ] = 0.951
    odd_size_share: Annotated[
        float, Switch("Target costs that are not one of the usual amounts.", "assumed")
    ] = 0.2
    excludes_fees_share: Annotated[float, Switch("Target costs that exclude fees.", "assumed")] = (
        0.05
    )
    obscured_share: Annotated[float, Switch("RFQs whose requester hides its id.", "assumed")] = 0.12
    popular_share: Annotated[
        float, Switch("RFQs on combos that others ask for as well.", "assumed")
    ] = 0.25
    burst_share: Annotated[
        float,
        Switch(
            "RFQs that arrive in bursts of about 12 within 2 seconds.",
            "observed: 154 to 233 a second at a mean of 45",
        ),
    ] = 0.1
    desk_trade_share: Annotated[
        float,
        Switch(
            "Desk RFQs whose requester wants to trade.",
            "chosen: the desk is busier than the market",
        ),
    ] = 0.3
    stranger_trade_share: Annotated[
        float,
        Switch(
            "The same for everybody else.",
            "observed: 0.3 % to 4.5 % of RFQs trade",
        ),
    ] = 0.035
    buy_yes_share: Annotated[
        float,
        Switch(
            "Accepts of a NO bid, which is how a requester buys YES.",
            "assumed from 9 NO-only, 2 YES-only and 6 two-sided quotes",
        ),
    ] = 0.85
    take_first_share: Annotated[
        float, Switch("Requesters who take the first quote instead of the best.", "assumed")
    ] = 0.25
    bargain_share: Annotated[
        float,
        Switch(
            "Requesters who did not mean to trade and yet take a visitor's quote that is better "
            "than fair.",
            "chosen, so that a generous visitor trades",
        ),
    ] = 0.9
    requote_share: Annotated[float, Switch("Quotes that their maker replaces once.", "assumed")] = (
        0.15
    )
    withdraw_share: Annotated[
        float,
        Switch(
            "Quotes that their maker takes back after 5, 20 or 60 seconds.",
            "one bot observed with 20 seconds",
        ),
    ] = 0.1
    downtime_share: Annotated[
        float, Switch("Hours in which a maker is away and quotes nothing.", "assumed")
    ] = 0.05
    failed_execution_share: Annotated[
        float,
        Switch(
            'Confirmed quotes that end as cancelled, "execution failed".',
            "observed three times; share assumed",
        ),
    ] = 0.04
    vanished_share: Annotated[
        float,
        Switch(
            "Deleted RFQs whose open quotes left no row at all; the others show them cancelled.",
            "the exchange removes them always or often; a market of ours must leave some to read",
        ),
    ] = 0.1


@dataclass(frozen=True, slots=True)
class Maker:
    """How one maker quotes. Latency and markup are medians, in seconds and dollars; *skew* in
    dollars makes it bid more for YES and less for NO; larger requests than *max_contracts* it
    leaves alone."""

    number: int
    participation: float
    latency_s: float
    markup: float
    offers_yes: bool
    offers_no: bool
    confirm_share: float
    quote_ttl_s: float
    skew: float
    max_contracts: int


MAKER_COUNT = 24
FIRST_MAKER_NUMBER = 10
_HABITS = ((False, True),) * 9 + ((True, False),) * 2 + ((True, True),) * 6
_SIZES = (250, 1_000, 5_000, 20_000)


def makers(seed: int, account_number: int) -> list[Maker]:
    """The simulated makers; the first is the account *account_number* and quotes both sides."""
    draw = random.Random(seed)
    account = Maker(account_number, 0.75, 0.45, 0.022, True, True, 0.7, 20, 0.0, 5_000)
    return [account] + [_maker(draw, FIRST_MAKER_NUMBER + n) for n in range(1, MAKER_COUNT)]


def _maker(draw: random.Random, number: int) -> Maker:
    offers_yes, offers_no = draw.choice(_HABITS)
    return Maker(
        number=number,
        participation=draw.uniform(0.25, 0.75),
        latency_s=draw.lognormvariate(-1.2, 0.8),
        markup=draw.uniform(0.01, 0.06),
        offers_yes=offers_yes,
        offers_no=offers_no,
        confirm_share=draw.uniform(0.35, 0.9),
        quote_ttl_s=draw.choice((5, 20, 60)),
        skew=draw.uniform(-0.008, 0.008),
        max_contracts=draw.choice(_SIZES),
    )
