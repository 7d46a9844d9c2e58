"""Moments and spans of time, as people write and read them and as RFC 3339 has them."""

import re
from datetime import UTC, datetime, timedelta

_UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
# A hundred years: no exchange is older, and every moment so long ago is one.
_LONGEST_S = 36_525 * 86_400
_SPAN = re.compile(r"(?:\d{1,6}(?:\.\d{1,6})?[smhdw])+")
_PART = re.compile(r"([\d.]+)([smhdw])")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|\+00:00)?)?")


def read_span(text: str) -> timedelta:
    """Read `15m`, `7d` or `1h30m`. Raises ValueError for anything else, and for nothing at all."""
    if not _SPAN.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no span of time like 15m, 12h or 7d")
    seconds = sum(float(amount) * _UNIT_S[unit] for amount, unit in _PART.findall(text))
    if seconds > _LONGEST_S:
        raise ValueError(f"{text!r} is longer than {_LONGEST_S // 86_400:,} days")
    return timedelta(seconds=seconds)


def read_moment(text: str, now: datetime) -> datetime:
    """Read a date, a moment of UTC, or how long before *now* it was. Raises ValueError."""
    written = text.strip()
    if _SPAN.fullmatch(written):
        return now - read_span(written)
    if not _MOMENT.fullmatch(written):
        raise ValueError(f"{text!r} is no date, no moment like 2026-11-20T12:00:00, no age like 7d")
    return datetime.fromisoformat(written).replace(tzinfo=UTC)


def rfc3339(moment: datetime) -> str:
    """*moment* in UTC with a Z and microseconds."""
    in_utc = moment.astimezone(UTC).replace(tzinfo=None)
    return f"{in_utc.isoformat(timespec='microseconds')}Z"


def read_rfc3339(text: object) -> datetime:
    """Read what `rfc3339` wrote. Raises ValueError, also for what is no text."""
    if not isinstance(text, str) or not text.endswith("Z"):
        raise ValueError
    return datetime.fromisoformat(text)


def told_moment(moment: datetime | None) -> str:
    """*moment* in UTC as people read it."""
    return "-" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def told_span(seconds: float) -> str:
    """So many *seconds* in the two largest units that say something."""
    if seconds < 0:
        return f"-{told_span(-seconds)}"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    days, hours, minutes = minutes // 1_440, minutes // 60 % 24, minutes % 60
    amounts = [(days, "d"), (hours, "h"), (minutes, "min")]
    while not amounts[0][0]:
        amounts.pop(0)
    return " ".join(f"{amount:,} {unit}" for amount, unit in amounts[:2] if amount)


def told_bytes(size: float) -> str:
    """*size* in the unit of a thousand that suits it."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 1_000:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1_000
    return f"{size:,.1f} TB"
