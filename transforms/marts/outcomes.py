"""Where RFQs died."""

import polars as pl

from transforms.definitions.outcome_buckets import role
from transforms.definitions.statistics import rows

KEY = ("role", "cohort_date", "bucket")


def outcomes(rfq_facts: pl.LazyFrame) -> pl.LazyFrame:
    """Every RFQ once, in the first bucket that holds of it, by what we are to it.

    The buckets of a role and day add up to its RFQs. Which RFQs they are stands in
    `rfq_facts.outcome_bucket`; `definitions/outcome_buckets.py` has the conditions in their order.

    One row per role, cohort_date and bucket.
    """
    return outcomes_in_order(outcome_counts(rfq_facts))


def outcome_counts(rfq_facts: pl.LazyFrame) -> pl.LazyFrame:
    """Count the RFQs. One row per `KEY`."""
    return (
        rfq_facts.group_by("cohort_date", role=role(), bucket="outcome_bucket")
        .agg(n_rfq=rows())
        .select(*KEY, "n_rfq")
    )


def outcomes_in_order(counts: pl.LazyFrame) -> pl.LazyFrame:
    """Return the *counts*, sorted."""
    return counts.sort(KEY)
