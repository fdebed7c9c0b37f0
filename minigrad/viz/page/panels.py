"""Instruments on a page: curves and heat maps as data, drawn by the script, with their table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import ConfigError, ShapeError
from ..escape import clean, markup
from ..style import number

SHOWN = 64  # rows and columns of a table on a page without a script


@dataclass(frozen=True)
class Panel:
    """A figure beside the graph: `graph.to_html("lstm.html", panels=[Panel.gates(...), ...])`.

    Made by the class methods, from what the instruments measure. Every panel can be read by
    keyboard, and has its numbers as a table.

    >>> import minigrad as mg
    >>> mg.viz.Panel.lines("loss", {"train": [3.0, 1.0, 0.5]}, x="epoch")
    Panel('loss': 1 curve of 3 points)
    """

    title: str
    kind: str
    data: Mapping[str, Any] = field(repr=False)

    def __repr__(self) -> str:
        if self.kind == "lines":
            series = self.data["series"]
            many = f"{len(series)} curve{'s' * (len(series) != 1)}"
            return f"Panel({self.title!r}: {many} of {max(map(len, series))} points)"
        maps = self.data["maps"]
        size = f"{len(maps[0])} × {len(maps[0][0])}"
        return f"Panel({self.title!r}: {len(maps)} map{'s' * (len(maps) != 1)} of {size})"

    # -- the instruments ------------------------------------------------------------------------

    @classmethod
    def gradients(
        cls, norms: Mapping[str, Sequence[float]], *, title: str = "Gradient through time"
    ) -> Panel:
        """‖∂L/∂h_t‖ over the steps, of each layer: what `hidden_gradients` measures."""
        about = (
            "How much the loss depends on the hidden state of each step: ‖∂L/∂hₜ‖. "
            "Where the curve falls to the left, the layer cannot learn what was long ago."
        )
        return cls.lines(title, norms, x="step t", y="‖∂L/∂hₜ‖", log=True, about=about)

    @classmethod
    def gates(
        cls, gates: Mapping[str, Any], tokens: Sequence[str] | None = None, *, title: str = "Gates"
    ) -> Panel:
        """Units × time, one map per gate: what `gate_activations` measures.

        Args:
            gates: name → (units, T).
            tokens: T words to write below.
        """
        about = "Mean activation over the batch: units down, steps across."
        ends = {name: (-1.0 if "candidate" in name else 0.0, 1.0) for name in gates}
        return cls.maps(title, gates, columns=tokens, x="step t", y="unit", ends=ends, about=about)

    @classmethod
    def attention(
        cls, weights: Any, source: Sequence[str] | None = None,
        target: Sequence[str] | None = None, *, title: str = "Attention",
    ) -> Panel:  # fmt: skip
        """How much each target token looked at each source token.

        Args:
            weights: (T, S), or (heads, T, S) for one map per head.
            source, target: S and T tokens.
        """
        values = _array(weights)
        if values.ndim not in (2, 3):
            raise ShapeError(
                f"Panel.attention: weights has shape {values.shape}, expected (T, S) or "
                "(heads, T, S): take one example of the batch"
            )
        heads = values[None] if values.ndim == 2 else values
        names = ["weights"] if values.ndim == 2 else [f"head {i + 1}" for i in range(len(heads))]
        high = float(np.nanmax(heads)) if heads.size and np.isfinite(heads).any() else 1.0
        return cls.maps(
            title, dict(zip(names, heads, strict=True)), rows=target, columns=source,
            x="source", y="target", ends=dict.fromkeys(names, (0.0, high or 1.0)),
            about="How much each target token (rows) looked at each source token (columns).",
        )  # fmt: skip

    @classmethod
    def spectrum(
        cls, spectra: Mapping[str, Sequence[float]], *, title: str = "Jacobian spectrum"
    ) -> Panel:
        """Singular values by rank: what `jacobian_spectrum` measures."""
        about = (
            "Singular values of the Jacobian, largest first: directions above 1 are stretched, "
            "directions below 1 are forgotten."
        )
        return cls.lines(
            title, spectra, x="rank", y="singular value", log=True, first=1, mark=1.0, about=about
        )

    @classmethod
    def landscape(cls, steps: Any, losses: Any, *, title: str = "Loss landscape") -> Panel:
        """The loss along two directions: what `landscape` returns.

        Args:
            steps: (points,); losses: (points, points), by direction 1, then direction 2.
        """
        at, values = _array(steps), _array(losses)
        if values.shape != (at.size, at.size):
            raise ShapeError(
                f"Panel.landscape: losses has shape {values.shape}, expected {(at.size, at.size)} "
                f"for {at.size} steps"
            )
        positive = bool((values > 0).all())
        name = "log₁₀ loss" if positive else "loss"
        shown = np.log10(np.maximum(values, 1e-300)) if positive else values
        words = [number(float(step), 3) for step in at]
        about = "The loss on a plane through the parameters; the cross is where they are."
        return cls.maps(
            title, {name: shown.T[::-1]}, rows=words[::-1], columns=words, x="direction 1",
            y="direction 2", about=about, cross=True,
        )  # fmt: skip

    # -- in general -------------------------------------------------------------------------------

    @classmethod
    def lines(
        cls, title: str, series: Mapping[str, Sequence[float]], *, x: str = "", y: str = "",
        log: bool = False, first: int = 0, mark: float | None = None, about: str = "",
    ) -> Panel:  # fmt: skip
        """Curves over 0, 1, 2, … (or from `first`).

        Args:
            series: name → numbers.
            x, y: what the axes are.
            log: a logarithmic axis; what is not positive is left out.
            mark: a value at which to draw a line across.
            about: a sentence above the figure.
        """
        curves = {clean(k, 40): _array(v).reshape(-1) for k, v in series.items()}
        if not curves or not any(c.size for c in curves.values()):
            raise ConfigError(f"Panel {title!r}: there is nothing to draw; give name → numbers")
        data = {
            "names": list(curves), "series": [row(c) for c in curves.values()], "x": clean(x),
            "y": clean(y), "log": log, "first": first, "mark": mark, "about": clean(about, 400),
        }  # fmt: skip
        return cls(clean(title), "lines", data)

    @classmethod
    def maps(
        cls, title: str, maps: Mapping[str, Any], *, rows: Sequence[str] | None = None,
        columns: Sequence[str] | None = None, x: str = "", y: str = "",
        ends: Mapping[str, tuple[float, float]] | None = None, about: str = "", cross: bool = False,
    ) -> Panel:  # fmt: skip
        """Heat maps of one shape, each with its name.

        Args:
            maps: name → (R, C).
            rows, columns: R and C labels.
            x, y: what columns and rows are.
            ends: name → the values at the ends of the colour scale; else the map's own.
            cross: mark the middle.
        """
        arrays = {clean(k, 40): _array(v) for k, v in maps.items()}
        shapes = {a.shape for a in arrays.values()}
        if len(shapes) != 1 or any(len(s) != 2 or 0 in s for s in shapes):
            raise ShapeError(
                f"Panel {title!r}: maps have shapes {sorted(shapes)}; expected one (R, C)"
            )
        (shape,) = shapes
        for axis, labels in enumerate((rows, columns)):
            if labels is not None and len(labels) != shape[axis]:
                side = ("rows", "columns")[axis]
                raise ShapeError(
                    f"Panel {title!r}: {len(labels)} labels for {shape[axis]} {side} of {shape}"
                )
        given = {clean(k, 40): v for k, v in (ends or {}).items()}
        data = {
            "names": list(arrays), "maps": [matrix(a) for a in arrays.values()],
            "ends": [[_short(e) for e in given.get(k) or _ends(a)] for k, a in arrays.items()],
            "rows": None if rows is None else [clean(r, 40) for r in rows],
            "columns": None if columns is None else [clean(c, 40) for c in columns],
            "x": clean(x), "y": clean(y), "cross": cross, "about": clean(about, 400),
        }  # fmt: skip
        return cls(clean(title), "maps", data)

    # -- on the page ------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """What the script draws."""
        return {"title": self.title, "kind": self.kind, **self.data}

    def still(self) -> str:
        """The panel as HTML that needs no script: its words and its numbers."""
        data = self.data
        head = f"<h2>{markup(self.title)}</h2><p>{markup(data['about'], 400)}</p>"
        if self.kind == "lines":
            longest = max(map(len, data["series"]))
            columns = [str(data["first"] + i) for i in range(longest)]
            table = _table(data["y"], data["names"], columns, data["series"])
            return f"<section>{head}{table}</section>"
        tables = []
        for name, found in zip(data["names"], data["maps"], strict=True):
            rows = data["rows"] or [str(i) for i in range(len(found))]
            columns = data["columns"] or [str(i) for i in range(len(found[0]))]
            tables.append(f"<h3>{markup(name)}</h3>{_table(data['y'], rows, columns, found)}")
        return f"<section>{head}{''.join(tables)}</section>"


def matrix(values: Any) -> list[list[float | str]]:
    """A matrix as JSON: four significant figures, words where a number is not finite."""
    return [row(line) for line in values]


def row(values: Any) -> list[float | str]:
    """Numbers as JSON: four significant figures."""
    return [_short(float(v), 4) for v in values]


def _short(x: float, figures: int = 6) -> float | str:
    if not math.isfinite(x):
        return "NaN" if math.isnan(x) else "∞" if x > 0 else "−∞"
    return float(f"{x:.{figures}g}")


def _array(values: Any) -> np.ndarray[Any, Any]:
    return np.asarray(values.numpy() if hasattr(values, "numpy") else values, dtype=np.float64)


def _ends(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    good = values[np.isfinite(values)]
    return (float(good.min()), float(good.max())) if good.size else (0.0, 1.0)


def _table(corner: str, rows: Sequence[str], columns: Sequence[str], values: Any) -> str:
    """At most 64 rows and columns."""
    head = "".join(f'<th scope="col">{markup(c)}</th>' for c in columns[:SHOWN])
    lines = [
        f'<tr><th scope="row">{markup(name)}</th>'
        + "".join(
            f"<td>{markup(v if isinstance(v, str) else number(v, 3))}</td>" for v in line[:SHOWN]
        )
        + "</tr>"
        for name, line in zip(rows[:SHOWN], values, strict=False)
    ]
    more = len(rows) > SHOWN or len(columns) > SHOWN
    words = f"<p>the first {SHOWN} rows and columns</p>" if more else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{markup(corner or "values")}">'
        f'<table><thead><tr><th scope="col">{markup(corner)}</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{words}"
    )
