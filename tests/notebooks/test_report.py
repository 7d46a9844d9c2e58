"""The morning page says what the marts say, at any window, and is one file that needs no other."""

import random
import re
import stat
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

from notebooks.report.window import Window, Zone
from tests.accounts import Shown, by, of_maker, published
from tests.metrics.markets import MIDNIGHT, at, closed_rfq, followed
from tests.metrics.markets import rfq as rfq_object
from tests.notebooks.written_pages import WrittenPage

DAY = MIDNIGHT.date()
SEED_DAYS = [date(2026, 11, day) for day in (17, 18, 19, 20)]
ONE_DAY = ("--since", DAY, "--until", DAY + timedelta(days=1), "--zone", "UTC")


def as_table(connection: duckdb.DuckDBPyConnection, mart: str) -> None:
    """Put the rows of a mart in the place of its view, so that a test can change them."""
    connection.execute(f"create table marts.held as from marts.{mart}")
    connection.execute(f"drop view marts.{mart}")
    connection.execute(f"alter table marts.held rename to {mart}")


def now(page: WrittenPage, since: date = DAY) -> dict[str, tuple[float | None, int]]:
    start = f"{since}T00:00:00Z"
    return {name: (v, n) for (name, at), (v, n, _) in page.figures.items() if at == start}


# Worked by hand


def test_a_desk_reads_what_was_worked_by_hand(write_figures: Any, desk: Path) -> None:
    """Five own RFQs of six are 300 s old, one of them filled in time; A answered four, B one."""
    found = now(write_figures(desk, *ONE_DAY))

    assert found["n_rfq_own"] == (6, 6)
    assert found["fill_rate_matured"] == (0.2, 5)
    # Live are the two that the pass at 20 s has watched, each answered within 2 s.
    assert found["response_rate_5s"] == (1.0, 2)
    assert found["response_latency_p50_s"] == (2.0, 3)
    assert found["time_to_fill_p50_s"] == ((27 + 337) / 2, 2)
    # 0.05 and 0.10 of the two-sided last quotes of those that were watched.
    assert found["quote_spread_p50_dollars"] == (pytest.approx(0.075), 2)
    assert found["cover_distance_p50_dollars"] == (None, 0)
    assert found["lapse_rate"] == (0.0, 2)


def test_a_maker_reads_what_was_worked_by_hand(write_figures: Any, maker: Path) -> None:
    """Of four that were watched it quoted three; of the two that are over it won one."""
    found = now(write_figures(maker, *ONE_DAY))

    assert found["n_rfq_seen"] == (6, 6)
    assert found["my_quote_rate"] == (0.75, 4)
    assert found["my_hit_ratio"] == (0.5, 2)
    assert found["my_lapse_rate"] == (0.5, 2)
    assert found["n_executions"] == (1, 1)


# Against SQL


def random_windows() -> list[tuple[int, Window]]:
    chance = random.Random(17)
    found = []
    for seed in range(5):
        first = chance.choice(SEED_DAYS)
        days = timedelta(days=chance.randint(1, 3))
        found.append((seed, Window(first, first + days, chance.choice([Zone.UTC, Zone.NEW_YORK]))))
    return found


RFQS = "from marts.rfq_facts where created_ts >= $since and created_ts < $until and visibility"
QUOTES = (
    "from marts.quote_facts join (select rfq_id, created_ts as asked_ts from marts.rfq_facts)"
    " using (rfq_id) where asked_ts >= $since and asked_ts < $until"
)
OF_DESK = {
    "n_rfq_own": f"select count(*), count(*) {RFQS} = 'own'",
    "fill_rate_matured": "select avg((state = 'executed' and executed_ts - created_ts <="
    f" interval 300 seconds)::int), count(*) {RFQS} = 'own' and is_matured"
    " and capture <> 'backfill'",
    "response_rate_5s": "select avg(coalesce(first_quote_ts <= created_ts + interval 5 seconds,"
    f" false)::int), count(*) {RFQS} = 'own' and capture = $capture",
    "time_to_fill_p50_s": f"select median(time_to_fill_s), count(time_to_fill_s) {RFQS} = 'own'",
    "cover_distance_p50_dollars": "select median(cover_distance)::double, count(cover_distance)"
    f" {RFQS} = 'own' and state = 'executed' and capture = $capture",
    "premium_dollars": "select coalesce(sum(premium_dollars), 0)::double, count(*)"
    f" {QUOTES} and visibility = 'own' and executed_ts is not null and is_reference_accept",
    "quote_spread_p50_dollars": f"select median(quote_spread)::double, count(quote_spread) {QUOTES}"
    " and visibility = 'own' and is_effective and capture = $capture",
    "response_latency_p50_s": f"select median(response_latency_s), count(response_latency_s)"
    f" {QUOTES} and visibility = 'own' and version = 1 and is_valid_response"
    " and capture = $capture",
    "lapse_rate": f"select avg(is_lapsed::int), count(*) {QUOTES} and visibility = 'own'"
    " and is_accept_matured",
}
OF_MAKER = {
    "n_rfq_seen": f"select count(*), count(*) {RFQS} <> 'own'",
    "my_response_latency_p50_s": "select median(response_latency_s), count(response_latency_s)"
    f" {QUOTES} and visibility = 'quoted' and version = 1 and is_valid_response"
    " and capture = $capture",
    "n_executions": f"select count(*), count(*) {QUOTES} and visibility = 'quoted'"
    " and executed_ts is not null",
}


