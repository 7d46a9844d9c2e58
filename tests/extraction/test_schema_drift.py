"""What a later version of the exchange may send: each case is decided, none goes unnoticed.

DRIFT.md lists them. Here rows meet the reader and the tables; `test_drift_through_the_job` takes
the same ways over HTTP.
"""

import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from pipelines.kalshi.client.errors import ExchangeUnavailable
from pipelines.kalshi.entities import QUOTE, RFQ, Entity
from pipelines.kalshi.extraction import Limits
from pipelines.kalshi.pages import BadPage, Rows, cut, read_pages, read_record
from pipelines.kalshi.versions import Versions
from pipelines.sandbox import ManualClock, Market
from pipelines.sandbox.accounts import Party
from pipelines.store.errors import DataRefused
from pipelines.store.invariants import demand_few_rejected
from tests.extraction.exchange_objects import create_quote, create_rfq
from tests.extraction.loading import Store, run
from tests.extraction.reading import InProcessReader, serve_changed

COMMON: dict[str, Any] = {
    "id": "11111111-1111-4111-8111-111111111111",
    "creator_id": "",
    "market_ticker": "KX-A",
    "contracts_fp": "1.00",
    "status": "open",
    "created_ts": "2026-11-23T10:00:00Z",
}
BIDS = {"yes_bid_dollars": "0.4000", "no_bid_dollars": "0.5500"}
QUOTED = {"rfq_id": "22222222-2222-4222-8222-222222222222", "rfq_creator_id": "", **BIDS}
ROWS = {"rfqs": COMMON, "quotes": COMMON | QUOTED}
ABSENT = object()
NEW_NAMES = {"status": "state"}
BOTH = pytest.mark.parametrize("entity", [RFQ, QUOTE], ids=lambda entity: entity.key)


def read(entity: Entity, **changes: Any) -> Rows:
    """The rows of a page with a changed one between two that are as ever."""
    usual = ROWS[entity.key]
    changed = {name: v for name, v in (usual | changes).items() if v is not ABSENT}
    page = [usual | {"id": "before"}, changed, usual | {"id": "after"}]
    rows = read_pages(entity, [json.dumps({entity.key: page}).encode()])
    ids = rows.table.column("id").to_pylist()
    assert (ids[0], ids[-1]) == ("before", "after")
    return rows


def read_one(entity: Entity, **changes: Any) -> dict[str, Any]:
    """The changed row, which can be read."""
    rows = read(entity, **changes)
    assert rows.rejected == ()
    row: dict[str, Any] = rows.table.to_pylist()[1]
    return row


def set_aside(entity: Entity, **changes: Any) -> str:
    """Why the changed row, and it alone, cannot be read."""
    rows = read(entity, **changes)
    assert rows.table.num_rows == 2
    (rejected,) = rows.rejected
    assert rejected.resource == entity.key
    return rejected.reason


@BOTH
def test_a_new_field_is_kept(entity: Entity) -> None:
    row = read_one(entity, venue={"shard": 1})

    assert json.loads(row["unknown_fields"]) == {"venue": {"shard": 1}}


def test_half_a_character_is_kept_as_text(store: Store) -> None:
    """Text that is half a character is kept as text that DuckDB takes."""
    row = read_one(RFQ, venue="\ud800", place="\U0001f600")
    assert "not Unicode" in set_aside(RFQ, market_ticker="\ud800")

    (kept,) = store.rows(f"select $${row['unknown_fields']}$$::json")

    assert json.loads(kept[0]) == {"venue": "?", "place": "\U0001f600"}


@BOTH
def test_a_value_where_there_was_none_is_read(entity: Entity) -> None:
    assert read_one(entity, cancellation_reason=None)["cancellation_reason"] is None
    assert read_one(entity, cancellation_reason="new")["cancellation_reason"] == "new"


@BOTH
def test_text_that_becomes_a_number_is_read_exactly(entity: Entity) -> None:
    assert read_one(entity, contracts_fp=3)["contracts_fp"] == Decimal("3.00")
    assert read_one(entity, contracts_fp=0.57)["contracts_fp"] == Decimal("0.57")
    assert "exactly" in set_aside(entity, contracts_fp=0.575)
    if entity is QUOTE:
        assert read_one(entity, yes_bid_dollars=0.407)["yes_bid_dollars"] == Decimal("0.407")


