"""A month of hourly runs by one clock, with what a month brings, in the nightly profile.

Three missed days, a break of ten, a crash, a change of key, and a database that an earlier version
has made. At the end everything that the exchange shows is held as it shows it, and at every step
the status said what was true. `RFQ_MONTH_STARTS` makes it shorter, to try it.

The exchange's clock goes on by the hour and this machine's does not, so the status is asked as of
when the last run published plus what has passed on the exchange since.
"""

import os
import random
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from pipelines import job
from pipelines.kalshi.extraction import LoadSettings
from pipelines.operations.standing import Standing, standing
from pipelines.sandbox import ManualClock, Market, serve
from pipelines.sandbox.accounts import FULL_ACCESS, new_account
from tests.crash.points import POINTS
from tests.crash.trial import Trial
from tests.crash.worker import send
from tests.profile import nightly
from tests.running import UNHURRIED, Command, access_of
from tests.test_older_database import _load_as_before

pytestmark = nightly("it takes up to an hour")

# With fewer than twenty what a month brings would come at once.
STARTS = max(20, int(os.environ.get("RFQ_MONTH_STARTS", "720")))
HOUR = timedelta(hours=1)
MISSED, BREAK = 3 * 24, 10 * 24
# Two hours, as the runs come hourly.
STALE_AFTER = 2 * HOUR
KILLED = 137
# Named here, so that a point that is gone fails the gate as well, which runs nothing else of this.
CRASH = POINTS["load: after a commit"]
DAYS = 30 + 3 + 10 + 1


@dataclass
class Month(Trial):
    """An exchange whose clock goes on by the hour, and what the status has to say of our runs."""

    published_at: datetime | None = None
    codes: list[int] = field(default_factory=list)
    next_key: str = ""

    def hour_passes(self, *, trades: bool = True) -> None:
        """Something is asked, quoted, filled, withdrawn, left to lapse and left to expire."""
        end = self.clock.now() + HOUR
        # An RFQ that is asked as an hour begins would end three hours later within the second of a
        # run, whose as_of is that whole second: what ends after it is for the next run to show.
        self.clock.advance(2.0)
        for number in range(4 if trades else 0):
            self._trade(number)
        self.clock.advance((end - self.clock.now()).total_seconds())

    def _trade(self, number: int) -> None:
        requester, maker = (self.desk, self.maker) if number % 2 else (self.maker, self.desk)
        market = self.market
        ticker = f"KXONE-26-{next(self.numbers)}"
        rfq = market.create_rfq(requester, market_ticker=ticker, contracts_fp="10.00")
        self.clock.advance(self.rng.uniform(0.5, 5.0))
        quote = market.create_quote(maker, rfq_id=rfq, yes_bid="0.4000", no_bid="0.5500")
        fate = self.rng.choice(["filled", "filled", "lapsed", "withdrawn", "expired"])
        if fate in ("filled", "lapsed"):
            market.accept_quote(requester, quote, accepted_side=self.rng.choice(["yes", "no"]))
            self.clock.advance(1.0)
        if fate == "filled":
            market.confirm_quote(maker, quote)
        elif fate == "withdrawn":
            market.delete_rfq(requester, rfq)
        self.clock.advance(60.0)

    def new_key(self) -> str:
        """Let the exchange take another key under the same id from now on; return its PEM text."""
        key = new_account("desk", "ed25519", FULL_ACCESS, 1)
        self.market._keys[key.api_key_id] = key
        return key.private_key_pem

    def noted(self, code: int) -> None:
        """Note how a run ended, for what the status must say."""
        self.codes.append(code)
        if code == 0:
            self.published_at = self.clock.now()

    def status(self) -> Standing:
        """What the status says, as of the exchange's clock."""
        passed = self.clock.now() - (self.published_at or self.clock.now())
        shown = standing(self.database, datetime.now(UTC)).shown
        now = datetime.now(UTC) if shown is None else shown.published_ts + passed
        return standing(self.database, now, STALE_AFTER)

    def expected(self) -> str:
        """The verdict that is true."""
        last = self.codes[-3:]
        if last[-1] in (65, 70, 77, 78, KILLED) or (len(last) == 3 and all(last)):
            return "failing"
        assert self.published_at is not None
        return "stale" if self.clock.now() - self.published_at > STALE_AFTER else "fresh"

    def assert_told(self) -> Standing:
        """Compare the status with what happened."""
        found = self.status()
        assert (found.verdict, found.runs[-1].exit_code) == (self.expected(), self.codes[-1])
        assert [run.exit_code for run in found.runs][-10:] == self.codes[-10:]
        if found.shown is not None and self.published_at is not None:
            read = {each.name: each.watermark_ts for each in found.shown.passes}
            for name in ("quotes_made", "quotes_received", "rfqs_market"):
                assert abs((read[name] or self.published_at) - self.published_at) < HOUR / 60
        return found


