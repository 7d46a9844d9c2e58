"""How rows are drawn: few forms as inline SVG, and no color that must be told.

Text and axes take the color of the page's text, light or dark. A picture is 330 wide, so that a
phone can show it, and is told to a screen reader by the rows it was drawn of and not by itself.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from itertools import pairwise
from typing import Any

import polars as pl

from notebooks.report.window import cut

# Blue and orange are told apart by color-blind readers, and by their shapes besides; both have a
# contrast of 3 to 1 and more on white and on near black.
BLUE, ORANGE, GRAY = "#2f7fc1", "#c77700", "#7d8590"
WIDTH, LEFT, RIGHT = 330, 118, 8
MIN_N = 30
KINDS = {"singles": ORANGE, "combos": BLUE}
# Text of 11 pixels is shown in 13.8 at most.
LARGEST = 1.25
_ROW, _LEAST_HEIGHT = 21, 40
_MOST_DAYS = 62
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_MARKS = {"clean": "✓", "partial": "~", "missing": "×"}


@dataclass(frozen=True, slots=True)
class Scale:
    """Where a value stands between two edges, in pixels; by its logarithm where *is_log*."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float | None) -> float:
        low, high = self._at(self.low), self._at(self.high)
        share = (self._at(value or 0.0) - low) / ((high - low) or 1.0)
        return self.start + (self.end - self.start) * min(1.0, max(0.0, share))

    def _at(self, value: float) -> float:
        return math.log10(max(value, 1e-9)) if self.is_log else value

    def ticks(self, most: int = 5) -> list[float]:
        """Round values between the edges: powers of ten, or steps of 1, 2 or 5."""
        if self.is_log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**n for n in range(first, last + 1)]
        step = _step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [n * step for n in range(first, last + 1)]


def _step(least: float) -> float:
    """The next of 1, 2 and 5 times a power of ten."""
    if least <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(least))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= least * (1 - 1e-9))


def _up_to(values: Iterable[float | None], least: float) -> float:
    """The least round value that none of *values* is beyond."""
    most = max((float(v) for v in values if v is not None), default=least)
    step = _step(max(most, least) / 5)
    return math.ceil(max(most, least) / step - 1e-9) * step


# Pieces


def picture(width: float, height: float, pieces: Iterable[str]) -> str:
    """The pieces as one SVG, as wide as its place; never so wide that its text is the largest."""
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
        f' style="max-width: {LARGEST * width:.0f}px" aria-hidden="true" font-family="{_FONT}"'
        f' font-size="11" fill="none">{"".join(pieces)}</svg>'
    )


def group(kind: str, marks: Iterable[str], more: str = "") -> str:
    """Marks of one kind: symbol, rect, rule, line, area or text."""
    return f'<g class="mark-{kind}"{more}>{"".join(marks)}</g>'


def text(x: float, y: float, said: str, anchor: str = "start", size: float = 11) -> str:
    """A line of text whose middle is at *y*."""
    return (
        f'<text x="{x:.1f}" y="{y + size * 0.35:.1f}" text-anchor="{anchor}" font-size="{size:g}"'
        f' fill="currentColor">{escape(said)}</text>'
    )


def path(d: str, look: str, told: str = "") -> str:
    """A shape, and what a pointer that rests on it is told."""
    title = f"<title>{escape(told)}</title>" if told else ""
    return f'<path d="{d}" {look}>{title}</path>'


def rule(x1: float, y1: float, x2: float, y2: float, look: str) -> str:
    """A straight line."""
    return path(f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}", look)


