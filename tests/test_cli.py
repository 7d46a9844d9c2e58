"""The command line: one message and one exit code for whatever goes wrong, and no key in it."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.commands import progress
from pipelines.sandbox import Account, Bucket, ManualClock, Market
from pipelines.store.database import Database
from tests.running import LOGGED, Command, Ended, read

pytestmark = pytest.mark.usefixtures("few_marts")


def assert_shows_no_key(ended: Ended, desk: Account) -> None:
    body = desk.private_key_pem.splitlines()[1]
    assert body not in ended.out + ended.err
    assert desk.api_key_id not in ended.out + ended.err
    assert "Traceback" not in ended.err


def test_a_run_ends_with_what_it_found(
    every_mart: None,
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    desk: Account,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the M that is configured, which the marts show as well."""
    monkeypatch.setenv("TRANSFORMS__MATURITY_S", "3600")
    # No bucket holds what a list costs, so that every call has to wait.
    market.behavior = replace(market.behavior, read_bucket=Bucket(1_000, 5))
    market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")

    ended = rfq("run", "--base-url", exchange.base_url, "--database", database.path)

    assert ended.code == 0
    first, *lines = ended.out.splitlines()
    assert first == f"published: {database.path}, as of 2026-11-20 12:00:00 UTC"
    assert lines[0] == "RFQs: 1 (your own 1; of others 0 that you quoted, 0 that you did not)"
    assert any(line.startswith("filled within 3600 s, singles: - (none is") for line in lines)
    assert read(database, "select maturity_s from marts.build_info") == [(3600.0,)]
    lines = [line for line in ended.err.splitlines() if "tokens" in line]
    (market_line,) = (line for line in lines if "rfqs_market" in line)
    # Our own list had shown it before.
    assert "rfqs_market: 1 pages, 1 rows, 0 new, at 2026-11-20 12:00 UTC · " in market_line
    assert re.search(r" · budget \d+ tokens \+ 1,000/s, waited \d+\.\d s$", market_line)
    assert not lines[-1].endswith("waited 0.0 s")


