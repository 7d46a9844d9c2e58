"""`rfq status`: how a database stands, as text that is cut nowhere or as one JSON object."""

import json
import textwrap
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from pipelines.console import say
from pipelines.kalshi.client.errors import ExchangeError
from pipelines.kalshi.settings import configured
from pipelines.operations.runs import Run
from pipelines.operations.standing import SHOWN_RUNS, Shown, Standing, told_code
from pipelines.spans import rfc3339, told_bytes, told_moment, told_span
from pipelines.store.database import Database

WIDTH = 80
NAME_WIDTH = 28
Lines = Iterator[tuple[str, str]]


def show_status(found: Standing, database: Database, *, as_json: bool = False) -> None:
    """Print what was *found*, the verdict first."""
    if as_json:
        say(json.dumps(as_object(found)))
        return
    say(f"{found.verdict}: {found.reason}")
    for warning in _warnings(found):
        say(_wrapped("", warning))
    for title, lines in _sections(found, database):
        written = [_wrapped(name, value) for name, value in lines]
        if written:
            say("\n".join(["", title, *written]))


def _warnings(found: Standing) -> Iterator[str]:
    shown = found.shown
    if shown is not None and shown.scope == "market" and not shown.is_market_complete:
        yield "The market's list is still being read: figures of the whole market are not complete."
    if shown is not None and shown.rejected_rows:
        times = f"{shown.rejected_rows:,} time{'s' * (shown.rejected_rows != 1)}"
        yield (
            f"{times} a row could not be read by the last run that published: "
            "`raw.extraction_runs` says in which list, `raw.rejected_rows` in the private file "
            "which and why."
        )
    days = found.days_until_full
    if days is not None and days < 1:
        yield (
            f"The disk will be full in {told_span(days * 86_400)}: a run needs room for two more "
            "published files. Make room today."
        )


def _sections(found: Standing, database: Database) -> Iterator[tuple[str, Lines]]:
    shown = found.shown
    if shown is not None:
        yield "data", _data(found, shown)
    yield "last runs (UTC)", _runs(found)
    if shown is not None:
        yield "read up to (UTC)", _passes(found, shown)
        yield "gone before they were loaded: closed RFQs and cancelled quotes (UTC)", _gaps(shown)
        yield "open RFQs of the market, compared once a day (UTC)", _coverage(shown)
    yield "files", _files(found, database)
    if shown is not None:
        yield "rows", ((name, f"{rows:,}") for name, rows in shown.rows)
        yield "checks that are not zero", _checks(shown)


def _data(found: Standing, shown: Shown) -> Lines:
    ago = told_span((found.checked_ts - shown.published_ts).total_seconds())
    yield "published", f"{told_moment(shown.published_ts)} UTC, {ago} ago"
    yield "as of", f"{told_moment(shown.as_of)} UTC, {told_span(found.age_s or 0.0)} ago"
    yield "exchange", shown.exchange or "-"
    yield "account", f"{shown.account or '-'} (a hash that tells accounts apart)"


def _runs(found: Standing) -> Lines:
    for run in reversed(found.runs[-SHOWN_RUNS:]):
        yield told_moment(run.started_ts), f"{run.command} {_end(run)}"
    if not found.runs:
        yield "none", "was recorded yet"


def _end(run: Run) -> str:
    if run.exit_code is None:
        return "is at work"
    after = f" after {told_span(_seconds(run))}" if run.ended_ts else ""
    message = f": {run.message.removeprefix('rfq: ')}" if run.message and run.ended_ts else ""
    return f"{told_code(run.exit_code)}{after}{message}"


def _seconds(run: Run) -> float:
    return ((run.ended_ts or run.started_ts) - run.started_ts).total_seconds()


def _passes(found: Standing, shown: Shown) -> Lines:
    kept = _retention()
    for each in shown.passes:
        if each.name.endswith("_by_id"):
            yield each.name, f"record by record, last {told_moment(each.started_ts)}"
            continue
        if each.watermark_ts is None:
            yield each.name, f"never, last tried {told_moment(each.started_ts)}"
            continue
        ago = found.checked_ts - each.watermark_ts
        verified = "" if each.is_verified else "; the last read was not verified"
        share = f", {ago / kept:.0%} of what the exchange keeps" if ago > timedelta() else ""
        yield (
            each.name,
            f"{told_moment(each.watermark_ts)}, {told_span(ago.total_seconds())} ago{share}"
            f"{verified}",
        )