def box(x: float, y: float, width: float, height: float, look: str, told: str = "") -> str:
    """A rectangle."""
    return path(f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h{-width:.1f}Z", look, told)


def dot(
    x: float, y: float, color: str, n: float, told: str = "", *, is_square: bool = False
) -> str:
    """A point: filled where it rests on 30 or more, else its ring alone."""
    fill = f'fill="{color}"' if n >= MIN_N else 'fill="none"'
    look = f'{fill} stroke="{color}" stroke-width="1.6"'
    if is_square:
        return box(x - 3.2, y - 3.2, 6.4, 6.4, look, told)
    return path(f"M{x - 3.6:.1f} {y:.1f}a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0 -7.2 0Z", look, told)


def legend(names: Mapping[str, str], x: float = 0) -> str:
    """Which color and shape is which, in one line at the top."""
    pieces = []
    for name, color in names.items():
        pieces.append(dot(x + 6, 8, color, MIN_N, is_square=color == ORANGE))
        pieces.append(text(x + 15, 8, name))
        x += 30 + 6.2 * len(name)
    return f'<g class="legend">{"".join(pieces)}</g>'


def across(scale: Scale, top: float, bottom: float, told: Callable[[float], str]) -> Iterator[str]:
    """The grid and numbers of an axis from left to right."""
    ticks = scale.ticks()
    for tick in ticks:
        x, said = scale(tick), told(tick)
        yield rule(x, top, x, bottom, 'stroke="currentColor" stroke-opacity="0.13"')
        yield text(min(x, WIDTH - 3.5 * len(said)), bottom + 10, said, "middle")


def upwards(scale: Scale, left: float, right: float, told: Callable[[float], str]) -> Iterator[str]:
    """The grid and numbers of an axis from bottom to top."""
    for tick in scale.ticks():
        y = scale(tick)
        yield rule(left, y, right, y, 'stroke="currentColor" stroke-opacity="0.13"')
        yield text(left - 5, y, told(tick), "end")


def names_beside(names: Sequence[str], step: float, top: float = 0, left: float = LEFT) -> str:
    """The name of each row, right before it."""
    said = (
        text(left - 6, top + (n + 0.5) * step, _fitted(_short(name), left - 6), "end")
        for n, name in enumerate(names)
    )
    return "".join(said)


def _short(name: str) -> str:
    """A bucket of sizes in fewer words."""
    return name.replace(" target cost", " cost").replace(" contracts", " contr.")


def _fitted(name: str, width: float) -> str:
    """*name*, cut in its middle where it is wider than its place; a capital is wider."""
    longest = min(len(name), int(width))
    while longest > 3 and sum(7.9 if c.isupper() else 6.7 for c in cut(name, longest)) > width:
        longest -= 1
    return cut(name, longest)


def percent(value: float) -> str:
    """A tick of a share."""
    return f"{100 * value:.3g}%"


def number(value: float) -> str:
    """A tick of a number."""
    return f"{value:,.10g}"


def once(names: pl.Series) -> list[str]:
    """The names in the order in which they come, each of them once."""
    found: list[str] = (
        names.cast(pl.String).fill_null("in none").unique(maintain_order=True).to_list()
    )
    return found


def _told(row: Mapping[str, Any], value: str) -> str:
    low, high, n = row.get("low"), row.get("high"), row.get("n")
    interval = (
        f", {percent(low)} to {percent(high)}" if low is not None and high is not None else ""
    )
    return f"{value}{interval}, n {n:,}" if n is not None else value


# Forms


def rates(
    rows: pl.DataFrame,
    by: str,
    rate: str,
    color: str | None = None,
    *,
    is_lying: bool = False,
    days: Sequence[date] | None = None,
    hatched: Mapping[date, str] | None = None,
) -> str:
    """A dot with its interval for each row; hollow under 30. *is_lying* puts the rows beneath each
    other, where their names are long. Days without a row stay empty; *hatched* ones have gaps."""
    if is_lying:
        return _lying(rows, by, rate)
    top, bottom, left = (22 if color else 16), 178, 34
    days = _those_of(rows, by, days) if days and len(days) > _MOST_DAYS else days
    keys = [str(day) for day in days or ()] or once(rows[by])
    names = [f"{day:%a %-d}" for day in days or ()] or keys
    step = (WIDTH - left - RIGHT) / len(names)
    share = Scale(0, _up_to(rows["high"], 0.02), bottom, top)
    pieces = [*upwards(share, left, WIDTH - RIGHT, percent)]
    pieces += [_hatching(left + n * step, top, step, bottom - top, (hatched or {})[day])
               for n, day in enumerate(days or ()) if day in (hatched or {})]  # fmt: skip
    places = {key: left + (n + 0.5) * step for n, key in enumerate(keys)}
    pieces += _upright(rows, by, rate, color, places, share, step)
    for n, (x, name) in enumerate(zip(places.values(), names, strict=True)):
        if n % max(1, round(28 / step)):
            continue
        for line, word in enumerate(_in_lines(name, step)):
            pieces.append(text(x, bottom + 11 + 12 * line, word, "middle"))
    if color:
        pieces.append(legend({k: KINDS[k] for k in KINDS if k in rows[color].to_list()}, left))
    return picture(WIDTH, bottom + 30, _defined(pieces, hatched))


def _those_of(rows: pl.DataFrame, by: str, days: Sequence[date]) -> list[date]:
    """The days from the first that has a row to the last: a picture has no room for years."""
    found = rows[by].to_list()
    return [day for day in days if min(found) <= day <= max(found)]


def _upright(
    rows: pl.DataFrame,
    by: str,
    rate: str,
    color: str | None,
    places: Mapping[str, float],
    share: Scale,
    step: float,
) -> list[str]:
    intervals, dots, ns = [], [], []
    for row in rows.iter_rows(named=True):
        kind = row.get(color) if color else None
        hue = KINDS[kind] if kind else BLUE
        x = places[str(row[by]) if row[by] is not None else "in none"]
        x += 0 if kind is None else (-0.17 if kind == "singles" else 0.17) * step
        if row[rate] is None:
            continue
        look = f'stroke="{hue}" stroke-width="2" stroke-opacity="0.75"'
        intervals.append(rule(x, share(row["low"]), x, share(row["high"]), look))
        told = _told(row, f"{row[by]}: {percent(row[rate])}")
        dots.append(dot(x, share(row[rate]), hue, row["n"], told, is_square=kind == "singles"))
        if kind is None:
            ns.append(text(x, share(row["high"]) - 7, f"n={row['n']}", "middle", 10))
    return [group("rule", intervals), group("symbol", dots), group("text", ns)]


def _in_lines(name: str, width: float) -> list[str]:
    """A name in one line, or a word a line where it is wider than its place."""
    words = name.split()
    if len(name) * 6.8 <= width or len(words) < 2:
        return [name]
    half = (len(words) + 1) // 2
    return [" ".join(words[:half]), " ".join(words[half:])]


def _hatching(x: float, y: float, width: float, height: float, told: str) -> str:
    return box(x + 1, y, width - 2, height, 'fill="url(#hatched)"', told)


def _defined(pieces: Iterable[str], is_hatched: object) -> Iterator[str]:
    if is_hatched:
        yield (
            '<defs><pattern id="hatched" width="6" height="6" patternUnits="userSpaceOnUse"'
            ' patternTransform="rotate(45)"><path d="M0 0V6" stroke="currentColor"'
            ' stroke-opacity="0.28" stroke-width="2"/></pattern></defs>'
        )
    yield from pieces


def _lying(rows: pl.DataFrame, by: str, rate: str) -> str:
    # A line for each row, as many of one name as there are.
    names = rows[by].cast(pl.String).fill_null("in none").to_list()
    height = max(_LEAST_HEIGHT, _ROW * len(names))
    step = height / len(names)
    share = Scale(0, _up_to(rows["high"], 0.02), LEFT, WIDTH - 42)
    intervals, dots, ns = [], [], []
    for n, row in enumerate(rows.iter_rows(named=True)):
        if row[rate] is None:
            continue
        y, told = (n + 0.5) * step, _told(row, f"{row[by]}: {percent(row[rate])}")
        look = f'stroke="{BLUE}" stroke-width="2" stroke-opacity="0.75"'
        intervals.append(rule(share(row["low"]), y, share(row["high"]), y, look))
        dots.append(dot(share(row[rate]), y, BLUE, row["n"], told))
        ns.append(text(share(row["high"]) + 6, y, f"n={row['n']:,}", size=10))
    axis = across(share, 0, height, percent)
    marks = (group("rule", intervals), group("symbol", dots), group("text", ns))
    return picture(WIDTH, height + 20, (*axis, names_beside(names, step), *marks))


def bars(
    rows: pl.DataFrame,
    by: str,
    n: str,
    beside: str | None = None,
    mark: str = "",
) -> str:
    """A bar for each row, with its count and, *beside* it, another number of the row."""
    names = [name.replace("_", " ") for name in rows[by].cast(pl.String).fill_null("in none")]
    height = max(_LEAST_HEIGHT, _ROW * len(names))
    step = height / max(1, len(names))
    length = Scale(0, max([1.0, *(float(v or 0) for v in rows[n])]), LEFT, WIDTH - 88)
    drawn, labels = [], []
    for place, (name, row) in enumerate(zip(names, rows.iter_rows(named=True), strict=True)):
        y, end = (place + 0.5) * step, length(float(row[n] or 0))
        label = f"{row[n] or 0:,.0f}{_beside(row.get(beside or ''), mark)}"
        look = f'fill="{BLUE}"'
        drawn.append(box(LEFT, y - 6.5, max(0.5, end - LEFT), 13, look, f"{name}: {label}"))
        labels.append(text(end + 4, y, label))
    marks = (group("rect", drawn), group("text", labels))
    return picture(WIDTH, height, (names_beside(names, step), *marks))


def _beside(value: float | None, mark: str) -> str:
    if value is None:
        return ""
    return f" · {100 * value:.1f} %" if mark == "%" else f" · {value:,.2f}{mark}"


def quartiles(rows: pl.DataFrame, by: str, of: str, unit: str = "") -> str:
    """The middle half as a bar and the median as a mark, singles and combos beside each other.

    The columns end in *of*; the axis is in *unit*, where that is another word for the same numbers.
    """
    shown = rows.with_columns(by=pl.col(by).cast(pl.String))
    names, top = once(shown["by"]), 20
    step = max(26.0, 13.0 * shown["kind"].n_unique() + 10)
    height = step * len(names)
    edges = [*shown[f"p25_{of}"], *shown[f"p75_{of}"]]
    value = Scale(_below(edges), _up_to(edges, 0.5), LEFT, WIDTH - 42)
    halves, middles, ns = [], [], []
    for row in shown.iter_rows(named=True):
        color = KINDS[row["kind"]]
        y = top + (names.index(row["by"]) + (0.3 if row["kind"] == "singles" else 0.7)) * step
        low, middle, high = (row[f"{p}_{of}"] for p in ("p25", "p50", "p75"))
        look = f'stroke="{color}" stroke-width="5" stroke-opacity="0.4"'
        halves.append(rule(value(low), y, value(high), y, look))
        told = (
            f"{row['by']}, {row['kind']}: {middle:,.2f} ({low:,.2f} to {high:,.2f}), n {row['n']:,}"
        )
        is_square = row["kind"] == "singles"
        middles.append(dot(value(middle), y, color, row["n"], told, is_square=is_square))
        ns.append(text(value(high) + 6, y, f"n={row['n']:,}", size=10))
    pieces = [
        legend({k: c for k, c in KINDS.items() if k in shown["kind"].to_list()}, LEFT),
        *across(value, top, top + height, number),
        names_beside(names, step, top),
        *(group("rule", halves), group("symbol", middles), group("text", ns)),
        text(WIDTH - 42, top + height + 24, unit or of.replace("_", " "), "end"),
    ]
    return picture(WIDTH, top + height + 32, pieces)


def _below(values: Iterable[float | None]) -> float:
    """Zero, or the round value below the least where that is negative."""
    least = min((float(v) for v in values if v is not None), default=0.0)
    if least >= 0:
        return 0.0
    step = _step(-least / 3)
    return math.floor(least / step) * step


def curves(rows: pl.DataFrame) -> str:
    """Incidence by time on a log scale with its band, and beneath it how many still waited.

    Where few wait there is no curve.
    """
    drawn = rows.filter(~pl.col("is_thin"))
    left, top, bottom = 60, 22, 180
    longest = max([100.0, *(float(t) for t in rows["time_s"])])
    time = Scale(0.1, longest, left, WIDTH - RIGHT, is_log=True)
    share = Scale(0, _up_to(drawn["high"], 0.02), bottom, top)
    bands, lines = [], []
    for (kind,), of_kind in drawn.group_by("kind", maintain_order=True):
        color = KINDS[str(kind)]
        points = [(time(r["time_s"]), r) for r in of_kind.iter_rows(named=True)]
        above = stairs([(x, share(r["high"])) for x, r in points])
        beneath = stairs([(x, share(r["low"])) for x, r in points])
        d = line(above) + line(beneath[::-1]).replace("M", "L", 1) + "Z"
        bands.append(path(d, f'fill="{color}" fill-opacity="0.18"'))
        dash = ' stroke-dasharray="5 3"' if kind == "singles" else ""
        d = line(stairs([(x, share(r["incidence"])) for x, r in points]))
        lines.append(path(d, f'stroke="{color}" stroke-width="2"{dash}', str(kind)))
    waiting, height = _waiting(rows, time, bottom + 38)
    pieces = [
        legend({k: c for k, c in KINDS.items() if k in drawn["kind"].to_list()}, left),
        *upwards(share, left, WIDTH - RIGHT, percent),
        *across(time, top, bottom, number),
        *(group("area", bands), group("line", lines)),
        text(WIDTH - RIGHT, bottom + 24, "seconds since it was asked", "end"),
        waiting,
    ]
    return picture(WIDTH, height, pieces)


def stairs(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of steps that rise at each point."""
    corners = list(points[:1])
    for (_, before), (x, y) in pairwise(points):
        corners += [(x, before), (x, y)]
    return corners


def line(points: Sequence[tuple[float, float]]) -> str:
    """The way through these points, as a path has it."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _waiting(rows: pl.DataFrame, time: Scale, top: float) -> tuple[str, float]:
    """How many of each kind still waited at 0.1, 1, 10, 100 and 1,000 s, and where that ends."""
    told = [text(0, top, "still waiting:", size=10)]
    for kind in once(rows["kind"]):
        top += 14
        told.append(text(0, top, kind, size=10))
        of_kind = rows.filter(pl.col("kind") == kind)
        for time_s in (t for t in (0.1, 1, 10, 100, 1000) if t <= time.high):
            later = of_kind.filter(pl.col("time_s") > time_s)["n_risk"].to_list()
            told.append(text(time(time_s), top, f"{max(later, default=0):,}", "middle", 10))
    return group("text", told), top + 8


def calendar(rows: pl.DataFrame) -> str:
    """A square per day: the fuller the more was observed; a letter gives its verdict."""
    shown = rows.with_columns(
        x=pl.col("day").dt.strftime("%a"),
        y=pl.col("day").dt.truncate("1w").dt.strftime("%-d %b"),
        share=pl.col("hours_observed") / pl.col("hours_elapsed"),
        mark=pl.col("verdict").replace_strict(_MARKS, default="?"),
        told=pl.format("{}: {}", "day", "verdict"),
    )
    return heat(shown, ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], once(shown["y"]), 28)


def heat(rows: pl.DataFrame, columns: Sequence[str], lines: Sequence[str], side: float) -> str:
    """A square for each row at its *x* and *y*: the fuller the greater its *share*."""
    left, top = 48, 18
    width = (WIDTH - left - RIGHT) / len(columns)
    squares, marks = [], []
    for row in rows.iter_rows(named=True):
        x = left + columns.index(row["x"]) * width
        y = top + lines.index(row["y"]) * side
        full = 0.05 + 0.8 * min(1.0, row["share"] or 0.0)
        look = f'fill="{BLUE}" fill-opacity="{full:.2f}" stroke="{BLUE}" stroke-width="0.6"'
        squares.append(box(x + 0.5, y + 0.5, width - 1, side - 1, look, row["told"]))
        if row["mark"]:
            marks.append(text(x + width / 2, y + side / 2, row["mark"], "middle", 12))
    every = 1 if len(columns) <= 8 else 3
    heads = (
        text(left + (n + 0.5) * width, 8, name, "middle", 10)
        for n, name in enumerate(columns) if n % every == 0
    )  # fmt: skip
    pieces = (*heads, names_beside(lines, side, top, left), group("rect", squares))
    return picture(WIDTH, top + side * len(lines) + 2, (*pieces, group("text", marks)))
