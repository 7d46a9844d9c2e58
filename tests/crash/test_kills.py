"""SIGKILL at named points and at any instant: the next plain run puts everything right."""

import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.crash.conftest import Table
from tests.crash.points import FIRST_RUN, POINTS, RAW_TAKEN_OVER, TAKE_OVER
from tests.crash.trial import Trial, leftovers, trial
from tests.crash.worker import Point
from tests.layouts import as_in_the_earlier_layout, schemas_in
from tests.profile import IS_NIGHTLY, nightly

# Besides the named points: none in the gate, and 500 where a release is tried (RFQ_CRASH_KILLS).
KILLS = int(os.environ.get("RFQ_CRASH_KILLS", "0"))
# One of each step, the latest that leaves what no other step leaves.
IN_THE_GATE = (
    *("page: after the first", "load: number reserved", "extract: second load"),
    *("normalize: after the commit", "load: after a job", "load: after a commit"),
    *("load id: before its row", "load id: after the second", "archive: after"),
    *("marts: before the commit", "publish: draft noted", "publish: after the replace"),
    "publish: while a part of the market's list is left",
)
NAMED = [*POINTS.values()] if IS_NIGHTLY else [POINTS[name] for name in IN_THE_GATE]
# Two databases, each killed in a test of its own, so that two processes may take one each.
LANES = 2
KILLED = -9

# A kill: at a named point, or after that share of the time that a run takes.
Kill = Point | float


@pytest.mark.parametrize("lane", range(LANES))
def test_a_run_killed_at_a_named_point_loses_and_doubles_nothing(
    tmp_path: Path, table: Table, lane: int
) -> None:
    points = NAMED[lane::LANES]

    counts = _tried(tmp_path / "trial", lane, _in_chains(points, random.Random(7 + lane)))

    table.add("named", counts)
    assert counts == Counter(kills=len(points))


def test_a_first_run_killed_while_it_makes_its_tables_is_made_good(
    tmp_path: Path, table: Table
) -> None:
    """Again and again, each time a little further on."""
    with trial(tmp_path / "trial", seed=3) as tried:
        counts = Counter(kills=sum(tried.run(each) == KILLED for each in FIRST_RUN.values()))

        counts += _ended_well(tried)

    table.add("first", counts)
    assert counts == Counter(kills=len(FIRST_RUN))


@nightly("test_older_database.py takes over without kills")
def test_a_take_over_that_is_killed_is_made_good(tmp_path: Path, table: Table) -> None:
    with trial(tmp_path / "trial", seed=4) as tried:
        counts = _ended_well(tried)
        as_in_the_earlier_layout(tried.database)
        for point in RAW_TAKEN_OVER.values():
            counts["kills"] += tried.run(point) == KILLED
        for point in TAKE_OVER.values():
            tried.trade()
            counts["kills"] += tried.run(point) == KILLED
            counts += tried.faults()
        tried.trade()
        counts += _ended_well(tried)
        assert schemas_in(tried.database.private_path) == {"raw", "candidates"}

    table.add("taken over", counts)
    assert counts == Counter(kills=len(RAW_TAKEN_OVER) + len(TAKE_OVER))


@pytest.mark.skipif(not KILLS, reason="it repeats, at other instants, what the named points do")
@pytest.mark.parametrize("lane", range(LANES))
def test_a_run_killed_at_any_instant_loses_and_doubles_nothing(
    tmp_path: Path, table: Table, lane: int
) -> None:
    rng = random.Random(11 + lane)
    instants = [rng.random() for _ in range(KILLS)][lane::LANES]

    counts = _tried(tmp_path / "trial", lane, _in_chains(instants, rng))

    table.add("random", counts)
    assert counts == Counter(kills=len(instants))


def _in_chains(kills: Sequence[Kill], rng: random.Random) -> Iterator[list[Kill]]:
    """Three to seven kills in a row, then a plain run."""
    done = 0
    while done < len(kills):
        length = rng.randint(3, 7)
        yield list(kills[done : done + length])
        done += length


def _tried(folder: Path, seed: int, chains: Iterable[Sequence[Kill]]) -> Counter[str]:
    """One database, loaded once and then killed, chain after chain, while its exchange moves on.

    What is not 0 is counted.
    """
    with trial(folder, seed, has_few_marts=not KILLS) as tried:
        began = time.monotonic()
        counts = _ended_well(tried)
        lasts_s = time.monotonic() - began
        for chain in chains:
            for kill in chain:
                counts["kills"] += _is_killed(tried, kill, lasts_s)
            tried.trade()
            counts += _ended_well(tried)
        return +(counts + Counter(stale=tried.rows_built_otherwise()))


def _is_killed(tried: Trial, kill: Kill, lasts_s: float) -> bool:
    tried.trade()
    if isinstance(kill, Point):
        return tried.run(kill) == KILLED
    # The span is that of a first run, and later ones may end before their kill.
    after_s = kill * lasts_s
    while tried.run_killed_after(after_s) != KILLED:
        tried.trade()
        after_s /= 2
    return True


def _ended_well(tried: Trial) -> Counter[str]:
    """Run with no help from anybody, and compare."""
    if tried.run() != 0:
        return Counter(stuck=1)
    return +(tried.faults() + Counter(stuck=len(leftovers(tried))))