@pytest.mark.parametrize(("seed", "window"), random_windows())
@pytest.mark.parametrize(("account", "wanted"), [("desk", OF_DESK), ("maker", OF_MAKER)])
def test_values_of_the_page_are_those_of_sql_over_the_marts(
    write_figures: Any,
    seed_one: dict[str, Path],
    account: str,
    wanted: dict[str, str],
    seed: int,
    window: Window,
) -> None:
    page = write_figures(
        seed_one[account], "--since", window.first, "--until", window.until, "--zone", window.zone
    )

    spans = [(window.since_ts, window.until_ts), (window.before_ts, window.since_ts)]
    with duckdb.connect(seed_one[account], read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        for since, until in spans:
            for metric, query in wanted.items():
                asked = {"since": since, "until": until}
                if "$capture" in query:
                    asked["capture"] = capture_of(connection, account, window)
                ((value, n),) = connection.execute(query, asked).fetchall()
                shown = page.figures[metric, f"{since:%Y-%m-%dT%H:%M:%SZ}"]
                assert shown[:2] == (value if value is None else pytest.approx(value), n), metric
                assert shown[2] == f"{until:%Y-%m-%dT%H:%M:%SZ}"


def capture_of(connection: Any, account: str, window: Window) -> str:
    whose = "own" if account == "desk" else "quoted"
    ((n,),) = connection.execute(
        "select count(*) from marts.rfq_facts where capture = 'live' and visibility = $1"
        " and created_ts >= $2 and created_ts < $3",
        [whose, window.before_ts, window.until_ts],
    ).fetchall()
    return "live" if n else "late"


def test_days_of_utc_add_up_to_the_marts_that_are_cut_by_day(
    write_figures: Any, seed_one: dict[str, Path]
) -> None:
    """The parts of the marts are another way to the same figures."""
    first, until = SEED_DAYS[1], SEED_DAYS[3]
    span = f"cohort_date >= '{first}' and cohort_date < '{until}'"
    queries = {
        "desk": {
            "fill_rate_matured": "select sum(fill_rate_matured_numerator) /"
            " sum(fill_rate_matured_denominator), sum(fill_rate_matured_denominator)"
            f" from marts.fill_rates where visibility = 'own' and capture <> 'backfill' and {span}",
            "lapse_rate": "select sum(n_lapsed) / sum(n_accepts_matured), sum(n_accepts_matured)"
            f" from marts.makers where visibility = 'own' and {span}",
            "abandonment_rate": "select sum(n_abandoned) / sum(n_answered_ended),"
            f" sum(n_answered_ended) from marts.watched_by_day where capture = 'late' and {span}",
        },
        "maker": {
            "my_hit_ratio": "select sum(n_rfq_won) / sum(n_rfq_decided), sum(n_rfq_decided)"
            f" from marts.my_day where capture = 'late' and {span}",
            "my_quote_rate": "select sum(n_rfq_quoted) / sum(n_rfq_seen), sum(n_rfq_seen)"
            f" from marts.my_day where capture = 'late' and {span}",
            "my_lapse_rate": "select sum(n_lapsed) / sum(n_accepts_matured),"
            f" sum(n_accepts_matured) from marts.my_day where {span}",
        },
    }
    for account, wanted in queries.items():
        page = write_figures(seed_one[account], "--since", first, "--until", until, "--zone", "UTC")
        with duckdb.connect(seed_one[account], read_only=True) as connection:
            for metric, query in wanted.items():
                ((value, n),) = connection.execute(query).fetchall()
                assert now(page, first)[metric] == (pytest.approx(value), n), metric


CHART_ROWS = {
    "died_where_requester": "select bucket, sum(n_rfq) from marts.outcomes"
    " where role = 'requester' and {span} group by bucket order by sum(n_rfq) desc, bucket",
    "died_where_maker": "select bucket, sum(n_rfq) from marts.outcomes"
    " where role = 'maker' and {span} group by bucket order by sum(n_rfq) desc, bucket",
    "lost_quotes": "select reason, count(*) from marts.lost_quotes where is_effective and {span}"
    " group by reason order by count(*) desc, reason",
    "spread_by_legs": "select n_legs::varchar, if(n_legs = 1, 'singles', 'combos'), sum(n_spread)"
    " from marts.quote_spreads where visibility = 'own' and capture = 'late' and n_legs <= 5"
    " and maker_id is not null and {span} group by n_legs having sum(n_spread) > 0 order by n_legs",
    "makers": "select left(maker_id, 8), sum(n_rfq_quoted), sum(n_rfq_decided), sum(n_rfq_won)"
    " from marts.makers where visibility = 'own' and capture = 'late' and {span} group by maker_id"
    " order by sum(n_rfq_won) desc, sum(n_rfq_decided) desc, maker_id limit 12",
    "hits_by_latency": "select cut.latency_bucket, sum(cut.n_decided), sum(cut.n_won) from"
    " (select unnest(hit_ratio_by_latency) as cut from marts.my_day where capture = 'late'"
    " and {span}) group by 1 order by marts.bucket_start(any_value(cut.latency_bucket))",
    "coverage": "select cohort_date, verdict from marts.trust order by cohort_date",
}


@pytest.mark.parametrize("account", ["desk", "maker"])
def test_the_rows_of_charts_are_those_of_the_marts(
    write: Any, seed_one: dict[str, Path], account: str
) -> None:
    first, until = SEED_DAYS[1], SEED_DAYS[3]
    span = f"cohort_date >= '{first}' and cohort_date < '{until}'"

    page = write(seed_one[account], "--since", first, "--until", until, "--zone", "UTC")

    shown = CHART_ROWS.keys() & page.charts.keys()
    assert len(shown) >= 3
    with duckdb.connect(seed_one[account], read_only=True) as connection:
        for name in shown:
            rows = connection.execute(CHART_ROWS[name].format(span=span)).fetchall()
            told = [[str(cell) for cell in row] for row in rows]
            cells = [row[: len(told[0])] for row in page.charts[name].cells[: len(told)]]
            assert [[c.replace(",", "") for c in row] for row in cells] == told, name


@pytest.mark.parametrize("account", ["desk", "maker"])
def test_no_chart_is_blank_and_none_is_a_copy(
    write: Any, seed_one: dict[str, Path], account: str
) -> None:
    """Each is drawn of its own rows: their texts stand in the picture."""
    page = write(seed_one[account], "--since", SEED_DAYS[0], "--until", SEED_DAYS[3])

    assert len(page.charts) >= 9
    descriptions = [chart.description for chart in page.charts.values()]
    assert len(set(descriptions)) == len(descriptions)
    for chart in page.charts.values():
        assert chart.n_rows == len(chart.cells) > 0, chart.name
        assert chart.has_svg
        assert len(chart.description) > 60
        first = chart.cells[0][0].replace("_", " ").removesuffix(" target cost")
        drawn = " ".join(chart.texts)
        if chart.name in ("fills_by_day", "hits_by_day", "coverage"):
            first = f"{date.fromisoformat(first):%a}"
        assert first[:10] in drawn, chart.name
    drawings = {" ".join(chart.texts) for chart in page.charts.values()}
    assert len(drawings) == len(page.charts)


# The file


def test_the_page_needs_nothing_else_and_tells_no_address(
    write: Any, seed_one: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text("yesterday's")

    page = write(seed_one["desk"])

    text = (tmp_path / "page.html").read_text()
    assert len(text) < 1_500_000
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form", "input"}
    assert not re.search(r"https?:|//\w|url\((?!#)|@import|\son\w+=", text)
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_what_is_not_here_is_said(write_figures: Any, desk: Path) -> None:
    told = " ".join(write_figures(desk, *ONE_DAY).text)

    for missing in ("fees", "settlement", "profit and loss", "markouts", "calibration", "titles"):
        assert missing in told


@pytest.mark.parametrize("is_watched", [True, False])
def test_who_has_quoted_nothing_is_told_whether_anybody_watched(
    write_figures: Any, tmp_path: Path, is_watched: bool
) -> None:
    """A maker that was away for weeks: what it saw was watched while it was open, or read late."""
    weeks_ago_s = -20 * 86_400
    asked = [
        closed_rfq(f"r{n}", created_s, created_s + 60, creator_id="stranger")
        for n, created_s in enumerate((weeks_ago_s, 10 if is_watched else 100))
    ]
    answers = [by("maker", "q", "r0", weeks_ago_s + 2, "0.5500")]
    shown = published(tmp_path / "rfq.duckdb", Shown("maker", asked, answers))

    page = write_figures(shown.path, *ONE_DAY)

    assert now(page)["n_rfq_seen"] == (1, 1)
    assert now(page)["my_quote_rate"] == (0.0, 1)
    assert "No quote is held of the window" in " ".join(page.text)
    assert ("was watched live" in " ".join(page.text)) is not is_watched


def test_the_default_is_the_last_complete_day_of_new_york(
    write_figures: Any, seed_one: dict[str, Path]
) -> None:
    """Data ends on 20 November at noon UTC, so the 19th is the last that is over."""
    page = write_figures(seed_one["desk"])

    new_york = ZoneInfo("America/New_York")
    starts = {
        f"{datetime(2026, 11, day, tzinfo=new_york).astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        for day in (12, 19)
    }
    assert {at for _, at in page.figures} == starts


def test_no_time_is_below_nothing(write_figures: Any, seed_one: dict[str, Path]) -> None:
    """Of twenty fills the notch around the median of the times is wider than that median."""
    told = " ".join(write_figures(seed_one["desk"]).text)

    assert "0.000 s – 25.3 s" in told
    assert not re.search(r"-[\d.]+ (s|min)\b", told)


def test_at_most_seven_things_need_attention_each_with_its_place(
    write_figures: Any, seed_one: dict[str, Path]
) -> None:
    page = write_figures(seed_one["desk"])

    assert 1 <= len(page.attention) <= 7
    assert page.attention[0][0] == "day"
    assert "were watched live" in page.attention[0][1]


# Charts and attention, worked by hand


def test_the_curves_let_closing_compete_and_censor_what_is_open(write: Any, desk: Path) -> None:
    """Of five singles one fills at 27 s, one closes at 58 s, the young one is censored at 100 s,
    one fills at 337 s and one is open at 500 s: 1/5, and 3/5 x 1/2 more. The combo closes."""
    rows = write(desk, *ONE_DAY).charts["fill_curves"].cells

    of_singles = [row for row in rows if row[0] == "singles"]
    assert [row[6] for row in of_singles] == ["20.0 %", "20.0 %", "20.0 %", "50.0 %", "50.0 %"]
    assert [row[2] for row in of_singles] == ["5", "4", "3", "2", "1"]
    assert [row[6] for row in rows if row[0] == "combos"] == ["0.0 %"]


def test_a_maker_sees_on_which_requesters_its_fills_rest(write: Any, maker: Path) -> None:
    """One quote was executed, of 100 contracts, and the execution showed who had asked."""
    rows = write(maker, *ONE_DAY).charts["requester_concentration"].cells

    assert rows == [["stranger", "1", "100.00", "100.0 %", "1.00", "1.00"]]


def test_a_day_without_live_rfqs_takes_no_late_ones_of_the_days_before(
    write_figures: Any, tmp_path: Path
) -> None:
    """Two were watched the day before and answered at once; today's one and a third were not."""
    rfqs = [rfq_object(f"r{n}", 100 * n) for n in range(4)]
    quotes = [by("A", f"q{n}", f"r{n}", 100 * n + 1, "0.5500") for n in range(3)]
    path = published(tmp_path / "rfq.duckdb", Shown("desk", rfqs, quotes)).path
    with duckdb.connect(path) as connection:
        as_table(connection, "rfq_facts")
        connection.execute(
            "update marts.rfq_facts set capture = if(rfq_id in ('r0', 'r1'), 'live', 'late')"
        )
        connection.execute(
            "update marts.rfq_facts set created_ts = created_ts - interval 1 day, first_quote_ts ="
            " first_quote_ts - interval 1 day, cohort_date = cohort_date - 1 where rfq_id <> 'r2'"
        )

    figures = write_figures(path, *ONE_DAY).figures

    before = f"{DAY - timedelta(days=7)}T00:00:00Z"
    assert figures["response_rate_5s", f"{DAY}T00:00:00Z"][:2] == (None, 0)
    assert figures["response_rate_5s", before][:2] == (1.0, 2)


def test_contracts_and_premium_are_also_of_rfqs_that_are_gone(
    write_figures: Any, tmp_path: Path
) -> None:
    """100 contracts bought at 45 cents on an RFQ of ours that the exchange has forgotten."""
    stages = {"accepted": 11, "confirmed": 12, "executed": 27}
    quotes = [followed(by("A", "q1", "gone", 10, "0.5500"), **stages)]
    path = published(tmp_path / "rfq.duckdb", Shown("desk", [rfq_object("r1", 0)], quotes)).path

    found = now(write_figures(path, *ONE_DAY))

    assert found["n_rfq_own"] == (1, 1)
    assert (found["executed_contracts"], found["premium_dollars"]) == ((100.0, 1), (45.0, 1))


def test_the_n_of_a_sum_is_of_what_is_in_it(write_figures: Any, tmp_path: Path) -> None:
    """Of two executions one does not show which side was hit, and so neither size nor price."""
    stages = {"accepted": 11, "confirmed": 12, "executed": 27}
    quotes = [followed(by("A", f"q{n}", f"gone{n}", 10, "0.5500"), **stages) for n in (1, 2)]
    quotes[1].pop("accepted_side")
    path = published(tmp_path / "rfq.duckdb", Shown("desk", [rfq_object("r1", 0)], quotes)).path

    found = now(write_figures(path, *ONE_DAY))

    assert (found["executed_contracts"], found["premium_dollars"]) == ((100.0, 1), (45.0, 1))


def test_days_before_the_record_are_missing(write_figures: Any, desk: Path) -> None:
    """A window that begins before anything was held is not whole."""
    before = DAY - timedelta(days=2)

    page = write_figures(
        desk, "--since", before, "--until", DAY + timedelta(days=1), "--zone", "UTC"
    )

    told = " ".join(page.text)
    assert f"{before:%-d %b} missing" in told
    assert "The record of these days is whole" not in told


def test_a_requester_is_who_showed_itself_while_the_rfq_was_open(
    write: Any, tmp_path: Path
) -> None:
    """R hid itself, and an execution told who had asked the one that A won: no ratio of one."""
    hidden = {"creator_id": "", "observed_ts": at(100)}
    theirs = {"rfq_creator_id": "R", "observed_ts": at(100)}
    rfqs = [closed_rfq(f"r{n}", 10 * n, 10 * n + 5, **hidden) for n in range(3)]
    rfqs[0] |= {"creator_id": "R"}
    quotes = [by("A", f"q{n}", f"r{n}", 10 * n + 1, "0.5500") | theirs for n in range(3)]
    quotes[0] = followed(quotes[0], accepted=2, confirmed=3, executed=4)
    path = published(tmp_path / "rfq.duckdb", Shown("A", rfqs, quotes)).path

    rows = write(path, *ONE_DAY).charts["requesters"].cells

    assert [(row[0], row[1]) for row in rows] == [("hidden", "3")]


def test_a_market_that_was_not_read_to_its_end_comes_first(
    write_figures: Any, tmp_path: Path
) -> None:
    shown = Shown("A", *of_maker(), is_market_complete=False)

    page = write_figures(published(tmp_path / "rfq.duckdb", shown).path, *ONE_DAY)

    kind, text = page.attention[0]
    assert kind == "market"
    assert text.startswith("The market's list is still being read")


def test_what_was_rejected_and_who_leads_in_lapses_needs_attention(
    write_figures: Any, tmp_path: Path
) -> None:
    """Yesterday A let two accepts lapse and B one; today B does two, and A none."""
    lapsed = [("A", 0), ("A", 100), ("B", 200), ("B", 300), ("B", 400)]
    rfqs = [rfq_object(f"r{at_s}", at_s) for _, at_s in lapsed]
    quotes = [
        followed(by(who, f"q{at_s}", f"r{at_s}", at_s + 1, "0.5500"), accepted=at_s + 10)
        for who, at_s in lapsed
    ]
    database = published(tmp_path / "rfq.duckdb", Shown("desk", rfqs, quotes)).path
    with duckdb.connect(database) as connection:
        as_table(connection, "rfq_facts")
        for table in ("rfq_facts", "quote_facts"):
            connection.execute(
                f"update marts.{table} set created_ts = created_ts - interval 1 day,"
                " cohort_date = cohort_date - 1 where rfq_id in ('r0', 'r100', 'r200')"
            )
        connection.execute("update raw.extraction_runs set rejected_rows = 1")

    page = write_figures(database, *ONE_DAY)

    told = dict(page.attention)
    assert told["rejected"].startswith("3 times a row could not be read")
    assert told["lapses"] == "B let most accepts lapse: 2; before, it was A."