@BOTH
def test_whole_numbers_in_any_notation(
    entity: Entity,
) -> None:
    """A whole number stays one however it is written and a fraction is set aside."""
    assert read_one(entity, creator_subaccount=2.0)["creator_subaccount"] == 2
    assert "64-bit integer" in set_aside(entity, creator_subaccount=2.5)


@BOTH
@pytest.mark.parametrize(
    "changes",
    [
        {"creator_subaccount": "abc"},
        {"contracts_fp": "many"},
        {"contracts_fp": ""},
        {"contracts_fp": "1_000"},
        {"contracts_fp": "\uff11"},
        {"rest_remainder": "yes"},
        {"status": 3},
        {"id": 5},
    ],
)
def test_a_value_of_another_kind_is_set_aside(entity: Entity, changes: dict[str, Any]) -> None:
    (name,) = changes

    assert set_aside(entity, **changes).startswith(f"{name} is ")


@BOTH
@pytest.mark.parametrize(
    "time",
    [
        "yesterday",
        1_795_000_000,
        "0001-01-01T00:00:00Z",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
)
def test_a_time_that_is_none_is_set_aside(entity: Entity, time: object) -> None:
    assert set_aside(entity, created_ts=time).startswith("created_ts is ")
    assert set_aside(entity, cancelled_ts=time).startswith("cancelled_ts is ")


@BOTH
def test_a_value_that_becomes_an_object_is_set_aside(entity: Entity) -> None:
    assert "is dict" in set_aside(entity, market_ticker={"series": "KX"})
    assert "is dict" in set_aside(entity, contracts_fp={"value": "1.00"})
    assert set_aside(entity, created_ts={"seconds": 5}).startswith("created_ts is not ")


@BOTH
def test_a_new_status_is_read_as_it_is(entity: Entity) -> None:
    assert read_one(entity, status="expired_by_admin")["status"] == "expired_by_admin"


@BOTH
def test_two_spellings_of_a_field_do_not_mix(entity: Entity) -> None:
    row = read_one(entity, creatorId="theirs", creator_id="ours")

    assert row["creator_id"] == "ours"
    assert json.loads(row["unknown_fields"]) == {"creatorId": "theirs"}


@BOTH
def test_a_row_whose_id_is_null_is_set_aside(entity: Entity) -> None:
    assert set_aside(entity, id=None) == "id is missing"


@BOTH
@pytest.mark.parametrize("id_", [ABSENT, ""], ids=["absent", "empty"])
def test_a_row_without_an_id_is_set_aside(entity: Entity, id_: object) -> None:
    """Two rows with an empty id would be taken for one."""
    assert set_aside(entity, id=id_) == "id is missing"
    if entity is QUOTE:
        assert set_aside(entity, rfq_id=id_) == "rfq_id is missing"


@BOTH
@pytest.mark.parametrize("number", ["1e400", "1e1000000", "1e99999999999999999999", "9" * 5_000])
@pytest.mark.parametrize("name", ["contracts_fp", "creator_subaccount", "status"])
def test_a_number_beyond_all_bounds_is_set_aside(entity: Entity, name: str, number: str) -> None:
    row = json.dumps(ROWS[entity.key] | {name: "?"}).replace('"?"', number)
    good = json.dumps(ROWS[entity.key])
    body = f'{{"{entity.key}": [{good}, {row}]}}'.encode()

    assert cut(entity, body).cursor is None
    rows = read_pages(entity, [body])

    assert (rows.table.num_rows, len(rows.rejected)) == (1, 1)
    assert json.loads(rows.rejected[0].redacted_row)


@BOTH
def test_a_number_too_large_for_its_column_is_set_aside(entity: Entity) -> None:
    assert "64-bit integer" in set_aside(entity, creator_subaccount=2**63)
    assert read_one(entity, creator_subaccount=2**63 - 1)["creator_subaccount"] == 2**63 - 1
    for number in ("1e400", "NaN", "Infinity", 10**16):
        assert set_aside(entity, contracts_fp=number).startswith("contracts_fp ")


NOTATIONS = [("-0.0000", "0"), ("4e-1", "0.4"), ("+.4", "0.4"), ("0.40000000", "0.4"), ("1E0", "1")]


@pytest.mark.parametrize(("text", "value"), NOTATIONS)
def test_a_number_is_the_same_in_any_notation(store: Store, text: str, value: str) -> None:
    """Whichever of the readers meets it, so that it is the same version."""
    texts = {"yes_bid_dollars": text, "contracts_fp": "1.00"}
    alone = read_pages(QUOTE, [json.dumps({"quotes": [ROWS["quotes"] | texts]}).encode()]).table
    beside = read(QUOTE, venue=1, **texts).table.slice(1, 1)

    versions = Versions(store.connection, QUOTE)
    plain = beside.set_column(
        beside.schema.get_field_index("unknown_fields"), "unknown_fields", pa.nulls(1, pa.string())
    )

    assert alone.column("yes_bid_dollars").to_pylist() == [Decimal(value)]
    assert versions.hashes(alone) == versions.hashes(plain)


@BOTH
def test_what_no_row_can_need_is_set_aside_and_kept_small(entity: Entity) -> None:
    """Where it is the only odd row, and between odd ones."""
    huge = "x" * 10_001
    assert set_aside(entity, market_ticker=huge) == "market_ticker is longer than 10,000 characters"
    assert read_one(entity, market_ticker=huge[1:])["market_ticker"] == huge[1:]
    if entity is RFQ:
        legs = [{"side": "yes"}] * 1_001
        assert "more than 1,000 legs" in set_aside(entity, mve_selected_legs=legs)
        assert "side is longer" in set_aside(entity, mve_selected_legs=[{"side": huge}])

    id_ = "33333333-3333-4333-8333-333333333333"
    (kept,) = read(entity, id=id_, contracts_fp="many", venue=2 * huge).rejected

    assert json.loads(kept.redacted_row or "") == json.loads(kept.redacted_row or "") | {
        "id": id_,
        "sha256": kept.row_hash,
    }
    assert len(kept.redacted_row or "") < 400
    assert kept.id == id_


def test_very_many_unknown_fields_are_kept_as_their_hash() -> None:
    def kept(last: int) -> dict[str, Any]:
        many = {f"field_{n}": n for n in range(10_000)} | {"field_1": last}
        found: dict[str, Any] = json.loads(read_one(QUOTE, **many)["unknown_fields"])
        return found

    assert kept(1) == kept(1)
    assert kept(1)["fields"] == 10_000
    assert kept(1)["sha256"] != kept(2)["sha256"]


def test_odd_rows_leave_their_neighbors_in_order() -> None:
    """In a page that is halved: broken ones, unknown fields, numbers instead of texts."""
    odd: dict[int, dict[str, Any]] = {
        3: {"created_ts": "soon"},
        70: {"venue": 1},
        71: {"contracts_fp": 2},
        150: {"status": 3},
        199: {"yes_bid_dollars": 0.25},
    }
    served = [ROWS["quotes"] | {"id": f"{n}"} | odd.get(n, {}) for n in range(200)]

    rows = read_pages(QUOTE, [json.dumps({"quotes": served}).encode()] * 2)

    alone = [str(n) for n in range(200) if n not in (3, 150)]
    assert rows.table.column("id").to_pylist() == 2 * alone
    assert [row.reason.split()[0] for row in rows.rejected] == 2 * ["created_ts", "status"]
    assert rows.table.column("contracts_fp").to_pylist()[70] == Decimal("2.00")
    assert rows.table.column("unknown_fields").null_count == 2 * 197


@BOTH
def test_a_page_with_a_number_that_json_does_not_know_is_refused(entity: Entity) -> None:
    body = json.dumps({entity.key: [ROWS[entity.key] | {"contracts_fp": float("nan")}]}).encode()

    with pytest.raises(BadPage, match="not JSON"):
        read_pages(entity, [body])


@BOTH
def test_a_list_that_becomes_an_object_is_an_error_and_never_empty(entity: Entity) -> None:
    for body in (b'{"%s": {}}', b'{"%sV2": []}', b'{"%s": [], "cursor": 7}'):
        with pytest.raises(BadPage):
            cut(entity, body % entity.key.encode())


@pytest.mark.parametrize("legs", [{"side": "yes"}, "none", [5], [{"side": {"of": "yes"}}]])
def test_legs_that_are_no_list_of_legs_are_set_aside(legs: object) -> None:
    assert "expected" in set_aside(RFQ, mve_selected_legs=legs)


def test_a_leg_that_says_more_is_kept_whole() -> None:
    legs = [{"market_ticker": "KX-A", "side": "yes", "weight": 2}]

    row = read_one(RFQ, mve_selected_legs=legs)

    assert row["mve_selected_legs"][0]["side"] == "yes"
    assert json.loads(row["unknown_fields"]) == {"mve_selected_legs": legs}


@BOTH
def test_a_renamed_field_is_kept_under_its_new_name(
    entity: Entity,
) -> None:
    """A renamed field is kept under its new name and one that must be there is missed."""
    row = read_one(entity, status=ABSENT, state="open")

    assert row["status"] is None
    assert json.loads(row["unknown_fields"]) == {"state": "open"}
    assert set_aside(entity, created_ts=ABSENT, created_time="2026-11-23T10:00:00Z") == (
        "created_ts is missing"
    )


@BOTH
def test_a_record_read_by_id_is_judged_like_a_listed_one(entity: Entity) -> None:
    name = entity.key.removesuffix("s")
    bodies = [{name: ROWS[entity.key] | {"id": bad}} for bad in ("", None, 5)]

    judged = [read_record(entity, json.dumps(body).encode()) for body in bodies]

    assert [len(rows.rejected) for rows in judged] == [1, 1, 1]


@pytest.mark.parametrize("value", [None, ABSENT], ids=["null", "absent"])
def test_a_value_that_goes_takes_nothing_away(
    value: object, store: Store, market: Market, me: Party, other: Party, reader: InProcessReader
) -> None:
    """The row without it is a state of its own; what was known stays known."""
    rfq = create_rfq(market, me)
    quote = create_quote(market, other, rfq)
    run(store, reader)
    gone = ("market_ticker", "contracts_fp", "updated_ts", "yes_bid_dollars")

    def without(row: dict[str, Any]) -> dict[str, Any]:
        kept = {name: v for name, v in row.items() if name not in gone}
        return kept if value is ABSENT else kept | dict.fromkeys(gone)

    serve_changed(reader, without)
    run(store, reader)

    assert store.current("rfqs").keys() | store.current("quotes").keys() == {rfq, quote}
    query = "select {}, count(*) from raw.{} where id = '{}' group by 1 order by 1"
    assert store.rows(query.format("market_ticker", "rfq_versions", rfq)) == [
        ("KX-0", 1),
        (None, 1),
    ]
    assert store.rows(f"select market_ticker, contracts from {known('rfqs', rfq)}") == [
        ("KX-0", Decimal("1.00"))
    ]
    assert store.rows(f"select yes_bid_dollars from {known('quotes', quote)}") == [
        (Decimal("0.400000"),)
    ]


def known(entity: str, id_: str) -> str:
    return f"staging.{entity} where {entity.removesuffix('s')}_id = '{id_}'"


def test_a_field_missing_from_all_rows_stops_publishing(
    store: Store, market: Market, clock: ManualClock, me: Party, reader: InProcessReader
) -> None:
    """A field that every row had and none has stops publishing and loses nothing."""
    rfqs = [create_rfq(market, me, n) for n in range(10)]
    run(store, reader)
    demand_few_rejected(store.connection, Limits())
    clock.advance(1)
    serve_changed(reader, lambda row: {NEW_NAMES.get(name, name): row[name] for name in row})

    run(store, reader)

    with pytest.raises(DataRefused, match="10 of 10 new rows came without status, which"):
        demand_few_rejected(store.connection, Limits())
    kept = "select status, unknown_fields ->> 'state', count(*) from raw.rfq_versions group by all"
    assert set(store.rows(kept)) == {("open", None, 10), (None, "open", 10)}
    assert {id_: state for id_, (state, _) in store.current("rfqs").items()} == dict.fromkeys(
        rfqs, "open"
    )


@pytest.mark.parametrize(
    ("empty", "lacks"),
    [
        ({"status": ""}, "status"),
        ({"market_ticker": ""}, "market_ticker"),
        ({"contracts_fp": "0.00"}, "a size"),
        ({"contracts_fp": "0.00", "target_cost_dollars": "0.0000"}, "a size"),
        ({"yes_bid_dollars": "0.0000", "no_bid_dollars": "0.0000"}, "a bid"),
        ({"yes_bid_dollars": "-0.0000", "no_bid_dollars": None}, "a bid"),
        ({"contracts_fp": "0.00", "target_cost_dollars": "5.0000"}, None),
        ({"yes_bid_dollars": "0.0000"}, None),
        ({"creator_id": "", "mve_collection_ticker": ""}, None),
    ],
)
def test_an_empty_field_is_as_good_as_absent(
    store: Store,
    market: Market,
    me: Party,
    other: Party,
    reader: InProcessReader,
    empty: dict[str, Any],
    lacks: str | None,
) -> None:
    """A field that is sent with nothing in it is as good as absent."""
    for n in range(10):
        create_quote(market, other, create_rfq(market, me, n))
    serve_changed(reader, lambda row: row | empty)

    run(store, reader)

    if lacks is None:
        demand_few_rejected(store.connection, Limits())
        return
    with pytest.raises(DataRefused, match=f"0 of 20 new rows came without .*{lacks}.*, which"):
        demand_few_rejected(store.connection, Limits())


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        ("yes_bid_dollars", "1.0001", "yes_bid_dollars"),
        ("no_bid_dollars", "-0.0001", "no_bid_dollars"),
        ("yes_contracts_fp", "-0.01", "yes_contracts"),
        ("no_contracts_fp", "1000000000.01", "no_contracts"),
        ("contracts_fp", "-1.00", "contracts"),
        ("rfq_target_cost_dollars", "-1.0000", "target_cost_dollars"),
    ],
)
def test_a_value_out_of_bounds_is_kept_and_not_believed(
    store: Store,
    market: Market,
    me: Party,
    other: Party,
    reader: InProcessReader,
    field: str,
    value: str,
    shown: str,
) -> None:
    quote = create_quote(market, other, create_rfq(market, me))
    serve_changed(reader, lambda row: row | {field: value}, "quotes")

    run(store, reader)
    run(store, reader)

    assert store.rows(f"select {field} from raw.quote_versions") == [(Decimal(value),)]
    assert store.rows(f"select {shown}, out_of_bounds from staging.quotes") == [(None, field)]
    kept = "select id, reason, is_read_again from raw.rejected_rows"
    assert store.rows(kept) == [(quote, f"{field} out of bounds", False)]
    assert store.rows("select sum(rejected_rows) from raw.extraction_runs") == [(0,)]


