"""How rows are drawn: few forms, one size that a phone can show, and no color that must be told.

Text and axes are drawn in `INK`, which becomes the color of the page's text, light or dark.
"""

import re
from collections.abc import Sequence
from datetime import date
from typing import Any

import altair as alt
import polars as pl
import vl_convert

INK = "#010203"
# Blue and orange are told apart by color-blind readers, and by their shapes besides; both have a
# contrast of 3 to 1 and more on white and on near black.
BLUE, ORANGE, GRAY = "#2f7fc1", "#c77700", "#7d8590"
WIDTH, LEFT = 330, 118
MIN_N = 30
_KINDS = alt.Scale(domain=["combos", "singles"], range=[BLUE, ORANGE])
_SHAPES = alt.Scale(domain=["combos", "singles"], range=["circle", "square"])
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_AXIS = {
    "labelColor": INK,
    "titleColor": INK,
    "domainColor": INK,
    "domainOpacity": 0.4,
    "tickColor": INK,
    "tickOpacity": 0.4,
    "gridColor": INK,
    "gridOpacity": 0.12,
    "labelFontSize": 11,
    "labelPadding": 5,
    "titleFontSize": 11,
    "titleFontWeight": "normal",
    "labelLimit": LEFT,
}
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": _FONT,
    "view": {"stroke": None},
    "axis": _AXIS,
    "legend": {
        "labelColor": INK, "labelFontSize": 11, "orient": "top", "title": None, "offset": 4,
        "symbolOpacity": 1,
    },
    "text": {"color": INK, "fontSize": 10, "font": _FONT},
}  # fmt: skip
# Text of 11 pixels is shown in 13.8 at most.
LARGEST = 1.25
_SIZE = re.compile(r'width="([\d.]+)" height="[\d.]+"')
_ADDRESS = re.compile(r' xmlns(:\w+)?="[^"]*"')


def svg(chart: alt.TopLevelMixin) -> str:
    """The chart as inline SVG, which takes the page's color and width and names no address."""
    spec = chart.to_dict(validate=False) | {"config": CONFIG}
    drawn: str = vl_convert.vegalite_to_svg(spec)
    drawn = _ADDRESS.sub("", drawn).replace(INK, "currentColor")
    return _SIZE.sub(_at_most, drawn, count=1)


def _at_most(size: re.Match[str]) -> str:
    """As wide as its place, but never so wide that its text is larger than the page's."""
    return f'{size[0]} style="max-width: {LARGEST * float(size[1]):.0f}px" aria-hidden="true"'


def rates(
    rows: pl.DataFrame,
    by: str,
    rate: str,
    color: str | None = None,
    *,
    is_lying: bool = False,
    days: Sequence[date] | None = None,
) -> alt.TopLevelMixin:
    """A dot with its interval for each row; hollow under 30. *is_lying* puts the rows beneath each
    other, where their names are long. Days without a row stay empty, hatched by nothing."""
    shown = rows.with_columns(
        label=pl.format("n={}", pl.col("n")),
        by=pl.col(by).dt.strftime("%a %-d") if days else pl.col(by).cast(pl.String),
    )
    order = [f"{day:%a %-d}" for day in days or ()] or _in_order(shown["by"])
    names = alt.Axis(title=None, labelAngle=0, grid=False, domain=False, ticks=False)
    if days:
        names.labelExpr = "split(datum.label, ' ')"
    percent = alt.Axis(format="%", title=None, tickCount=5)
    least = _most(shown["high"], 0.02)
    value: dict[str, Any] = {"scale": alt.Scale(domain=[0, least], nice=True), "axis": percent}
    hues = {} if color is None else _hues(color)
    across, along = ("y", "x") if is_lying else ("x", "y")
    place: dict[str, Any] = {
        across: (alt.Y if is_lying else alt.X)(
            "by:N", sort=order, axis=names, scale=alt.Scale(domain=order)
        )
    }
    if color is not None:
        place["xOffset"] = alt.XOffset(f"{color}:N", scale=alt.Scale(domain=["singles", "combos"]))
    base = alt.Chart(shown).encode(**place)
    channel = alt.X if is_lying else alt.Y
    interval = base.mark_rule(color=BLUE, strokeWidth=2, opacity=0.75).encode(
        **{along: channel("low:Q", **value), f"{along}2": "high:Q"}, **_only(hues, "color")
    )
    dot = base.mark_point(color=BLUE, size=42, opacity=1, strokeWidth=1.6).encode(
        **{along: channel(f"{rate}:Q", **value)},
        **hues,
        **_filled(color),
    )
    layers = [interval, dot]
    if is_lying:
        layers.append(
            base.mark_text(align="left", dx=6, opacity=0.75).encode(x="high:Q", text="label:N")
        )
    elif color is None:
        layers.append(base.mark_text(dy=-7, opacity=0.75).encode(y="high:Q", text="label:N"))
    height = max(40, 21 * len(order)) if is_lying else 170
    return _sized(alt.layer(*layers), WIDTH - LEFT if is_lying else WIDTH, height)


