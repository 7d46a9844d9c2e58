"""One exchange and one database: the exchange moves, runs are killed, and the end is compared."""

import itertools
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import duckdb

from pipelines.job import rebuild
from pipelines.sandbox import Account, ManualClock, Market, serve
from pipelines.sandbox.listing_pages import QuoteFilters
from pipelines.sandbox.listings import combo_ticker
from pipelines.store.database import Database
from tests.crash.worker import Order, Point, start
from tests.running import FEW, UNHURRIED
from transforms.marts import MARTS

# A run takes three seconds; a machine ten times slower, doing ten things at once, is no failure.
RUN_LASTS_AT_MOST_S = 600.0
Row = tuple[Any, ...]


@dataclass
class Trial:
    """An exchange with a desk and a maker, served; and the desk's database."""

    market: Market
    clock: ManualClock
    base_url: str
    folder: Path
    rng: random.Random
    open_quotes: list[str] = field(default_factory=list)
    open_rfqs: list[str] = field(default_factory=list)
    has_few_marts: bool = False
    # One open RFQ per requester and market is all that the exchange allows.
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def database(self) -> Database:
        return Database(self.folder / "rfq.duckdb")

    @property
    def desk(self) -> Account:
        return self.market.account("desk")

    @property
    def maker(self) -> Account:
        return self.market.account("maker")

    def output(self) -> str:
        """Everything that the workers of this trial said."""
        return (self.folder / "output").read_text()

    # The exchange

    def trade(self, rfqs: int = 6) -> None:
        """Open RFQs, quote them, and take, confirm or close some that are open.

        Then let more time pass than the overlap covers: what a run has wrongly taken for read is
        not met again by chance.
        """
        for _ in range(rfqs):
            self._open()
            self.clock.advance(self.rng.uniform(0.2, 5.0))
        for quote in self.rng.sample(self.open_quotes, len(self.open_quotes) // 3):
            self._take(quote)
        for rfq in self.rng.sample(self.open_rfqs, len(self.open_rfqs) // 3):
            self._close(rfq)
        self.clock.advance(self.rng.uniform(310.0, 900.0))

    def _open(self) -> None:
        requester = self.desk if self.rng.random() < 0.6 else self.maker
        maker = self.maker if requester is self.desk else self.desk
        # Every third is of a combo, which is asked for again once the RFQs before are long over.
        number = next(self.numbers)
        ticker = f"KXONE-26-{number}" if number % 3 else combo_ticker(32 * (number % 600) + 2)
        rfq = self.market.create_rfq(requester, market_ticker=ticker, contracts_fp="10.00")
        bids = {"yes_bid": "0.4000", "no_bid": "0.5500"}
        self.open_quotes.append(self.market.create_quote(maker, rfq_id=rfq, **bids))
        self.open_rfqs.append(rfq)

    def _take(self, quote: str) -> None:
        self.open_quotes.remove(quote)
        found = self.quotes()[quote]
        requester, maker = (
            (self.desk, self.maker)
            if found["rfq_creator_id"] == self.desk.communications_id
            else (self.maker, self.desk)
        )
        self.market.accept_quote(requester, quote, accepted_side=self.rng.choice(["yes", "no"]))
        self.clock.advance(1.0)
        if self.rng.random() < 0.7:
            self.market.confirm_quote(maker, quote)
            self.open_rfqs.remove(found["rfq_id"])

    def _close(self, rfq: str) -> None:
        """Withdraw an RFQ whose quote still stands; its quote goes with it."""
        quotes = [row for row in self.quotes().values() if row["rfq_id"] == rfq]
        if any(row["status"] != "open" for row in quotes):
            return
        is_own = self.market.get_rfq(self.desk, rfq).get("creator_user_id") is not None
        self.market.delete_rfq(self.desk if is_own else self.maker, rfq)
        self.open_rfqs.remove(rfq)
        for row in quotes:
            self.open_quotes.remove(row["id"])

    def quotes(self) -> dict[str, dict[str, Any]]:
        """Every quote that the desk may see, by id, as the exchange shows it."""
        made = QuoteFilters(maker=self.desk.user_id)
        received = QuoteFilters(requester=self.desk.user_id)
        return {
            row["id"]: row
            for filters in (made, received)
            for row in _all(
                lambda after, f=filters: self.market.get_quotes(self.desk, f, cursor=after)
            )
        }

    def _rfqs(self) -> dict[str, dict[str, Any]]:
        pages = _all(lambda after: self.market.get_rfqs(self.desk, cursor=after))
        return {row["id"]: row for row in pages}

    def rfq_ids(self) -> list[str]:
        """Every RFQ that the exchange shows, last updated first."""
        return list(self._rfqs())

    # Runs

    def order(self, point: Point | None = None, command: str = "run") -> Order:
        arguments = [command, "--database", str(self.database.path)]
        if command != "build":
            arguments += ["--base-url", self.base_url]
        output, few = self.folder / "output", self.has_few_marts
        return Order(tuple(arguments), self._environment(), output, point, has_few_marts=few)

    def _environment(self) -> dict[str, str]:
        return {
            "SOURCES__KALSHI__API_KEY_ID": self.desk.api_key_id,
            "SOURCES__KALSHI__PRIVATE_KEY_PATH": str(self.folder / "key.pem"),
            "SOURCES__KALSHI__RETENTION_DAYS": "1",
            "SOURCES__KALSHI__HISTORY_DAYS": "1",
            "HOME": str(self.folder / "home"),
        }

    def run(self, point: Point | None = None, **changes: Any) -> int:
        """Run to the end, wherever that is; its exit code, minus the signal if one ended it."""
        return ended(start(replace(self.order(point), **changes)))

    def run_killed_after(self, seconds: float) -> int:
        """Run, and kill that long after the start; 0 when it was faster."""
        process = start(self.order())
        process.join(seconds)
        process.kill()
        return ended(process)

    # The comparison

    def faults(self) -> Counter[str]:
        """How many rows are lost, doubled or stale in what was published."""
        truth = self._truth()
        with self.database.reading() as connection:
            found = _published(connection)
        with duckdb.connect(self.database.private_path, read_only=True) as connection:
            doubled = _doubled_versions(connection)
        faults = Counter(doubled=doubled)
        for name, rows in truth.items():
            ids = Counter(row[0] for row in found[name])
            faults["lost"] += len(rows.keys() - ids.keys())
            faults["doubled"] += sum(ids.values()) - len(ids)
            faults["stale"] += sum(rows.get(row[0], row) != row for row in found[name])
        return faults

    def rows_built_otherwise(self) -> int:
        """How many rows of the marts a build of everything from the same raw rows has otherwise."""
        folder = self.folder.parent / f"{self.folder.name} built anew"
        folder.mkdir()
        anew = Database(folder / "rfq.duckdb")
        shutil.copy(self.database.private_path, anew.private_path)
        rebuild(anew)
        with duckdb.connect() as connection:
            connection.execute(f"attach '{self.database.path}' as ours (read_only)")
            connection.execute(f"attach '{anew.path}' as anew (read_only)")
            names = FEW if self.has_few_marts else [mart.__name__ for mart in MARTS]
            return sum(_different_rows(connection, name) for name in names)

    def _truth(self) -> dict[str, dict[str, Row]]:
        return {
            "rfqs": {id_: _rfq(row) for id_, row in self._rfqs().items()},
            "quotes": {id_: _quote(row) for id_, row in self.quotes().items()},
        }


@contextmanager
def trial(folder: Path, seed: int, *, has_few_marts: bool = False) -> Iterator[Trial]:
    """Open an exchange of its own, some hours ago, with a first day's trades."""
    folder.mkdir()
    clock = ManualClock(datetime.now(UTC) - timedelta(hours=12))
    market = Market(clock=clock, behavior=UNHURRIED)
    for name in ("desk", "maker"):
        market.add_account(name, key="ed25519")
    key = folder / "key.pem"
    key.touch(mode=0o600)
    key.write_text(market.account("desk").private_key_pem)
    with serve(market) as exchange:
        made = Trial(
            *(market, clock, exchange.base_url, folder, random.Random(seed)),
            has_few_marts=has_few_marts,
        )
        for _ in range(3):
            made.trade(rfqs=40)
        yield made


def ended(process: ForkServerProcess) -> int:
    """Wait for a worker; one that never ends is killed and said so."""
    process.join(RUN_LASTS_AT_MOST_S)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"a run was still at work after {RUN_LASTS_AT_MOST_S:.0f} s")
    assert process.exitcode is not None
    return process.exitcode


def wait_until(condition: Any, within_s: float = 600.0) -> None:
    """Wait for what another process does. Raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("what the test waits for never happened")
        time.sleep(0.01)


def leftovers(trial: Trial) -> list[str]:
    """What lies beside the database and is none of the files that a run leaves on purpose."""
    kept = {"home", "rfq.duckdb", "rfq.private.duckdb", "rfq.duckdb.lock", "key.pem", "output"}
    kept |= {"rfq.runs.jsonl"}
    beside = {path.name for path in trial.folder.iterdir()} - kept
    # A damaged log is put aside, for whoever wants to know what was in it.
    return sorted(name for name in beside if ".wal.damaged-" not in name)


def _all(page_after: Any) -> Iterator[dict[str, Any]]:
    after = None
    while True:
        page = page_after(after)
        yield from page.rows
        after = page.cursor
        if after is None:
            return


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _rfq(row: dict[str, Any]) -> Row:
    return (
        row["id"],
        row["status"],
        row["market_ticker"],
        _moment(row["created_ts"]),
        _moment(row.get("updated_ts")),
        _moment(row.get("cancelled_ts")),
        [leg["market_ticker"] for leg in row.get("mve_selected_legs") or []] or None,
    )


def _quote(row: dict[str, Any]) -> Row:
    times = ("created_ts", "updated_ts", "accepted_ts", "confirmed_ts", "executed_ts")
    return (
        row["id"],
        row["status"],
        row["rfq_id"],
        row.get("accepted_side"),
        *(_moment(row.get(name)) for name in (*times, "cancelled_ts")),
    )


def _published(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Row]]:
    return {
        "rfqs": connection.execute(
            "select rfq_id, status, market_ticker, created_ts, updated_ts, cancelled_ts, legs"
            " from staging.rfqs left join (select rfq_id, list(market_ticker order by position) as"
            " legs from staging.rfq_legs group by rfq_id) using (rfq_id)"
        ).fetchall(),
        "quotes": connection.execute(
            "select quote_id, status, rfq_id, accepted_side, created_ts, updated_ts, accepted_ts,"
            " confirmed_ts, executed_ts, cancelled_ts from staging.quotes"
        ).fetchall(),
    }


def _different_rows(connection: duckdb.DuckDBPyConnection, mart: str) -> int:
    found = connection.execute(
        f"select count(*) from ((from ours.marts.{mart} except all from anew.marts.{mart})"
        f" union all (from anew.marts.{mart} except all from ours.marts.{mart}))"
    ).fetchall()
    return int(found[0][0])


def _doubled_versions(connection: duckdb.DuckDBPyConnection) -> int:
    return sum(
        connection.execute(
            f"select count(*) - count(distinct (id, version_hash)) from raw.{table}"
        ).fetchall()[0][0]
        for table in ("rfq_versions", "quote_versions")
    )
