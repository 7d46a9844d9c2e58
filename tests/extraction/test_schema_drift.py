"""What a later version of the exchange may send: each case is decided, none goes unnoticed."""

import json
from decimal import Decimal
from typing import Any

import pytest

from pipelines.kalshi.pages import BadPage, Rows, next_cursor, read_pages
from pipelines.kalshi.schema import RFQ
from pipelines.sandbox import Market
from pipelines.sandbox.parties import Party
from tests.extraction.loading import Store, run
from tests.extraction.test_hazards import ask

ROW: dict[str, Any] = {
    "id": "11111111-1111-4111-8111-111111111111",
    "creator_id": "",
    "market_ticker": "KX-A",
    "contracts_fp": "1.00",
    "status": "open",
    "created_ts": "2026-11-23T10:00:00Z",
}
ABSENT = object()


def read(changes: dict[str, Any]) -> Rows:
    row = {name: value for name, value in (ROW | changes).items() if value is not ABSENT}
    return read_pages(RFQ, [json.dumps({"rfqs": [row]}).encode()])


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"market_ticker": None}, "market_ticker", None),
        ({"market_ticker": ABSENT}, "market_ticker", None),
        ({"cancellation_reason": "first seen today"}, "cancellation_reason", "first seen today"),
        ({"contracts_fp": 1}, "contracts_fp", Decimal("1.00")),
        ({"contracts_fp": 0.57}, "contracts_fp", Decimal("0.57")),
        ({"target_cost_dollars": "0.570000"}, "target_cost_dollars", Decimal("0.570000")),
        ({"status": "expired_by_admin"}, "status", "expired_by_admin"),
        ({"mve_selected_legs": []}, "mve_selected_legs", []),
    ],
)
def test_what_still_means_the_same_is_read(changes: dict[str, Any], field: str, value: Any) -> None:
    rows = read(changes)

    assert rows.rejected == ()
    assert rows.table.column(field).to_pylist() == [value]


@pytest.mark.parametrize(
    "changes",
    [
        {"venue": "shard 1"},
        {"creatorId": "beside creator_id"},
        {"mve_selected_legs": [{"side": "yes", "weight": 2}]},
    ],
)
def test_what_nobody_announced_is_kept(changes: dict[str, Any]) -> None:
    (kept,) = read(changes).table.column("unknown_fields").to_pylist()

    assert json.loads(kept) == changes


@pytest.mark.parametrize(
    "changes",
    [
        {"id": None},
        {"id": ABSENT},
        {"created_ts": "yesterday"},
        {"created_ts": 1_795_000_000},
        {"creator_subaccount": 2.5},
        {"creator_subaccount": "abc"},
        {"creator_subaccount": 2**63},
        {"market_ticker": {"series": "KX"}},
        {"contracts_fp": "1.005"},
        {"rest_remainder": "yes"},
    ],
)
def test_what_no_longer_fits_its_column_is_set_aside_alone(changes: dict[str, Any]) -> None:
    rows = read(changes)

    assert rows.table.num_rows == 0
    assert len(rows.rejected) == 1


@pytest.mark.parametrize("body", [b'{"rfqs": {}}', b'{"RFQs": []}', b'{"rfqs": [], "cursor": 7}'])
def test_a_page_of_another_shape_is_an_error(body: bytes) -> None:
    with pytest.raises(BadPage):
        next_cursor(RFQ, body)


def test_a_field_that_appears_is_one_new_version_and_a_field_that_goes_is_none_lost(
    store: Store, market: Market, me: Party, reader: Any
) -> None:
    rfq = ask(market, me)
    run(store, reader)
    usual = reader._answer

    def with_a_field(body: dict[str, Any]) -> Any:
        for row in body.get("rfqs", ()):
            row["venue"] = "shard 1"
        return usual(body)

    reader._answer = with_a_field
    run(store, reader)
    run(store, reader)
    reader._answer = usual
    run(store, reader)

    kept = store.rows("select unknown_fields from raw.rfq_versions order by all nulls first")
    assert kept == [(None,), ('{"venue": "shard 1"}',)]
    assert store.current("rfqs").keys() == {rfq}
