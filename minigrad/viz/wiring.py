"""The graph as arrays, for the search for repeats."""

from __future__ import annotations

import numpy as np

from .ir import GraphIR, Item, Path
from .repeats import NONE, WIDE, Wiring


def wiring(ir: GraphIR, sequence: list[Item]) -> Wiring:
    """Tokens, sources and slots of a sequence of items."""
    place = {item.id: i for i, item in enumerate(sequence)}
    leaves: dict[str, int] = {}
    kinds: list[int] = []
    for item in ir.items.values():
        if item.id not in place:
            leaves[item.id] = -2 - len(kinds)
            kinds.append(1 if item.kind == "parameter" else 2)
    n = len(sequence)
    fan = np.zeros(n, dtype=np.int64)
    rows, sources, slots = [], [], []
    for link in ir.links:
        at = place.get(link.dst)
        if at is None:
            continue
        rows.append(at)
        src = place.get(link.src)
        sources.append(leaves[link.src] if src is None else src)
        slots.append(link.slot)
    row = np.array(rows, dtype=np.int64)
    fan = np.bincount(row, minlength=n) if len(row) else fan
    order = np.argsort(row, kind="stable")
    row = row[order]
    first = np.concatenate(([0], np.cumsum(fan)[:-1])) if n else fan
    column = np.arange(len(row)) - first[row] if len(row) else row
    width = int(min(fan.max(initial=1), WIDE))
    source = np.full((n, width), NONE, dtype=np.int64)
    slot = np.zeros((n, width), dtype=np.int64)
    fits = column < width
    source[row[fits], column[fits]] = np.array(sources, dtype=np.int64)[order][fits]
    slot[row[fits], column[fits]] = np.array(slots, dtype=np.int64)[order][fits]
    codes: dict[object, int] = {}
    token = np.empty(n, dtype=np.int64)
    jump, changed = np.zeros(n, dtype=bool), np.ones(n, dtype=bool)
    before: Path | None = None
    for i, item in enumerate(sequence):
        key = (item.token, item.count) if fan[i] <= WIDE else ("wide", i)
        token[i] = codes.setdefault(key, len(codes))
        jump[i], changed[i] = item.jump, item.path != before
        before = item.path
    leaf_kinds = np.array(kinds, dtype=np.int64)
    return Wiring(token, source, slot, leaf_kinds, jump, changed, _bodies(sequence))


def _bodies(sequence: list[Item]) -> list[tuple[int, int]]:
    """Stretches of the sequence that are bodies of folds, with the states around them."""
    spans: dict[Path, list[int]] = {}
    for i, item in enumerate(sequence):
        for depth, part in enumerate(item.path, 1):
            if part.startswith("×"):
                spans.setdefault(item.path[:depth], []).append(i)
        if item.kind == "state":
            spans.setdefault(item.loop, []).append(i)
    return [(min(s), max(s) + 1) for s in spans.values()]
