"""What `rfq run` says to a desk, to a maker, to one who is both, and to one who only looks on.

The numbers come from the marts of a real file, through the function that prints them.
"""

from dataclasses import dataclass, field

import pytest

from pipelines.commands.summary import show_summary
from pipelines.store.database import Database
from tests.accounts import (
    COMBO,
    LEGS,
    Shown,
    by,
    of_both,
    of_desk,
    of_maker,
    published,
    seen_open,
)
from tests.metrics.markets import closed_rfq, followed, rfq

Said = dict[str, dict[str, tuple[str, str]]]
"""Value and what it rests on, by the name of the line, by the title of its table."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Database]:
    """The files that are built already, by what was shown."""
    return {"": Database(tmp_path_factory.mktemp("summary") / "none.duckdb")}


@pytest.fixture
def said(files: dict[str, Database], capsys: pytest.CaptureFixture[str]) -> "Say":
    return Say(files, capsys)


@dataclass
class Say:
    """Prints the summary of what was shown, and reads it back from the output."""

    files: dict[str, Database]
    capsys: pytest.CaptureFixture[str]
    queries: list[str] = field(default_factory=list)

    def __call__(self, shown: Shown) -> Said:
        path = self.files[""].path.with_name(f"{len(self.files)}.duckdb")
        database = self.files.get(repr(shown)) or published(path, shown)
        self.files[repr(shown)] = database
        self.capsys.readouterr()

        show_summary(database)

        lines = self.capsys.readouterr().out.splitlines()
        self.queries = [line[5:] for line in lines if line.startswith("try: ")]
        with database.reading() as connection:
            for query in self.queries:
                connection.execute(query).fetchall()
        tables: Said = {}
        title = ""
        for line in lines:
            if line.startswith("│"):
                name, value, rests_on = (cell.strip() for cell in line.strip("│").split("│"))
                tables[title][name] = (value, rests_on)
            elif line.startswith(("as ", "the ")):
                title = line.strip()
                tables[title] = {}
        return tables


HELD = "as of 2026-05-04 00:16:40 UTC"
DESK = "as a desk: your own RFQs"
MAKER = "as a maker: your quotes on RFQs of others"
MARKET = "the market: RFQs of others"


def number(line: tuple[str, str]) -> float:
    return float(line[0].strip("$ s%"))


def test_a_desk_is_told_how_often_its_rfqs_fill_within_m_by_now_and_after_m(said: Say) -> None:
    """Of 4 singles at least 300 s old 1 filled within 300 s, and 2 by now: 1 of 2 after 300 s.

    1 of the 4 is open, and 1 more too young. Wilson of 1 in 4: 4.6 % to 69.9 %.
    """
    desk = said(Shown("desk", *of_desk()))

    assert list(desk) == [HELD, DESK]
    assert desk[DESK]["filled within 300 s, singles"] == (
        "25.0%",
        "1 of 4 at least 300 s old, 95 % interval 4.6% to 69.9%; 1 younger than 300 s left out",
    )
    assert desk[DESK]["filled by now, singles"] == (
        "50.0%",
        "2 of the same 4, 1 of them not seen to end; filled after 300 s: 1 of 2 (50.0%)",
    )
    assert desk[DESK]["filled within 300 s, combos"] == (
        "0.0%",
        "0 of 1 at least 300 s old, 95 % interval 0.0% to 79.3%; 0 younger than 300 s left out",
    )
    assert desk[DESK]["filled by now, combos"] == (
        "0.0%",
        "0 of the same 1, 0 of them not seen to end; filled after 300 s: 0 of 0",
    )
    assert said.queries == ["select * from marts.fill_rate_daily"]


def test_a_desk_is_told_how_it_is_answered_and_at_what_spread_each_with_its_n(said: Say) -> None:
    """Watched were two singles: answered after 1 s, and after 2 s by A and 3 s by B, one-sided.

    Spreads of 0.05 and 0.10 have the median 0.075. Lives of 20 to 60 s: two watched, the combo not.
    """
    desk = said(Shown("desk", *of_desk()))

    assert desk[DESK]["answered within 5 s"] == (
        "100.0%",
        "2 own RFQs, live; weighted to all lifetimes 100.0%;"
        " watched: 5-20 s -, 20-60 s 67%, 60-600 s 0%, longer -",
    )
    spread, response = (
        desk[DESK][f"{name}, singles, median"] for name in ("quote spread", "response")
    )
    assert number(spread) == pytest.approx(0.075, rel=0.01)
    assert spread[1] == "2 two-sided of 3 last quotes, live"
    assert number(response) == pytest.approx(2, rel=0.01)
    assert response[1] == "3 first quotes, live; p90 (from 50) -"
    assert "response, combos, median" not in desk[DESK]


def test_everybody_is_told_what_is_held_and_whether_the_record_is_whole(said: Say) -> None:
    """2 of the desk's 6 RFQs were watched, which is less than half; 1,000 s are 0.3 hours."""
    desk = said(Shown("desk", *of_desk()))

    assert desk[HELD] == {
        "RFQs": ("7", "your own 6; of others 0 that you quoted, 1 that you did not"),
        "quotes": ("5", ""),
        "days on record": (
            "1",
            "0 clean, 1 partial, 0 missing; 0.3 hours observed;"
            " watched live 2 of 6 RFQs whose quotes you see",
        ),
    }


