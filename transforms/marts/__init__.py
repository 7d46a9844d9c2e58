"""The marts: one function per table, from the frames that its parameters name to its own."""

from transforms.marts.activity import activity
from transforms.marts.data_quality import data_quality
from transforms.marts.fill_rates import fill_rates
from transforms.marts.funnel import funnel
from transforms.marts.makers import makers
from transforms.marts.quote_facts import quote_facts
from transforms.marts.quote_spreads import quote_spreads
from transforms.marts.response_latencies import response_latencies
from transforms.marts.rfq_facts import rfq_facts
from transforms.marts.survival_curves import survival_curves

MARTS = (
    rfq_facts,
    quote_facts,
    fill_rates,
    quote_spreads,
    response_latencies,
    makers,
    funnel,
    activity,
    survival_curves,
    data_quality,
)
