"""Small pieces of SVG: text with a known width, nice ticks, a document around it."""

from __future__ import annotations

import math
import unicodedata

from .escape import markup
from .style import FONT, Theme

_NARROW = frozenset("iIjl.,:;'|!ftr()[]/-· ")
_WIDE = frozenset("mwMW@%—")


def text_width(text: str, size: float) -> float:
    """Width of `text` in Arial, within a few per cent."""
    em = 0.0
    for c in text:
        if unicodedata.east_asian_width(c) in "WF":
            em += 1.0
        elif c in _NARROW:
            em += 0.3
        elif c in _WIDE:
            em += 0.87
        else:
            em += 0.68 if c.isupper() else 0.55
    return em * size


def fit(text: str, size: float, width: float) -> str:
    """`text`, cut with an ellipsis to at most `width`."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…"


def num(x: float) -> str:
    """A coordinate: two decimals, no trailing zeros."""
    return f"{x:.2f}".rstrip("0").rstrip(".") if x == x else "0"


def label(
    text: str,
    x: float,
    y: float,
    *,
    size: float = 12,
    fill: str = "#0F172A",
    anchor: str = "start",
    bold: bool = False,
    rotate: float = 0,
) -> str:
    """A `<text>` element, its content escaped."""
    weight = ' font-weight="bold"' if bold else ""
    turn = f' transform="rotate({num(rotate)} {num(x)} {num(y)})"' if rotate else ""
    return (
        f'<text x="{num(x)}" y="{num(y)}" font-size="{num(size)}" fill="{fill}" '
        f'text-anchor="{anchor}"{weight}{turn}>{markup(text)}</text>'
    )


def rect(x: float, y: float, w: float, h: float, fill: str, extra: str = "") -> str:
    """A filled `<rect>`."""
    return (
        f'<rect x="{num(x)}" y="{num(y)}" width="{num(w)}" height="{num(h)}" fill="{fill}"{extra}/>'
    )


def line(x1: float, y1: float, x2: float, y2: float, stroke: str, width: float = 1) -> str:
    """A straight `<line>`."""
    return (
        f'<line x1="{num(x1)}" y1="{num(y1)}" x2="{num(x2)}" y2="{num(y2)}" '
        f'stroke="{stroke}" stroke-width="{num(width)}"/>'
    )


def document(
    body: list[str], width: float, height: float, look: Theme, *, title: str, description: str
) -> str:
    """The SVG file: scales to its frame, says what it is to a screen reader."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{num(width)}" height="{num(height)}" '
        f'viewBox="0 0 {num(width)} {num(height)}" role="img" '
        f'font-family="{FONT}, Helvetica, sans-serif">'
    )
    about = f"<title>{markup(title)}</title><desc>{markup(description, 1000)}</desc>"
    paper = rect(0, 0, width, height, look.paper)
    return "\n".join([head, about, paper, *body, "</svg>\n"])


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5, 5 × 10ⁿ apart) that cover low … high from inside.

    >>> ticks(0.0, 0.93)
    [0.0, 0.2, 0.4, 0.6, 0.8]
    """
    if not high > low:
        return [low]
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within low … high; 1, 2, 5 of them where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    within = [10.0**p for p in range(first, last + 1) if low <= 10.0**p <= high]
    if len(within) >= 3:
        return within[:: max(1, len(within) // 6)]
    finer = [m * 10.0**p for p in range(first, last + 1) for m in (1, 2, 5)]
    return [t for t in finer if low <= t <= high] or [low, high]
