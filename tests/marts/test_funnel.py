"""Stages reached by own, matured RFQs."""

import polars as pl

from tests.marts.facts import executed_rfq, rfq, rfq_facts
from transforms.marts.funnel import funnel


def test_each_rfq_counts_at_every_stage_it_reached():
    rfqs = rfq_facts(
        rfq("unquoted"),
        rfq("abandoned", n_makers=2),
        rfq("lapsed", n_makers=1, has_accept=True),
        rfq("stuck", n_makers=1, has_accept=True, has_confirm=True, state="confirmed_pending"),
        executed_rfq("filled"),
    )

    found = funnel(rfqs).collect().row(0, named=True)

    stages = ("rfq", "quoted", "accepted", "confirmed", "executed")
    assert [found[f"n_{stage}"] for stage in stages] == [5, 4, 3, 2, 1]
    assert [found[f"{stage}_rate"] for stage in stages[1:]] == [4 / 5, 3 / 4, 2 / 3, 1 / 2]
    assert found["n_censored"] == 1


def test_immature_rfqs_stay_out():
    rfqs = rfq_facts(rfq("young", is_matured=False))

    found = funnel(rfqs).collect().row(0, named=True)

    assert (found["n_rfq"], found["n_immature"]) == (0, 1)
    assert found["quoted_rate"] is None


def test_an_accepted_rfq_was_quoted_even_where_the_quote_is_lost():
    found = funnel(rfq_facts(rfq("r1", has_accept=True))).collect()

    assert found.select("n_quoted", "n_accepted").row(0) == (1, 1)
    assert found.schema["n_quoted"] == pl.Int64
