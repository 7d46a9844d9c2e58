"""A sandbox exchange on a real socket, and real DuckDB files."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from pipelines import building, effects, entry, job
from pipelines.commands import summary
from pipelines.commands.headline import headline
from pipelines.kalshi.extraction import LoadSettings
from pipelines.sandbox import Account, ManualClock, Market, serve
from pipelines.store.database import Database
from tests.running import COMMENTS, UNHURRIED, Command, Ended, access_of, build_few, ignore
from transforms import catalogue
from transforms.marts import MARTS

# The gate tries the same examples every time, and a slow machine is no failure.
settings.register_profile("gate", deadline=None, derandomize=True)
settings.load_profile("gate")

# Comparisons with other libraries run in a second step, after `tests/peers.lock` is installed: what
# they bring along would change how the rest runs.
collect_ignore = [] if importlib.util.find_spec("lifelines") else ["peers"]

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _a_command_of_its_own() -> None:
    """What an earlier test in this process did and how long it took is nobody else's to tell."""
    effects.begin(None)


@pytest.fixture(scope="module")
def few_marts() -> Iterator[None]:
    """Build only the marts that a module looks at, which it says with `usefixtures`."""
    with pytest.MonkeyPatch.context() as patch:
        build_few(patch.setattr)
        yield


@pytest.fixture
def every_mart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Build all of them after all, as what a command shows asks more of them."""
    monkeypatch.setattr(building, "MARTS", MARTS)
    monkeypatch.setattr(catalogue, "_comments", COMMENTS)
    monkeypatch.setattr(summary, "headline", headline)


@pytest.fixture
def clock() -> ManualClock:
    """The exchange's clock; it moves only when a test moves it."""
    return ManualClock(NOON)


@pytest.fixture
def market(clock: ManualClock) -> Market:
    """An empty exchange, whose rate limits the tests need not wait for."""
    return Market(clock=clock, behavior=UNHURRIED)


@pytest.fixture
def desk(market: Market) -> Account:
    """The requester whose key the runs use."""
    return market.add_account("desk", key="ed25519")


@pytest.fixture
def maker(market: Market) -> Account:
    """A maker who quotes the desk's RFQs."""
    return market.add_account("maker", key="ed25519")


@pytest.fixture
def exchange(market: Market) -> Iterator[Any]:
    """The market, served over HTTP on this machine."""
    with serve(market) as served:
        yield served


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A database that does not exist yet."""
    return Database(tmp_path / "rfq.duckdb")


@pytest.fixture
def run(exchange: Any, desk: Account, database: Database) -> Callable[..., job.Outcome]:
    """Run the whole job with the desk's key, or another account's."""

    def run_as(account: Account = desk, reach: LoadSettings | None = None) -> job.Outcome:
        access = access_of(exchange, account, reach or LoadSettings())
        return job.run(database, access, ignore)

    return run_as


@pytest.fixture
def rfq(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """Run the command in this process, as the shell would."""

    def command(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["rfq", *map(str, arguments)])
        capsys.readouterr()
        code = entry.command()
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return command


@pytest.fixture
def key_file(tmp_path: Path, desk: Account) -> Path:
    path = tmp_path / "key.pem"
    path.write_text(desk.private_key_pem)
    path.chmod(0o600)
    return path


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch, desk: Account, key_file: Path) -> Path:
    """The desk's key, configured in the environment."""
    monkeypatch.setenv("SOURCES__KALSHI__API_KEY_ID", desk.api_key_id)
    monkeypatch.setenv("SOURCES__KALSHI__PRIVATE_KEY_PATH", str(key_file))
    return key_file