def test_a_possible_value_seen_before_stays(
    store: Store, market: Market, me: Party, other: Party, reader: InProcessReader
) -> None:
    create_quote(market, other, create_rfq(market, me))
    run(store, reader)
    serve_changed(reader, lambda row: row | {"yes_bid_dollars": "40.0000"}, "quotes")

    run(store, reader)

    found = store.rows("select yes_bid_dollars, out_of_bounds from staging.quotes")
    assert found == [(Decimal("0.40"), "yes_bid_dollars")]


def test_a_field_that_comes_and_goes_is_one_version(
    store: Store, market: Market, me: Party, other: Party, reader: InProcessReader
) -> None:
    """A field that comes and goes is one new version and no row is lost."""
    rfq = create_rfq(market, me)
    quote = create_quote(market, other, rfq)
    run(store, reader)
    serve_changed(reader, lambda row: row | {"venue": "shard 1"})
    run(store, reader)
    run(store, reader)
    serve_changed(reader)
    run(store, reader)

    for table in ("rfq_versions", "quote_versions"):
        kept = store.rows(f"select unknown_fields from raw.{table} order by all nulls first")
        assert kept == [(None,), ('{"venue": "shard 1"}',)]
    assert store.current("rfqs").keys() == {rfq}
    assert store.current("quotes").keys() == {quote}


