"""The tape as JSON: each line, where its arguments come from, and the backward pass over it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...engine import OPS
from ..escape import clean
from ..ir import GraphIR, Item, shape_text
from ..labels import title_of
from ..rules import rule_text
from ..spy import Glimpse
from ..stats import Stats
from .details import Details
from .events import Step


def tape_data(
    base: GraphIR, full: GraphIR, details: Details, steps: list[Step], draw: Callable[[Item], str]
) -> dict[str, Any]:
    """The lines behind the picture.

    Lines are written as their positions, leaves and outputs as −1, −2, …; `kinds` holds what many
    lines have in common. `draw` makes the node of one line.
    """
    place = {item.id: i for i, item in enumerate(base.items.values())}
    items = list(base.items.values())
    owner = {line: i for i, item in enumerate(items) for line in item.lines}
    kinds: dict[tuple[Any, ...], int] = {}
    table: list[dict[str, Any]] = []
    lines: list[list[Any]] = []
    refs: dict[str, int] = {}
    for item in full.items.values():
        if not item.lines:
            continue
        at = refs[item.id] = item.lines[0]
        shown = items[owner[at]] if at in owner else item
        if shown.kind == "gate":  # named by what it is for, which shows in the folded cell only
            item = replace(item, kind="gate", title=shown.title)
        key = (item.op, item.kind, item.specs, item.params, item.title, item.name)
        if key not in kinds:
            kinds[key] = len(table)
            table.append(_kind(item, draw))
        lines.append([at, kinds[key], owner.get(at, -1), *_numbers(details, at)])
    lines.sort(key=lambda line: line[0])
    leaves = _leaves(base, full, owner, place, draw)
    refs |= {leaf[0]: -1 - i for i, leaf in enumerate(leaves)}
    links = [
        [refs[e.src], refs[e.dst], e.arg, int(e.grad)]
        for e in full.links
        if e.src in refs and e.dst in refs
    ]
    return {
        "kinds": table,
        "tape": [line[1:] for line in lines],
        "leaves": leaves,
        "links": links,
        "steps": [_step(step, refs) for step in steps],
    }


def _kind(item: Item, draw: Callable[[Item], str]) -> dict[str, Any]:
    op = OPS.get(item.op)
    return {
        "op": item.op,
        "title": clean(title_of(item)),
        "dot": draw(item),
        "shape": shape_text(item.specs[0][0]) if item.specs else "",
        "dtype": item.specs[0][1] if item.specs else "",
        "params": clean(item.params, 200),
        "doc": clean(op.doc, 300) if op is not None else "",
        "rules": [clean(r, 200) for r in rule_text(op).split(";  ") if r] if op else [],
        "args": list(op.arrays) if op is not None else [],
    }


def _numbers(details: Details, at: int) -> list[Any]:
    """Statistics of value and gradient, bytes kept, seconds of both passes; 0 where unknown."""
    found = (details.values.get(at), details.grads.get(at))
    out: list[Any] = [0 if stats is None else _stats(stats) for stats in found]
    times = (details.seconds, details.forward)
    out += [details.saved.get(at, 0), *(_short(found.get(at, 0.0)) for found in times)]
    while out and out[-1] == 0:
        out.pop()
    return out


def _stats(stats: Stats) -> list[Any]:
    """[norm, mean, low, high], and how many are not finite if any."""
    out: list[Any] = [number(x) for x in (stats.norm, stats.mean, stats.low, stats.high)]
    return [*out, stats.bad] if stats.bad else out


def _leaves(
    base: GraphIR, full: GraphIR, owner: dict[int, int], place: dict[str, int],
    draw: Callable[[Item], str],
) -> list[list[Any]]:  # fmt: skip
    """Leaves and outputs of the tape: [id, title, node of the picture that shows it, kind].

    A leaf inside a loop also brings its own node, for when single steps are shown.
    """
    ids = list(base.items)
    into: dict[tuple[str, int], str] = {}
    starts = _starts(base)
    for e in base.links:
        if base.items[e.src].kind in ("parameter", "input"):
            into[e.dst, e.arg] = e.src
        elif e.src in starts:
            into.setdefault((e.dst, e.arg), starts[e.src])
    line_of = {item.id: item.lines[0] for item in full.items.values() if item.lines}
    shown: dict[str, int] = {}
    for e in full.links:
        if e.src in line_of or e.src in shown:
            continue
        if e.src in place:
            shown[e.src] = place[e.src]
        elif e.dst in line_of and line_of[e.dst] in owner:
            found = into.get((ids[owner[line_of[e.dst]]], e.arg))
            if found is not None:
                shown[e.src] = place[found]
    for item in full.items.values():
        if item.id in place and not item.lines:
            shown.setdefault(item.id, place[item.id])
    out: list[list[Any]] = []
    for id_, node in shown.items():
        item = full.items[id_]
        out.append([id_, clean(title_of(item)), node, item.kind])
        if any(part.startswith("×") for part in base.items[ids[node]].path):
            out[-1].append(draw(item))
    return out


def _starts(base: GraphIR) -> dict[str, str]:
    """The leaf that a state starts from, also through the state of a loop around."""
    found: dict[str, str] = {}
    fed = [(e.dst, e.src) for e in base.links if base.items[e.dst].kind == "state"]
    for _ in range(4):
        for state, src in fed:
            start = src if base.items[src].kind in ("parameter", "input") else found.get(src)
            if start is not None:
                found.setdefault(state, start)
    return found


def _step(step: Step, refs: dict[str, int]) -> list[Any]:
    """[line, contributions, ‖g‖, shape, elements]; each contribution likewise."""
    sent = [
        [s.arg, refs.get(s.target[0]), s.nth, s.total, *_glimpse(s.gradient)] for s in step.sent
    ]
    return [step.line, sent, *_glimpse(step.came)]


def _glimpse(g: Glimpse | None) -> list[Any]:
    if g is None:
        return []
    out: list[Any] = [number(g.norm), shape_text(g.shape)]
    return out if g.values is None else [*out, _rounded(g.values)]


def _rounded(values: Any) -> Any:
    return [_rounded(v) for v in values] if isinstance(values, list) else number(values)


def _short(seconds: float) -> float:
    return float(f"{seconds:.3g}")


def number(x: float) -> float | str:
    """Six significant figures; what JSON has no number for becomes a word."""
    if not math.isfinite(x):
        return "NaN" if math.isnan(x) else "∞" if x > 0 else "−∞"
    return float(f"{x:.6g}")
