"""How large and how often things are: the magnitudes of the real market in 2026, as observed by
participants, all for sports combos in production unless a comment says otherwise."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pipelines.sandbox.chance import Quantiles, weighted

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

    desk_share: float = 0.3
    """RFQs sent by the account `desk`."""
    single_share: float = 0.02
    """RFQs on single markets; observed at 0 of 20,000, kept so that they are met at all."""
    target_cost_share: float = 0.951
    odd_size_share: float = 0.2
    """Target costs that are not one of the usual amounts."""
    excludes_fees_share: float = 0.05
    obscured_share: float = 0.12
    popular_share: float = 0.25
    """RFQs on combos that others ask for as well."""
    desk_trade_share: float = 0.3
    """Desk RFQs whose requester wants to trade; the desk is made busier than the market."""
    stranger_trade_share: float = 0.035
    """The same for everybody else; 0.3 % to 4.5 % of RFQs were seen to trade."""
    buy_yes_share: float = 0.85
    """Accepts of a NO bid, which is how a requester buys YES."""
    take_first_share: float = 0.25
    """Requesters who take the first quote instead of the best."""
    requote_share: float = 0.15
    withdraw_share: float = 0.1
    failed_execution_share: float = 0.04
    vanished_share: float = 0.1
    """Deleted RFQs whose open quotes left no row at all; the others show them as cancelled. The
    exchange removes them always or often; a market of ours must leave something to read."""


@dataclass(frozen=True, slots=True)
class Maker:
    """How one maker quotes. Latency and markup are medians."""

    number: int
    participation: float
    latency_s: float
    markup: float
    offers_yes: bool
    offers_no: bool
    confirm_share: float
    quote_ttl_s: float


MAKER_COUNT = 24
FIRST_MAKER_NUMBER = 10
_HABITS = ((False, True),) * 9 + ((True, False),) * 2 + ((True, True),) * 6


def makers(seed: int, account_number: int) -> list[Maker]:
    """The simulated makers; the first is the account *account_number* and quotes both sides."""
    draw = random.Random(seed)
    account = Maker(account_number, 0.75, 0.45, 0.022, True, True, 0.7, 20)
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
    )
