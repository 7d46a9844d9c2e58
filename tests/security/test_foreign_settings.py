"""No setting of a library, in the environment or in a file, changes a table or ends a run."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines import job
from pipelines.kalshi.extraction import LoadSettings
from pipelines.kalshi.settings import NAMES
from pipelines.sandbox import Account, ManualClock, Market
from pipelines.store.database import Database
from tests.running import access_of, ignore
from tests.security.hostile import as_environment, as_toml, hostile_settings

RFQ = Path(sys.executable).with_name("rfq")
# Settings of the other libraries and of Python that ended a run or might: 70 with SSLKEYLOGFILE.
OTHERS = {
    "DLT_DATA_DIR": "/proc/nowhere",
    "DLT_DEFAULT_NAMING_MODULE": "nowhere",
    "DLT_DLT_ID_LENGTH_BYTES": "no number",
    "DLT_INTERVAL_START": "2026-11-20T00:00:00Z",
    "DLT_LOCAL_DIR": "/proc/nowhere",
    "DLT_PROJECT_DIR": "/proc/nowhere",
    "DLT_USE_JSON": "simplejson",
    "POLARS_ENGINE_AFFINITY": "streaming",
    "POLARS_IGNORE_TIMEZONE_PARSE_ERROR": "1",
    "POLARS_MAX_THREADS": "no number",
    "POLARS_TEMP_DIR": "/proc/nowhere",
    "ARROW_DEFAULT_MEMORY_POOL": "nowhere",
    "SSL_CERT_FILE": "/proc/nowhere",
    "SSLKEYLOGFILE": "/proc/nowhere",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
    "TERMINAL_WIDTH": "no number",
    "COLUMNS": "no number",
    "NO_COLOR": "1",
    "_RFQ_COMPLETE": "source_bash",
    "PYTHONWARNINGS": "error",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "LC_ALL": "C",
    "TZ": "America/New_York",
    "PYTHONTZPATH": "/proc/nowhere",
    "TMPDIR": "/proc/nowhere",
}
# Notes what Python opens or makes: for writing, or in a folder with dlt's settings.
AUDIT = """
import os, sys
noted = os.open(os.environ["NOTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
def note(event, arguments):
    if event not in ("open", "os.mkdir") or not isinstance(arguments[0], str):
        return
    writes = event == "os.mkdir" or (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or "dlt/" in arguments[0].replace("site-packages/dlt/", ""):
        os.write(noted, (os.path.abspath(arguments[0]) + "\\n").encode())
sys.addaudithook(note)
"""
# When and under which number a run read something is its own.
OF_THE_RUN = "_dlt_%|run_id|started_ts|ended_ts|gap_s|clock_skew_s|built_ts|seal|checked_ts"
# How long a run took, and which file it has published.
TABLES_OF_THE_RUN = ("run_phases", "published_files")


@dataclass
class Desk:
    """A folder in which a desk runs `rfq`, with a home beside it."""

    folder: Path
    base_url: str
    account: Account

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def settings(self) -> Path:
        return self.folder / ".dlt"

    def copy(self, name: str) -> "Desk":
        copied = Path(shutil.copytree(self.folder, self.folder.with_name(name)))
        return Desk(copied, self.base_url, self.account)

    def run(self, hostile: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        watched = self.folder / "watched"
        shutil.rmtree(watched, ignore_errors=True)
        watched.mkdir()
        (watched / "sitecustomize.py").write_text(AUDIT)
        environment = {
            **(hostile or {}),
            "HOME": str(self.home),
            "PYTHONPATH": str(watched),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NOTED": str(watched / "noted"),
            "SOURCES__KALSHI__API_KEY_ID": self.account.api_key_id,
            "SOURCES__KALSHI__PRIVATE_KEY": self.account.private_key_pem + "\n",
            "SOURCES__KALSHI__BASE_URL": self.base_url,
        }
        return subprocess.run(
            [RFQ, "run"], cwd=self.folder, env=environment, capture_output=True, text=True
        )

    def touched(self) -> list[str]:
        """What the last run opened to write, or in a folder of dlt's, outside of this folder."""
        noted = (self.folder / "watched" / "noted").read_text().splitlines()
        outside = {path for path in noted if not f"{path}/".startswith(f"{self.folder}/")}
        return sorted(outside - {os.devnull})


@pytest.fixture
def plain(tmp_path: Path, exchange: Any, desk: Account, market: Market, maker: Account) -> Desk:
    """A desk that has run once, after which more has happened on the exchange."""
    made = Desk(tmp_path / "plain", exchange.base_url, desk)
    made.home.mkdir(parents=True)
    made.settings.mkdir()
    trade(market, desk, maker, "A")
    job.run(Database(made.folder / "rfq.duckdb"), access_of(exchange, desk, LoadSettings()), ignore)
    trade(market, desk, maker, "B")
    return made


@pytest.fixture
def clock() -> ManualClock:
    """Some hours ago, as our own clock is the real one here."""
    return ManualClock(datetime.now(UTC) - timedelta(hours=3))


def trade(market: Market, desk: Account, maker: Account, name: str) -> None:
    """An RFQ that fills, one that does not, and more time than the overlap covers."""
    for number in range(2):
        rfq = market.create_rfq(desk, market_ticker=f"KXONE-26-{name}{number}", contracts_fp="9.00")
        market.clock.advance(1.5)
        quote = market.create_quote(maker, rfq_id=rfq, yes_bid="0.4000", no_bid="0.5500")
        market.clock.advance(1.5)
    market.accept_quote(desk, quote, accepted_side="yes")
    market.clock.advance(1.0)
    market.confirm_quote(maker, quote)
    market.clock.advance(900.0)


def tables(desk: Desk) -> dict[str, list[Any]]:
    """Every row of both files, by table, without what is a run's own."""
    found: dict[str, list[Any]] = {}
    own = " or ".join(f"name like '{each}'" for each in OF_THE_RUN.split("|"))
    for name in ("rfq.duckdb", "rfq.private.duckdb"):
        with duckdb.connect(desk.folder / name, read_only=True) as connection:
            names = connection.execute(
                "select schema_name || '.' || table_name from duckdb_tables()"
                " where schema_name in ('raw', 'staging', 'marts') and table_name not like '_dlt%'"
                " and table_name not in (select unnest($1))",
                [TABLES_OF_THE_RUN],
            ).fetchall()
            for (table,) in names:
                query = f"select columns(lambda name: not ({own})) from {table} order by all"
                found[f"{name} {table}"] = connection.execute(query).fetchall()
    return found


def test_no_setting_of_a_library_changes_a_table_or_leads_out_of_the_folder(plain: Desk) -> None:
    by_environment, by_file = plain.copy("by environment"), plain.copy("by file")
    lay_files(by_file)

    ended = plain.run()
    environment = by_environment.run(as_environment(hostile_settings(NAMES)) | OTHERS)
    files = by_file.run({"XDG_DATA_HOME": str(by_file.home / "data")})

    assert [ended.returncode, environment.returncode, files.returncode] == [0, 0, 0]
    as_they_are = tables(plain)
    assert len(as_they_are["rfq.private.duckdb raw.rfq_versions"]) == 4
    assert tables(by_environment) == as_they_are
    assert tables(by_file) == as_they_are
    assert list(by_environment.home.iterdir()) == []
    assert [by_environment.touched(), by_file.touched()] == [[], []]
    assert f"{by_file.home}/" not in (by_file.folder / "watched" / "noted").read_text()
    (line,) = (line for line in environment.stderr.splitlines() if "without effect" in line)
    assert "in the environment: SOURCES__KALSHI__" in line


def lay_files(desk: Desk) -> None:
    """Every key of dlt in the folder that a run starts in, and in both of dlt's global homes."""
    text = as_toml(hostile_settings(NAMES))
    for folder in (desk.settings, desk.home / ".dlt", desk.home / "data" / "dlt"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("config.toml", "secrets.toml"):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