def test_a_maker_is_told_what_it_quoted_won_and_let_lapse(said: Say) -> None:
    """Live: 2 of 3 singles quoted and the combo; 1 won of 2 decided, both singles.

    Of every capture: 5 quoted, 3 accepts, 1 executed, 1 pending, and of the 2 others 1 lapsed.
    """
    maker = said(Shown("A", *of_maker()))

    assert list(maker) == [HELD, MAKER]
    assert maker[HELD]["RFQs"][1] == "your own 0; of others 5 that you quoted, 1 that you did not"
    assert "1 clean, 0 partial" in maker[HELD]["days on record"][1]
    exact = {name: line for name, line in maker[MAKER].items() if "median" not in name}
    assert exact == {
        "quoted of seen, singles": (
            "66.7%",
            "2 of 3 of others, live, 95 % interval 20.8% to 93.9%",
        ),
        "quoted of seen, combos": (
            "100.0%",
            "1 of 1 of others, live, 95 % interval 20.7% to 100.0%",
        ),
        "won": ("1", "of 3 that you quoted and that are over, watched live or not"),
        "hit ratio, singles": (
            "50.0%",
            "won 1 of 2 decided, live, 95 % interval 9.5% to 90.5%",
        ),
        "accepts": ("3", "1 executed, 1 still in the confirm window"),
        "lapsed": (
            "50.0%",
            "1 of 2 accepts whose window is over, 95 % interval 9.5% to 90.5%",
        ),
    }
    assert said.queries == ["select * from marts.my_day"]


def test_where_the_market_is_not_read_no_share_of_it_is_told(said: Say) -> None:
    """Of the RFQs that the maker saw some are not there to be counted."""
    maker = said(Shown("A", *of_maker(), is_market_complete=False))

    _, why = maker[HELD]["of all RFQs"]
    assert why.endswith("figures of the whole market are not complete")
    assert maker[MAKER]["quoted of seen"] == ("-", why)
    assert not any(name.startswith("quoted of seen, ") for name in maker[MAKER])
    assert maker[MAKER]["won"][0] == "1"


def test_a_maker_is_told_its_own_latency_and_spread_singles_and_combos_apart(said: Say) -> None:
    """After 1 s and 2 s, at 0.05 and 0.10; the combo after 0.5 s, at 0.10."""
    maker = said(Shown("A", *of_maker()))

    medians = {
        name: (pytest.approx(number(line), rel=0.01), line[1])
        for name, line in maker[MAKER].items()
        if "median" in name
    }
    assert {name: (value, line) for name, (value, line) in medians.items()} == {
        "own latency, singles, median": (1.5, "2 first quotes, live; p90 (from 50) -"),
        "own latency, combos, median": (0.5, "1 first quotes, live; p90 (from 50) -"),
        "quote spread, singles, median": (0.075, "2 two-sided of 2 last quotes, live"),
        "quote spread, combos, median": (0.1, "1 two-sided of 1 last quotes, live"),
    }


