"""What pytest does for the mutation profile: it records what tests execute, or runs a plan.

    pytest -p tests.mutation.plugin --recording=FILE tests/test_x.py
    pytest -p tests.mutation.plugin --plan=FILE --ending=FILE tests/test_x.py tests/test_y.py

A recording is what `covering.Recording` reads. A plan is a list of test ids in the order in which
they are to run, each with the seconds after which it counts as hanging.
"""

import faulthandler
import json
import resource
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from coverage import Coverage
from hypothesis import Phase, settings

WHOLE_FILE = ""
"""The context of what no single test executes: imports, and fixtures that several tests share."""

PROCESS_EVENTS = ("os.fork", "os.posix_spawn", "subprocess.Popen")

FOLDERS = ("pipelines", "transforms")


def pytest_addoption(parser: pytest.Parser) -> None:
    for name in ("--recording", "--plan", "--ending"):
        parser.addoption(name, type=Path)


# Before the first conftest, which imports the source.
@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    asked = early_config.known_args_namespace
    if asked.recording:
        early_config.pluginmanager.register(Recorder(asked.recording))
    if asked.plan:
        early_config.pluginmanager.register(Planned(asked.plan, asked.ending))


class Recorder:
    """Writes which lines each test executes, how long it takes, and what it keeps from view."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._root = Path.cwd()
        self._tests: dict[str, dict[str, Any]] = {}
        self._starting: set[str] = set()
        self._context = WHOLE_FILE
        self._coverage = Coverage(
            data_file=None,
            config_file=False,
            source=[str(self._root / each) for each in FOLDERS],
            messages=False,
        )
        self._coverage.start()
        sys.addaudithook(self._note_process)

    def _note_process(self, event: str, arguments: tuple[Any, ...]) -> None:
        # The standard library asks `uname` for the machine.
        is_ours = event in PROCESS_EVENTS and Path(str([*arguments, ""][0])).name != "uname"
        if is_ours:
            self._starting.add(self._context)

    def _switch(self, context: str) -> None:
        self._context = context
        self._coverage.switch_context(context)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._tests[item.nodeid] = {"seconds": 0.0, "passes": True}
        before = _children_s()
        self._switch(item.nodeid)
        try:
            return (yield)
        finally:
            # Workers of `multiprocessing` are started without an event.
            if _children_s() > before:
                self._starting.add(item.nodeid)
            self._switch(WHOLE_FILE)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        context = self._context
        if fixturedef.scope != "function":
            self._switch(WHOLE_FILE)
        try:
            return (yield)
        finally:
            if self._context != context:
                self._switch(context)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = self._tests[report.nodeid]
        test["seconds"] += report.duration
        test["passes"] &= not report.failed

    def pytest_sessionfinish(self) -> None:
        self._coverage.stop()
        for name, test in self._tests.items():
            test["starts"] = not self._starting.isdisjoint((name, WHOLE_FILE))
        recorded = {"tests": self._tests, "lines": self._lines()}
        self._file.write_text(json.dumps(recorded))

    def _lines(self) -> dict[str, dict[str, list[int]]]:
        """The lines executed, by file of the source and context."""
        measured = self._coverage.get_data()
        found: dict[str, dict[str, list[int]]] = {}
        for file in sorted(measured.measured_files()):
            contexts = found.setdefault(str(Path(file).relative_to(self._root)), {})
            for line, names in measured.contexts_by_lineno(file).items():
                for name in names:
                    contexts.setdefault(name, []).append(line)
        return found


class Planned:
    """Runs the tests of a plan in its order, and writes which of them was the last to run."""

    def __init__(self, plan: Path, ending: Path) -> None:
        self._limits: dict[str, float] = dict(json.loads(plan.read_text()))
        self._ending = ending

    def pytest_sessionstart(self) -> None:
        """Take the first example that fails: to look for the smallest takes minutes."""
        phases = (Phase.explicit, Phase.reuse, Phase.generate)
        settings.register_profile("mutants", parent=settings.default, phases=phases)
        settings.load_profile("mutants")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        collected = {each.nodeid: each for each in items}
        items[:] = [collected[name] for name in self._limits if name in collected]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._tell(item.nodeid, "hangs")
        faulthandler.dump_traceback_later(self._limits[item.nodeid], exit=True, file=sys.__stderr__)
        try:
            return (yield)
        finally:
            faulthandler.cancel_dump_traceback_later()
            self._tell(item.nodeid, "ran")

    def _tell(self, name: str, how: str) -> None:
        self._ending.write_text(json.dumps([name, how]))


def _children_s() -> float:
    """CPU seconds of the processes that this one has started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
