"""Forms of pictures that the report has no use for: stairs by time, and the lanes of one RFQ."""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from notebooks.report.drawing import (
    BLUE,
    GRAY,
    MIN_N,
    ORANGE,
    RIGHT,
    WIDTH,
    Scale,
    across,
    box,
    dot,
    group,
    legend,
    line,
    names_beside,
    number,
    once,
    path,
    percent,
    picture,
    rule,
    stairs,
    text,
    upwards,
)

_DASHES = ("", ' stroke-dasharray="5 3"', ' stroke-dasharray="2 2"')
_LANE = 24
_LANES_LEFT = 66
_LOW_S, _HIGH_S = 0.1, 1000.0


def steps(rows: pl.DataFrame, by: str, x: str, y: str) -> str:
    """Shares by time on a log scale, a stair for each of *by*, told apart by color and dashes."""
    left, top, bottom = 40, 22, 180
    longest = max([_HIGH_S, *(float(t) for t in rows[x])])
    time = Scale(_LOW_S, longest, left, WIDTH - RIGHT, is_log=True)
    share = Scale(0, 1, bottom, top)
    names = dict(zip(once(rows[by]), (BLUE, ORANGE, GRAY), strict=False))
    lines = []
    for (name, color), dash in zip(names.items(), _DASHES, strict=False):
        found = rows.filter(pl.col(by) == name).select(x, y).rows()
        points = [(time(_LOW_S), share(0.0)), *((time(t), share(v)) for t, v in found)]
        corners = [*stairs(points), (WIDTH - RIGHT, points[-1][1])]
        lines.append(path(line(corners), f'stroke="{color}" stroke-width="2"{dash}', name))
    pieces = [
        legend(names, left),
        *upwards(share, left, WIDTH - RIGHT, percent),
        *across(time, top, bottom, number),
        group("line", lines),
        text(WIDTH - RIGHT, bottom + 24, "seconds, log scale", "end"),
    ]
    return picture(WIDTH, bottom + 32, pieces)


def lanes(rows: pl.DataFrame) -> str:
    """A lane for each maker: a bar for each version, from its creation to its end, and its accept,
    confirm and execution as letters."""
    names, top = once(rows["maker"]), 22
    bottom = top + _LANE * len(names)
    time = _time(rows)
    drawn: list[str] = []
    marks: list[str] = []
    for row in rows.iter_rows(named=True):
        y = top + (names.index(row["maker"]) + 0.5) * _LANE
        start, end = time(row["quoted_s"]), time(row["ended_s"])
        # What came after the end, or without a bid, is no version.
        color = GRAY if row["version"] is None else BLUE if row["version"] % 2 else ORANGE
        look = f'fill="{color}" fill-opacity="0.35" stroke="{color}"'
        drawn.append(box(start, y - 6, max(1.5, end - start), 12, look, _version(row)))
        marks += _stages(row, time, y)
    pieces = [
        legend({"odd version": BLUE, "even version": ORANGE}, _LANES_LEFT),
        *across(time, top, bottom, number),
        names_beside(names, _LANE, top, _LANES_LEFT),
        *(group("rect", drawn), group("text", marks)),
        text(WIDTH - RIGHT, bottom + 24, "seconds since it was asked", "end"),
    ]
    return picture(WIDTH, bottom + 32, pieces)


def _stages(row: Mapping[str, Any], time: Scale, y: float) -> Iterator[str]:
    """The letters of what happened to a quote, none upon another."""
    free = 0.0
    for stage, letter in (("accepted", "A"), ("confirmed", "C"), ("executed", "X")):
        if row[f"{stage}_s"] is not None:
            free = max(free, time(row[f"{stage}_s"]))
            yield text(free, y, letter, "middle", 12)
            free += 10


def _version(row: Mapping[str, Any]) -> str:
    version = "no response" if row["version"] is None else f"v{row['version']}"
    return f"{row['maker']} {version}: {row['yes_bid_cents']} / {row['yes_ask_cents']}¢"


def _time(rows: pl.DataFrame) -> Scale:
    """The lanes' and the prices' picture have the same one."""
    return Scale(0, max(0.001, float(rows["until_s"].max() or 0)), _LANES_LEFT, WIDTH - 24)  # type: ignore[arg-type]


def prices(rows: pl.DataFrame) -> str:
    """The best bid and offer for YES, in cents, as they moved: bids solid, offers dashed."""
    top, bottom = 22, 132
    time = _time(rows)
    cents = [float(v) for name in ("best_bid_cents", "best_ask_cents") for v in rows[name] if v]
    low, high = min(cents, default=0.0), max(cents, default=100.0)
    price = Scale(low - 1, high + 1, bottom, top)
    pairs = (("best_bid_cents", BLUE, ""), ("best_ask_cents", ORANGE, ' stroke-dasharray="5 3"'))
    lines, ends = [], []
    for name, color, dash in pairs:
        for row in rows.filter(pl.col(name).is_not_null()).iter_rows(named=True):
            y = price(float(row[name]))
            look = f'stroke="{color}" stroke-width="2"{dash}'
            lines.append(rule(time(row["from_s"]), y, time(row["to_s"]), y, look))
            ends.append(dot(time(row["from_s"]), y, color, MIN_N, is_square=color == ORANGE))
    pieces = [
        legend({"best bid": BLUE, "best offer": ORANGE}, _LANES_LEFT),
        *upwards(price, _LANES_LEFT, WIDTH - RIGHT, number),
        *across(time, top, bottom, number),
        *(group("line", lines), group("symbol", ends)),
        text(WIDTH - RIGHT, bottom + 24, "seconds since it was asked", "end"),
    ]
    return picture(WIDTH, bottom + 32, pieces)