def test_who_is_both_is_told_both_and_each_as_if_the_other_were_not(said: Say) -> None:
    desk, maker = said(Shown("desk", *of_desk())), said(Shown("A", *of_maker()))
    rfqs, quotes = (
        [*ours, *theirs] for ours, theirs in zip(of_desk(), of_maker("desk"), strict=True)
    )

    both = said(Shown("desk", rfqs, quotes))

    assert list(both) == [HELD, DESK, MAKER]
    assert both[DESK] == desk[DESK]
    # The stranger's RFQ of the desk's market was seen and not quoted, but not watched either.
    assert both[MAKER] == maker[MAKER]
    assert both[HELD]["RFQs"] == (
        "13",
        "your own 6; of others 5 that you quoted, 2 that you did not",
    )
    assert len(said.queries) == 2


def test_who_only_looks_on_is_told_of_the_market(said: Say) -> None:
    """7 RFQs in the 1,000 s since the first: 604.8 a day, in 0.3 hours. A combo has two legs."""
    rfqs, _ = of_maker()
    dollars = rfq("dollars", 700, creator_id="stranger") | {
        "contracts_fp": "0.00",
        "target_cost_dollars": "25.000000",
    }

    market = said(Shown("nobody", [*rfqs, dollars], compared=(20, 1)))

    assert list(market) == [HELD, MARKET]
    assert market[MARKET] == {
        "RFQs a day": ("604.8", "7 RFQs in 0.3 observed hours"),
        "combos": ("14.3%", "1 of 7 RFQs"),
        "legs of a combo, mean": ("2.0", "2: 1"),
        "sizes": ("2", "100-500 contracts: 6, $10-$50 target cost: 1"),
        "open RFQs missed": ("5.0%", "1 of 20 that earlier runs should have read"),
    }


def test_an_account_that_has_nothing_yet_is_told_so(said: Say) -> None:
    empty = said(Shown("nobody", []))

    assert empty[HELD]["RFQs"] == (
        "0",
        "your own 0; of others 0 that you quoted, 0 that you did not",
    )
    assert empty[MARKET]["RFQs a day"] == ("-", "0 RFQs in 0.0 observed hours")
    assert empty[MARKET]["open RFQs missed"][0] == "-"


def test_another_m_is_named_and_moves_what_counts_within_it(said: Say) -> None:
    """Within 400 s both fills count, of the 4 singles that are that old: created by 600 s."""
    desk = said(Shown("desk", *of_desk(), maturity_s=400))

    assert desk[DESK]["filled within 400 s, singles"] == (
        "50.0%",
        "2 of 4 at least 400 s old, 95 % interval 15.0% to 85.0%; 1 younger than 400 s left out",
    )
    assert desk[DESK]["filled by now, singles"][1].endswith("filled after 400 s: 0 of 2 (0.0%)")


def test_a_desk_none_of_whose_rfqs_is_old_enough_is_told_so(said: Say) -> None:
    desk = said(Shown("desk", *of_desk(), maturity_s=1_001))

    assert desk[DESK]["filled within 1001 s, singles"] == (
        "-",
        "none is 1001 s old; 5 younger than 1001 s left out",
    )


def test_a_maker_that_reads_its_own_side_alone_is_not_told_a_share_of_what_it_did_not_read(
    said: Say,
) -> None:
    maker = said(Shown("A", *of_maker(), scope="self"))

    assert maker[MAKER]["quoted of seen"][0] == "-"
    assert maker[MAKER]["hit ratio, singles"][0] == "50.0%"


