"""The benchmark of builds that go on, on a small market: it works, and its builds are right."""

from contextlib import closing
from pathlib import Path

import duckdb

from tests.benches.steady_state import EVERY, MORE, NOW, bring, build_once, built, make
from tests.marts.test_incremental import BUILT, different_rows
from tests.profile import nightly

SIZE = 3_000


@nightly("it repeats test_incremental.py")
def test_builds_that_go_on_equal_a_build_of_everything(tmp_path: Path) -> None:
    """After a small run, of more than what was held, on the benchmark's own market."""
    going_on, afresh = tmp_path / "going_on.duckdb", tmp_path / "afresh.duckdb"
    make(going_on, SIZE)
    build_once(going_on, NOW)
    bring(going_on, SIZE, 1)
    build_once(going_on, NOW + MORE * EVERY)
    make(afresh, SIZE)
    bring(afresh, SIZE, 1)
    spent, *_ = built(afresh, NOW + MORE * EVERY)

    with closing(duckdb.connect(going_on)) as ours, closing(duckdb.connect(afresh)) as other:
        counts = {name: different_rows(ours, other, name) for name in BUILT}
    assert {name: n for name, n in counts.items() if n} == {}
    # A step that has another name now would be told as nothing: one of each kind.
    kinds = {"staging and moved RFQs", "rows of facts", "facts", "curve_counts", "by cohort_date"}
    assert kinds | {"trust", "bookkeeping", "whole build"} <= spent.keys()
