"""Who asks: over the RFQs of others that were open when first seen, quoted by us or not."""

from datetime import timedelta
from typing import Any

from tests.metrics.markets import MIDNIGHT, ExchangeObject, at, quote, rfq
from transforms.metrics import evaluate

AS_OF = MIDNIGHT + timedelta(hours=1)


def of_others(rfqs: list[ExchangeObject], quotes: list[ExchangeObject]) -> dict[str, Any]:
    """What maker A reads of RFQs that are none of its own."""
    return evaluate(rfqs, quotes, AS_OF, viewer_id="A")


def test_quoting_an_rfq_takes_it_from_no_requester() -> None:
    """Two of u1, both quoted by us, and two that are hidden."""
    rfqs = [rfq(f"f{n}", creator_id="u1") for n in (1, 2)]
    rfqs += [rfq(f"h{n}", creator_id="") for n in (1, 2)]

    metrics = of_others(rfqs, [quote("q1", "f1"), quote("q2", "f2")])

    assert metrics["requester_unknown_share_foreign"] == 0.5
    assert metrics["hhi_requesters_foreign_lower"] == 0.375
    assert metrics["n_foreign_hidden_first_seen"] == 2
    assert metrics["n_rfq_foreign"] == 2


def test_what_was_over_when_first_seen_says_nothing_of_who_hides() -> None:
    """r1 shows its requester, since it was executed before anybody read it; r2 hid when open."""
    revealed = rfq("r1", creator_id="u1", status="closed", observed_ts=at(30))
    hidden = rfq("r2", creator_id="0", observed_ts=at(1))
    then_revealed = hidden | {"creator_id": "u2", "status": "closed", "observed_ts": at(40)}

    metrics = of_others([revealed, hidden, then_revealed], [])

    assert metrics["requester_unknown_share_foreign"] == 1.0
    assert metrics["hhi_requesters_foreign_upper"] == 1.0
    assert (metrics["n_foreign_hidden_first_seen"], metrics["n_foreign_revealed"]) == (1, 1)
    assert metrics["revealed_execution_rate_hidden"] == 1.0
