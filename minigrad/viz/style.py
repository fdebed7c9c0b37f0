"""Colours, shapes and symbols: the look of every picture, stated once.

Strokes derive from the Okabe-Ito palette, which stays apart under colour blindness; shape repeats
what colour says. Text in colour is darker than its stroke, so that it keeps a contrast of 4.5:1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import ConfigError

FONT = "Arial"

# What stands in the circle of an elementwise op. Other ops are boxes with their name.
SYMBOLS = {
    "add": "+",
    "subtract": "−",
    "multiply": "×",
    "divide": "÷",
    "negative": "−x",
    "pow": "xⁿ",
    "square": "x²",
    "sqrt": "√",
    "abs": "|x|",
    "reciprocal": "1/x",
}
# Ops that move or rename elements and compute nothing: drawn small, in one line.
PLUMBING = frozenset(
    {"alias", "astype", "broadcast_to", "expand_dims", "getitem", "matrix_transpose",
     "permute_dims", "reshape", "squeeze", "stack", "unstack"}
)  # fmt: skip
GATES = {"sigmoid": "σ", "tanh": "tanh", "hard_sigmoid": "σ̂"}

SHAPES = {
    "op": "box",
    "elementwise": "circle",
    "parameter": "cylinder",
    "input": "parallelogram",
    "state": "cds",
    "gate": "box",
    "loss": "hexagon",
    "output": "hexagon",
    "module": "component",
    "overview": "folder",
}


@dataclass(frozen=True)
class Theme:
    """Ink, paper, and (stroke, fill) of each kind of node."""

    name: str
    paper: str
    ink: str
    muted: str
    line: str
    forward: str
    gradient: str
    gradient_text: str
    box_line: str
    box_fill: str
    badge_fill: str
    badge_ink: str
    warn: str
    kinds: dict[str, tuple[str, str]]

    @property
    def alarm(self) -> str:
        """Pale red, for the first NaN."""
        return {"light": "#FBDDE1", "dark": "#4A1420"}.get(self.name, self.paper)

    def kind(self, kind: str) -> tuple[str, str]:
        return self.kinds.get(kind, self.kinds["op"])


LIGHT = Theme(
    name="light",
    paper="#FFFFFF",
    ink="#0F172A",
    muted="#475569",
    line="#64748B",
    forward="#64748B",
    gradient="#D55E00",
    gradient_text="#A84700",
    box_line="#CBD5E1",
    box_fill="#F8FAFC",
    badge_fill="#0F172A",
    badge_ink="#FFFFFF",
    warn="#B00020",
    kinds={
        "op": ("#64748B", "#FFFFFF"),
        "elementwise": ("#64748B", "#FFFFFF"),
        "parameter": ("#0072B2", "#E3F0F9"),
        "input": ("#009E73", "#E1F4EE"),
        "state": ("#9C4A83", "#F7E9F2"),
        "gate": ("#B26A00", "#FDF2DC"),
        "loss": ("#D55E00", "#FCE8DC"),
        "output": ("#64748B", "#F1F5F9"),
        "module": ("#334155", "#EEF2F7"),
        "overview": ("#334155", "#EEF2F7"),
    },
)
DARK = Theme(
    name="dark",
    paper="#0B1220",
    ink="#F1F5F9",
    muted="#A9B6C8",
    line="#8496AE",
    forward="#8496AE",
    gradient="#F08A4B",
    gradient_text="#F6A877",
    box_line="#33435C",
    box_fill="#111B2E",
    badge_fill="#F1F5F9",
    badge_ink="#0F172A",
    warn="#FF8A8A",
    kinds={
        "op": ("#8496AE", "#18243A"),
        "elementwise": ("#8496AE", "#18243A"),
        "parameter": ("#56B4E9", "#0F2C44"),
        "input": ("#2DC79A", "#0D3329"),
        "state": ("#D68FBE", "#3A1C31"),
        "gate": ("#E69F00", "#3A2A08"),
        "loss": ("#F08A4B", "#43210D"),
        "output": ("#8496AE", "#1B2A42"),
        "module": ("#A9B6C8", "#1B2A42"),
        "overview": ("#A9B6C8", "#1B2A42"),
    },
)
THEMES = {"light": LIGHT, "dark": DARK}


def theme(name: str) -> Theme:
    """The theme of that name, or a `ConfigError` that lists them."""
    try:
        return THEMES[name]
    except KeyError:
        raise ConfigError(f"theme: {name!r} is not one of {', '.join(THEMES)}") from None


# -- colour scales -------------------------------------------------------------------------------

CIVIDIS = (
    "#00224E", "#123570", "#3B496C", "#575D6D", "#707173",
    "#8A8678", "#A59C74", "#C3B369", "#E1CC55", "#FEE838",
)  # fmt: skip
VERMILION = ("#FFF4EC", "#FDDDC6", "#F9BC93", "#EF9354", "#DB6B1B", "#B24C00", "#7F3100", "#5A2200")


def ramp(scale: tuple[str, ...], at: float) -> str:
    """The colour at `at` in 0 … 1 of a scale, interpolated."""
    at = min(max(at, 0.0), 1.0) * (len(scale) - 1)
    i = min(int(at), len(scale) - 2)
    mixed = (
        round(a + (b - a) * (at - i))
        for a, b in zip(_rgb(scale[i]), _rgb(scale[i + 1]), strict=True)
    )
    return "#" + "".join(f"{channel:02X}" for channel in mixed)


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2, for choosing ink on a coloured cell."""
    parts = [c / 255 for c in _rgb(colour)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """Contrast ratio by WCAG 2, 1 … 21."""
    hi, lo = sorted((luminance(a), luminance(b)), reverse=True)
    return (hi + 0.05) / (lo + 0.05)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def number(x: float, figures: int = 4) -> str:
    """Four significant figures, the same text on every machine: 0.1568, 1.2e-5, 48,321."""
    if math.isnan(x):
        return "NaN"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if x == int(x) and 10 ** (figures - 1) <= abs(x) < 1e7:
        return f"{int(x):,}".replace("-", "−")
    digits, _, power = f"{abs(x):.{figures}g}".partition("e")
    return ("−" if x < 0 else "") + digits + (f"e{int(power)}" if power else "")
