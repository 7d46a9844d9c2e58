"""The `rfq` command as a process: it heeds signals before it imports what takes time."""

import os
import sys

# Older ones must be able to read this file, to say so.
if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit("rfq needs Python 3.11 or newer, and this is %d.%d" % sys.version_info[:2])  # noqa: UP031

from pipelines import stopping

TRY_LATER = 75


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
        return _with_missed_output(out.failure) if out.is_missed() and not code else code


def _attempted() -> int:
    """One message and one exit code of sysexits.h for whatever goes wrong."""
    from pipelines.console import warn

    try:
        from pipelines.cli import call

        return call()
    except BaseException as error:  # noqa: BLE001 -- the one place where all failures end
        message, code = _ending(error)
        if code:
            warn(message)
        return code


def _ending(error: BaseException) -> "tuple[str, int]":
    stopped = stopping.stopped()
    if stopped:
        return f"rfq: {stopped}", stopped.code
    # Imported here, because it knows every error there is and so takes dlt along.
    from pipelines.failures import ending

    return ending(error)


def _with_missed_output(failure: "OSError | None") -> int:
    """Say that a result was not shown: a failure only where showing it was all there was to do."""
    from pipelines import effects
    from pipelines.console import warn

    if effects.is_writing():
        warn(f"rfq: done, but stdout could not be written: {failure}")
        return 0
    warn(f"rfq: stdout could not be written: {failure}. Make room there, then ask again.")
    return TRY_LATER
