"""Draw what all charts share: colours, choices, tooltips, axes, and how a chart becomes a
specification.

Colours are the style sheet's (``var(--c0)``), so that dark mode and print follow the page; this
needs Vega's SVG renderer. One entry has one colour in every chart. No axis begins at zero:
differences between encoders are what is asked, and the tables say the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair as alt

from ssl_patches.evaluation.rows import TRAINED
from ssl_patches.studies.compare.comparison import Comparison, Estimate
from ssl_patches.studies.compare.entries import Entry

COLOURS = 10  # --c0 to --c9
SPACE = {"left": 0, "top": 8, "right": 8, "bottom": 0}
FONT = (  # named, because Vega measures labels with it
    'system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
)
SHORT = (  # 0.05, not 50m
    "datum.value > 0 && datum.value < 10 ? format(datum.value, '~g') : format(datum.value, '~s')"
)
TEXT = {"labelColor": "var(--muted)", "titleColor": "var(--muted)", "titleFontWeight": "normal"}
LINES = {"gridColor": "var(--line)", "domainColor": "var(--line)", "tickColor": "var(--line)"}


def colours(entries: Iterable[Entry]) -> Mapping[str, str]:
    """Map the name of each entry to a colour of the style sheet; floors are grey."""
    entries = list(entries)
    trained = sorted(entry.name for entry in entries if entry.model == TRAINED)
    chosen = {name: f"var(--c{at % COLOURS})" for at, name in enumerate(trained)}
    return {entry.name: chosen.get(entry.name, "var(--muted)") for entry in entries}


def colour(comparison: Comparison, *, legend: bool = True) -> alt.Color:
    """Colour marks by entry; ``legend``: with the trained entries below the chart."""
    chosen = colours(comparison.entries)
    shown = (
        alt.Legend(
            title=None,
            orient="bottom",
            columns=2,
            labelLimit=150,
            symbolType="circle",
            symbolOpacity=1,
        )
        if legend
        else None
    )
    if shown:
        shown.values = [entry.name for entry in comparison.trained]
    return alt.Color(
        "entry:N", scale=alt.Scale(domain=list(chosen), range=list(chosen.values())), legend=shown
    )


def data(rows: Sequence[Mapping[str, Any]]) -> alt.Data:
    """Put rows into a chart."""
    return alt.Data(values=list(rows))


def choice(field: str, options: Sequence[str], *, radio: bool = False) -> tuple[alt.Parameter, str]:
    """Return a parameter that the reader sets, and the filter that keeps the rows of its value."""
    name, bind = f"chosen_{field}", alt.binding_radio if radio else alt.binding_select
    shown = bind(options=list(options), name=field) if len(options) > 1 else alt.Undefined
    return alt.param(name=name, value=options[0], bind=shown), f"datum.{field} === {name}"


def x(field: str, title: str | None, *, zero: bool = False, **axis: Any) -> alt.X:
    """Lay a number along x; ``zero``: the axis includes 0."""
    return alt.X(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(zero=zero, padding=12),
        axis=alt.Axis(tickCount=6, **axis),
    )


def y(field: str, title: str | None) -> alt.Y:
    """Lay a number along y."""
    return alt.Y(f"{field}:Q", title=title, scale=alt.Scale(zero=False, padding=12))


def tips(*names: str, **numbers: str) -> list[alt.Tooltip]:
    """Show ``names`` as they are and ``numbers`` in a format of d3 when a mark is pointed at."""
    return [
        *(alt.Tooltip(f"{name}:N") for name in names),
        *(alt.Tooltip(f"{key}:Q", format=way) for key, way in numbers.items()),
    ]


def bound_columns(found: Estimate) -> dict[str, Any]:
    """Return the columns of an estimate."""
    numbers = {"mean": found.mean, "low": found.low, "high": found.high}
    interval = {"seeds": f"over {found.n} seeds", "images": "over test images only"}.get(
        found.over, "none"
    )
    return {
        **{key: None if value is None else round(value, 3) for key, value in numbers.items()},
        "interval": interval,
    }


def specification(chart: Any, *parameters: alt.Parameter, height: int | alt.Step) -> dict[str, Any]:
    """Return a chart as Vega-Lite in plain containers, as wide as the page."""
    chart = (
        chart.add_params(*parameters)
        .properties(
            width="container",
            height=height,
            autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
        )
        .configure(background="transparent", font=FONT, padding=SPACE)
        .configure_axis(labelOverlap=True, labelFontSize=12, titleFontSize=12, **TEXT, **LINES)
        .configure_legend(labelColor="var(--ink)", labelFontSize=12, offset=8)
        .configure_view(stroke=None)
    )
    return _unnamed(chart.to_dict(), {})


def _unnamed(node: Any, names: dict[str, str]) -> Any:
    """Altair numbers its views in the order in which a process makes them; the same comparison
    shall give the same page."""
    if isinstance(node, dict):
        return {key: _unnamed(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [_unnamed(value, names) for value in node]
    if isinstance(node, str) and re.fullmatch(r"view_\d+", node):
        return names.setdefault(node, f"view_{len(names)}")
    return node
