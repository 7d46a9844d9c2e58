"""Canaries: what is secret or private, searched in everything that runs write, say or leave.

Keys, key ids and signatures may be nowhere. Private ids may be in the private file, and in the
working files while a run is at work.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.sandbox import Account, routes, visibility
from pipelines.sandbox.accounts import order_id
from pipelines.sandbox.routes import KEY_HEADER
from tests.crash.points import POINTS
from tests.crash.trial import Trial, leftovers, trial
from tests.security.acts import copy_working_files
from tests.security.search import found_in_bytes, found_in_files, found_in_tables

KILLED = -9


@dataclass
class Canaries:
    """The desk's secrets and private ids."""

    desk: Account
    executed: list[str]
    signatures: list[str]

    @property
    def secret(self) -> list[str]:
        """May be nowhere."""
        pem = self.desk.private_key_pem.splitlines()[1:-1]
        return [*pem, self.desk.api_key_id, *self.signatures]

    @property
    def private(self) -> list[str]:
        """May be where only the desk can read."""
        orders = [
            order_id(quote, side) for quote in self.executed for side in ("maker", "requester")
        ]
        return [self.desk.user_id, *orders]


@pytest.fixture
def tried(tmp_path: Path) -> Iterator[Trial]:
    """An exchange on which the desk has traded."""
    with trial(tmp_path / "trial", seed=9) as made:
        yield made


@pytest.fixture
def canaries(tried: Trial, monkeypatch: pytest.MonkeyPatch) -> Canaries:
    """The desk's, with every signature that the exchange is shown from now on."""
    shown: list[str] = []
    real = routes._is_genuine

    def is_genuine(public_key: Any, signature: str, message: bytes) -> bool:
        shown.append(signature)
        return real(public_key, signature, message)

    monkeypatch.setattr(routes, "_is_genuine", is_genuine)
    executed = [row["id"] for row in tried.quotes().values() if row["status"] == "executed"]
    assert executed
    return Canaries(tried.desk, executed, shown)


def everywhere(tried: Trial, canaries: Canaries) -> set[tuple[str, str]]:
    """Canaries where none may be: what was said, dlt's home, leftovers, and both databases."""
    found = found_in_files(tried.folder, canaries.secret)
    found |= found_in_files(tried.folder / "home", canaries.private)
    found |= {("output", canary) for canary in canaries.private if canary in tried.output()}
    if tried.database.private_path.exists():
        found |= found_in_tables(tried.database.private_path, canaries.secret)
    if tried.database.path.exists():
        found |= found_in_tables(tried.database.path, [*canaries.secret, *canaries.private])
        found |= found_in_bytes(tried.database.path, [*canaries.secret, *canaries.private])
    return found


def test_a_good_run_tells_nothing(tried: Trial, canaries: Canaries) -> None:
    assert tried.run() == 0, tried.output()

    assert canaries.signatures
    assert everywhere(tried, canaries) == set()
    private = {table for table, _ in found_in_tables(tried.database.private_path, canaries.private)}
    assert private == {"raw.quote_versions", "raw.rfq_versions"}


@pytest.mark.parametrize(
    "point", ["extract: after the commit", "load: before a job", "archive: after"]
)
def test_a_run_at_work_keeps_no_secret_in_its_files_and_lets_nobody_else_in(
    tried: Trial, canaries: Canaries, tmp_path: Path, point: str
) -> None:
    copy = tmp_path / "copy"

    tried.has_few_marts = True
    code = tried.run(POINTS[point], act=partial(copy_working_files, tried.folder, copy))

    assert code == 0
    assert [directory.stat().st_mode & 0o777 for directory in copy.iterdir()] == [0o700]
    assert len(list(copy.rglob("*"))) > 5
    assert found_in_files(copy, canaries.secret) == set()


def test_a_killed_run_leaves_no_secret_and_lets_nobody_else_in(
    tried: Trial, canaries: Canaries
) -> None:
    assert tried.run(POINTS["load: after a job"]) == KILLED

    left = [path for path in tried.folder.iterdir() if path.name in leftovers(tried)]
    assert any(path.is_dir() for path in left)
    assert all(path.stat().st_mode & 0o077 == 0 for path in left)
    assert everywhere(tried, canaries) == set()


def test_a_draft_that_a_kill_left_holds_no_private_byte(tried: Trial, canaries: Canaries) -> None:
    """Blocks that a file no longer uses keep what was once written to them."""
    assert tried.run() == 0, tried.output()
    tried.trade()

    assert tried.run(POINTS["publish: draft noted"]) == KILLED

    (draft,) = tried.folder.glob(".*.run-*/draft.duckdb")
    assert found_in_bytes(draft, [*canaries.secret, *canaries.private]) == set()
    assert found_in_bytes(tried.database.private_path, canaries.private)
    assert everywhere(tried, canaries) == set()


def test_a_refused_key_is_not_shown(tried: Trial, canaries: Canaries) -> None:
    order = tried.order()
    stranger = {"SOURCES__KALSHI__API_KEY_ID": tried.maker.api_key_id}

    code = tried.run(environment=order.environment | stranger)

    assert code == 77
    assert everywhere(tried, replace(canaries, desk=tried.desk)) == set()
    assert tried.maker.api_key_id not in tried.output()
    assert KEY_HEADER.lower() not in tried.output().lower()


def test_a_row_that_cannot_be_read_is_kept_without_its_private_fields(
    tried: Trial, canaries: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = visibility.visible_quote

    def spoiled(quote: Any, caller: Any) -> Any:
        return real(quote, caller) | {"created_ts": f"soon, says {caller.user_id}"}

    monkeypatch.setattr("pipelines.sandbox.market.visible_quote", spoiled)

    assert tried.run() == 65, tried.output()

    assert everywhere(tried, canaries) == set()
    with duckdb.connect(tried.database.private_path, read_only=True) as connection:
        rejected = connection.execute(
            "select redacted_row, reason from raw.rejected_rows"
        ).fetchall()
    assert rejected
    assert "(private)" in rejected[0][0]


def test_a_load_that_duckdb_refuses_does_not_say_which_value(
    tried: Trial, canaries: Canaries
) -> None:
    """DuckDB names the value that it could not convert, and dlt passes that on."""
    assert tried.run() == 0
    tried.trade()
    with duckdb.connect(tried.database.private_path) as connection:
        for table in ("rfq_versions", "quote_versions"):
            connection.execute(f"alter table raw.{table} drop creator_user_id")
            connection.execute(f"alter table raw.{table} add creator_user_id integer")

    code = tried.run()

    assert code == 70
    assert everywhere(tried, canaries) == set()
