"""`--with`: a reader's own columns, by RFQ, quote or market, and what fair values say of fills."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from tests.metrics.markets import MIDNIGHT
from tests.notebooks.written_pages import WrittenPage
from tests.running import Command, Ended

DAY = MIDNIGHT.date()
ONE_DAY = ("--since", DAY, "--until", DAY + timedelta(days=1), "--zone", "UTC")
NOW = f"{DAY}T00:00:00Z"
Report = Callable[..., tuple[Ended, WrittenPage | None]]


@pytest.fixture
def report(rfq: Command, by_hand: dict[str, Path], tmp_path: Path) -> Report:
    """Report on an account with a file of these lines: how it ended, and the page if any."""

    def write(
        account: str, *lines: str, name: str = "own.csv", only: tuple[str, ...] = ()
    ) -> tuple[Ended, WrittenPage | None]:
        own, output = tmp_path / name, tmp_path / "page.html"
        if lines:
            own.write_text("\n".join(lines) + "\n")
        ended = rfq(
            *("report", "--output", output, "--database", by_hand[account], "--with", own),
            *ONE_DAY,
            *(part for each in only for part in ("--only", each)),
        )
        return ended, WrittenPage(output.read_text()) if ended.code == 0 else None

    return write


def test_a_fair_value_gives_the_edge_of_each_fill(report: Report) -> None:
    """Both fills hit the NO bid of 55 cents, so the desk bought YES at 45: at a fair value of 0.55
    the edge is 10 cents, at 0.50 it is 5."""
    ended, page = report(
        "desk", "rfq_id,fair_yes,book", "filled soon,0.55,fast", "filled late,0.50,slow"
    )

    assert page is not None, ended.err
    value, n, _ = page.figures["edge_p50_dollars", NOW]
    assert (value, n) == (pytest.approx(0.075), 2)
    assert "Your file has 2 rows by rfq_id; 2 of 6 rows of the window match one." in " ".join(
        page.text
    )
    tags = {row[0]: row[1:3] for row in page.charts["with_1"].cells}
    assert tags == {"no value": ["3", "0"], "fast": ["1", "1"], "slow": ["1", "0"]}


def test_a_column_chooses_the_rfqs_that_are_counted(report: Report) -> None:
    """Of the six RFQs of the day the file names two, and one of them is of the fast book."""
    lines = ("rfq_id,fair_yes,Book", "filled soon,0.55,fast", "filled late,0.50,slow")

    ended, page = report("desk", *lines, only=("book=fast",))

    assert page is not None, ended.err
    assert page.figures["n_rfq_own", NOW][0] == 1
    value, n, _ = page.figures["edge_p50_dollars", NOW]
    assert (value, n) == (pytest.approx(0.10), 1)
    assert "its rows whose book is fast" in " ".join(page.text)
    for refused in ("book", "shelf=fast"):
        assert report("desk", *lines, only=(refused,))[0].code == 2
    assert report("desk", "quote_id,book", "q1,fast", only=("book=fast",))[0].code == 2


def test_a_maker_sees_the_edge_of_its_quotes(report: Report) -> None:
    """Its live last quotes are 40 at 45 and two of 40 at 50; at a fair value of 0.42 the worse side
    of each is the bid of 40 for YES: 2 cents."""
    ended, page = report("maker", "market_ticker,fair_yes", "KXRAIN-26-NYC,0.42", "KXMVE-26-1,0.42")

    assert page is not None, ended.err
    value, n, _ = page.figures["my_edge_p50_dollars", NOW]
    assert (value, n) == (pytest.approx(0.02), 3)


def test_a_maker_sees_its_hit_ratio_by_its_own_tags(report: Report) -> None:
    """Of the two that were watched and are over it won one, and tagged that one alone."""
    ended, page = report("maker", "rfq_id,desk", "won,sports")

    assert page is not None, ended.err
    tags = {row[0]: row[1:3] for row in page.charts["my_with_1"].cells}
    assert tags == {"no value": ["1", "0"], "sports": ["1", "1"]}


def test_a_file_by_quote_gives_the_edge_of_fills_and_tags_a_makers_quotes(report: Report) -> None:
    """The desk bought YES at 45 cents by A's and by B's quote; the maker tagged one of its own."""
    with_fair = ("Quote_ID,FAIR_YES,a,b,c,d", "m1,0.5,sports,,,")
    desk = report("desk", "quote_id,fair_yes", "q1,0.50", "q4,0.50")
    maker = report("maker", *with_fair)

    assert desk[1] is not None, desk[0].err
    assert desk[1].figures["edge_p50_dollars", NOW][:2] == (pytest.approx(0.05), 2)
    assert maker[1] is not None, maker[0].err
    assert maker[1].figures["my_edge_p50_dollars", NOW][1] == 1
    tags = {row[0]: row[1:3] for row in maker[1].charts["my_with_1"].cells}
    assert tags == {"no value": ["1", "0"], "sports": ["1", "1"]}
    assert "Charts are of its first 3 columns, not of d." in " ".join(maker[1].text)


def test_makers_go_by_the_names_of_a_file(
    rfq: Command, by_hand: dict[str, Path], tmp_path: Path
) -> None:
    """As a spreadsheet writes it; a name that is long or steers a terminal is text, cut."""
    names, output = tmp_path / "names.csv", tmp_path / "page.html"
    names.write_text("\ufeffID,Name\nA,Alpha Capital\nB," + "b\x1b" * 100_000)
    database = by_hand["desk"]

    ended = rfq("report", "--output", output, "--database", database, "--names", names, *ONE_DAY)

    assert ended.code == 0, ended.err
    cells = WrittenPage(output.read_text()).charts["makers"].cells
    assert [row[0][:13] for row in cells] == ["Alpha Capital", "b�b�b�b�b�b�b"]
    assert "\x1b" not in output.read_text()
    # One firm with two ids: whose row it is has to be told.
    names.write_text("id,name\nA,Alpha\nB,Alpha")
    assert rfq("report", "--output", output, "--database", database, "--names", names, *ONE_DAY)
    rows = WrittenPage(output.read_text()).charts["makers"].cells
    assert [row[0] for row in rows] == ["Alpha (A)", "Alpha (B)"]
    for wrong in ("", "A,Alpha", "id,name\nA,Alpha\nA,Beta", "id,name\n,Alpha"):
        names.write_text(wrong)
        assert rfq(*ended_by(output, database), "--names", names).code == 2, wrong


def ended_by(output: Path, database: Path) -> tuple[object, ...]:
    return ("report", "--output", output, "--database", database)


def test_a_parquet_file_says_the_same(report: Report, tmp_path: Path) -> None:
    """Also one whose keys are numbers: they match no RFQ."""
    with duckdb.connect() as connection:
        connection.execute(
            "copy (select 'filled soon' as rfq_id, 0.55 as fair_yes)"
            f" to '{tmp_path / 'own.PARQUET'}' (format parquet)"
        )
        connection.execute(
            f"copy (select 1 as rfq_id) to '{tmp_path / 'numbers.parquet'}' (format parquet)"
        )

    ended, page = report("desk", name="own.PARQUET")
    _, numbers = report("desk", name="numbers.parquet")

    assert numbers is not None
    assert "1 row by rfq_id; 0 of 6 rows of the window" in " ".join(numbers.text)

    assert page is not None, ended.err
    assert page.figures["edge_p50_dollars", NOW][:2] == (pytest.approx(0.1), 1)


@pytest.mark.parametrize("name", ["desk=5/a[1].csv", "*?{1,2}.csv"])
def test_the_file_that_is_named_is_read_and_nothing_else(
    report: Report, tmp_path: Path, name: str
) -> None:
    """DuckDB takes these names for patterns, and a folder's for a column."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).with_name("a1.csv").write_text("rfq_id,fair_yes\nfilled soon,0.99\n")

    ended, page = report("desk", "rfq_id,fair_yes", "filled soon,0.55", name=name)

    assert page is not None, ended.err
    assert page.figures["edge_p50_dollars", NOW][:2] == (pytest.approx(0.1), 1)
    assert "with_1" not in page.charts


