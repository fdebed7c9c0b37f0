"""Matrices as pictures: `attention_svg` needs nothing, `heatmap` draws with matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ShapeError, missing_extra
from .escape import clean
from .style import CIVIDIS, contrast, number, ramp
from .style import theme as get_theme
from .svg import document, fit, label, num, rect, text_width


def attention_svg(
    weights: Any,
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
    *,
    title: str = "",
    subtitle: str = "",
    theme: str = "light",
) -> str:
    """How much each target token looked at each source token, as the text of an SVG file.

    One row per target token, one column per source token; each cell is coloured by its weight
    (cividis, from 0 to the largest weight) and says it in per cent where there is room.

    Args:
        weights: (T_target, T_source); a Tensor or an array. What is not finite is hatched grey.
        source_tokens: the words attended to, along the top.
        target_tokens: the words that attend, down the side.
        title, subtitle: a heading and a line below it.
        theme: "light" or "dark".

    Raises:
        ShapeError: `weights` is not a matrix of that many rows and columns.

    >>> svg = attention_svg([[0.9, 0.1], [0.2, 0.8]], ["le", "chat"], ["the", "cat"])
    >>> svg.count("<rect ") >= 4
    True
    """
    matrix = _matrix("attention_svg", weights, target_tokens, source_tokens)
    look = get_theme(theme)
    rows = [fit(clean(t), 13.5, 150) for t in target_tokens]
    columns = [fit(clean(t), 13.5, 150) for t in source_tokens]
    n, m = matrix.shape
    cell = float(min(46, max(9, 900 // max(n, m, 1))))
    size = min(13.5, max(7.0, cell * 0.75))
    left = 28 + max((text_width(t, size) for t in rows), default=0) + 12
    across = max((text_width(t, size) for t in columns), default=0)
    turned = across > cell * 1.15
    heading = 24.0 + (22 if title else 0) + (18 if subtitle else 0)
    top = heading + (across * 0.71 + 20 if turned else size + 16)
    tail = (text_width(columns[-1], size) * 0.71 if turned and columns else 0) + 12
    width = left + m * cell + max(tail, 28.0) + 70
    width = max(width, 48 + text_width(title, 17) * 1.06, 48 + text_width(subtitle, 12.5))
    height = top + max(n * cell, 44.0) + 28
    high = float(np.nanmax(np.where(np.isfinite(matrix), matrix, np.nan))) if _any(matrix) else 1.0
    high = high if high > 0 else 1.0

    body: list[str] = []
    y = 32.0
    if title:
        body.append(label(title, 24, y, size=17, fill=look.ink, bold=True))
        y += 20
    if subtitle:
        body.append(label(subtitle, 24, y, size=12.5, fill=look.muted))
    for j, token in enumerate(columns):
        x = left + (j + 0.5) * cell
        if turned:
            body.append(label(token, x, top - 9, size=size, fill=look.ink, rotate=-45))
        else:
            body.append(label(token, x, top - 9, size=size, fill=look.ink, anchor="middle"))
    for i, token in enumerate(rows):
        middle = top + (i + 0.5) * cell
        body.append(
            label(token, left - 10, middle + size * 0.35, size=size, fill=look.ink, anchor="end")
        )
        body += [
            _cell(float(matrix[i, j]), high, left + j * cell, middle - cell / 2, cell)
            for j in range(m)
        ]
    body += _scale(left + m * cell + max(tail - 40, 14.0), top, n * cell, high, look.muted)
    return document(
        body, width, height, look,
        title=title or "attention weights",
        description=_spoken(matrix, rows, columns),
    )  # fmt: skip


def heatmap(
    matrix: Any,
    rows: Sequence[str] | None = None,
    cols: Sequence[str] | None = None,
    *,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    cmap: str = "cividis",
    vmin: float | None = None,
    vmax: float | None = None,
    annotate: bool | str = "auto",
) -> Any:
    """A matrix as a matplotlib Figure: `heatmap(weights, target, source).savefig("a.png")`.

    Args:
        matrix: (R, C); a Tensor or an array.
        rows, cols: R and C labels; none are drawn where they are None.
        title, xlabel, ylabel: texts.
        cmap, vmin, vmax: the colour scale, as in `matplotlib.axes.Axes.imshow`.
        annotate: write each value into its cell; "auto": up to 12 × 12.

    Raises:
        ShapeError: not a matrix, or a number of labels that does not fit it.
        MissingExtraError: matplotlib is not installed.
    """
    values = _matrix("heatmap", matrix, rows, cols)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise missing_extra("matplotlib", extra="viz") from None
    n, m = values.shape
    figure = Figure(
        figsize=(min(2.6 + 0.42 * m, 16), min(1.8 + 0.42 * n, 16)), dpi=150, layout="constrained"
    )
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap=cmap, vmin=vmin, vmax=vmax)
    axes.set_aspect("equal" if m <= 40 else "auto")
    if cols is not None:
        turned = max((len(clean(c)) for c in cols), default=0) > 3
        axes.set_xticks(range(m), [_plain(c) for c in cols], rotation=45 if turned else 0,
                        ha="left" if turned else "center", rotation_mode="anchor")  # fmt: skip
        axes.xaxis.tick_top()
    if rows is not None:
        axes.set_yticks(range(n), [_plain(r) for r in rows])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set(xlabel=_plain(xlabel), ylabel=_plain(ylabel))
    if title:
        axes.set_title(_plain(title), loc="left", fontweight="bold")
    figure.colorbar(image, ax=axes, shrink=0.85).outline.set_visible(False)
    if annotate is True or (annotate == "auto" and n <= 12 and m <= 12):
        for i in range(n):
            for j in range(m):
                r, g, b, _ = image.to_rgba(values[i, j])
                light = 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.5
                axes.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=8,
                          color="#0F172A" if light else "#FFFFFF")  # fmt: skip
    return figure


def _matrix(
    what: str, matrix: Any, rows: Sequence[str] | None, cols: Sequence[str] | None
) -> np.ndarray[Any, Any]:
    values = np.asarray(matrix.numpy() if hasattr(matrix, "numpy") else matrix, dtype=float)
    if values.ndim != 2:
        raise ShapeError(f"{what}: the matrix has shape {values.shape}, expected (rows, columns)")
    for axis, names in ((0, rows), (1, cols)):
        if names is not None and len(names) != values.shape[axis]:
            side = ("rows", "columns")[axis]
            raise ShapeError(
                f"{what}: {len(names)} labels for {values.shape[axis]} {side}; the matrix has "
                f"shape {values.shape}, rows are targets and columns are sources"
            )
    return values


def _any(matrix: np.ndarray[Any, Any]) -> bool:
    return bool(np.isfinite(matrix).any())


def _plain(text: object) -> str:
    return clean(text).replace("$", r"\$")  # matplotlib reads $…$ as mathematics


def _cell(value: float, high: float, x: float, y: float, cell: float) -> str:
    gap = 1.0 if cell >= 16 else 0.0
    if not math.isfinite(value):
        return rect(x, y, cell - gap, cell - gap, "#CBD5E1", ' stroke="#B00020"')
    colour = ramp(CIVIDIS, value / high)
    corner = ' rx="3"' if cell >= 16 else ""
    box = rect(x, y, cell - gap, cell - gap, colour, corner)
    if cell < 30 or value < 0.005:
        return box
    ink = max(("#FFFFFF", "#0F172A"), key=lambda c: contrast(colour, c))
    middle = x + (cell - gap) / 2
    return box + label(
        f"{100 * value:.0f}", middle, y + cell / 2 + 3.6, size=11, fill=ink, anchor="middle"
    )


def _scale(x: float, y: float, height: float, high: float, ink: str) -> list[str]:
    height = max(40.0, min(height, 180.0))
    stops = "".join(
        f'<stop offset="{num(i / (len(CIVIDIS) - 1))}" stop-color="{c}"/>'
        for i, c in enumerate(reversed(CIVIDIS))
    )
    gradient = f'<linearGradient id="weight" x1="0" y1="0" x2="0" y2="1">{stops}</linearGradient>'
    return [
        f"<defs>{gradient}</defs>",
        rect(x, y, 10, height, "url(#weight)", ' rx="2"'),
        label(number(high, 2), x + 15, y + 9, size=11, fill=ink),
        label("0", x + 15, y + height, size=11, fill=ink),
    ]


def _spoken(matrix: np.ndarray[Any, Any], rows: list[str], columns: list[str]) -> str:
    if not columns:
        return ""
    best = np.nan_to_num(matrix).argmax(axis=1)
    return "; ".join(f"{r} looks most at {columns[j]}" for r, j in zip(rows, best, strict=True))
