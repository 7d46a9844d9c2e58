"""The sandbox as the command line uses it: served for one run, or until interrupted."""

import errno
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipelines.sandbox import (
    Market,
    ScaledClock,
    SystemClock,
    UnusableName,
    replay,
    serve,
    serve_until_interrupted,
    simulate,
    unfold,
)
from pipelines.stopping import stoppable

if TYPE_CHECKING:
    # The client brings dlt along, which takes longer to import than the sandbox to start.
    from pipelines.kalshi.client.errors import ConfigurationError
    from pipelines.kalshi.settings import ExchangeSettings

SEED = 1
DAYS = 3.0
RFQS_PER_DAY = 1_500
LEAST_PLANNED_S = 600.0
PLANNED_WALL_S = 30.0


@contextmanager
def sandbox_access(held: str | None, *, goes_on: bool = False) -> Iterator["ExchangeSettings"]:
    """Serve a simulated market and yield the access of its busiest requester, the desk.

    It is the one whose rows are *held* already, as the stamp of a file names it; else the market of
    the days before today. It stands still, unless it *goes_on* as time does.
    """
    from pipelines.kalshi.client.signing import load_signer
    from pipelines.kalshi.extraction import LoadSettings
    from pipelines.kalshi.settings import ExchangeSettings

    market = Market(clock=SystemClock())
    desk = market.add_account("desk", scopes=("read",))
    until = _end_of(held) or today()
    simulate(market, seed=SEED, days=DAYS, rfqs_per_day=RFQS_PER_DAY, until=until)
    if goes_on:
        unfold(market, seed=SEED, rfqs_per_day=RFQS_PER_DAY)
    with serve(market) as exchange:
        signer = load_signer(desk.api_key_id, private_key=desk.private_key_pem)
        yield ExchangeSettings(exchange.base_url, signer, LoadSettings())


def today() -> datetime:
    """The beginning of this day: a run later today meets the same market."""
    return datetime.combine(datetime.now(UTC).date(), time(), UTC)


def _end_of(held: str | None) -> datetime | None:
    """When the market ends that the name of the *held* one tells; None where it tells none."""
    ends = re.search(r" until=(\S+)$", held or "")
    return datetime.fromisoformat(ends[1]) if ends else None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `rfq sandbox` was asked to serve.

    *speed* is seconds on the exchange per second here; without it nobody acts but its callers.
    *accounts* are the names of further accounts that have done nothing yet.
    """

    seed: int = SEED
    days: float = DAYS
    rfqs_per_day: int = RFQS_PER_DAY
    speed: float | None = None
    accounts: list[str] = field(default_factory=list)
    recorded: list[Path] = field(default_factory=list)


def wanted_market(wanted: Wanted) -> Market:
    """Return the market that was asked for.

    Raises ConfigurationError if there can be none like that, BadParameter for an account's name.
    """
    if wanted.recorded and replace(wanted, recorded=[], accounts=[]) != Wanted():
        what = "a recording is served as it is: no market is made up, and it cannot go on by itself"
        raise _wrong(what, "Leave out --seed, --days, --rfqs-per-day and --speed, or --replay.")
    try:
        market = replay(wanted.recorded, SystemClock()) if wanted.recorded else _simulated(wanted)
        for name in wanted.accounts:
            market.add_account(name)
    except UnusableName as error:
        raise typer.BadParameter(str(error), param_hint="--account") from error
    except OSError as error:
        what = f"{error.filename}: cannot be read ({error.strerror})"
        raise _wrong(what, "Give the path of a JSON file.") from error
    except ValueError as error:
        raise _wrong(str(error)) from error
    return market


def _wrong(what: str, advice: str = "") -> "ConfigurationError":
    from pipelines.kalshi.client.errors import ConfigurationError

    return ConfigurationError(what, advice=advice)


def _simulated(wanted: Wanted) -> Market:
    clock = SystemClock() if wanted.speed is None else ScaledClock(wanted.speed)
    market = Market(clock=clock)
    if wanted.days:
        simulate(market, seed=wanted.seed, days=wanted.days, rfqs_per_day=wanted.rfqs_per_day)
    else:
        market.add_account("desk")
        market.add_account("maker")
    if wanted.speed is not None:
        # Planning takes a moment, so at a high speed it looks further ahead.
        ahead = timedelta(seconds=max(LEAST_PLANNED_S, wanted.speed * PLANNED_WALL_S))
        unfold(market, seed=wanted.seed, rfqs_per_day=wanted.rfqs_per_day, ahead=ahead)
    return market


def serve_sandbox(port: int, wanted: Wanted) -> None:
    """Serve until a signal; keys lie in a directory of their own, gone at the end."""
    try:
        with stoppable(), tempfile.TemporaryDirectory(prefix="rfq-sandbox-") as keys:
            serve_until_interrupted(wanted_market(wanted), port, Path(keys), sys.stdout)
    except OSError as error:
        if error.filename or error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        advice = "Choose another one with --port, or 0 for any that is free."
        raise _wrong(f"port {port} is not to be had", advice) from error
