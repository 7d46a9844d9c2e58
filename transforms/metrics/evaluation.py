"""One data set in, every metric out."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb

from transforms.build import RFQ, build
from transforms.marts.quote_facts import quote_facts
from transforms.marts.rfq_facts import rfq_facts
from transforms.metrics.counts import counts
from transforms.metrics.market_shares import market_shares
from transforms.metrics.objects import Objects, load_objects, utc
from transforms.metrics.prices import prices
from transforms.metrics.rates import rates
from transforms.metrics.sample import Sample
from transforms.metrics.times import times
from transforms.settings import MATURITY_S, Settings


def evaluate(
    rfqs: Objects,
    quotes: Objects,
    as_of: datetime | str,
    *,
    viewer_id: str | None = None,
    maturity_s: float = MATURITY_S,
    skew_tol_s: float = 0.1,
    fills: Sequence[Mapping[str, Any]] | None = None,
    passes: Sequence[Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Compute every metric of a data set as it stood at *as_of*.

    *rfqs* and *quotes* are exchange JSON objects; several objects with one id are versions of it.
    `observed_ts` on one says when it was read; without it an object counts as seen from its
    creation on. *passes* name a `side` (made or received) and the `served_ts` of each complete pass
    over those quotes; without them every RFQ is live and watched throughout. *fills* name a
    `quote_id` and its `filled_contracts_fp`. Without *viewer_id* every RFQ counts as our own.

    Returns a scalar or an {id: value} map per name: seconds, dollars as floats, None where
    undefined; `rfq_capture` only with *passes*.

    ValueError names the object whose `observed_ts`, `side` or `served_ts` cannot be.
    """
    settings = Settings(
        as_of=utc(as_of),
        viewer_id=viewer_id,
        maturity_s=float(maturity_s),
        skew_tol_s=float(skew_tol_s),
        is_watched=passes is None,
    )
    with duckdb.connect() as connection:
        load_objects(connection, rfqs, quotes, passes or ())
        build(connection, {quote_facts: RFQ, rfq_facts: RFQ}, settings)
        sample = Sample(
            connection.sql("from marts.rfq_facts").pl(),
            connection.sql("from marts.quote_facts").pl(),
            settings,
            fills,
        )
    return counts(sample) | rates(sample) | prices(sample) | times(sample) | market_shares(sample)
