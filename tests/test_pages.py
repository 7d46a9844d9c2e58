"""Pages become typed Arrow tables; what cannot be read is set aside, never dropped."""

import json
import sys
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from pipelines.kalshi.client.json_body import ListPage
from pipelines.kalshi.client.session import Page
from pipelines.kalshi.client.transport import LATEST
from pipelines.kalshi.entities import QUOTE, RFQ
from pipelines.kalshi.fields import EARLIEST, LONGEST_TEXT, MOST_LEGS
from pipelines.kalshi.leg_lists import LegLists
from pipelines.kalshi.pages import BadPage, cut, read_pages, read_record
from pipelines.kalshi.paging import Batch, read_list
from pipelines.kalshi.versions import Versions, keys
from transforms.raw import create_raw_tables

RFQ_ROW = {
    "id": "11111111-1111-4111-8111-111111111111",
    "creator_id": "",
    "market_ticker": "KXONE-26NOV23-A",
    "contracts_fp": "0.00",
    "target_cost_dollars": "12.3400",
    "status": "open",
    "created_ts": "2026-11-23T10:00:00.5Z",
    "mve_collection_ticker": "KXMVE-R",
    "mve_selected_legs": [{"event_ticker": "E", "market_ticker": "M", "side": "yes"}],
}
QUOTE_ROW = {
    "id": "22222222-2222-4222-8222-222222222222",
    "rfq_id": RFQ_ROW["id"],
    "creator_id": "maker",
    "rfq_creator_id": "",
    "market_ticker": "KXONE-26NOV23-A",
    "contracts_fp": "0.00",
    "yes_bid_dollars": "0.0000",
    "no_bid_dollars": "0.4070",
    "no_contracts_fp": "8.19",
    "status": "open",
    "created_ts": "2026-11-23T10:00:01Z",
    "updated_ts": "2026-11-23T10:00:01.000001Z",
}


def page(*rows: object, **others: object) -> bytes:
    return json.dumps({"rfqs": list(rows), **others}).encode()


def test_a_page_is_typed_exactly() -> None:
    table = read_pages(RFQ, [page(RFQ_ROW)]).table

    (row,) = table.to_pylist()
    assert row["created_ts"] == datetime(2026, 11, 23, 10, 0, 0, 500_000, UTC)
    assert row["target_cost_dollars"] == Decimal("12.340000")
    assert table.schema.field("contracts_fp").type == pa.decimal128(18, 2)
    assert row["mve_selected_legs"][0]["side"] == "yes"
    assert row["updated_ts"] is None


def test_rows_keep_the_order_in_which_they_were_served() -> None:
    rows = [RFQ_ROW | {"id": f"{n}"} for n in range(250)]

    table = read_pages(RFQ, [page(*rows[:100]), page(*rows[100:200]), page(*rows[200:])]).table

    assert table.column("id").to_pylist() == [row["id"] for row in rows]


# What a sound row holds at most, and at least.
LONGEST = RFQ_ROW | {"market_ticker": "K" * LONGEST_TEXT}
MOST = RFQ_ROW | {"mve_selected_legs": RFQ_ROW["mve_selected_legs"] * MOST_LEGS}
EARLY, LATE = (
    RFQ_ROW | {"created_ts": bound.isoformat().replace("+00:00", "Z")}
    for bound in (EARLIEST, LATEST)
)
BARE = {name: RFQ_ROW[name] for name in RFQ.required}


