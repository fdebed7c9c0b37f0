"""A fused line opened on the page: its composite, run again on stand-ins of the same shapes.

Nothing of the computation is kept for it: `Opening` holds shapes, numbers and small integer arrays
(lengths, targets). The composite is recorded, folded and named like any other computation, and
`splice` puts it beside the line that it can take the place of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from ...backend import NAMESPACES, device_of, get_rng_state, set_rng_state
from ...engine import Node, Op, Tensor, enable_grad, wrap
from ...errors import MinigradError
from ..build import Names, build
from ..fold import fold
from ..group import group
from ..ir import BACKWARDS, Box, GraphIR, Item, Link, Path
from ..roles import mark_gates
from ..rules import rule_text
from ..tape import Tape, argument, spec_of

LARGEST = 2_000_000  # elements in all arguments
LONGEST = 4000  # lines of a composite
KEPT = 4096  # elements of an integer argument whose values are kept: lengths, targets


class Spec(NamedTuple):
    """An argument of which only the shape is kept."""

    shape: tuple[int, ...]
    dtype: Any
    grad: bool


@dataclass(frozen=True, slots=True)
class Opening:
    """What it takes to run the composite of a line again."""

    op: Op
    args: tuple[Any, ...]
    params: dict[str, Any]
    slots: tuple[int, ...]


def openings(tape: Tape, ids: dict[str, int]) -> dict[str, Opening]:
    """The fused lines among `ids` (item → line) that can be opened."""
    fused = {id_: tape.lines[line] for id_, line in ids.items()}
    fused = {id_: node for id_, node in fused.items() if node.op.plain is not None}
    if not fused:
        return {}
    used: dict[Node, set[int]] = {node: set() for node in fused.values()}
    reads = [pair for node in tape.lines for pair in tape.sources(node)]
    for of, slot in [*reads, *((t.node, t.index) for _, t in tape.outputs)]:
        if isinstance(of, Node) and of in used:
            used[of].add(slot)
    found = {id_: _opening(node, used[node]) for id_, node in fused.items()}
    return {id_: opening for id_, opening in found.items() if opening is not None}


def _opening(node: Node, slots: set[int]) -> Opening | None:
    args: list[Any] = []
    size = 0
    for i, (parent, slot) in enumerate(zip(node.parents, node.slots, strict=True)):
        saved = argument(node, i)
        if (saved is None and parent is None) or isinstance(saved, bool | int | float):
            args.append(saved)
            continue
        grad = bool(node.mask >> i & 1)
        if type(saved) in NAMESPACES:
            if saved.dtype.kind in "iub" and saved.size <= KEPT:
                args.append(np.array(device_of(saved).to_host(saved)))
                continue
            args.append(Spec(tuple(saved.shape), saved.dtype, grad))
        else:
            known = saved if isinstance(saved, tuple) else spec_of(parent, slot)
            if known is None:
                return None  # a constant that is gone, and its shape with it
            args.append(Spec(tuple(known[0]), known[1], grad))
        size += int(np.prod(args[-1].shape, dtype=np.int64))
    if size > LARGEST or not slots:
        return None
    return Opening(node.op, tuple(args), dict(node.params), tuple(sorted(slots)))


@dataclass(slots=True)
class _Composite:
    """A composite as two graphs, and which of their leaves are arguments."""

    full: GraphIR
    folded: GraphIR
    arguments: dict[str, int]
    slots: tuple[int, ...]
    views: dict[str, int]  # leaves made of an argument no gradient flows to: x[t] of x


def _composite(opening: Opening) -> _Composite | None:
    args: list[Any] = []
    for arg in opening.args:
        if isinstance(arg, Spec):
            tensor = wrap(np.zeros(arg.shape, arg.dtype))
            tensor.requires_grad = arg.grad
            args.append(tensor)
        else:
            args.append(wrap(arg) if isinstance(arg, np.ndarray) else arg)
    state = get_rng_state()  # looking must not change what comes next
    try:
        with enable_grad(), np.errstate(all="ignore"):
            plain: Any = opening.op.plain
            out = plain(*args, **opening.params)
    except (MinigradError, ArithmeticError, ValueError, TypeError, IndexError):
        return None  # it does not run on zeros
    finally:
        set_rng_state(state)
    outs = list(out) if isinstance(out, tuple | list) else [out]
    tape = Tape([outs[slot] for slot in opening.slots])
    if not 1 < len(tape.lines) <= LONGEST:
        return None
    names = list(opening.op.arrays)
    tape.roles = {id(a): names[i] for i, a in enumerate(args[: len(names)]) if a is not None}
    full, leaves = build(tape, Names())
    at = {id(a): i for i, a in enumerate(args) if isinstance(a, Tensor)}
    arguments = {id_: at[id(t)] for id_, t in leaves.items() if id(t) in at}
    views = _views(full, leaves, opening.args, set(at.values()) - set(arguments.values()))
    folded = fold(full)
    for item in folded.items.values():
        if item.lines:
            op = tape.lines[item.lines[0]].op
            item.doc, item.rule = op.doc, rule_text(op)
    mark_gates(folded)
    return _Composite(full, group(folded, 99), arguments, opening.slots, views)


def _views(
    full: GraphIR, known: Mapping[str, Tensor], args: tuple[Any, ...], unread: set[int]
) -> dict[str, int]:
    """Leaves that were made inside of an argument that needs no gradient: that leaves no lines.

    No line reads such an argument. A leaf with its last axes is a slice of it, as x[t] of x; one
    with its first axes is made of it, as one-hot rows of targets.
    """
    found: dict[str, int] = {}
    for item in full.items.values():
        if item.kind != "input" or item.id in known or not item.specs:
            continue
        (shape, dtype), *_ = item.specs
        for i in sorted(unread):
            of = tuple(args[i].shape)
            slices = str(args[i].dtype) == dtype and of[-len(shape) :] == shape
            if shape and of and (slices or shape[: len(of)] == of):
                found.setdefault(item.id, i)
    return found


@dataclass(slots=True)
class Spliced:
    """Graphs that hold fused lines and their composites side by side.

    Attributes:
        base, full: folded, and by line; the lines of composites follow those of the tape.
        opened: the base with every composite in place of its line.
        faces: box of a composite → the item that shows it while it is closed.
        first: box of a composite → the position of its first line.
        guests: parameters that only one of these lines reads → its box: where they stand while it
            is open.
    """

    base: GraphIR
    full: GraphIR
    opened: GraphIR
    faces: dict[Path, str] = field(default_factory=dict)
    first: dict[Path, int] = field(default_factory=dict)
    guests: dict[str, Path] = field(default_factory=dict)


def splice(base: GraphIR, full: GraphIR, found: dict[str, Opening]) -> Spliced:
    """Put the composites beside the items that they can take the place of."""
    start = full.lines
    out = Spliced(base, full, base)
    parts: dict[str, tuple[_Composite, Path, int]] = {}
    for id_, opening in found.items():
        item = base.items.get(id_)
        part = _composite(opening) if item is not None else None
        if item is None or part is None or start + part.full.lines > 3 * LONGEST:
            continue
        arrow = f" {BACKWARDS}" if opening.params.get("reverse") else ""
        path = (*item.path, f"{opening.op.name}{arrow}@{item.id}")
        parts[id_] = part, path, start
        out.faces[path], out.first[path] = id_, start
        start += part.full.lines
    if not parts:
        return out
    out.base = _merged(base, {k: (p.folded, p, path, at) for k, (p, path, at) in parts.items()})
    out.full = _merged(full, {k: (p.full, p, path, at) for k, (p, path, at) in parts.items()})
    for id_, (_, path, _) in parts.items():
        item = base.items[id_]
        words = "the same function in plain ops"
        out.base.boxes[path] = Box("opened", item.name or item.op, words)
    paths = {id_: path for path, id_ in out.faces.items()}
    for id_, item in base.items.items():
        readers = {e.dst for e in base.links if e.src == id_} if item.kind == "parameter" else set()
        if len(readers) == 1 and readers <= set(paths):
            out.guests[id_] = paths[readers.pop()]
    kept = {k: v for k, v in out.base.items.items() if k not in parts}
    kept |= {k: replace(kept[k], path=path) for k, path in out.guests.items()}
    links = [e for e in out.base.links if e.src in kept and e.dst in kept]
    out.opened = GraphIR(kept, links, out.base.boxes)
    return out


_Part = tuple[GraphIR, _Composite, Path, int]


def _merged(graph: GraphIR, parts: dict[str, _Part]) -> GraphIR:
    """A graph with the items of composites behind their faces, and links to and from both."""
    new = replace(graph, items={}, links=[], boxes=dict(graph.boxes))
    readers: dict[tuple[str, int], list[Link]] = {}  # argument of a face → links that read it
    makers: dict[tuple[str, int], Link] = {}  # output of a face → the link that brings it
    inner: list[Link] = []
    for id_, item in graph.items.items():
        new.items[id_] = item
        if id_ not in parts:
            continue
        ir, part, path, start = parts[id_]
        for old in ir.items.values():
            if old.id in part.arguments or old.kind in ("output", "loss"):
                continue
            new.items[f"{id_}.{old.id}"] = _moved(old, f"{id_}.{old.id}", path, start)
            arg = part.views.get(old.id.rstrip("…"))
            if arg is not None:
                end = Link(id_, f"{id_}.{old.id}", 0, 0, grad=False)
                readers.setdefault((id_, arg), []).append(end)
        new.boxes |= {(*path, *inside): box for inside, box in ir.boxes.items()}
        for e in ir.links:
            end = replace(e, src=f"{id_}.{e.src}", dst=f"{id_}.{e.dst}")
            if ir.items[e.dst].kind in ("output", "loss"):
                makers[id_, part.slots[int(e.dst[1:])]] = end
            elif e.src in part.arguments:
                readers.setdefault((id_, part.arguments[e.src]), []).append(end)
            else:
                inner.append(end)
    for e in graph.links:
        made = makers.get((e.src, e.slot))
        sources = [(e.src, e.slot)] + ([(made.src, made.slot)] if made is not None else [])
        targets = [e, *readers.get((e.dst, e.arg), ())]
        for src, slot in sources:
            for to in targets:
                if src == e.src and to is e:
                    new.links.append(e)
                else:
                    label, grad = e.label or to.label, e.grad and to.grad
                    new.links.append(replace(to, src=src, slot=slot, label=label, grad=grad))
    new.links += inner
    return new


def _moved(item: Item, id_: str, path: Path, start: int) -> Item:
    """An item of a composite where it stands in the whole."""
    return replace(
        item, id=id_, path=path + item.path, loop=path + item.loop if item.loop else (),
        lines=[start + line for line in item.lines],
    )  # fmt: skip


def representatives(base: GraphIR, full: GraphIR) -> dict[str, int]:
    """The line whose composite stands for an item: the one that lent it its id."""
    return {
        id_: full.items[id_].lines[0]
        for id_, item in base.items.items()
        if item.lines and item.kind not in ("module", "overview") and id_ in full.items
    }