def test_an_older_version_from_a_replica_changes_nothing(
    store: Store,
    market: Market,
    clock: ManualClock,
    me: Party,
    other: Party,
    reader: InProcessReader,
) -> None:
    """Neither one that was seen before, nor one that was not."""
    rfq, closed = create_rfq(market, me, 0), create_rfq(market, me, 1)
    quote = create_quote(market, other, rfq)
    run(store, reader)
    clock.advance(1)
    market.accept_quote(me, quote, "no")
    market.fall_behind(0)
    clock.advance(1)
    market.confirm_quote(other, quote)
    market.delete_rfq(me, closed)
    clock.advance(30)
    run(store, reader)
    newest = store.current("rfqs") | store.current("quotes")
    assert newest[quote][0] == "executed"

    market.faults.stale_reads = 100
    run(store, reader)

    assert store.current("rfqs") | store.current("quotes") == newest
    seen = store.rows("select status from raw.quote_versions order by observed_ts, updated_ts desc")
    assert seen == [("open",), ("executed",), ("accepted",)]


def test_a_page_refused_for_one_row_leaves_everything_where_it_was(
    store: Store, market: Market, me: Party, reader: InProcessReader
) -> None:
    create_rfq(market, me)
    run(store, reader)
    before = store.watermarks(), store.versions()
    create_rfq(market, me, 1)
    serve_changed(reader, lambda row: row | {"contracts_fp": float("nan")})

    with pytest.raises(ExchangeUnavailable):
        run(store, reader)

    assert (store.watermarks(), store.versions()) == before
