"""`color_by`: fills that say where the gradient, the time or the memory is, or which module it is.

Scales stay pale enough for the text on them (4.5:1); the stroke repeats the colour, darker, and the
number stands in the node.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import ConfigError
from .boxes import modules_of
from .ir import GraphIR, Item
from .overlay import DECADES, level
from .style import Theme, number, ramp

ColorBy = str | Callable[[Item], Any] | None
KNOWN = ("grad", "time", "memory", "module")
SCALES = {  # (light, dark): from nothing to most
    "grad": (("#FFFFFF", "#FDDDC6", "#F9BC93"), ("#18243A", "#43210D", "#6B3A14")),
    "time": (("#FFFFFF", "#FCEFB4", "#F2D35C"), ("#18243A", "#3A2F08", "#52430A")),
    "memory": (("#FFFFFF", "#D5EAF7", "#B1D8F1"), ("#18243A", "#0F2C44", "#12486F")),
    "value": (("#FFFFFF", "#CDEBDD", "#A6DFC6"), ("#18243A", "#0D3329", "#0E4F3D")),
}
STROKES = {"grad": "#D55E00", "time": "#B26A00", "memory": "#0072B2", "value": "#009E73"}
MODULES = (  # (fill light, fill dark, stroke): Okabe and Ito's hues
    ("#E3F0F9", "#0F2C44", "#0072B2"), ("#FCE8DC", "#43210D", "#D55E00"),
    ("#E1F4EE", "#0D3329", "#009E73"), ("#F7E9F2", "#3A1C31", "#9C4A83"),
    ("#FDF2DC", "#3A2A08", "#B26A00"), ("#E9F6FD", "#14384F", "#3E94C8"),
    ("#FDFBDC", "#35340A", "#8A8500"), ("#EEF2F7", "#1B2A42", "#334155"),
)  # fmt: skip


def shade(ir: GraphIR, by: ColorBy, look: Theme, folded: GraphIR) -> None:
    """Colour the items of `ir`; `folded` holds the members of its collapsed modules.

    Raises: ConfigError for an unknown name, or where nothing of the kind is known.
    """
    if by is None:
        return
    if by == "module":
        _modules(ir, look)
        return
    if not callable(by) and by not in KNOWN:
        known = ", ".join(map(repr, KNOWN))
        raise ConfigError(f"draw_graph: color_by={by!r} is not one of {known}, nor a function")
    values: dict[str, float] = {}
    for item in ir.items.values():
        found = by(item) if callable(by) else _measure(item, str(by), folded)
        if isinstance(found, str):
            item.facts["shade"] = _given(found, look)
        elif found is not None and math.isfinite(found):
            values[item.id] = float(found)
    if callable(by):
        _linear(ir, values, look, getattr(by, "__name__", "value").strip("<>"))
    else:
        _logarithmic(ir, values, look, by)


def show_bytes(ir: GraphIR, folded: GraphIR) -> None:
    """Write on each item how many bytes it keeps."""
    for item in ir.items.values():
        kept = _measure(item, "memory", folded)
        if kept:
            item.notes.append(_text("memory", kept))
            if "kept" in item.facts and item.kind != "module":
                item.notes.append(item.facts["kept"])


def _logarithmic(ir: GraphIR, values: dict[str, float], look: Theme, by: str) -> None:
    positive = [v for v in values.values() if v > 0]
    if not positive:
        raise ConfigError(f"draw_graph: color_by={by!r} has nothing to show: {_MISSING[by]}")
    high = max(positive)
    low = max(min(positive), high * 10**-DECADES)
    for id_, value in values.items():
        _paint(ir.items[id_], by, level(value, low, high), look)
        if by != "grad" and value > 0 and ir.items[id_].kind != "elementwise":
            text = _text(by, value)
            if text not in ir.items[id_].notes:
                ir.items[id_].notes.append(text)
    ends = _text(by, low), _text(by, high)
    name = {"grad": "|gradient|", "time": "forward and backward", "memory": "memory"}[by]
    ir.key = [(f"colour, {name}: {ends[0]}", _scale(by, look), f"{ends[1]} (log)")]


def _linear(ir: GraphIR, values: dict[str, float], look: Theme, name: str) -> None:
    if not values:
        return
    low, high = min(values.values()), max(values.values())
    for id_, value in values.items():
        at = (value - low) / (high - low) if high > low else 1.0
        _paint(ir.items[id_], "value", at, look)
    ir.key = [(f"colour, {name}: {number(low, 3)}", _scale("value", look), number(high, 3))]


def _modules(ir: GraphIR, look: Theme) -> None:
    """One hue per module, in order of appearance; what is outside all modules keeps its colour."""
    paths = [modules_of(i.path) + own_module(i) for i in _all(ir)]
    common = 1 if len({path[:1] for path in paths if path}) == 1 else 0
    names: dict[str, int] = {}
    for item, path in zip(_all(ir), paths, strict=True):
        if len(path) > common:
            at = names.setdefault(_called(ir, item, path[: common + 1]), len(names))
            light, dark, stroke = MODULES[min(at, len(MODULES) - 1)]
            item.facts["shade"] = (stroke, dark if look.name == "dark" else light)
    for name, at in list(names.items())[: len(MODULES)]:
        more = at == len(MODULES) - 1 < len(names) - 1
        ir.key.append(("", (MODULES[at][2],) * 2, f"{name} and others" if more else name))


def _called(ir: GraphIR, item: Item, module: tuple[str, ...]) -> str:
    """What a module is called where it is drawn: the title of its box, or of its one node."""
    for depth in range(1, len(item.path) + 1):
        if modules_of(item.path[:depth]) == module and item.path[:depth] in ir.boxes:
            return ir.boxes[item.path[:depth]].title
    return module[-1]


def own_module(item: Item) -> tuple[str, ...]:
    """The name of a collapsed module, or of the op that a module of one op is drawn as."""
    if item.kind not in ("module", "op", "gate", "elementwise"):
        return ()
    numbered = item.title.startswith(f"{item.op} [")  # linear [0], in a Sequential
    name = item.name or (item.title if numbered else "")
    return (name,) if name else ()


def _all(ir: GraphIR) -> list[Item]:
    return list(ir.items.values())


_MISSING = {
    "grad": "no gradients are known; call backward() first, under viz.record for those inside",
    "time": "give record=, from viz.record around backward()",
    "memory": "backward() has freed what was kept; draw before it, or use retain_graph=True",
}


def _measure(item: Item, by: str, folded: GraphIR) -> float | None:
    parts = [folded.items[i] for i in item.facts.get("members", ()) if i in folded.items] or [item]
    if by == "memory":
        return float(sum(part.saved for part in parts)) if item.lines else None
    keys = ("seconds", "forward") if by == "time" else ("grad",)
    known = [float(part.facts[key]) for part in parts for key in keys if key in part.facts]
    if not known:
        return None
    return math.hypot(*known) if by == "grad" else sum(known)


def _text(by: str, value: float) -> str:
    if by == "memory":
        return f"keeps {int(value):,} bytes"
    return f"{number(1e3 * value, 3)} ms" if by == "time" else number(value, 3)


def _paint(item: Item, by: str, at: float, look: Theme) -> None:
    stroke = look.line if at < 0.02 else ramp((look.line, STROKES[by]), at)
    item.facts["shade"] = (stroke, ramp(_scale(by, look), at))


def _scale(by: str, look: Theme) -> tuple[str, ...]:
    return SCALES[by][look.name == "dark"]


def _given(colour: str, look: Theme) -> tuple[str, str]:
    """A colour that the user's function returned."""
    digits = colour.lstrip("#")
    if len(digits) != 6 or not all(c in "0123456789abcdefABCDEF" for c in digits):
        raise ConfigError(f"draw_graph: color_by returned {colour!r}; expected a number or #RRGGBB")
    return look.line, f"#{digits.upper()}"
