"""What a build costs as the market held grows: going on after a small run, beside everything.

    python tests/benches/steady_state.py 100000 FOLDER       # RFQs held; FOLDER keeps data sets
    python tests/benches/steady_state.py 1000000 FOLDER 3    # three small runs, one after another
    python tests/benches/steady_state.py 1000000 FOLDER --keep   # and keeps what was built
    python tests/benches/steady_state.py 100000 FOLDER 3 --days 365   # of runs and a watch before

Each size is made once, in SQL straight into the raw tables, and kept as FOLDER/raw_SIZE.duckdb:
9,000 combos unevenly used and one market with 5 % of all RFQs, 4 million RFQs a day and a hundredth
of them spread over the week before, 1.7 versions each, 0.1 % our own with ten quotes, 1 % quoted by
us. A small run brings 5,000 RFQs and 1,000 changed quotes, ten of them on RFQs six days old, 100
closings of RFQs three hours old and one fast execution in the largest market.

With `--days` a run every five minutes and a watch that looks every five seconds had been at work
for so long before the week of the data set, and have left their reports and stretches of looks.

With `--keep` a build of everything is kept beside the data set, with what it took, and the next run
goes on from it as long as no rule has changed.

Every build is a process of its own. CPU and wall are those of the build, table by table.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

NOW = datetime(2026, 11, 20, 21, tzinfo=UTC)
VIEWER = "f" * 64
EVERY = timedelta(microseconds=21_600)
MORE = 5_000
LOADS = 101
SMALL_BUILDS = 3

# A pass over each list every five minutes of the week, each where the one before it ended; the same
# of the days before it, with what a watch noted each minute. Rows older than loads have number 0.
READINGS = """
insert into raw.accounts values ($viewer, $now);
insert into raw.loads
select load, 'run' || load, true, $now::timestamptz - interval 300 second
from range(1, 102) as t(load);
create temp table readings as
select
    $now::timestamptz - n * interval 300 second as served_ts,
    case when n > 2015 then 0 when n > 0 then 1 else 101 end as load
from range(2015 + 288 * $days, -1, -1) as t(n);
insert into raw.passes select unnest(['made', 'received']), served_ts, load from readings;
insert into raw.open_sweeps
select served_ts, load from readings where hour(served_ts) = 6 and minute(served_ts) = 0;
insert into raw.extraction_runs by name
select
    'run' || epoch(served_ts)::bigint as run_id,
    unnest(['rfqs_market', 'quotes_made', 'quotes_received']) as pass,
    '' as origin, served_ts as started_ts, served_ts as ended_ts, 1 as pages, 1 as rows_seen,
    1 as new_versions, 0 as rejected_rows, 1 as sweeps, true as is_verified,
    served_ts - interval 300 second as watermark_before_ts, served_ts as watermark_after_ts,
    load,
from readings;
insert into raw.look_stretches by name
select
    unnest(['made', 'received']) as side,
    served_ts + minute * interval 1 minute as first_served_ts,
    first_served_ts + interval 55 second as last_served_ts,
    12 as n_looks, 5.0 as longest_pause_s, range(0, 60_000, 5_000)::integer[] as after_ms, load
from readings, range(5) as t(minute) where load = 0;
"""
READING = """
insert into raw.loads values ($load, 'run' || $load, true, $before);
insert into raw.passes select unnest(['made', 'received']), $until, $load;
insert into raw.extraction_runs by name
select
    'run' || $load as run_id, unnest(['rfqs_market', 'quotes_made', 'quotes_received']) as pass,
    '' as origin, $until as started_ts, $until as ended_ts, 1 as pages, 1 as rows_seen,
    1 as new_versions, 0 as rejected_rows, 1 as sweeps, true as is_verified,
    $before as watermark_before_ts, $until as watermark_after_ts, $load as load;