def test_a_long_load_says_now_and_then_where_it_stands_also_in_a_log(
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    maker: Account,
    clock: ManualClock,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    for n in range(250):
        closed = market.create_rfq(maker, market_ticker=f"KXONE-26-{n}", contracts_fp="10.00")
        market.delete_rfq(maker, closed)
        clock.advance(60)

    ended = rfq("load", "--base-url", exchange.base_url, "--database", database.path)

    said = (LOGGED.sub("", line) for line in ended.err.splitlines())
    lines = [line for line in said if line.startswith("rfqs_market")]
    assert [line.split(" · ")[0] for line in lines] == [
        "rfqs_market: 1 pages, 100 rows, 100 new, at 2026-11-20 14:30 UTC",
        "rfqs_market: 3 pages, 250 rows, 250 new, at 2026-11-20 12:00 UTC",
        "rfqs_market: 3 pages, 250 rows, 250 new, at 2026-11-20 12:00 UTC",
    ]


def test_load_then_build_publishes_what_run_would(
    rfq: Command, key: Path, exchange: Any, market: Market, desk: Account, database: Database
) -> None:
    market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")

    loaded = rfq("load", "--base-url", exchange.base_url, "--database", database.path)
    assert not database.path.exists()
    built = rfq("build", "--database", database.path)
    status = rfq("status", "--database", database.path)

    assert (loaded.code, built.code, status.code) == (0, 0, 0)
    assert "rfq_versions: 1 new" in loaded.out
    assert "rfqs_market" in status.out
    assert "gone before they were loaded" in status.out


def test_the_status_of_a_file_that_an_earlier_version_published_says_what_to_do(
    rfq: Command, key: Path, exchange: Any, database: Database
) -> None:
    rfq("run", "--base-url", exchange.base_url, "--database", database.path)
    with duckdb.connect(database.path) as connection:
        connection.execute("drop table raw.coverage")

    status = rfq("status", "--database", database.path)

    assert status.code == 78
    assert "`rfq build` makes it anew" in status.err
    assert rfq("build", "--database", database.path).code == 0
    assert rfq("status", "--database", database.path).code == 0


def test_no_key_is_a_matter_of_configuration(rfq: Command, exchange: Any, tmp_path: Path) -> None:
    ended = rfq("run", "--base-url", exchange.base_url, "--database", tmp_path / "x.duckdb")

    assert ended.code == 78
    assert "API_KEY_ID" in ended.err


def test_a_key_that_others_can_read_is_refused(
    rfq: Command, key: Path, exchange: Any, desk: Account, tmp_path: Path
) -> None:
    key.chmod(0o644)

    ended = rfq("run", "--base-url", exchange.base_url, "--database", tmp_path / "x.duckdb")

    assert ended.code == 77
    assert "chmod" in ended.err
    assert_shows_no_key(ended, desk)


def test_a_key_that_is_no_key_is_refused(
    rfq: Command, key: Path, exchange: Any, desk: Account, tmp_path: Path
) -> None:
    key.write_text("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n")

    ended = rfq("run", "--base-url", exchange.base_url, "--database", tmp_path / "x.duckdb")

    assert ended.code == 77
    assert "nonsense" not in ended.err


def test_a_key_that_may_write_is_refused_where_the_exchange_tells(
    rfq: Command, key: Path, exchange: Any, market: Market, desk: Account, tmp_path: Path
) -> None:
    market.behavior = replace(market.behavior, tells_scopes=True)

    ended = rfq("run", "--base-url", exchange.base_url, "--database", tmp_path / "x.duckdb")

    assert ended.code == 77
    assert "scope write" in ended.err
    assert "allow_writing_key = true" in ended.err
    assert not (tmp_path / "x.duckdb").exists()
    assert_shows_no_key(ended, desk)


def test_a_key_file_that_is_not_there_is_named(
    rfq: Command, key: Path, exchange: Any, tmp_path: Path
) -> None:
    key.unlink()

    ended = rfq("run", "--base-url", exchange.base_url, "--database", tmp_path / "x.duckdb")

    assert ended.code in (77, 78)
    assert str(key) in ended.err


def test_a_wrong_key_id_is_refused_by_the_exchange(
    rfq: Command,
    key: Path,
    exchange: Any,
    desk: Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOURCES__KALSHI__API_KEY_ID", "00000000-0000-4000-8000-000000000000")

    ended = rfq("run", "--base-url", exchange.base_url, "--database", tmp_path / "x.duckdb")

    assert ended.code == 77
    assert not (tmp_path / "x.duckdb").exists()
    assert_shows_no_key(ended, desk)


def test_an_exchange_that_does_not_answer_is_unavailable(
    rfq: Command, key: Path, desk: Account, tmp_path: Path
) -> None:
    ended = rfq(
        "run",
        "--base-url",
        "http://127.0.0.1:9/trade-api/v2",
        "--database",
        tmp_path / "x.duckdb",
    )

    assert ended.code == 69
    assert_shows_no_key(ended, desk)


def test_a_base_url_of_nobodys_exchange_is_refused(
    rfq: Command, key: Path, desk: Account, tmp_path: Path
) -> None:
    ended = rfq(
        "run",
        "--base-url",
        "https://exchange.example/trade-api/v2",
        "--database",
        tmp_path / "x.duckdb",
    )

    assert ended.code == 78
    assert "allow-unknown-host" in ended.err or "allow_unknown_host" in ended.err


def test_a_file_that_is_not_duckdb_is_left_as_it_is(
    rfq: Command, key: Path, exchange: Any, tmp_path: Path
) -> None:
    thesis = tmp_path / "thesis.duckdb"
    thesis.write_text("years of work, and not a database")

    ended = rfq("run", "--base-url", exchange.base_url, "--database", thesis)

    assert ended.code == 78
    assert "not a DuckDB database" in ended.err
    assert thesis.read_text() == "years of work, and not a database"


def test_a_private_file_open_elsewhere_means_try_again_later(
    rfq: Command, key: Path, exchange: Any, database: Database
) -> None:
    holder = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); input()"
    )
    import subprocess

    with subprocess.Popen(
        [sys.executable, "-c", holder, str(database.private_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"

        ended = rfq("run", "--base-url", exchange.base_url, "--database", database.path)

        process.communicate("\n")
    assert ended.code == 75
    assert "open in another program" in ended.err


def test_two_runs_at_once_leave_one_at_work(
    rfq: Command, key: Path, exchange: Any, database: Database
) -> None:
    with database.held():
        ended = rfq("run", "--base-url", exchange.base_url, "--database", database.path)

    assert ended.code == 75
    assert "another run" in ended.err


def test_a_database_keeps_to_one_exchange(
    rfq: Command, key: Path, exchange: Any, database: Database
) -> None:
    rfq("run", "--base-url", exchange.base_url, "--database", database.path)
    with duckdb.connect(database.private_path) as connection:
        connection.execute("update raw.extraction_runs set origin = 'https://demo.example'")

    ended = rfq("run", "--base-url", exchange.base_url, "--database", database.path)

    assert ended.code == 78
    assert "choose another file" in ended.err


def test_a_missing_database_says_how_to_make_one(rfq: Command, tmp_path: Path) -> None:
    ended = rfq("status", "--database", tmp_path / "none.duckdb")

    assert ended.code == 5
    assert ended.out.startswith("never_ran: nothing was published yet: `rfq run` does it\n")


def test_wrong_usage_ends_with_two(rfq: Command) -> None:
    assert rfq("sandbox", "recorded.json").code == 2
    assert rfq("run", "--no-such-option").code == 2
    assert rfq("build", "--as-of", "soon").code == 2


@pytest.mark.parametrize("command", ["run", "load", "backfill", "build", "status", "sandbox"])
def test_every_command_explains_itself_with_an_example(rfq: Command, command: str) -> None:
    ended = rfq(command, "--help")

    assert ended.code == 0
    assert f"rfq {command}" in ended.out


def test_the_published_file_shows_no_private_field(
    every_mart: None,
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    desk: Account,
    maker: Account,
    database: Database,
) -> None:
    rfq_id = market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.4000", no_bid="0.5500")

    rfq("run", "--base-url", exchange.base_url, "--database", database.path)

    with database.reading() as connection:
        columns = {
            name
            for (name,) in connection.execute(
                "select distinct column_name from information_schema.columns"
            ).fetchall()
        }
    private = ("user_id", "order_id", "subaccount", "post_only")
    assert [name for name in columns if name.endswith(private)] == []
    assert desk.user_id.encode() not in database.path.read_bytes()
    assert json.dumps(desk.user_id)[1:-1].encode() in database.private_path.read_bytes()


def test_a_backfill_reads_the_span_again(
    rfq: Command,
    key: Path,
    exchange: Any,
    market: Market,
    desk: Account,
    maker: Account,
    database: Database,
) -> None:
    rfq_id = market.create_rfq(desk, market_ticker="KXONE-26-A", contracts_fp="10.00")
    market.create_quote(maker, rfq_id=rfq_id, yes_bid="0.4000", no_bid="0.5500")
    where = ("--base-url", exchange.base_url, "--database", database.path)

    ended = rfq("backfill", "--since", "2026-11-19", "--until", "2026-11-20T13:00:00", *where)

    assert ended.code == 0
    assert "backfill_received: 2 pages" in ended.err
    assert rfq("backfill", "--since", "2026-11-20", "--until", "2026-11-19", *where).code == 2


def test_every_file_after_replay_is_replayed(rfq: Command) -> None:
    recorded = Path(__file__).parent / "recorded" / "requester_view.json"

    ended = rfq("sandbox", "--replay", recorded, "no-such-quotes.json")

    assert ended.code == 78
    assert "no-such-quotes.json" in ended.err
