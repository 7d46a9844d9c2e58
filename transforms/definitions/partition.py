"""The partition that every summary rolls up into.

A quote belongs to the partition of its *RFQ*, so a late accept or execution changes a row and
never moves one. A partition of exact sums is added to and taken from, any other replaced whole by
its key.
"""

RFQ_PARTITION = (
    "cohort_date",
    "market_ticker",
    "series_ticker",
    "visibility",
    "n_legs",
    "size_bucket",
)
"""Cohort (UTC day the RFQ was created), market and class of an RFQ."""

CAPTURE_PARTITION = (*RFQ_PARTITION, "capture")
"""The same, kept apart by capture: what nobody watched shows fewer quotes than there were."""

MARKET_DAY = ("cohort_date", "market_ticker")
"""What a partition is replaced by: all rows of one market and day."""

UNKNOWN_MAKER = "unknown"
"""Stands in a key for a maker whose id is hidden."""