def test_each_figure_leaves_out_what_is_not_of_it(said: Say) -> None:
    """A market of every visibility, capture and state: `of_both` says what happened in it.

    Of the desk's 6 timely singles 1 is too young; of the other 5 one was filled within 300 s and
    one later, and the backfill is in no rate. Quote figures are of what was watched.
    """
    both = said(of_both())

    assert both[HELD] == {
        "RFQs": ("15", "your own 8; of others 5 that you quoted, 2 that you did not"),
        "quotes": ("14", ""),
        "days on record": (
            "2",
            "0 clean, 1 partial, 1 missing; 0.3 hours observed;"
            " watched live 5 of 13 RFQs whose quotes you see",
        ),
    }
    assert both[DESK] == {
        "filled within 300 s, singles": (
            "20.0%",
            "1 of 5 at least 300 s old, 95 % interval 3.6% to 62.4%; 1 younger than 300 s left out",
        ),
        "filled by now, singles": (
            "40.0%",
            "2 of the same 5, 1 of them not seen to end; filled after 300 s: 1 of 2 (50.0%)",
        ),
        "filled within 300 s, combos": (
            "0.0%",
            "0 of 1 at least 300 s old, 95 % interval 0.0% to 79.3%; 0 younger than 300 s left out",
        ),
        "filled by now, combos": (
            "0.0%",
            "0 of the same 1, 0 of them not seen to end; filled after 300 s: 0 of 0",
        ),
        "answered within 5 s": (
            "100.0%",
            "2 own RFQs, live; weighted to all lifetimes 100.0%;"
            " watched: 5-20 s -, 20-60 s 50%, 60-600 s 0%, longer -",
        ),
        "quote spread, singles, median": ("$0.0752", "2 two-sided of 3 last quotes, live"),
        "response, singles, median": ("1.993 s", "3 first quotes, live; p90 (from 50) -"),
    }
    assert both[MAKER] == {
        "quoted of seen, singles": (
            "66.7%",
            "2 of 3 of others, live, 95 % interval 20.8% to 93.9%",
        ),
        "quoted of seen, combos": (
            "100.0%",
            "1 of 1 of others, live, 95 % interval 20.7% to 100.0%",
        ),
        "won": ("2", "of 3 that you quoted and that are over, watched live or not"),
        "hit ratio, singles": ("50.0%", "won 1 of 2 decided, live, 95 % interval 9.5% to 90.5%"),
        "accepts": ("3", "2 executed, 1 still in the confirm window"),
        "lapsed": ("0.0%", "0 of 2 accepts whose window is over, 95 % interval 0.0% to 65.8%"),
        "own latency, singles, median": ("1.495 s", "2 first quotes, live; p90 (from 50) -"),
        "own latency, combos, median": ("0.498 s", "1 first quotes, live; p90 (from 50) -"),
        "quote spread, singles, median": ("$0.0654", "2 two-sided of 2 last quotes, live"),
        "quote spread, combos, median": ("$0.1002", "1 two-sided of 1 last quotes, live"),
    }


def test_a_p90_is_told_from_fifty_on(said: Say) -> None:
    """50 singles answered after 1 s to 50 s: 45.1 s, within 1 %. Of 49 combos none is told."""
    singles = [(rfq(f"s{n}", 0), by("A", f"a{n}", f"s{n}", n + 1, "0.5500")) for n in range(50)]
    combos = [(rfq(f"c{n}", 0, **COMBO), by("A", f"b{n}", f"c{n}", 1, "0.5500")) for n in range(49)]
    rfqs, quotes = zip(*singles, *combos, strict=True)

    desk = said(Shown("desk", rfqs, quotes))

    rests_on, p90 = desk[DESK]["response, singles, median"][1].rsplit(" ", 2)[0:2]
    assert rests_on == "50 first quotes, live; p90 (from 50)"
    assert float(p90) == pytest.approx(45.1, rel=0.01)
    assert desk[DESK]["response, combos, median"][1] == "49 first quotes, live; p90 (from 50) -"


