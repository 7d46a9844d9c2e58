"""The `rfq` command as a process: it heeds signals before it imports what takes time."""

import os
import sys

# Older ones must be able to read this file, to say so.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("rfq needs Python 3.11 or newer, and this is %d.%d" % sys.version_info[:2])  # noqa: UP031

from pipelines import stopping

TRY_LATER = 75
# Codes from here on say what went wrong; smaller ones are answers.
_FIRST_FAILURE = 64


def main() -> None:
    """Be the command, and leave nothing to the interpreter's own exit.

    That would flush what cannot be written (exit code 120) and answer signals its own way.
    """
    stopping.heed()
    os._exit(command())


def command() -> int:
    """Run what the arguments ask for; return the exit code."""
    from pipelines.console import outputs

    with outputs() as out:
        code = _attempted()
        stopping.earned(code)
        out.flush()
        return _with_missed_output(code, out.failure) if out.is_missed() else code


def _attempted() -> int:
    """One message and one exit code of sysexits.h for whatever goes wrong; others are told too."""
    try:
        from pipelines.cli import call

        code, message, error = call(), None, None
    except BaseException as caught:  # noqa: BLE001 -- the one place where all failures end
        error = caught
        message, code = _ending(error)
        stopping.finished(code)
        _say_failure(message, code)
    stopping.finished(code)
    _record(code, message, error)
    return code


def _say_failure(message: str, code: int) -> None:
    from pipelines.console import warn
    from pipelines.operations import logs

    if code and logs.is_json():
        logs.failed(message)
    elif code:
        warn(message)


def _record(code: int, message: "str | None", error: "BaseException | None") -> None:
    """Record how a run ended. Nothing that goes wrong here changes how it did."""
    from pipelines.console import warn

    # What was never imported has nothing to record.
    recording = sys.modules.get("pipelines.operations.recording")
    if recording is None:
        return
    try:
        recording.end(code, message, error)
    except Exception as failure:  # noqa: BLE001 -- whatever it is, the run is over
        warn(f"rfq: how the run ended could not be recorded: {type(failure).__name__}")


def _ending(error: BaseException) -> "tuple[str, int]":
    stopped = stopping.stopped()
    if stopped:
        return f"rfq: {stopped}", stopped.code
    # Imported here, because it knows every error there is and so takes dlt along.
    from pipelines.commands.failures import ending

    return ending(error)


def _with_missed_output(code: int, failure: "OSError | None") -> int:
    """Say that a result was not shown: a failure only where showing it was all there was to do."""
    from pipelines import effects
    from pipelines.console import warn

    if effects.is_writing():
        if not code:
            warn(f"rfq: done, but stdout could not be written: {failure}")
        return code
    if code >= _FIRST_FAILURE:
        return code
    warn(f"rfq: stdout could not be written: {failure}. Make room there, then ask again.")
    return TRY_LATER