def _in_order(names: pl.Series) -> list[str]:
    found: list[str] = names.unique(maintain_order=True).to_list()
    return found


def _most(values: pl.Series, least: float) -> float:
    """The greatest of *values*, or *least* where that is more or there is none."""
    greatest = values.cast(pl.Float64).max()
    return max(least, greatest) if isinstance(greatest, float) else least


def _sized(chart: Any, width: int, height: int) -> alt.TopLevelMixin:
    sized: alt.TopLevelMixin = chart.properties(width=width, height=height)
    return sized


def _hues(color: str) -> dict[str, Any]:
    return {
        "color": alt.Color(f"{color}:N", scale=_KINDS),
        "shape": alt.Shape(f"{color}:N", scale=_SHAPES),
    }


def _only(hues: dict[str, Any], name: str) -> dict[str, Any]:
    return {name: hues[name]} if name in hues else {}


def _filled(color: str | None) -> dict[str, Any]:
    """Filled from 30 on; below, the ring alone."""
    solid: Any = alt.value(BLUE) if color is None else alt.Fill(f"{color}:N", scale=_KINDS)
    return {
        "fill": solid,
        "fillOpacity": alt.condition(alt.datum.n >= MIN_N, alt.value(1), alt.value(0)),
    }


def bars(
    rows: pl.DataFrame,
    by: str,
    n: str,
    beside: str | None = None,
    mark: str = "",
    sort: str | None = "-x",
) -> alt.TopLevelMixin:
    """A bar for each row, with its count and, *beside* it, another number of the row."""
    scale = 100 if mark == "%" else 1
    label = pl.col(n).map_elements(lambda x: f"{x:,.0f}", return_dtype=pl.String)
    if beside is not None:
        told = (pl.col(beside) * scale).round(1 if mark == "%" else 2)
        also = (
            pl.format(" · {} {}", told, pl.lit(mark))
            if mark == "%"
            else pl.format(" · {}{}", told, pl.lit(mark))
        )
        label = pl.concat_str(label, also.fill_null(""))
    shown = rows.with_columns(
        label=label, by=pl.col(by).cast(pl.String).fill_null("in none").str.replace_all("_", " ")
    )
    order = shown["by"].to_list()
    base = alt.Chart(shown).encode(
        y=alt.Y(
            "by:N", sort=order, axis=alt.Axis(title=None, domain=False, ticks=False, grid=False)
        ),
        x=alt.X(f"{n}:Q", axis=None, scale=alt.Scale(domain=[0, 1.45 * _most(shown[n], 1)])),
    )
    bar = base.mark_bar(color=BLUE, height=alt.RelativeBandSize(0.62), cornerRadiusEnd=1)
    text = base.mark_text(align="left", dx=4, fontSize=11).encode(text="label:N")
    return _sized(bar + text, WIDTH - LEFT, max(40, 21 * len(order)))


def quartiles(rows: pl.DataFrame, by: str, of: str) -> alt.TopLevelMixin:
    """The middle half as a bar and the median as a mark, singles and combos beside each other."""
    shown = rows.with_columns(
        label=pl.format("n={}", pl.col("n")), by=pl.col(by).str.replace(" target cost", " cost")
    )
    order = _in_order(shown["by"])
    base = alt.Chart(shown).encode(
        y=alt.Y(
            "by:N",
            sort=order,
            axis=alt.Axis(title=None, domain=False, ticks=False, grid=False),
        ),
        yOffset=alt.YOffset("kind:N", scale=alt.Scale(domain=["singles", "combos"])),
        color=alt.Color("kind:N", scale=_KINDS),
    )
    axis = alt.Axis(title=of.replace("_", " "), tickCount=5)
    half = base.mark_rule(strokeWidth=5, opacity=0.4).encode(
        x=alt.X(f"p25_{of}:Q", axis=axis), x2=f"p75_{of}:Q"
    )
    middle = base.mark_point(size=38, opacity=1, strokeWidth=1.6).encode(
        x=f"p50_{of}:Q", shape=alt.Shape("kind:N", scale=_SHAPES), **_filled("kind")
    )
    text = base.mark_text(align="left", dx=6, opacity=0.75).encode(
        x=f"p75_{of}:Q", text="label:N", color=alt.value(INK)
    )
    height = max(50, 13 * shown.select("by", "kind").n_unique() + 10 * len(order))
    return _sized(half + middle + text, WIDTH - LEFT, height)


