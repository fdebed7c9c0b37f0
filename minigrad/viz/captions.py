"""What is written on a picture: its title, notes, rules, places, norms of gradients."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from ..engine import Tensor
from .ir import GraphIR
from .overlay import level
from .rules import rule_text
from .stats import stats
from .style import number
from .tape import Tape, saved_bytes, saved_parts

LEGIBLE = 5000  # items; of more than these nobody reads a single one


def title_for(tape: Tape, model: Any) -> str:
    """The model's class and the names of the outputs."""
    names = [name or str(t.name or "") for name, t in tape.outputs]
    named = ", ".join(n for n in names[:3] if n)
    if not named and len(names) == 1 and tape.outputs[0][1].shape == ():
        named = "loss"
    if model is not None:
        return f"{type(model).__name__}  —  {named}" if named else type(model).__name__
    return named or "computation graph"


def notes_on(full: GraphIR, shown: GraphIR) -> list[str]:
    """How many lines of the tape, and what of it is folded."""
    lines = f"{full.lines:,} tape line{'s' if full.lines != 1 else ''}"
    notes = [lines]
    nodes = sum(1 for i in shown.items.values() if i.ordered and i.kind != "state")
    stretches = any(i.kind == "overview" for i in shown.items.values())
    if nodes < full.lines and not stretches:
        notes = [f"{lines} drawn as {nodes:,} operation{'s' * (nodes != 1)}"]
    cells: Counter[tuple[int, str]] = Counter()
    single = sum(
        1
        for path in shown.shown_boxes()
        if path in shown.boxes and shown.boxes[path].kind == "step"
    )
    if single:
        notes.append(f"{single:,} single step{'s' * (single > 1)} shown")
    for path in shown.shown_boxes():
        box = shown.boxes.get(path)
        if box is not None and box.count > 1:
            cells[box.count, box.kind] += 1
    for (count, kind), n in cells.items():
        what = {"steps": "time steps", "layers": "layers", "repeats": "repeats"}[kind]
        loops = f"{n} loops of " if n > 1 else ""
        notes.append(f"{loops}{count:,} {what}, {'each ' if n > 1 else ''}as one cell")
    return notes


def first_bad(ir: GraphIR, places: bool) -> list[str]:
    """Where the first value, or else gradient, is not finite."""
    for what in ("the first NaN or infinity", "the first NaN or infinite gradient"):
        for item in ir.items.values():
            if item.facts.get("bad") == what:
                where = f"line {item.lines[0] + 1}" + (f", {item.place}" * places)
                return [f"{what}: {item.name or item.op}, {where}"]
    return []


def annotate(ir: GraphIR, tape: Tape) -> None:
    """Docs, rules, places and saved bytes, for the items that are shown."""
    if len(ir.items) > LEGIBLE:
        return
    for item in ir.items.values():
        if not item.lines:
            continue
        node = tape.lines[item.lines[0]]
        item.doc = node.op.doc
        item.rule = rule_text(node.op)
        item.saved = sum(saved_bytes(tape.lines[line]) for line in item.lines)
        kept = saved_parts(node)
        if kept:
            item.facts["kept"] = ", ".join(kept[:4]) + (", …" if len(kept) > 4 else "")
        place = node.place
        if place is not None:
            item.place = f"{PurePath(place[0]).name}:{place[1]}"


def leaf_facts(ir: GraphIR, leaves: Mapping[str, Tensor]) -> dict[str, float]:
    """Norms of the gradients that lie in `.grad`, on one scale."""
    norms = {id_: _norm(t.grad) for id_, t in leaves.items() if t.grad is not None}
    good = [n for n in norms.values() if math.isfinite(n) and n > 0]
    for id_, norm in norms.items():
        facts = ir.items[id_].facts
        facts["grad"] = norm
        if not math.isfinite(norm):
            facts["bad"] = "the gradient is not finite"
        elif len(good) > 1:
            low, high = min(good), max(good)
            facts["grad_scale"] = (low, high)
            facts["grad_level"] = level(norm, low, high)
    return norms


def output_values(ir: GraphIR, tape: Tape) -> None:
    """Write single numbers on the outputs."""
    for i, (_, t) in enumerate(tape.outputs):
        if t.size == 1:
            ir.items[f"o{i}"].notes.append(number(float(t.item())))


def _norm(grad: Any) -> float:
    """The 2-norm of a gradient, dense or row-sparse; NaN if an element is not finite."""
    found = stats(grad.to_dense() if hasattr(grad, "to_dense") else grad.data)
    return math.nan if found.bad else found.norm


def banner_for(tape: Tape, has_grads: bool) -> str:
    """What to say where there are no gradients to show."""
    if not any(t.requires_grad for _, t in tape.outputs):
        return "nothing here requires a gradient"
    return "" if has_grads else "no gradients yet: call backward()"