# Names of columns of ours, of expressions of ours, and of no language's liking.
COLUMNS = (
    ("own_key", "value", "capture"),
    ("is_now", "select", "a\"b'c;--"),
    ("<script>", "K" * 10_000, "written"),
)


@pytest.mark.parametrize("columns", COLUMNS, ids=lambda names: names[0])
def test_a_column_is_a_tag_whatever_its_name(report: Report, columns: tuple[str, ...]) -> None:
    heading = ",".join('"' + column.replace('"', '""') + '"' for column in columns)

    ended, page = report("desk", f"rfq_id,{heading}", "filled soon,x,x,x")

    assert page is not None, ended.err
    for n in (1, 2, 3):
        tags = {row[0]: row[1] for row in page.charts[f"with_{n}"].cells}
        assert tags == {"x": "1", "no value": "4"}
    assert "script" not in page.tags
    assert max(map(len, page.text)) < 1_000


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("rfq_id,book", "one,a", "one,b"), "'one' stands in 2 rows, and it must in one"),
        (("id,book", "one,a"), "has no column quote_id, rfq_id or market_ticker"),
        (("rfq_id,fair_yes", "one,1.2"), "is a price from 0 to 1 and not '1.2'"),
        (("rfq_id,fair_yes", "one,cheap"), "is a price from 0 to 1 and not 'cheap'"),
        (("rfq_id,RFQ_ID", "one,two"), "has two columns rfq_id, or one rfq_id_1"),
        (("rfq_id,fair_yes,FAIR_YES", "one,0.5,0.6"), "has two columns fair_yes"),
        (("rfq_id,book", ",a"), "no rfq_id in 1 of its rows"),
        (("",), "has no column quote_id, rfq_id or market_ticker"),
        ((), "own.csv is no file"),
    ],
)
def test_a_file_that_cannot_be_joined_is_wrong_usage(
    report: Report, lines: tuple[str, ...], said: str
) -> None:
    ended, _ = report("desk", *lines)

    assert (ended.code, "Traceback" in ended.err) == (2, False)
    assert said in ended.err