"""


def held(folder: Path, size: int, days: int = 0) -> Path:
    """Return the database with so many RFQs in raw and nothing built, made if it is not there."""
    path = folder / f"raw_{_named(size, days)}.duckdb"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        begun = path.with_suffix(".making")
        begun.unlink(missing_ok=True)
        _in_a_process(make, begun, size, days)
        begun.rename(path)
    return path


def _named(size: int, days: int) -> str:
    return f"{size}_after_{days}" if days else f"{size}"


def make(path: Path, size: int, days: int = 0) -> None:
    import duckdb

    from transforms.raw import create_raw_tables

    with duckdb.connect(path) as connection:
        connection.execute("set timezone = 'UTC'")
        create_raw_tables(connection)
        _fill(connection, size, 0, size, load=LOADS, until=NOW)
        _run(connection, READINGS, {"viewer": VIEWER, "now": NOW, "days": days})


def bring(path: Path, size: int, number: int) -> None:
    """Store what small run *number*, from 1 on, finds after a market of *size* RFQs."""
    import duckdb

    first, load = size + (number - 1) * MORE, LOADS + number
    before, until = (NOW + n * MORE * EVERY for n in (number - 1, number))
    with duckdb.connect(path) as connection:
        connection.execute("set timezone = 'UTC'")
        _fill(connection, size, first, first + MORE, load=load, until=until)
        change = (Path(__file__).parent / "steady_change.sql").read_text()
        _run(connection, change, {"load": load, "until": until, "viewer": VIEWER})
        _run(connection, READING, {"load": load, "before": before, "until": until})


def _fill(connection: Any, size: int, first: int, last: int, *, load: int, until: datetime) -> None:
    asked = {"now": NOW, "viewer": VIEWER, "held": size, "first": first, "last": last}
    rows = (Path(__file__).parent / "steady_state.sql").read_text()
    _run(connection, rows, asked | {"load": load, "until": until})


def _run(connection: Any, text: str, asked: dict[str, object]) -> None:
    """Execute the statements of *text*, each with those parameters that it names."""
    for statement in connection.extract_statements(text):
        names = statement.named_parameters
        connection.execute(statement, {name: asked[name] for name in names})


def build_once(path: Path, as_of: datetime, note: Connection | None = None) -> None:
    """Build in *path*; tell *note* seconds of CPU and wall by table, rows, and peak memory."""
    import duckdb

    from pipelines.store.memory import limit_memory
    from transforms import build as building
    from transforms import computing
    from transforms.marts import MARTS
    from transforms.settings import Settings

    spent = Spent()
    if note:
        spent.follow_the_build(building, computing)
    with spent.taken("whole build"), duckdb.connect(path) as connection:
        limit_memory(connection)
        rows = building.build(connection, MARTS, Settings(as_of=as_of, viewer_id=VIEWER))
    if note:
        note.send((dict(spent.seconds), rows, time.process_time(), _peak_mb()))


class Spent:
    """Seconds of CPU and wall by label."""

    def __init__(self) -> None:
        self.seconds: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))

    @contextmanager
    def taken(self, label: str) -> Iterator[None]:
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        yield
        cpu, wall = self.seconds.get(label, (0.0, 0.0))
        self.seconds[label] = (
            cpu + time.process_time() - cpu_s,
            wall + time.perf_counter() - wall_s,
        )

    def follow_the_build(self, module: Any, computing: Any) -> None:
        """Time the steps of a build, and the facts, and marts with what is stored of them."""
        steps = (("_prepare", "staging and moved RFQs"), ("_sign", "bookkeeping"))
        for name, label in steps:
            self._follow(module, name, lambda _, label=label: label)
        of = module.Computation
        for name in ("_add_up", "_of_whole"):
            self._follow(of, name, lambda args: args[1].__name__)
        self._follow(of, "_of_key", lambda args: f"by {', '.join(args[1])}")
        parts = (("_rows_of_part", "rows of facts"), ("_forget_moved", "taken off"))
        for name, label in parts:
            self._follow(of, name, lambda _, label=label: label)
        self._follow(computing, "build_partition", lambda _: "facts")

    def _follow(self, module: Any, name: str, label: Callable[[tuple[Any, ...]], str]) -> None:
        function = getattr(module, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.taken(label(args)):
                return function(*args, **kwargs)

        setattr(module, name, timed)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_a_process(target: Callable[..., None], *args: object) -> None:
    process = multiprocessing.get_context("spawn").Process(target=target, args=args)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{target.__name__} ended with {process.exitcode}")


def built(path: Path, as_of: datetime) -> Any:
    """Build in a process of its own; return what it noted."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    _in_a_process(build_once, path, as_of, theirs)
    return ours.recv()


def all_built(folder: Path, size: int, days: int, work: Path, *, keeps: bool) -> Any:
    """Build everything into *work*, or take what is kept of that; return what it noted."""
    from transforms.rules import rules

    kept = folder / f"built_{_named(size, days)}_{rules()[:12]}.duckdb"
    told = kept.with_suffix(".json")
    if keeps and told.exists():
        shutil.copyfile(kept, work)
        return json.loads(told.read_text())
    shutil.copyfile(held(folder, size, days), work)
    noted = built(work, NOW)
    if keeps:
        shutil.copyfile(work, kept)
        told.write_text(json.dumps(noted))
    return noted


def main(size: int, folder: Path, small_builds: int, days: int, *, keeps: bool) -> None:
    from tests.benches.heading import heading

    print(heading())
    work = folder / f"work_{size}_{os.getpid()}.duckdb"
    try:
        everything = all_built(folder, size, days, work, keeps=keeps)
        small = []
        for number in range(1, small_builds + 1):
            _in_a_process(bring, work, size, number)
            small.append(built(work, NOW + number * MORE * EVERY))
        show(size, everything, small)
    finally:
        for each in folder.glob(f"{work.name}*"):
            each.unlink()


def show(size: int, everything: Any, small: list[Any]) -> None:
    held_then = [rows["rfq_facts"] for _, rows, _, _ in (everything, *small)]
    expected = [size + n * (MORE + 1) for n in range(len(held_then))]
    if held_then != expected:
        raise SystemExit(f"{held_then} RFQs in rfq_facts, not {expected}")
    print(f"{size:,} RFQs held, {len(small)} small runs of {MORE:,}; medians of these")
    print(f"{'':<24}{'everything':>20}{'going on':>20}")
    print(f"{'':<24}{'CPU s':>10}{'wall s':>10}{'CPU s':>10}{'wall s':>10}")
    for label in everything[0]:
        all_of_it = everything[0][label]
        on = [
            statistics.median(each[0].get(label, (0.0, 0.0))[n] for each in small) for n in (0, 1)
        ]
        print(f"{label:<24}" + "".join(f"{s:>10.2f}" for s in (*all_of_it, *on)))
    for label, place in (("process CPU s", 2), ("peak MB", 3)):
        on_median = statistics.median(each[place] for each in small)
        print(f"{label:<24}{everything[place]:>10,.2f}{on_median:>20,.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("size", nargs="?", default="100000")
    parser.add_argument("folder", nargs="?", default=tempfile.gettempdir() + "/rfq-benches")
    parser.add_argument("small_builds", nargs="?", type=int, default=SMALL_BUILDS)
    parser.add_argument("--days", type=int, default=0)
    parser.add_argument("--keep", action="store_true")
    asked = parser.parse_args()
    size = int(asked.size.replace(",", ""))
    main(size, Path(asked.folder), asked.small_builds, asked.days, keeps=asked.keep)
