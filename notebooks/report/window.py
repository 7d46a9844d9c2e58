"""Days, zones and units, as every page has them. A day is 00:00 to 24:00 in its zone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

DAYS_BEFORE = 7
_DAY = timedelta(days=1)


class PageError(ValueError):
    """What was asked for cannot be shown, and why: wrong usage."""


class Zone(StrEnum):
    """Where a day begins. New York cuts no game night in half."""

    NEW_YORK = "America/New_York"
    UTC = "UTC"

    @property
    def info(self) -> ZoneInfo:
        return ZoneInfo(self.value)

    @property
    def named(self) -> str:
        """How people call it."""
        return "New York" if self is Zone.NEW_YORK else "UTC"


@dataclass(frozen=True, slots=True)
class Window:
    """Days of a zone, from the first to before *until*, and the seven days before the first."""

    first: date
    until: date
    zone: Zone = Zone.NEW_YORK

    def __post_init__(self) -> None:
        if self.first >= self.until:
            raise PageError(f"--since {self.first} is not before --until {self.until}")

    @property
    def before(self) -> date:
        """The first of the seven days before."""
        return self.first - DAYS_BEFORE * _DAY

    @property
    def since_ts(self) -> datetime:
        return self.begins(self.first)

    @property
    def until_ts(self) -> datetime:
        return self.begins(self.until)

    @property
    def before_ts(self) -> datetime:
        return self.begins(self.before)

    def begins(self, day: date) -> datetime:
        """When a day begins, in UTC."""
        return datetime.combine(day, time(), self.zone.info).astimezone(UTC)

    def utc_days(self, day: date) -> set[date]:
        """The UTC days, one or two, that a day touches."""
        last_moment = self.begins(day + _DAY) - timedelta(microseconds=1)
        return {self.begins(day).date(), last_moment.date()}

    @property
    def days(self) -> Iterator[date]:
        """The days of the window and of the seven before."""
        return (self.before + n * _DAY for n in range((self.until - self.before).days))

    @property
    def named(self) -> str:
        """The days as people call them."""
        last = self.until - _DAY
        if last == self.first:
            return f"{self.first:%A, %-d %B %Y}"
        year = "" if self.first.year == last.year else f" {self.first.year}"
        return f"{self.first:%-d %B}{year} to {last:%-d %B %Y}"


def window(as_of: datetime, since: date | None, until: date | None, zone: Zone) -> Window:
    """The days asked for: without them the last one that was over at *as_of*.

    Raises `PageError` where the first is not before the end.
    """
    if until is None:
        over = as_of.astimezone(zone.info).date()
        until = over if since is None or since < over else since + _DAY
    return Window(since or until - _DAY, until, zone)


def read_day(text: str) -> date:
    """Read a day like 2026-11-20. Raises `PageError`."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise PageError(f"{text!r} is no day like 2026-11-20") from None
    # The seven days before the first one that Python has are none.
    if not 1970 <= day.year < 9999:
        raise PageError(f"{text!r} is no day of the exchange")
    return day


class Unit(StrEnum):
    """How prices, and differences of prices, are written."""

    CENTS = "cents"
    PERCENT = "percent"
    AMERICAN = "american"
    LOGODDS = "logodds"

    @property
    def of_differences(self) -> str:
        """The unit of spreads and distances: American odds have no differences."""
        return {"percent": "percentage points", "logodds": "log odds"}.get(self, "cents")


def price(dollars: float, unit: Unit) -> str:
    """A price of a $1 contract in *unit*."""
    if unit is Unit.PERCENT:
        return f"{100 * dollars:.1f} %"
    if unit is Unit.LOGODDS and 0 < dollars < 1:
        return f"{math.log(dollars / (1 - dollars)):+.2f}"
    if unit is Unit.AMERICAN and 0 < dollars < 1:
        return american(dollars)
    return f"{100 * dollars:.2f}¢"


def american(probability: float) -> str:
    """What 100 win, or what wins 100, at a probability between 0 and 1."""
    odds = -100 * probability / (1 - probability)
    return (
        f"{odds:+,.0f}" if probability >= 0.5 else f"{100 * (1 - probability) / probability:+,.0f}"
    )


def difference(value: float, unit: Unit) -> str:
    """A spread or a distance: dollars, or log odds where that is the unit."""
    if unit is Unit.LOGODDS:
        return f"{value:.3f}"
    return f"{100 * value:.2f} pp" if unit is Unit.PERCENT else f"{100 * value:.2f}¢"


def share(value: float) -> str:
    """A ratio as a percentage."""
    return f"{100 * value:.1f} %"


def seconds(value: float) -> str:
    """A time, as precise as it deserves."""
    if value >= 120:
        return f"{value / 60:,.1f} min"
    return f"{value:.3f} s" if value < 10 else f"{value:.1f} s"


def short_id(text: str | None) -> str:
    """An id by its first 8 characters, as long as nobody has a name for it."""
    return "hidden" if text in (None, "", "unknown") else str(text)[:8]


def cut(text: str, most: int = 60) -> str:
    """*text* in a line: cut in its middle where it is longer, without characters that steer."""
    half = (most - 1) // 2
    short = text if len(text) <= most else f"{text[:half]}…{text[-half:]}"
    return "".join(c if c.isprintable() else "�" for c in short)