def _retention() -> timedelta:
    """How long the exchange keeps what is over; the usual where the setting cannot be read."""
    try:
        (days,) = configured("retention_days")
    except ExchangeError:
        days = 7
    return timedelta(days=days)


def _gaps(shown: Shown) -> Lines:
    for gap in shown.gaps:
        since = told_moment(gap.ended_after_ts) if gap.ended_after_ts else "the beginning"
        yield (
            told_moment(gap.found_ts),
            f"what had ended between {since} and {told_moment(gap.ended_before_ts)}",
        )
    if not shown.gaps:
        yield "none", ""


def _coverage(shown: Shown) -> Lines:
    for each in shown.coverage:
        whole = "" if each.is_complete else ", of a list that was not read to its end"
        yield (
            told_moment(each.checked_ts),
            f"{each.missed:,} of {each.listed:,} were missed by earlier runs{whole}",
        )


def _files(found: Standing, database: Database) -> Lines:
    for file in found.files:
        grows = "" if file.bytes_per_day is None else f", {told_bytes(file.bytes_per_day)} a day"
        yield file.path.name, f"{told_bytes(file.bytes)}{grows}"
    full = (
        "" if found.days_until_full is None else f", for {found.days_until_full:,.1f} days of runs"
    )
    yield "free", f"{told_bytes(found.free_bytes)}{full}"
    yield "folder", str(database.path.parent)


def _checks(shown: Shown) -> Lines:
    for check in shown.checks:
        share = "" if check.share is None else f" ({check.share:.2%})"
        yield check.check_name, f"{check.count:,}{share}: {check.meaning}"


def _wrapped(name: str, value: str) -> str:
    """A line of a section, gone on with below its value where it is longer than a terminal."""
    begin = f"  {name:<{NAME_WIDTH}} " if name else ""
    return "\n".join(
        textwrap.wrap(
            f"{begin}{value}".rstrip(),
            WIDTH,
            subsequent_indent=" " * (NAME_WIDTH + 3) if name else "",
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def as_object(found: Standing) -> dict[str, Any]:
    """What was *found*, as the object of `rfq status --json`. Its keys are public."""
    shown = found.shown
    return {
        "verdict": found.verdict,
        "reason": found.reason,
        "checked_ts": rfc3339(found.checked_ts),
        "published_ts": _moment(shown.published_ts if shown else None),
        "as_of": _moment(shown.as_of if shown else None),
        "age_s": found.age_s,
        "is_market_complete": shown.is_market_complete if shown else None,
        "runs": [_run(run) for run in reversed(found.runs[-SHOWN_RUNS:])],
        "passes": [
            {
                "pass": each.name,
                "watermark_ts": _moment(each.watermark_ts),
                "gap_s": each.gap_s,
                "is_verified": each.is_verified,
            }
            for each in (shown.passes if shown else ())
        ],
        "gaps": [
            {
                "found_ts": _moment(gap.found_ts),
                "ended_after_ts": _moment(gap.ended_after_ts),
                "ended_before_ts": _moment(gap.ended_before_ts),
            }
            for gap in (shown.gaps if shown else ())
        ],
        "exchange": shown.exchange if shown else None,
        "account": shown.account if shown else None,
        "files": [
            {"path": str(file.path), "bytes": file.bytes, "bytes_per_day": file.bytes_per_day}
            for file in found.files
        ],
        "free_bytes": found.free_bytes,
        "days_until_full": found.days_until_full,
        "checks": [
            {
                "check_name": check.check_name,
                "count": check.count,
                "share": check.share,
                "meaning": check.meaning,
            }
            for check in (shown.checks if shown else ())
        ],
        "rejected_rows": shown.rejected_rows if shown else None,
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "command": run.command,
        "started_ts": rfc3339(run.started_ts),
        "ended_ts": _moment(run.ended_ts),
        "exit_code": run.exit_code,
        "message": run.message,
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else rfc3339(moment)