def calls_of_python(act: Callable[[], object]) -> int:
    """How many functions of Python *act* calls."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    "row",
    [RFQ_ROW, LONGEST, MOST, EARLY, LATE, BARE],
    ids=["plain", "longest text", "most legs", "earliest", "latest", "bare"],
)
def test_python_looks_at_no_single_row_of_a_sound_page(row: dict[str, Any]) -> None:
    """Neither where its texts, legs and times are at the edge of what is taken."""
    few, many = (page(*[row | {"id": str(n)} for n in range(size)]) for size in (2, 40))
    read_pages(RFQ, [few])

    calls = [calls_of_python(lambda each=each: read_pages(RFQ, [each])) for each in (few, many)]

    assert calls[0] == calls[1]
    assert read_pages(RFQ, [many]).table.num_rows == 40


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"market_ticker": "K" * (LONGEST_TEXT + 1)}, "market_ticker"),
        ({"mve_selected_legs": RFQ_ROW["mve_selected_legs"] * (MOST_LEGS + 1)}, "legs"),
        ({"created_ts": "2000-12-31T23:59:59.999999Z"}, "created_ts"),
        ({"created_ts": "2100-12-31T00:00:00.000001Z"}, "created_ts"),
    ],
)
def test_a_row_a_step_beyond_what_is_taken_is_set_aside(
    change: dict[str, object], reason: str
) -> None:
    rows = read_pages(RFQ, [page(RFQ_ROW, RFQ_ROW | {"id": "2"} | change)])

    assert rows.table.num_rows == 1
    assert reason in rows.rejected[0].reason


def test_an_empty_page_has_no_rows() -> None:
    assert read_pages(RFQ, [page()]).table.num_rows == 0


@pytest.mark.parametrize(
    ("body", "cursor"),
    [
        (page(RFQ_ROW, cursor="next"), "next"),
        (page(RFQ_ROW, cursor=""), None),
        (page(RFQ_ROW, cursor=None), None),
        (page(RFQ_ROW), None),
        (json.dumps({"cursor": "first", "rfqs": [RFQ_ROW]}).encode(), "first"),
        (page(RFQ_ROW, cursor="a]b"), "a]b"),
        (page(RFQ_ROW, cursor="between", warnings=["old"]), "between"),
        (json.dumps({"rfqs": [RFQ_ROW], "cursor": "x"}, indent=2).encode(), "x"),
        (page(RFQ_ROW | {"creator_id": 'a "cursor" called "cursor":"no"'}, cursor="yes"), "yes"),
    ],
)
def test_the_cursor_is_found_wherever_it_stands(body: bytes, cursor: str | None) -> None:
    assert (cut(RFQ, body).cursor or None) == cursor


def test_rows_are_cut_out_in_the_bytes_in_which_they_came() -> None:
    body = b'{"rfqs": [ {"id" : "1"} ,\n {"of": [{"id": "]}"}]} ], "cursor": "x", "next": [{}]}'

    assert cut(RFQ, body) == ListPage(2, "x", (b'{"id" : "1"}', b'{"of": [{"id": "]}"}]}'))


@pytest.mark.parametrize(
    "body",
    [
        b'{"rfqs": [{"id": NaN}]}',
        b'\xef\xbb\xbf{"rfqs": [{}]}',
        b'{"rfqs": [{"id": "\\ud800"}]}',
        b'{"rfqs": [{"id": %s}]}' % (b"9" * 10_000),
    ],
    ids=["not a number", "byte order mark", "half a character", "many digits"],
)
def test_a_page_in_odd_json_is_a_page_all_the_same(body: bytes) -> None:
    """Some of it is not cut into rows, so that every sweep reads it again."""
    page = cut(RFQ, body)

    assert (page.n_rows, page.cursor) == (1, None)
    assert page.rows in (None, (body[body.index(b"{", 1) : -2],))


@pytest.mark.parametrize(
    "body",
    [
        b"<html>busy</html>",
        b'{"error": "too many requests"}',
        b'{"rfqs": null}',
        b'{"rfqs": {}}',
        b'{"quotes": []}',
        b'{"rfqs": [], "cursor": 7}',
        b'{"rfqs": [NaN]}',
        b'{"rfqs": [',
        b"[" * 200_000,
        b"\xff\xfe",
        b'{"rfqs": [{"id": "\xff"}]}',
        b"",
    ],
)
def test_a_page_without_its_list_never_means_no_rows(body: bytes) -> None:
    with pytest.raises(BadPage):
        read_pages(RFQ, [body]) if cut(RFQ, body).cursor is None else None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": None}, "id is missing"),
        ({"created_ts": "yesterday"}, "created_ts is not an RFC 3339 timestamp"),
        ({"created_ts": ""}, "created_ts is missing"),
        ({"contracts_fp": "many"}, "contracts_fp is not a decimal"),
        ({"contracts_fp": "1.005"}, "contracts_fp does not fit decimal128(18, 2) exactly"),
        ({"contracts_fp": "1e30"}, "contracts_fp does not fit decimal128(18, 2) exactly"),
        ({"status": 3}, "status is int, expected str"),
        ({"creator_subaccount": 2**63}, "creator_subaccount is not a 64-bit integer"),
        ({"mve_selected_legs": "none"}, "mve_selected_legs is str, expected list"),
        ({"rest_remainder": "yes"}, "rest_remainder is str, expected bool"),
    ],
)
def test_a_broken_row_is_set_aside_and_the_others_are_read(
    change: dict[str, object], reason: str
) -> None:
    rows = read_pages(RFQ, [page(RFQ_ROW, RFQ_ROW | {"id": "2"} | change)])

    assert rows.table.column("id").to_pylist() == [RFQ_ROW["id"]]
    assert [rejected.reason for rejected in rows.rejected] == [reason]


@pytest.mark.parametrize("row", [5, "row", None, []])
def test_a_row_that_is_no_object_makes_its_page_bad(row: object) -> None:
    with pytest.raises(BadPage, match="no object"):
        cut(RFQ, page(RFQ_ROW, row))


def test_a_rejected_row_is_kept_without_its_private_fields() -> None:
    row = RFQ_ROW | {"created_ts": "?", "creator_user_id": "canary", "creator_subaccount": 77}

    (rejected,) = read_pages(RFQ, [page(row)]).rejected

    assert "canary" not in rejected.redacted_row
    assert "77" not in rejected.redacted_row
    assert RFQ_ROW["id"] in rejected.redacted_row


@pytest.mark.parametrize(("characters", "is_whole"), [(16_384, True), (16_385, False)])
def test_a_rejected_row_is_kept_whole_up_to_a_length(characters: int, is_whole: bool) -> None:
    """A longer one by its id, its length, its number of fields and its hash."""
    row = RFQ_ROW | {"created_ts": "?", "note": ""}
    row["note"] = "n" * (characters - len(json.dumps(row, sort_keys=True)))

    (rejected,) = read_pages(RFQ, [page(row)]).rejected

    kept = json.loads(rejected.redacted_row or "")
    assert ("note" in kept) is is_whole
    if not is_whole:
        assert kept["id"] == RFQ_ROW["id"]
        assert (kept["characters"], kept["fields"]) == (characters, len(row))


def test_unknown_fields_and_statuses_are_kept() -> None:
    row = RFQ_ROW | {"status": "paused", "venue": {"shard": 1}, "weight": 1.25}

    rows = read_pages(RFQ, [page(RFQ_ROW, row)])

    plain, odd = rows.table.to_pylist()
    assert rows.rejected == ()
    assert plain["unknown_fields"] is None
    assert odd["status"] == "paused"
    assert json.loads(odd["unknown_fields"]) == {"venue": {"shard": 1}, "weight": "1.25"}


def test_a_leg_that_says_more_than_we_know_is_kept_whole() -> None:
    legs = [{"event_ticker": "E", "market_ticker": "M", "side": "yes", "weight": 2}]

    (row,) = read_pages(RFQ, [page(RFQ_ROW | {"mve_selected_legs": legs})]).table.to_pylist()

    assert json.loads(row["unknown_fields"]) == {"mve_selected_legs": legs}
    assert row["mve_selected_legs"][0]["market_ticker"] == "M"


def test_the_fast_and_the_slow_reader_see_the_same_version() -> None:
    """A page with one odd row is read slowly, and must not look like a change of all the others."""
    versions = {}
    with duckdb.connect() as connection:
        create_raw_tables(connection)
        for entity, key, row in ((RFQ, "rfq", RFQ_ROW), (QUOTE, "quote", QUOTE_ROW)):
            known = Versions(connection, entity)
            fast = read_pages(entity, [json.dumps({entity.key: [row]}).encode()])
            slow = read_record(entity, json.dumps({key: row}).encode())
            read = [rows.dated([datetime.now(UTC)]).table for rows in (fast, slow)]
            versions[key] = [keys(known.stamp(rows, "p")) for rows in read]

    assert versions["rfq"][0] == versions["rfq"][1]
    assert versions["quote"][0] == versions["quote"][1]


def test_a_version_that_raw_or_this_run_has_seen_is_not_new() -> None:
    with duckdb.connect() as connection:
        create_raw_tables(connection)
        versions = Versions(connection, RFQ)
        rows = read_pages(RFQ, [page(RFQ_ROW, RFQ_ROW, RFQ_ROW | {"status": "closed"})])
        stamped = versions.stamp(rows.dated([datetime.now(UTC)] * 3).table, "rfqs_market")

        (first, _), (again, known) = versions.told_apart(stamped), versions.told_apart(stamped)

        connection.register("first", LegLists(connection).kept_apart(first, 1))
        connection.execute("insert into raw.rfq_versions by name select * from first")
        later, _ = Versions(connection, RFQ).told_apart(stamped)

    assert first.column("status").to_pylist() == ["open", "closed"]
    assert again.num_rows == 0
    assert known.num_rows == 3
    assert later.num_rows == 0


@pytest.mark.parametrize(
    "long",
    [{"market_ticker": "x" * 10_001}, {"mve_selected_legs": [{"side": "x" * 10_001}]}],
    ids=["in a field", "in a leg"],
)
def test_a_text_that_no_field_has_is_not_typed(long: dict[str, Any]) -> None:
    row = {"id": "a", "created_ts": "2026-11-20T12:00:00Z"}
    body = json.dumps({"rfqs": [row, row | {"id": "b"} | long]}).encode()

    rows = read_pages(RFQ, [body])

    assert rows.table.column("id").to_pylist() == ["a"]
    assert [row.reason.partition(" is ")[2] for row in rows.rejected] == [
        "longer than 10,000 characters"
    ]


def test_the_longest_texts_are_read_beside_a_row_that_cannot_be() -> None:
    """One row that Arrow refuses has all of its page read row by row."""
    rows = read_pages(RFQ, [page(LONGEST, RFQ_ROW | {"status": 5})])

    assert rows.table.column("market_ticker").to_pylist() == [LONGEST["market_ticker"]]
    assert len(rows.rejected) == 1


def test_no_row_is_left_out_of_a_batch_in_which_one_page_cannot_be_cut() -> None:
    """Of the batch of the second and third page, the first sweep has read the second's row.

    In the second sweep the third page is odd, but a page.
    """
    rows = [RFQ_ROW | {"id": f"{number}1111111-1111-4111-8111-111111111111"} for number in range(4)]
    bodies = [page(row, cursor=f"after {number}") for number, row in enumerate(rows[:3])]
    bodies.append(page(rows[3]))
    _, batch, _ = read_all(bodies, frozenset())
    bodies[2] = b"\xef\xbb\xbf" + bodies[2]
    assert [cut(RFQ, body).rows is None for body in bodies] == [False, False, True, False]

    batches = read_all(bodies, {batch.prints[0]})

    assert [batch.pages for batch in batches] == [1, 2, 1]
    ids = {each for batch in batches for each in batch.rows.table.column("id").to_pylist()}
    assert ids == {row["id"] for row in rows}


def read_all(bodies: list[bytes], known: Collection[bytes]) -> list[Batch]:
    served = iter([Page(body, None, datetime.now(UTC), 200) for body in bodies])
    return list(read_list(RFQ, lambda _: next(served), known=known))