def test_a_month_of_hourly_runs_is_whole_and_told_truly(
    tmp_path: Path, rfq: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = ManualClock(datetime.now(UTC) - timedelta(days=DAYS))
    market = Market(clock=clock, behavior=UNHURRIED)
    for name in ("desk", "maker"):
        market.add_account(name, key="ed25519")
    key = tmp_path / "key.pem"
    key.touch(mode=0o600)
    key.write_text(market.account("desk").private_key_pem)
    with serve(market) as exchange:
        month = Month(market, clock, exchange.base_url, tmp_path, random.Random(21))
        for name, value in month._environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("SOURCES__KALSHI__RETENTION_DAYS", "7")
        monkeypatch.setenv("SOURCES__KALSHI__HISTORY_DAYS", "60")
        month.hour_passes()
        access = access_of(exchange, month.desk, LoadSettings(history=timedelta(days=60)))
        _load_as_before(access, month.database, monkeypatch)
        job.rebuild(month.database)

        _live(month, rfq, key)

        assert len(month.codes) == STARTS
        assert +month.faults() == {}
        assert month.rows_built_otherwise() == 0
        print(f"{STARTS} starts, codes {sorted(set(month.codes))}, truth held")  # noqa: T201


def _live(month: Month, rfq: Command, key: Path) -> None:
    """Run by the hour, and let happen what a month brings, each at its part of it."""
    where = ("run", "--base-url", month.base_url, "--database", month.database.path)
    at = {name: STARTS * part // 10 for name, part in _PARTS.items()}
    for start in range(STARTS):
        if start == at["missed days"]:
            _nobody_runs(month, MISSED)
            assert month.assert_told().verdict == "stale"
        elif start == at["break"]:
            before = _gaps(month)
            _nobody_runs(month, BREAK)
            assert month.assert_told().verdict == "stale"
        month.hour_passes()
        if start == at["crash"]:
            month.noted(_killed(month))
        elif at["key refused"] <= start < at["key refused"] + 2:
            if start == at["key refused"]:
                month.next_key = month.new_key()
            month.noted(rfq(*where).code)
            assert month.codes[-1] == 77
        else:
            if start == at["key refused"] + 2:
                key.write_text(month.next_key)
            ended = rfq(*where)
            assert ended.code == 0, ended.err
            month.noted(0)
        month.assert_told()
        if start == at["break"]:
            # What ended in the first three days of the ten was gone; the status says so.
            assert _gaps(month) == before + 1


_PARTS = {"missed days": 2, "crash": 4, "key refused": 5, "break": 7}


def _nobody_runs(month: Month, hours: int) -> None:
    for hour in range(hours):
        # A few days of trades are enough to be missed.
        month.hour_passes(trades=hour % 8 == 0)


def _gaps(month: Month) -> int:
    shown = month.status().shown
    return 0 if shown is None else len(shown.gaps)


def _killed(month: Month) -> int:
    """A run in a process of its own, killed when it has loaded and nothing is built yet."""
    assert month.run(CRASH, act=partial(send, signal.SIGKILL)) == -signal.SIGKILL
    return KILLED
