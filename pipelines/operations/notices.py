"""One text to a chat per change of verdict, whoever finds it first."""

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx

from pipelines.operations.alerts import Errand, tell
from pipelines.operations.runs import append_verdict, read_record
from pipelines.operations.standing import Standing, Verdict
from pipelines.store.database import Database

# Nobody is told of these before anything else has been told.
_AT_FIRST = (Verdict.FRESH, Verdict.NEVER_RAN)

_log = logging.getLogger(__name__)


def notify(database: Database, found: Standing, url: httpx.URL) -> None:
    """Tell whoever listens at *url* of the verdict, if it is another one than was told last.

    One that could not be told counts as not told, so that the next one who looks tells it.
    """
    with _alone(database.path.parent) as is_alone:
        told = read_record(database.path).told_verdict
        if not is_alone or told == found.verdict:
            return
        if told is not None or found.verdict not in _AT_FIRST:
            text = _text(database, found, told)
            failure = Errand("webhook", lambda: tell(url, text)).failure()
            if failure is not None:
                _log.warning("the webhook could not be told of the verdict: %s", failure)
                return
        _note(database, found.verdict, found.checked_ts)


def _text(database: Database, found: Standing, told: str | None) -> str:
    """In our own words alone: a message of a run may quote the exchange."""
    was = f" (was {told})" if told else ""
    return f"rfq: {database.path.name} is {found.verdict}{was}: {found.reason}"


def _note(database: Database, verdict: str, moment: datetime) -> None:
    try:
        append_verdict(database.path, verdict, moment)
    except OSError as error:
        _log.warning("what was told could not be noted: %s", error.strerror)


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Yield whether nobody else tells of a database in *folder* at this moment; who does, will."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        except OSError:
            # A disk that knows no locks: a text too many is better than none.
            pass
        yield True
    finally:
        os.close(descriptor)
