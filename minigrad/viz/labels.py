"""HTML-like labels for DOT: titles, small text, badges, colour strips and heat maps.

Text enters through `escape.markup` only. Numbers and colours are made here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .escape import markup
from .ir import Item, shape_text
from .stats import shrunk
from .style import CIVIDIS, GATES, SYMBOLS, VERMILION, Theme, contrast, number, ramp

_SPACES = re.compile(r"^ +| +$|  +")

# Their parameters are read from the shape of the result.
SPOKEN = frozenset(
    {"reshape", "concat", "stack", "unstack", "broadcast_to", "expand_dims", "sum_to"}
)


@dataclass(frozen=True)
class Show:
    """What the user asked to see."""

    detail: str = "symbols"
    shapes: bool = True
    dtype: bool = False
    values: bool = False
    grads: bool = True
    places: bool = False
    times: bool = False
    direction: str = "both"
    rankdir: str = "LR"


def kept_spaces(text: str) -> str:
    """Spaces at the ends and in rows as no-break spaces: SVG drops them, dot counts them."""
    return _SPACES.sub(lambda m: "\u00a0" * len(m.group()), text)


def font(text: str, size: float, colour: str, *, bold: bool = False) -> str:
    """A run of text."""
    body = markup(kept_spaces(text)) or "&#160;"  # dot accepts no empty text
    if bold:
        body = f"<B>{body}</B>"
    return f'<FONT POINT-SIZE="{size:g}" COLOR="{colour}">{body}</FONT>'


def table(rows: Sequence[str], *, spacing: int = 1, padding: int = 1) -> str:
    """Rows in a table without borders, as a whole label."""
    head = f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="{spacing}" CELLPADDING="{padding}">'
    return f"<{head}{''.join(f'<TR>{row}</TR>' for row in rows)}</TABLE>>"


def badge(text: str, look: Theme, size: float = 10) -> str:
    """A dark pill, as a table cell."""
    words = font(text, size, look.badge_ink, bold=True)
    return f'<TD BGCOLOR="{look.badge_fill}" STYLE="ROUNDED" CELLPADDING="4">{words}</TD>'


def title_of(item: Item) -> str:
    """What is written large."""
    if item.title:
        return item.title
    if item.name:
        return item.name
    if item.kind == "elementwise":
        return SYMBOLS[item.op]
    if item.kind == "gate":
        return f"gate {GATES[item.op]}"
    return item.op or item.kind


def subtitle_of(item: Item, show: Show) -> str:
    """Kind, or op where the title is a name, and shapes."""
    title = title_of(item)
    what = {"parameter": "param", "input": "input", "state": "state", "output": "output"}.get(
        item.kind, ""
    )
    if what and title.startswith(what):
        what = ""
    if item.op and item.kind in ("op", "elementwise") and title not in (item.op, *SYMBOLS.values()):
        plain = item.kind == "elementwise" and item.title and not item.name
        what = "" if plain or title.startswith(f"{item.op} [") else item.op
    if item.kind in ("parameter", "input") and item.id.endswith("…"):
        what = f"{item.count:,} {'params' if item.kind == 'parameter' else 'inputs'}"
    shapes = specs_text(item, show)
    if item.kind == "loss" and shapes == "()":
        shapes = ""
    text = f"{what} {shapes}".strip()
    return f"{text}  ↻" if item.kind == "state" else text


def specs_text(item: Item, show: Show) -> str:
    """The shapes of the outputs, at most three."""
    if not show.shapes and not show.dtype:
        return ""
    parts = []
    for shape, dtype in item.specs[:3]:
        part = shape_text(shape) if show.shapes else ""
        integer = not dtype.startswith(("float", "bfloat"))
        if show.dtype or (integer and item.kind == "input"):
            part = f"{part} {dtype}".strip()
        parts.append(part)
    if len(item.specs) > 3:
        if len(set(item.specs)) == 1:
            return f"{len(item.specs)} × {parts[0]}"
        parts.append(f"… {len(item.specs)} outputs")
    return "  ".join(parts)


def card(item: Item, look: Theme, show: Show) -> str:
    """The label of a box: title, small text, numbers, strips."""
    span = 'COLSPAN="2"'
    size = 12 if item.kind in ("parameter", "input", "state") else 13
    title = f"{title_of(item)}  {item.badge}".rstrip()
    head = font(title, size, look.ink, bold=True)
    rows = [f"<TD {span}>{head}</TD>"]

    def small(text: str, colour: str = look.muted) -> None:
        if text:
            rows.append(f"<TD {span}>{font(text, 9.5, colour)}</TD>")

    small(subtitle_of(item, show))
    if show.detail != "symbols":
        small(item.params)
        small(item.doc if item.kind != "module" else "")
        for rule in item.rule.split(";  "):
            for part in [f"∂{rule}"] if ": " in rule else rule.split("; "):
                small(part)
    elif item.kind == "op" and len(item.params) <= 26 and item.op not in SPOKEN:
        small(item.params)
    for note in item.notes:
        small(note)
    if item.kind == "module":
        small(item.doc)
    rows += facts(item, look, show)
    if show.places and item.place:
        small(item.place)
    return table(rows)


def small_card(item: Item, look: Theme, show: Show) -> str:
    """The label of an op that computes nothing: its name and, below, its shape."""
    head = font(title_of(item) + (f"  {item.badge}" if item.badge else ""), 10.5, look.ink)
    rows = [f"<TD>{head}</TD>"]
    shapes = specs_text(item, show)
    if shapes:
        rows.append(f"<TD>{font(shapes, 8.5, look.muted)}</TD>")
    return table(rows, spacing=0, padding=0)


def facts(item: Item, look: Theme, show: Show) -> list[str]:
    """Values and gradients of an item: numbers, strips over the steps, units × time."""
    rows = []
    found: dict[str, Any] = item.facts
    if show.values and "value" in found:
        rows.append(f'<TD COLSPAN="2">{font(found["value"], 9.5, look.muted)}</TD>')
    if "bad" in found:
        rows.append(f'<TD COLSPAN="2">{font("⚠ " + found["bad"], 10, look.warn, bold=True)}</TD>')
    if "heat" in found and show.values:
        rows.append(_strip("units", found["heat"], CIVIDIS, look, height=3))
    elif "values" in found and show.values:
        rows.append(_strip("value", [found["values"]], CIVIDIS, look, height=8))
    if "maps" in found and show.values:
        rows.append(f'<TD COLSPAN="2">{_maps(found["maps"], look)}</TD>')
    if "grads" in found and show.grads:
        rows.append(_strip("|grad|", [found["grads"]], VERMILION, look, height=8))
    elif "grad" in found and show.grads:
        rows.append(_pill(found, look))
    return rows


def _pill(found: dict[str, Any], look: Theme) -> str:
    """The norm of a gradient on the colour of its place on the scale."""
    text = number(found["grad"], 3)
    if "grad_level" not in found:
        words = font(f"|grad| {text}", 9.5, look.gradient_text)
        return f'<TD COLSPAN="2">{words}</TD>'
    colour = ramp(VERMILION, found["grad_level"])
    ink = max(("#FFFFFF", "#0F172A"), key=lambda c: contrast(colour, c))
    name = font("|grad|", 8, look.muted)
    words = font(text, 9, ink, bold=True)
    pill = f'BGCOLOR="{colour}" STYLE="ROUNDED" CELLPADDING="2"'
    return f'<TD ALIGN="RIGHT">{name}</TD><TD {pill}>{words}</TD>'


def _strip(
    name: str, levels: Sequence[Sequence[float | None]], scale: tuple[str, ...], look: Theme, *,
    height: int,
) -> str:  # fmt: skip
    """A labelled row of cells; levels are 0 … 1, None where nothing is known."""
    columns = len(levels[0])
    width = 6 if columns <= 24 else max(2, 144 // columns)
    colours = [["#CBD5E1" if v is None else ramp(scale, v) for v in row] for row in levels]
    cells = _cells(colours, width, height)
    return f'<TD ALIGN="RIGHT">{font(name, 8, look.muted)}</TD><TD>{cells}</TD>'


def _maps(maps: Sequence[dict[str, Any]], look: Theme) -> str:
    """Attention maps side by side, queries down and keys across; each at most 32 × 32 cells."""
    size = 32 if len(maps) <= 2 else 16
    across = len(maps) if len(maps) <= 4 else len(maps) // 2
    cells = []
    for one in maps:
        matrix = shrunk(np.array(one["rows"], dtype=float), size)
        high = float(np.nanmax(matrix, initial=0.0)) or 1.0
        n, m = matrix.shape
        wide, tall = (max(2, min(8, (112 if size == 32 else 48) // k)) for k in (m, n))
        colours = [
            ["#CBD5E1" if x != x else ramp(CIVIDIS, float(x) / high) for x in row] for row in matrix
        ]
        name = font(one["name"], 8, look.muted)
        head = f"<TR><TD>{name}</TD></TR>" if one["name"] else ""
        cells.append(
            '<TD><TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="1">'
            f"{head}<TR><TD>{_cells(colours, wide, tall)}</TD></TR></TABLE></TD>"
        )
    rows = [cells[i : i + across] for i in range(0, len(cells), across)]
    body = "".join(f"<TR>{''.join(row)}</TR>" for row in rows)
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="2" CELLPADDING="0">{body}</TABLE>'


def _cells(colours: Sequence[Sequence[str]], width: int, height: int) -> str:
    rows = "".join(
        "<TR>"
        + "".join(f'<TD WIDTH="{width}" HEIGHT="{height}" BGCOLOR="{c}"></TD>' for c in row)
        + "</TR>"
        for row in colours
    )
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">{rows}</TABLE>'


def scale_cells(scale: tuple[str, ...], look: Theme) -> str:
    """A ramp for the legend, or a patch of one colour."""
    if len(set(scale)) == 1:
        return _cells([[scale[0]]], 14, 8)
    return _cells([[ramp(scale, i / 15) for i in range(16)]], 6, 8)


def tooltip(item: Item, show: Show) -> str:
    """Everything the label leaves out, one fact per line."""
    lines = [item.name or item.title or item.op or item.kind]
    if item.op and item.op not in lines:
        lines.append(item.op)
    for shape, dtype in item.specs[:4]:
        lines.append(f"{shape_text(shape)} {dtype}")
    lines += [t for t in (item.params, item.doc, item.rule) if t]
    if len(item.lines) == 1:
        lines.append(f"tape line {item.lines[0] + 1}")
    elif item.lines:
        lines.append(f"{len(item.lines):,} tape lines")
    if item.saved:
        lines.append(f"keeps {item.saved:,} bytes for backward")
        lines.append(f"  {item.facts['kept']}" if "kept" in item.facts else "")
    for name, what in (("forward", "forward"), ("seconds", "backward")):
        if show.times and item.facts.get(name):
            lines.append(f"{what} {number(1e3 * item.facts[name], 3)} ms")
    if "grad" in item.facts:
        lines.append(f"|grad| {number(item.facts['grad'])}")
    if show.places and item.place:
        lines.append(item.place)
    return "\n".join(line for line in lines if line)
