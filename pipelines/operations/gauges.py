"""What a run leaves for Prometheus: numbers about the database, and none of its contents.

Moments instead of ages: an age that stands in a file does not grow when no run comes any more.
"""

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from pipelines import effects
from pipelines.operations.runs import Run, read_record
from pipelines.operations.standing import Shown, Standing, sizes
from pipelines.store.database import Database

# They have published, or put that off as copying takes too long. A load alone does neither, and a
# build only one of them.
PUBLISHING = ("run", "backfill", effects.WATCH)


def exposition(database: Database | None, ended: Run, found: Standing | None) -> bytes:
    """Return the text format of how *ended* left the *database*, and of what was *found* there."""
    registry = CollectorRegistry()

    def gauge(name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"rfq_{name}", meaning, labels, registry=registry)

    success = gauge("last_success_timestamp_seconds", "When a run last ended well; 0 for never")
    success.set(_last_success_s(database, ended))
    gauge("last_exit_code", "What the last run ended with").set(ended.exit_code or 0)
    phases = gauge("phase_seconds", "How long a phase of the last run took", "phase")
    for name, seconds in effects.phase_seconds().items():
        phases.labels(name).set(seconds)
    gauge("rejected_rows", "Rows that the last run could not read").set(effects.loaded()[1])
    files = gauge("file_bytes", "Size of a file of the database", "file")
    for name, size in (sizes(database) if database else {}).items():
        files.labels(name).set(size)
    watermarks = gauge(
        "watermark_timestamp_seconds", "Up to when a pass has read for certain", "pass"
    )
    gaps = gauge("gap_seconds", "How long a pass had not been read when it last was", "pass")
    rows = gauge("rows", "Rows of a published table", "table")
    if found and found.shown:
        _set_shown(found.shown, watermarks, gaps, rows)
    return generate_latest(registry)


def _set_shown(shown: Shown, watermarks: Gauge, gaps: Gauge, rows: Gauge) -> None:
    for each in shown.passes:
        if each.watermark_ts is not None:
            watermarks.labels(each.name).set(each.watermark_ts.timestamp())
        if each.gap_s is not None:
            gaps.labels(each.name).set(each.gap_s)
    for table, count in shown.rows:
        rows.labels(table).set(count)


def _last_success_s(database: Database | None, ended: Run) -> float:
    before = read_record(database.path).runs if database else ()
    moments = [
        run.ended_ts.timestamp()
        for run in (*before, ended)
        if run.ended_ts and run.exit_code == 0 and (run.published or run.command in PUBLISHING)
    ]
    return max(moments, default=0.0)
