"""What the tests of whole runs share: access to a sandbox account, and a look at the result."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
from filelock import FileLock

from pipelines import building
from pipelines.commands import summary
from pipelines.commands.headline import Part
from pipelines.kalshi.client.signing import load_signer
from pipelines.kalshi.extraction import LoadSettings, Progress
from pipelines.kalshi.settings import ExchangeSettings
from pipelines.sandbox import Account, Behavior, Bucket
from pipelines.store.database import Database
from pipelines.store.publish import HEADERS_BYTES
from transforms import catalogue
from transforms.marts import MARTS

LOGGED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ ")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """What stderr told besides the log, whose lines begin with a time."""
        lines = self.err.splitlines(keepends=True)
        return "".join(line for line in lines if not LOGGED.match(line))


Command = Callable[..., Ended]

PLENTY = Bucket(1_000_000, 1_000_000)
# Neither refuses for want of tokens nor tells limits for which a run would wait. The accounts of
# most tests have one key for all they do, which a run would refuse if it was told.
UNHURRIED = Behavior(rate_limits=False, read_bucket=PLENTY, write_bucket=PLENTY, tells_scopes=False)


def access_of(exchange: Any, account: Account, reach: LoadSettings) -> ExchangeSettings:
    """The access of a sandbox account."""
    signer = load_signer(account.api_key_id, private_key=account.private_key_pem)
    return ExchangeSettings(exchange.base_url, signer, reach)


COMMENTS = catalogue._comments
# Enough to be a published file; `test_known.py` and nightly kills compare all marts.
FEW = ("quote_facts", "rfq_facts", "fill_rates", "data_quality_by_day", "data_quality")


def build_few(patch: Callable[[object, str, Any], None], *more: str) -> None:
    """Build only some marts, tell no figures of the others, and explain no column in the file.

    They take most of a small run.
    """
    few = {mart: key for mart, key in MARTS.items() if mart.__name__ in {*FEW, *more}}
    patch(building, "MARTS", few)
    patch(catalogue, "_comments", lambda connection: [])
    patch(summary, "headline", lambda connection: [Part("of some marts", [])])


def ignore(progress: Progress) -> None:
    """Show nothing."""


def read(database: Database, query: str) -> list[Any]:
    """The rows that *query* finds in the published file."""
    with database.reading() as connection:
        return connection.execute(query).fetchall()


def damage_block(path: Path, table: str) -> None:
    """Damage the first block of rows of a *table*, which nothing reads as the file is opened."""
    with duckdb.connect(path) as connection:
        ((block, size),) = connection.execute(
            "select min(block_id), any_value(block_size)"
            " from pragma_storage_info($1), pragma_database_size() where block_id >= 0",
            [table],
        ).fetchall()
    with path.open("r+b") as file:
        file.seek(HEADERS_BYTES + block * size + 100)
        file.write(bytes(1_000))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker who asks for it fills, and that nobody changes."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            draft = folder.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            make(draft)
            draft.rename(folder)
    return folder
