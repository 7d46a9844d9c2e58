"""One command as others see it: recorded in a file, told to who watches it, summed up in the log.

Only runs are: `run`, `load`, `build`, `backfill`, and each cycle of a `watch`. Each begins once it
holds the lock. One that fails before is recorded as a whole at its end; one that finds another run
at work is not, as it says nothing of how this database fares.

Nothing that goes wrong here ends a run or a watch, or keeps the rest from being told: it is a line
of the log.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import duckdb
import httpx

from pipelines import effects, stopping
from pipelines.operations import logs
from pipelines.operations.alerts import Alerts, Errand, configured_alerts, ping, write_textfile
from pipelines.operations.notices import notify
from pipelines.operations.runs import Run, append_end, append_start
from pipelines.operations.standing import Standing, sizes, standing
from pipelines.spans import told_bytes
from pipelines.store.beside import record_path
from pipelines.store.database import Database
from pipelines.store.errors import DatabaseBusy, DatabaseError

WRONG_USAGE = 2
_UNTOLD = "the {} of [alerts] could not be told"

_log = logging.getLogger(__name__)


class _Recording:
    """The run of this process that is recorded, if any: one command runs in a process."""

    run: Run | None = None
    database: Database | None = None
    has_begun = False
    alerts = Alerts()
    started: Errand | None = None
    remark: str | None = None


_recording = _Recording()


def forget() -> None:
    """Record nothing: a command begins that is no run, as far as is known."""
    _recording.run = _recording.database = _recording.started = None
    _recording.has_begun, _recording.alerts = False, Alerts()
    _recording.remark = None


def expect() -> None:
    """Note that the command is a run, which is told of however it ends."""
    forget()
    run = Run(uuid4().hex, effects.command() or "run", datetime.now(UTC))
    logs.set_run_id(run.run_id)
    _recording.run = run
    with _harmless("[alerts] could not be read"):
        _recording.alerts = configured_alerts()


def place(database: Database) -> None:
    """Say which database it is a run of."""
    _recording.database = database


def run_id() -> str:
    """The id of the run that is recorded, or a new one."""
    return _recording.run.run_id if _recording.run else uuid4().hex


def remark(said: str) -> None:
    """Let the record say this of the run, unless it fails."""
    _recording.remark = said


def remarked() -> str | None:
    """What was said of the run, if anything."""
    return _recording.remark


def begin() -> None:
    """Record that the run begins. The run lock must be held."""
    run, database = _recording.run, _recording.database
    if run is None or database is None or _recording.has_begun:
        return
    # However it ends from here on, that has to be recorded, and so nothing ends it on the spot.
    stopping.raise_from_here()
    _recording.has_begun = True
    _log.info("%s of %s", run.command, database.path, extra={"event": "run_started"})
    with _harmless("the start of the run could not be recorded"):
        append_start(database.path, run)
    if (url := _recording.alerts.ping_url) is not None:
        with _harmless(_UNTOLD.format("ping")):
            _recording.started = Errand("ping", lambda: ping(url, "start"))


def end(code: int, message: str | None, error: BaseException | None) -> None:
    """Record how the run ended, tell of it, and say so in the last line of the log."""
    run = _recording.run
    if run is None:
        return
    if code == WRONG_USAGE:
        # Nothing was run.
        forget()
        return
    message = message or _recording.remark
    ended = replace(
        run,
        ended_ts=datetime.now(UTC),
        exit_code=code,
        message=message and message.strip().splitlines()[-1],
        published=effects.has_published(),
    )
    if _recording.has_begun or not isinstance(error, DatabaseBusy):
        _record(ended)
        _tell(ended)
    _sum_up(ended)
    forget()


def _record(ended: Run) -> None:
    database = _recording.database
    if database is None or not (_recording.has_begun or _has_been_used(database)):
        return
    with _harmless("the end of the run could not be recorded"):
        whole = replace(ended, files=sizes(database))
        append_end(database.path, whole, has_start=_recording.has_begun)


def _has_been_used(database: Database) -> bool:
    """Whether runs are recorded there, or could be: one that cannot begin leaves nothing behind."""
    with suppress(OSError, DatabaseError):
        return record_path(database.path).exists() or database.is_loaded
    return False


def _tell(ended: Run) -> None:
    """Tell the ping service, the file for Prometheus and the chat, in at most some seconds."""
    started = _recording.started
    errands = [started, _pinged(ended, started)]
    found = _found()
    errands.append(_written(ended, found))
    _notify(ended, found)
    said: set[str] = set()
    for errand in errands:
        failure = errand.failure() if errand else None
        if errand and failure and errand.what not in said:
            said.add(errand.what)
            _log.warning("%s: %s", _UNTOLD.format(errand.what), failure)


def _pinged(ended: Run, started: Errand | None) -> Errand | None:
    if (url := _recording.alerts.ping_url) is not None:
        with _harmless(_UNTOLD.format("ping")):
            return Errand("ping", partial(_ping_end, url, ended.exit_code, started))
    return None


def _written(ended: Run, found: Standing | None) -> Errand | None:
    if (path := _recording.alerts.textfile) is not None:
        with _harmless(_UNTOLD.format("textfile")):
            from pipelines.operations.gauges import exposition

            text = exposition(_recording.database, ended, found)
            return Errand("textfile", lambda: write_textfile(path, text))
    return None


def _notify(ended: Run, found: Standing | None) -> None:
    url, database = _recording.alerts.webhook_url, _recording.database
    loads_all = ended.command in ("run", effects.WATCH)
    if url and found and database and loads_all:
        with _harmless("the webhook could not be told of the verdict"):
            notify(database, found, url)


def _ping_end(url: httpx.URL, code: int | None, started: Errand | None) -> str | None:
    """Tell the start first, as a service counts from the one to the other."""
    if started is not None:
        started.failure()
    return ping(url, str(code))


def _found() -> Standing | None:
    """How the database stands; None where nobody is told of it, or it cannot be read."""
    alerts, database = _recording.alerts, _recording.database
    if database is not None and (alerts.textfile or alerts.webhook_url):
        with _harmless("how the database stands could not be told"):
            return standing(database, datetime.now(UTC))
    return None


@contextmanager
def _harmless(what: str) -> Iterator[None]:
    """Make a line of the log of whatever goes wrong within: the run went as it went."""
    try:
        yield
    except Exception as failure:  # noqa: BLE001 -- whatever it is, the rest is told
        _log.warning("%s: %s", what, _reason(failure))


def _reason(failure: Exception) -> str:
    """One line. Messages of other libraries may quote an address that is secret."""
    if isinstance(failure, OSError) and failure.strerror:
        return failure.strerror
    told = str(failure).splitlines() if isinstance(failure, (DatabaseError, duckdb.Error)) else []
    return told[0] if told else type(failure).__name__


def _sum_up(ended: Run) -> None:
    seconds = ((ended.ended_ts or ended.started_ts) - ended.started_ts).total_seconds()
    phases = effects.phase_seconds()
    new_versions, rejected = effects.loaded()
    peak_bytes, published_bytes = effects.peak_bytes(), effects.published_bytes()
    figures = {
        "exit_code": ended.exit_code,
        "seconds": round(seconds, 3),
        **{f"{name}_s": round(took_s, 3) for name, took_s in phases.items()},
        "new_versions": new_versions,
        "rejected": rejected,
        "published_bytes": published_bytes,
        "peak_bytes": peak_bytes,
    }
    took = ", ".join(f"{name} {took_s:.1f} s" for name, took_s in phases.items() if took_s)
    what = "a cycle of the watch" if ended.command == effects.WATCH else ended.command
    line = (
        f"{what} ended with {ended.exit_code} after {seconds:.1f} s"
        f"{f' ({took})' if took else ''}: {new_versions:,} new versions, "
        f"{rejected:,} rows rejected, {told_bytes(published_bytes)} published, "
        f"peak {told_bytes(peak_bytes)}"
    )
    _log.info("%s", line, extra={"event": "run_ended", "figures": figures})
