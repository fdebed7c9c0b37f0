"""`line_chart_svg`: curves of numbers as one SVG text, with the standard library alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from .style import Theme, number
from .style import theme as get_theme
from .svg import document, fit, label, line, log_ticks, num, text_width, ticks

# Okabe-Ito strokes in the order that keeps neighbours apart, and a darker text of each.
LIGHT_COLOURS = (
    ("#0072B2", "#005A8E"), ("#D55E00", "#A84700"), ("#009E73", "#00704F"), ("#9C4A83", "#833B6D"),
    ("#B26A00", "#8A5200"), ("#3B8FC4", "#23689A"), ("#475569", "#334155"),
)  # fmt: skip
DARK_COLOURS = (
    ("#56B4E9", "#8CCBF0"), ("#F08A4B", "#F6A877"), ("#2DC79A", "#66D9B6"), ("#D68FBE", "#E4B3D3"),
    ("#E69F00", "#F0BD54"), ("#8CCBF0", "#B5DDF5"), ("#A9B6C8", "#CBD5E1"),
)  # fmt: skip

Points = list[tuple[float, float]]


def line_chart_svg(
    series: Mapping[str, Any],
    xlabel: str = "",
    ylabel: str = "",
    *,
    title: str = "",
    subtitle: str = "",
    yscale: str = "linear",
    smooth: float = 0.0,
    width: int = 760,
    height: int = 420,
    theme: str = "light",
) -> str:
    """Curves, each labelled at its end with its last value, as the text of an SVG file.

    Args:
        series: name → the values y (at x = 1, 2, …), or name → `(xs, ys)`. What is not finite
            leaves a gap.
        xlabel, ylabel: what the axes count.
        title, subtitle: a heading and a line below it.
        yscale: "linear" or "log"; on a log scale values that are not positive leave a gap.
        smooth: 0 … 1, weight of the past in an exponential mean drawn over the faint raw values
            of each curve of 50 points or more.
        width, height: in pixels.
        theme: "light" or "dark".

    Raises:
        ConfigError: no series, or an option outside its range.

    >>> svg = line_chart_svg({"train": [2.9, 2.1, 1.8]}, "epoch", "loss")
    >>> svg.startswith("<svg")
    True
    """
    look = get_theme(theme)
    if yscale not in ("linear", "log"):
        raise ConfigError(f"line_chart_svg: yscale {yscale!r} is not 'linear' or 'log'")
    if not 0.0 <= smooth < 1.0:
        raise ConfigError(f"line_chart_svg: smooth is {smooth}, expected 0 ≤ smooth < 1")
    if not series:
        raise ConfigError("line_chart_svg: no series; give {name: [y, …]}")
    log = yscale == "log"
    raw = {str(name): _points(name, values, log) for name, values in series.items()}
    shown = {
        name: _smoothed(points, smooth, log) if len(points) >= 50 else points
        for name, points in raw.items()
    }
    finite = [p for points in (*raw.values(), *shown.values()) for p in points if p[1] == p[1]]
    axes = _Axes(finite, log, width, height, _margins(shown, title, subtitle), look)
    body = axes.draw(xlabel, ylabel)
    y = 30.0
    if title:
        body.append(label(fit(title, 17, width - 48), 24, y, size=17, fill=look.ink, bold=True))
        y += 20
    if subtitle:
        body.append(label(fit(subtitle, 12.5, width - 48), 24, y, size=12.5, fill=look.muted))
    colours = DARK_COLOURS if look.name == "dark" else LIGHT_COLOURS
    ends = []
    for i, (name, points) in enumerate(shown.items()):
        stroke, ink = colours[i % len(colours)]
        dash = ' stroke-dasharray="7 4"' if i >= len(colours) else ""
        if points is not raw[name]:
            body.append(axes.path(raw[name], stroke, 1.2, ' opacity="0.28"'))
        body.append(axes.path(points, stroke, 2.4, dash))
        last = next(((px, py) for px, py in reversed(points) if py == py), None)
        if last is not None:
            x, y = axes.at(*last)
            body.append(
                f'<circle cx="{num(x)}" cy="{num(y)}" r="3.6" fill="{stroke}" '
                f'stroke="{look.paper}" stroke-width="1.5"/>'
            )
            ends.append([y, name, number(last[1]), ink])
    body += _end_labels(ends, axes, look)
    about = "; ".join(f"{name} ends at {value}" for _, name, value, _ in ends)
    return document(
        body, width, height, look, title=title or f"{ylabel} by {xlabel}", description=about
    )


def _points(name: str, values: Any, log: bool) -> Points:
    if isinstance(values, tuple) and len(values) == 2 and not _is_number(values[0]):
        xs, ys = values
        if len(xs) != len(ys):
            raise ConfigError(f"line_chart_svg: {name!r} has {len(xs)} x and {len(ys)} y values")
    else:
        ys = values
        xs = range(1, len(ys) + 1)
    out = []
    for x, y in zip(xs, ys, strict=True):
        y = float(y)
        good = math.isfinite(y) and not (log and y <= 0)
        out.append((float(x), y if good else math.nan))
    return out


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) or getattr(x, "shape", None) == ()


def _smoothed(points: Points, weight: float, log: bool) -> Points:
    """Exponential mean, corrected for its start (Kingma and Ba 2015, section 3)."""
    if not weight:
        return points
    out, mean, total = [], 0.0, 0.0
    for x, y in points:
        if y == y:
            mean = weight * mean + (1 - weight) * (math.log(y) if log else y)
            total = weight * total + (1 - weight)
            y = math.exp(mean / total) if log else mean / total
        out.append((x, y))
    return out


def _margins(
    shown: Mapping[str, Points], title: str, subtitle: str
) -> tuple[float, float, float, float]:
    names = max(text_width(name, 12.5) for name in shown)
    right = min(max(names, 56.0), 200.0) + 26
    top = 30.0 + 24 * bool(title) + 18 * bool(subtitle)
    return 64.0, top + 14, right, 52.0


class _Axes:
    """The plotting area: data to pixels, grid, ticks."""

    def __init__(
        self,
        points: Points,
        log: bool,
        width: float,
        height: float,
        margins: tuple[float, float, float, float],
        look: Theme,
    ) -> None:
        left, top, right, bottom = margins
        self.log, self.look = log, look
        self.x0, self.x1 = left, max(width - right, left + 40)
        self.y0, self.y1 = top, max(height - bottom, top + 40)
        xs = [x for x, _ in points] or [0.0, 1.0]
        ys = [self.scale(y) for _, y in points] or [0.0, 1.0]
        self.left, self.right = min(xs), max(xs)
        if self.left == self.right:
            self.left, self.right = self.left - 0.5, self.right + 0.5
        low, high = min(ys), max(ys)
        pad = (high - low) * 0.06 or abs(high) * 0.1 or 0.5
        self.low = 0.0 if not log and 0 <= low < 0.25 * (high - low) else low - pad
        self.high = high + pad
        self.rows = ticks(self.low, self.high)
        if log:
            self.rows = [math.log10(t) for t in log_ticks(10**self.low, 10**self.high)]
        widest = max(text_width(self.text(row), 12) for row in self.rows)
        self.x0 = max(left, widest + 34)

    def text(self, row: float) -> str:
        return number(10**row if self.log else row)

    def scale(self, y: float) -> float:
        return math.log10(y) if self.log else y

    def at(self, x: float, y: float) -> tuple[float, float]:
        fx = (x - self.left) / (self.right - self.left)
        fy = (self.scale(y) - self.low) / (self.high - self.low)
        return self.x0 + fx * (self.x1 - self.x0), self.y1 - fy * (self.y1 - self.y0)

    def draw(self, xlabel: str, ylabel: str) -> list[str]:
        look = self.look
        grid = "#E2E8F0" if look.name == "light" else "#22304A"
        body = []
        for row in self.rows:
            y = self.y1 - (row - self.low) / (self.high - self.low) * (self.y1 - self.y0)
            body.append(line(self.x0, y, self.x1, y, grid))
            body.append(
                label(self.text(row), self.x0 - 10, y + 4.2, size=12, fill=look.muted, anchor="end")
            )
        columns = ticks(self.left, self.right, about=max(2, int((self.x1 - self.x0) / 90)))
        if self.left == int(self.left) and self.right == int(self.right):
            columns = [c for c in columns if c == int(c)]
        for column in columns:
            x, _ = self.at(column, 1.0)
            body.append(line(x, self.y1, x, self.y1 + 5, look.line))
            body.append(
                label(number(column, 6), x, self.y1 + 20, size=12, fill=look.muted, anchor="middle")
            )
        body.append(line(self.x0, self.y1, self.x1, self.y1, look.line))
        middle = (self.x0 + self.x1) / 2
        body.append(
            label(xlabel, middle, self.y1 + 42, size=12.5, fill=look.muted, anchor="middle")
        )
        body.append(label(ylabel, 24, self.y0 - 12, size=12.5, fill=look.muted))
        return body

    def path(self, points: Points, stroke: str, width: float, extra: str) -> str:
        parts, pen = [], False
        for x, y in _thinned(points, int(self.x1 - self.x0)):
            if y != y:
                pen = False
                continue
            px, py = self.at(x, y)
            parts.append(f"{'L' if pen else 'M'}{num(px)} {num(py)}")
            pen = True
        return (
            f'<path d="{" ".join(parts)}" fill="none" stroke="{stroke}" stroke-width="{width}" '
            f'stroke-linejoin="round" stroke-linecap="round"{extra}/>'
        )


def _thinned(points: Points, pixels: int) -> Points:
    """At most four points per pixel column: first, lowest, highest, last."""
    if len(points) <= 4 * pixels:
        return points
    size = math.ceil(len(points) / pixels)
    out: Points = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        good = [p for p in part if p[1] == p[1]]
        if not good:
            out.append(part[0])
            continue
        picked = {good[0], good[-1], min(good, key=lambda p: p[1]), max(good, key=lambda p: p[1])}
        out.extend(sorted(picked))
    return out


def _end_labels(ends: list[list[Any]], axes: _Axes, look: Theme) -> list[str]:
    """Name and last value to the right of each curve's end, moved apart where they collide."""
    gap = 31.0
    ends.sort(key=lambda e: e[0])
    places = [float(e[0]) for e in ends]
    for _ in range(60):
        for i in range(len(places) - 1):
            overlap = gap - (places[i + 1] - places[i])
            if overlap > 0:
                places[i] -= overlap / 2
                places[i + 1] += overlap / 2
        places = [min(max(p, axes.y0 + 4), axes.y1 - 10) for p in places]
    body = []
    room = 176.0
    for (y, name, value, ink), place in zip(ends, places, strict=True):
        if abs(place - y) > 6:
            body.append(line(axes.x1 + 5, y, axes.x1 + 11, place, look.box_line))
        x = axes.x1 + 14
        body.append(label(fit(name, 12.5, room), x, place - 1, size=12.5, fill=ink, bold=True))
        body.append(label(value, x, place + 13, size=12, fill=look.muted))
    return body
