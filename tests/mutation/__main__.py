"""Run the tests that may notice it against each of a random sample of one-place mutants.

    python -m tests.mutation --seed 15 --sample 200 --jobs 2 --results FILE

prints a line for each mutant and at the end the counts and the survivors as Markdown. It ends with
1 where fewer than 92 % of the mutants that change something were killed. A second start goes on
with what the file of results has not yet; with `--only` it tries these numbers (again).
`changes_nothing.toml` names the mutants that no test can notice, each with the reason.
"""

import argparse
import hashlib
import os
import platform
import random
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.trials import (
    HERE,
    KEPT,
    KILLED,
    ROOT,
    SAME,
    SURVIVED,
    TIMED_OUT,
    Bench,
    Results,
    Trial,
    benches,
)

WANTED_SHARE = 0.92

Numbered = tuple[int, Mutant]


def reasons() -> dict[tuple[str, str, str], str]:
    """Why a mutant changes nothing, by its path and its lines before and after."""
    listed = tomllib.loads((HERE / "changes_nothing.toml").read_text())["mutant"]
    return {(each["path"], each["before"], each["after"]): each["why"] for each in listed}


def main() -> int:
    asked = _arguments()
    mutants = mutants_of(ROOT)
    chosen = [*enumerate(random.Random(asked.seed).sample(mutants, asked.sample), 1)]
    drawn = {"seed": asked.seed, "places": len(mutants), "source": _fingerprint(mutants)}
    results = Results(asked.results or KEPT / f"seed-{asked.seed}.jsonl", drawn)
    tried = {each.mutant for each in results.trials}
    wanted = [
        (number, mutant)
        for number, mutant in chosen
        if (number in asked.only if asked.only else _identity(mutant) not in tried)
    ]
    with benches(asked.jobs) as free:
        _try_all(wanted, results, free)
        is_sound = _killers_pass(free[0], results.trials)
    return _report(drawn, results.trials) if is_sound else 2


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=15)
    parser.add_argument("--sample", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1, help="mutants that are tried at a time")
    parser.add_argument("--results", type=Path, help="where a second start goes on")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the sample; all")
    return parser.parse_args()


def _identity(mutant: Mutant) -> tuple[str, int, str, str]:
    return mutant.path, mutant.line, mutant.before, mutant.after


def _fingerprint(mutants: Iterable[Mutant]) -> str:
    told = "\n".join(repr(_identity(each)) for each in mutants)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _try_all(wanted: list[Numbered], results: Results, there: list[Bench]) -> None:
    known = reasons()
    free: SimpleQueue[Bench] = SimpleQueue()
    for bench in there:
        free.put(bench)

    def try_out(numbered: Numbered) -> None:
        number, mutant = numbered
        bench = free.get()
        try:
            is_same = (mutant.path, mutant.before, mutant.after) in known
            trial = (
                Trial(number, *_identity(mutant), SAME, "", 0.0)
                if is_same
                else bench.try_out(number, mutant)
            )
        finally:
            free.put(bench)
        results.add(trial)
        _say(f"{number:4} {trial.end:15} {trial.seconds:5.0f} s  {trial}  {trial.test}")

    with ThreadPoolExecutor(len(there)) as pool:
        for _ in pool.map(try_out, wanted):
            pass


def _killers_pass(bench: Bench, trials: list[Trial]) -> bool:
    """Whether the tests that killed pass by themselves, without a mutant."""
    killers = sorted({each.test for each in trials if each.test})
    end, test = bench.passes(killers) if killers else (SURVIVED, "")
    if end != SURVIVED:
        _say(f"\n{test} {end} without a mutant as well: what it killed is not known.")
    return end == SURVIVED


def _report(drawn: dict[str, object], trials: list[Trial]) -> int:
    first = {each.mutant: each for each in reversed(trials)}
    last = {each.mutant: each for each in trials}
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    _say(f"\nSeed {drawn['seed']}, {datetime.now(UTC):%Y-%m-%d}, {machine}.\n")
    _say("| places | tried | change nothing | killed | by time | survived | share killed | |")
    _say("|---|---|---|---|---|---|---|---|")
    _share(drawn["places"], first.values(), "at first sight")
    share = _share(drawn["places"], last.values(), "as the tests are now")
    for number, trial in sorted((each.number, each) for each in last.values()):
        if trial.end == SURVIVED:
            _say(f"- {number}: {trial}")
    return 0 if share >= WANTED_SHARE else 1


def _share(n_places: object, trials: Iterable[Trial], when: str) -> float:
    """The share of the mutants that change something that were killed, and its row."""
    known = reasons()
    ends = [SAME if (t.path, t.before, t.after) in known else t.end for t in trials]
    counts = Counter(ends)
    n_killed = counts[KILLED] + counts[TIMED_OUT]
    share = n_killed / (len(ends) - counts[SAME]) if len(ends) > counts[SAME] else 1.0
    _say(
        f"| {n_places} | {len(ends)} | {counts[SAME]} | {n_killed} | {counts[TIMED_OUT]}"
        f" | {counts[SURVIVED]} | {share:.1%} | {when} |"
    )
    return share


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
