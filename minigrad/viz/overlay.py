"""Laying what `record` saw over the items: strips over the steps, heat maps, the first NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .alignments import alignment
from .ir import BACKWARDS, GraphIR, Item
from .record import Record
from .stats import Stats
from .style import number

COLUMNS = 64  # a strip shows at most this many steps; more are binned
DECADES = 4.0  # of the gradient scale, below the largest gradient
HEAT = frozenset({"sigmoid", "tanh", "softmax", "relu", "lstm", "gru", "rnn"})


def overlay(ir: GraphIR, seen: Record, extra: dict[str, float]) -> None:
    """Fill the facts of every item. `extra`: gradient norms of leaves, by id."""
    low, high = _scale(seen, extra)
    first_bad = min((line for line, s in seen.values.items() if s.bad), default=None)
    first_bad_grad = next((line for line in seen.order if seen.grads[line].bad), None)
    for item in ir.items.values():
        if item.kind == "parameter" and "grad" in item.facts and high > 0:
            item.facts["grad_level"] = level(item.facts["grad"], low, high)
            item.facts["grad_scale"] = (low, high)
        if not item.lines:
            continue
        values = _steps([seen.values.get(line) for line in item.lines])
        grads = _steps([seen.grads.get(line) for line in item.lines])
        if any(BACKWARDS in part for part in item.path):  # strips read in the order of the clock
            values.reverse()
            grads.reverse()
        _flag(item, seen, first_bad, first_bad_grad)
        if any(grads) and high > 0:
            item.facts["grad_scale"] = (low, high)
            levels = [None if g is None else level(g.norm, low, high) for g in grads]
            if len(grads) > 1:
                item.facts["grads"] = _binned(levels, largest=True)
            item.facts["grad_level"] = max((v for v in levels if v is not None), default=0.0)
            item.facts["grad"] = sum(g.norm**2 for g in grads if g is not None) ** 0.5
        _values(item, values)
        for name, times in (("seconds", seen.seconds), ("forward", seen.forward)):
            if times:
                item.facts[name] = sum(times.get(line, 0.0) for line in item.lines)
        _maps(item, seen)
    _states(ir)


def _scale(seen: Record, extra: dict[str, float]) -> tuple[float, float]:
    """The ends of the scale of gradients.

    The loss starts with 1 whatever it is: that is left out where there are others, so that the
    colours are spent on what differs.
    """
    at = {line for line, node in enumerate(seen.tape.lines) if node.specs[0][0] == ()}
    inner = [s.norm for line, g in seen.grads.items() if line not in at for s in (g, *g.steps)]
    for found in ([*inner, *extra.values()], [g.norm for g in seen.grads.values()]):
        good = [n for n in found if math.isfinite(n) and n > 0]
        if good:
            return max(min(good), max(good) * 10**-DECADES), max(good)
    return 0.0, 0.0


def _steps(found: Sequence[Stats | None]) -> list[Stats | None]:
    """One per step: lines of a folded item, or the steps inside one recurrent line."""
    if len(found) == 1 and found[0] is not None and found[0].steps:
        return list(found[0].steps)
    return list(found)


def _values(item: Item, values: list[Stats | None]) -> None:
    known = [v for v in values if v is not None]
    if not known:
        return
    if len(values) == 1:
        only = known[0]
        if item.specs and item.specs[0][0] == ():
            item.facts["value"] = number(only.mean)
        else:
            item.facts["value"] = f"{number(only.low, 3)} … {number(only.high, 3)}"
        return
    means = [None if v is None else v.mean for v in values]
    if item.specs and item.specs[0][0] == ():
        item.facts["values"] = _binned(_unit(means))
    rows = min((len(v.units) for v in known), default=0)
    if rows > 1 and len(known) == len(values) and item.op in HEAT:
        table = [[v.units[r] for v in known] for r in range(rows)]
        flat = [x for row in table for x in row]
        low, high = min(flat), max(flat)
        span = (high - low) or 1.0
        item.facts["heat"] = [_binned([(x - low) / span for x in row]) for row in table]


def _maps(item: Item, seen: Record) -> None:
    """Where attention looks: one map per head, or a map whose rows are the steps of a decoder."""
    found = [seen.maps.get(line) for line in item.lines]
    backwards = any(BACKWARDS in part for part in item.path)
    maps = alignment(found, backwards)
    first, last = found[0], found[-1]
    if not maps or first is None or last is None:
        return
    heads = len(first)
    names = [f"head {n + 1}" if heads > 1 else "" for n in range(len(maps))]
    if len(maps) > heads and len(found) > 1:  # layers: the first and the last
        maps = [*first, *last]
        names = [f"{where} {n}".strip() for where in ("first", "last") for n in names[:heads]]
    item.facts["maps"] = [
        {"name": name, "rows": [_rounded(row) for row in one]}
        for name, one in zip(names, maps, strict=True)
    ]


def _rounded(row: Sequence[float]) -> list[float | None]:
    return [round(float(x), 4) if math.isfinite(x) else None for x in row]


def _states(ir: GraphIR) -> None:
    """A state shows what its producer shows."""
    for e in ir.links:
        dst, src = ir.items[e.dst], ir.items[e.src]
        if dst.kind == "state" and dst.id.endswith("out") and src.lines:
            for key in ("grads", "grad_scale"):
                if key in src.facts:
                    dst.facts[key] = src.facts[key]


def _flag(item: Item, seen: Record, first: int | None, first_grad: int | None) -> None:
    lines = set(item.lines)
    if any(line in seen.values and seen.values[line].bad for line in lines):
        item.facts["bad"] = "the first NaN or infinity" if first in lines else "NaN or infinity"
    elif any(line in seen.grads and seen.grads[line].bad for line in lines):
        item.facts["bad"] = (
            "the first NaN or infinite gradient" if first_grad in lines else "gradient not finite"
        )


def level(x: float, low: float, high: float) -> float:
    """Where a gradient stands between `low` and `high` on a log scale, 0 … 1; zero is 0."""
    if not x > 0 or not math.isfinite(x):
        return 0.0
    if high <= low:
        return 1.0
    return min(max(0.06 + 0.94 * math.log(x / low) / math.log(high / low), 0.06), 1.0)


def _unit(values: Sequence[float | None]) -> list[float | None]:
    known = [v for v in values if v is not None]
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    return [None if v is None else (v - low) / span for v in values]


def _binned(values: Sequence[float | None], *, largest: bool = False) -> list[float | None]:
    """At most 64 columns: the largest of each bin, or the mean."""
    if len(values) <= COLUMNS:
        return list(values)
    out: list[float | None] = []
    for column in range(COLUMNS):
        start, stop = column * len(values) // COLUMNS, (column + 1) * len(values) // COLUMNS
        part = [v for v in values[start:stop] if v is not None]
        out.append(None if not part else max(part) if largest else sum(part) / len(part))
    return out
