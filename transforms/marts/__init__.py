"""The marts: one function per table, from the frames that its parameters name to its own.

`MARTS` holds them in an order in which each comes after those that it reads, with the columns by
which its rows are replaced.
"""

from transforms.definitions.partition import CAPTURE_PARTITION
from transforms.keys import DAY, HOUR, PARTITION, RFQ, WHOLE, Key, Mart, Sums
from transforms.marts.activity import activity
from transforms.marts.arrivals import arrivals
from transforms.marts.curve_counts import KEY as CURVE_KEY
from transforms.marts.curve_counts import counts_in_order, curve_counts, settled_counts
from transforms.marts.data_quality import KEY as CHECK_KEY
from transforms.marts.data_quality import (
    data_quality,
    data_quality_by_day,
    flagged_counts,
    flagged_shares,
)
from transforms.marts.fill_rates import fill_rate_parts, fill_rates, fill_rates_of
from transforms.marts.funnel import funnel
from transforms.marts.live_figures import live_figures, watched_by_day
from transforms.marts.lost_quotes import lost_quotes
from transforms.marts.maker_league import maker_league
from transforms.marts.makers import makers
from transforms.marts.my_day import my_day
from transforms.marts.my_quotes import my_quotes
from transforms.marts.outcomes import KEY as OUTCOME_KEY
from transforms.marts.outcomes import outcome_counts, outcomes, outcomes_in_order
from transforms.marts.quote_facts import quote_facts
from transforms.marts.quote_spreads import quote_spreads
from transforms.marts.response_latencies import response_latencies
from transforms.marts.rfq_facts import rfq_facts
from transforms.marts.survival_curves import survival_curves
from transforms.marts.trust import trust

MARTS: dict[Mart, Key] = {
    quote_facts: RFQ,
    rfq_facts: RFQ,
    my_quotes: RFQ,
    lost_quotes: RFQ,
    fill_rates: Sums(
        CAPTURE_PARTITION, "n_rfq", fill_rate_parts, fill_rates_of, counts_matured=True
    ),
    outcomes: Sums(OUTCOME_KEY, "n_rfq", outcome_counts, outcomes_in_order),
    data_quality_by_day: Sums(CHECK_KEY, "n_checked", flagged_counts, flagged_shares),
    curve_counts: Sums(CURVE_KEY, "n", settled_counts, counts_in_order),
    quote_spreads: PARTITION,
    response_latencies: PARTITION,
    makers: DAY,
    maker_league: DAY,
    my_day: DAY,
    funnel: DAY,
    watched_by_day: DAY,
    arrivals: HOUR,
    activity: WHOLE,
    trust: WHOLE,
    live_figures: WHOLE,
    survival_curves: WHOLE,
    data_quality: WHOLE,
}