def curves(rows: pl.DataFrame) -> alt.TopLevelMixin:
    """Incidence by time on a log scale with its band, and beneath it how many still waited."""
    longest = _most(rows["time_s"], 100)
    scale = alt.Scale(type="log", domain=[0.1, longest])
    times = alt.X(
        "time_s:Q",
        scale=scale,
        axis=alt.Axis(
            title="seconds since it was asked", values=[0.1, 1, 10, 100, 1000, 10000], format="~g"
        ),
    )
    most = _most(rows["high"], 0.02)
    base = alt.Chart(rows).encode(x=times, color=alt.Color("kind:N", scale=_KINDS))
    band = base.mark_area(opacity=0.18, interpolate="step-after").encode(
        y=alt.Y(
            "low:Q",
            axis=alt.Axis(format="%", title=None, tickCount=5),
            scale=alt.Scale(domain=[0, most], nice=True),
        ),
        y2="high:Q",
    )
    line = base.mark_line(interpolate="step-after", strokeWidth=2).encode(
        y="incidence:Q", strokeDash=alt.StrokeDash("kind:N", legend=None)
    )
    waiting = (
        alt.Chart(_waiting(rows))
        .mark_text(fontSize=10)
        .encode(
            x=alt.X("time_s:Q", scale=scale, axis=None),
            y=alt.Y(
                "kind:N",
                axis=alt.Axis(title=None, domain=False, ticks=False, grid=False, labelPadding=22),
            ),
            text=alt.Text("n_risk:Q", format=","),
        )
        .properties(width=WIDTH - 30, height=30)
    )
    above = (band + line).properties(width=WIDTH - 30, height=170)
    stacked: alt.TopLevelMixin = alt.vconcat(above, waiting, spacing=4).resolve_scale(
        color="shared"
    )
    return stacked


def _waiting(rows: pl.DataFrame) -> pl.DataFrame:
    """How many of each kind still waited at 0.1, 1, 10, 100 and 1,000 s."""
    found = []
    for (kind,), of_kind in rows.group_by("kind", maintain_order=True):
        for time_s in (0.1, 1, 10, 100, 1000):
            later = of_kind.filter(pl.col("time_s") > time_s)["n_risk"]
            found.append({"kind": kind, "time_s": time_s, "n_risk": int(_most(later, 0))})
    return pl.DataFrame(found)


def calendar(rows: pl.DataFrame) -> alt.TopLevelMixin:
    """A square per day: the fuller the more was observed; a letter gives its verdict."""
    letters = {"clean": "✓", "partial": "~", "missing": "×"}
    shown = rows.with_columns(
        week=pl.col("day").dt.truncate("1w").dt.strftime("%-d %b"),
        weekday=pl.col("day").dt.strftime("%a"),
        share=pl.col("hours_observed") / pl.col("hours_elapsed"),
        letter=pl.col("verdict").replace_strict(letters, default="?"),
    )
    base = alt.Chart(shown).encode(
        x=alt.X(
            "weekday:N",
            sort=["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
            scale=alt.Scale(domain=["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]),
            axis=alt.Axis(title=None, labelAngle=0, domain=False, ticks=False, orient="top"),
        ),
        y=alt.Y(
            "week:N",
            sort=shown["week"].unique(maintain_order=True).to_list(),
            axis=alt.Axis(title=None, domain=False, ticks=False, grid=False),
        ),
    )
    square = base.mark_rect(stroke=BLUE, strokeWidth=1, color=BLUE, cornerRadius=2).encode(
        fillOpacity=alt.FillOpacity(
            "share:Q", scale=alt.Scale(domain=[0, 1], range=[0.0, 0.45]), legend=None
        )
    )
    text = base.mark_text(fontSize=13).encode(text="letter:N")
    weeks = shown["week"].n_unique()
    return _sized(square + text, WIDTH - 60, 30 * weeks)