def test_nine_sizes_and_legs_of_every_number_are_told_of_the_market(said: Say) -> None:
    """The six most frequent sizes by name, of equal ones by their text; the three others as one.

    Of 12 RFQs 4 are combos: two of 2 legs, one of 3, one that shows none: 7 legs in 3 combos.
    """
    theirs = {"creator_id": "stranger"}
    sizes = {"0.50": 2, "5.00": 1, "20.00": 1, "70.00": 1, "100.00": 1, "600.00": 1, "2000.00": 1}
    several = [size for size, n in sizes.items() for _ in range(n)]
    rfqs = [rfq(f"r{n}", 100, contracts_fp=size, **theirs) for n, size in enumerate(several)]
    three = {"mve_selected_legs": [*LEGS, {"market_ticker": "KXLEG-2", "side": "no"}]}
    unshown = {"mve_selected_legs": []}
    large = {"contracts_fp": "9000.00", **theirs, **COMBO}
    rfqs += [rfq("two", 100, **large), rfq("too", 100, **large), rfq("three", 100, **large | three)]
    dollars = {"contracts_fp": "0.00", "target_cost_dollars": "25.000000"}
    rfqs += [rfq("unshown", 100, **theirs, **COMBO | unshown | dollars)]

    market = said(Shown("nobody", rfqs))

    assert market[MARKET]["combos"] == ("33.3%", "4 of 12 RFQs")
    assert market[MARKET]["legs of a combo, mean"] == ("2.3", "not shown: 1, 2: 2, 3: 1")
    assert market[MARKET]["sizes"] == (
        "9",
        "5000+ contracts: 3, under 1 contracts: 2, $10-$50 target cost: 1,"
        " 1-10 contracts: 1, 10-50 contracts: 1, 100-500 contracts: 1, other: 3",
    )
    assert market[MARKET]["open RFQs missed"] == (
        "-",
        "not compared yet: the list of open RFQs is once a day, from the second on",
    )


@pytest.mark.parametrize(
    ("viewer", "title"), [("desk", DESK), ("A", MAKER)], ids=["as a desk", "as a maker"]
)
def test_who_has_but_an_execution_whose_rfq_is_gone_is_told_of_it(
    said: Say, viewer: str, title: str
) -> None:
    """Accepted quotes are kept for good, and RFQs are not: one of another account stands beside."""
    quote = followed(by("A", "q", "gone", 1, "0.5500"), accepted=10, confirmed=12, executed=27)
    strangers = closed_rfq("other", 50, 80, creator_id="stranger")

    told = said(Shown(viewer, [strangers], [quote]))

    assert list(told) == [HELD, title]
    if title == DESK:
        assert told[DESK]["filled within 300 s"] == (
            "-",
            "no own RFQ was read within 7 days of its end",
        )
        assert told[DESK]["answered within 5 s"] == ("-", "no own RFQ was read")
    else:
        assert told[MAKER]["accepts"] == ("1", "1 executed, 0 still in the confirm window")
        assert told[MAKER]["hit ratio"] == ("-", "none that you quoted is known to be over, late")


def test_where_nothing_was_watched_the_quote_figures_are_of_what_was_read_late(said: Say) -> None:
    """The maker's quotes on two RFQs that nobody watched: one live RFQ changes whose they are."""
    late = rfq("late", 100, creator_id="stranger")
    live = seen_open(rfq("live", 0, creator_id="stranger"))
    quotes = [
        each | {"rfq_creator_id": "stranger"}
        for each in (by("A", "q1", "late", 101, "0.5500"), by("A", "q2", "live", 2, "0.5500"))
    ]

    unwatched = said(Shown("A", [late], quotes[:1]))
    watched = said(Shown("A", [late, *live], quotes))

    name = "own latency, singles, median"
    assert unwatched[MAKER][name] == ("0.997 s", "1 first quotes, late; p90 (from 50) -")
    assert watched[MAKER][name] == ("1.993 s", "1 first quotes, live; p90 (from 50) -")
