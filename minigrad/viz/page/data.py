"""From a drawn graph to the JSON that the page carries: parts of DOT, cards, the backward pass."""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

from ...engine.op import OPS
from ..dot import _Writer
from ..escape import clean
from ..ir import BACKWARDS, Box, GraphIR, Item, Link, Path, shape_text
from ..labels import Show, subtitle_of, title_of
from ..patterns import INDEX
from ..record import Stats
from ..rules import rule_text
from ..spy import Glimpse
from .details import Details
from .events import Step, backward_steps
from .theme import PAGE

FORMAT = "minigrad-page/1"
_TOOLTIP = re.compile(r' (?:tooltip|id)="(?:[^"\\]|\\.)*"')
_HEADING = re.compile(r" label=(?:<<TABLE.*?TABLE>>|\"[^\"]*\")(?= labeljust)")
_REPEATED = ("steps", "layers", "repeats")


class Page(NamedTuple):
    """What a page is made of."""

    data: dict[str, Any]
    steps: list[Step]


def page_data(ir: GraphIR, details: Details | None, show: Show) -> Page:
    """The data of a page; `ir` is the graph as drawn, `details` what lies behind it."""
    base = ir if details is None else details.deep
    full = None if details is None else details.full
    steps = [] if full is None else backward_steps(full, details.events if details else ())
    writer = _Parts(base, show)
    boxes = [path for path in base.shown_boxes() if "" not in path or path in base.boxes]
    number = {path: i for i, path in enumerate(boxes)}
    data: dict[str, Any] = {
        "format": FORMAT,
        "title": clean(ir.title or "computation graph"),
        "notes": [clean(note, 300) for note in ir.notes],
        "banner": clean(ir.banner),
        "lines": ir.lines,
        "rankdir": show.rankdir,
        "head": writer.head(),
        "nodes": [_node(item, number, writer, show) for item in base.items.values()],
        "boxes": [
            _box(path, i, number, base, details, writer) for i, path in enumerate(boxes)
        ],
        "gap": writer.summary("gap", "@@", []),
    }
    place = {item.id: i for i, item in enumerate(base.items.values())}
    data["edges"] = [
        [place[e.src], place[e.dst], writer.edge(e), e.grad, clean(e.label), clean(e.role)]
        for e in base.links
        if e.src in place and e.dst in place
    ]
    data["columns"] = [[writer.names[i] for i in c] for c in writer.writer.hints.columns()]
    if full is not None and details is not None:
        data |= _tape(base, full, details, place, show)
        data["steps"] = [_step(s, data["leaves"]) for s in steps]
    data["recorded"] = bool(details and details.events)
    return Page(data, steps)


class _Parts:
    """Statements of DOT, one per node, edge and box, in stand-in colours."""

    def __init__(self, ir: GraphIR, show: Show) -> None:
        self.writer = _Writer(ir, PAGE, show)
        self.names = self.writer.names

    def head(self) -> list[str]:
        empty = _Writer(GraphIR(), PAGE, self.writer.show).picture().splitlines()[1:4]
        return [_HEADING.sub("", line.strip()) for line in empty]

    def node(self, item: Item) -> str:
        """The attributes of a node."""
        self.names.setdefault(item.id, "n")
        return _bare(self.writer._node(item)).partition(" ")[2]

    def edge(self, link: Link) -> str:
        return _bare(self.writer._edge(link)).partition(" -> ")[2].partition(" ")[2]

    def cluster(self, path: Path) -> str:
        return _bare(self.writer._cluster(path, 0))

    def summary(self, id_: str, title: str, notes: list[str], count: int = 1) -> str:
        """A node that stands for a closed box or for steps that are not shown."""
        kind = "module" if id_ != "gap" else "overview"
        item = Item(f"{id_}:page", kind, op=kind, title=title, notes=notes, count=count)
        return self.node(item)


def _bare(text: str) -> str:
    return _TOOLTIP.sub("", text.strip())


# -- what is shown -------------------------------------------------------------------------------


def _node(item: Item, number: dict[Path, int], writer: _Parts, show: Show) -> dict[str, Any]:
    box = -1
    for depth in range(len(item.path), 0, -1):
        if item.path[:depth] in number:
            box = number[item.path[:depth]]
            break
    node: dict[str, Any] = {
        "n": writer.names[item.id],
        "dot": writer.node(item),
        "kind": item.kind,
        "title": clean(title_of(item)),
        "sub": clean(subtitle_of(item, show)),
        "op": item.op,
        "name": clean(item.name),
        "shapes": [[shape_text(shape), dtype] for shape, dtype in item.specs[:8]],
        "params": clean(item.params, 300),
        "doc": clean(item.doc, 300),
        "rules": [clean(r, 200) for r in item.rule.split(";  ") if r],
        "notes": [clean(note) for note in item.notes],
        "box": box,
        "lines": list(item.lines[:5000]),
        "count": item.count,
        "saved": item.saved,
        "place": clean(item.place) if show.places else "",
        "facts": _facts(item),
    }
    return {k: v for k, v in node.items() if v not in ("", [], 0, {}) or k in ("box", "lines")}


def _facts(item: Item) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key in ("grad", "seconds"):
        if key in item.facts:
            out[key] = number(item.facts[key])
    for key in ("value", "bad"):
        if key in item.facts:
            out[key] = clean(item.facts[key])
    return out


def _box(
    path: Path, at: int, number: dict[Path, int], ir: GraphIR, details: Details | None,
    writer: _Parts,
) -> dict[str, Any]:  # fmt: skip
    box = ir.boxes.get(path) or Box("module", path[-1])
    inside = [i for i in ir.items.values() if i.path[: len(path)] == path]
    lines = sorted(line for item in inside for line in item.lines)
    parent = -1
    for depth in range(len(path) - 1, 0, -1):
        if path[:depth] in number:
            parent = number[path[:depth]]
            break
    words = [box.detail] if box.detail else []
    if box.kind not in _REPEATED:
        words.append(f"{len(lines):,} tape line{'s' * (len(lines) != 1)}")
    out: dict[str, Any] = {
        "title": clean(box.title),
        "detail": clean(box.detail),
        "kind": box.kind,
        "count": box.count,
        "parent": parent,
        "closed": details is not None and path in details.closed,
        "cluster": writer.cluster(path),
        "dot": writer.summary(f"box{at}", box.title, words, box.count),
        "lines": len(lines),
    }
    if box.kind in _REPEATED and details is not None and len(lines) % box.count == 0:
        outer = any((ir.boxes.get(path[:i]) or box).kind in _REPEATED and path[:i] in ir.boxes
                    for i in range(1, len(path)))  # fmt: skip
        index = INDEX[box.kind]
        back = any(BACKWARDS in part for part in path)
        each = len(lines) // box.count
        out["clock"] = {"index": index, "back": back, "each": each, "nested": outer}
        out["body"] = lines
        step = Box(box.kind, f"{box.title.split(' ')[0]} {index} = @@", "", 1)
        kept, ir.boxes[path] = ir.boxes.get(path), Box("module", step.title)
        out["one"] = writer.cluster(path)
        if kept is None:
            del ir.boxes[path]
        else:
            ir.boxes[path] = kept
    return out


# -- the tape behind it ------------------------------------------------------------------------


def _tape(
    base: GraphIR, full: GraphIR, details: Details, place: dict[str, int], show: Show
) -> dict[str, Any]:
    """Every line: what it computes, the node it is folded into, where its arguments come from."""
    writer = _Parts(full, show)
    owner = {line: place[item.id] for item in base.items.values() for line in item.lines}
    kinds: dict[tuple[Any, ...], int] = {}
    table: list[dict[str, Any]] = []
    lines: list[list[Any]] = []
    for item in full.items.values():
        if not item.lines:
            continue
        at = item.lines[0]
        shown = base.items[list(base.items)[owner[at]]] if False else None  # noqa: F841
        key = (item.op, item.kind, item.specs, item.params, item.title, item.name)
        if key not in kinds:
            kinds[key] = len(table)
            table.append(_kind_of_line(item, writer, show))
        lines.append([kinds[key], owner.get(at, -1), *_numbers(details, at)])
    leaves = _leaves(base, full, owner, place)
    links = []
    line_of = {item.id: item.lines[0] for item in full.items.values() if item.lines}
    for e in full.links:
        ends = [line_of.get(i, _leaf_ref(leaves, i)) for i in (e.src, e.dst)]
        if None not in ends:
            links.append([*ends, e.arg, int(e.grad)])
    return {"kinds": table, "tape": lines, "leaves": leaves, "links": links}


def _kind_of_line(item: Item, writer: _Parts, show: Show) -> dict[str, Any]:
    op = OPS.get(item.op)
    names = list(op.arrays) if op is not None else []
    return {
        "op": item.op,
        "title": clean(title_of(item)),
        "dot": writer.node(item),
        "shape": shape_text(item.specs[0][0]) if item.specs else "",
        "params": clean(item.params, 200),
        "doc": clean(op.doc, 300) if op is not None else "",
        "rules": [clean(r, 200) for r in rule_text(op).split(";  ") if r] if op else [],
        "args": names,
    }


def _numbers(details: Details, at: int) -> list[Any]:
    """Statistics of the value and of the gradient of a line, where they are known."""
    out: list[Any] = []
    for stats in (details.values.get(at), details.grads.get(at)):
        out.append(0 if stats is None else _stats(stats))
    while out and out[-1] == 0:
        out.pop()
    return out


def _stats(stats: Stats) -> list[Any]:
    return [number(x) for x in (stats.norm, stats.mean, stats.low, stats.high)] + [stats.bad] * (
        stats.bad > 0
    )


def _leaves(
    base: GraphIR, full: GraphIR, owner: dict[int, int], place: dict[str, int]
) -> list[list[Any]]:
    """Leaves and outputs of the tape: [id, title, node of the picture that shows it]."""
    ids = list(base.items)
    into: dict[tuple[str, int], str] = {}
    for e in base.links:
        if base.items[e.src].kind in ("parameter", "input"):
            into[e.dst, e.arg] = e.src
    shown: dict[str, int] = {}
    line_of = {item.id: item.lines[0] for item in full.items.values() if item.lines}
    for e in full.links:
        leaf = full.items[e.src]
        if leaf.lines or e.src in shown:
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
    return [
        [i, clean(title_of(full.items[i])), node, full.items[i].kind] for i, node in shown.items()
    ]


def _leaf_ref(leaves: list[list[Any]], id_: str) -> int | None:
    """Leaves are written as −1, −2, …; lines as their positions."""
    for i, leaf in enumerate(leaves):
        if leaf[0] == id_:
            return -1 - i
    return None


def _step(step: Step, leaves: list[list[Any]]) -> list[Any]:
    sent = []
    for s in step.sent:
        sent.append([s.arg, s.target[0], s.nth, s.total, *_glimpse(s.gradient)])
    return [step.line, sent, *_glimpse(step.came)]


def _glimpse(g: Glimpse | None) -> list[Any]:
    if g is None:
        return []
    out: list[Any] = [number(g.norm)]
    if g.values is not None:
        out += [shape_text(g.shape), _rounded(g.values)]
    elif g.shape == ():
        out += ["()"]
    else:
        out += [shape_text(g.shape)]
    return out


def _rounded(values: Any) -> Any:
    if isinstance(values, list):
        return [_rounded(v) for v in values]
    return number(values)


def number(x: float) -> float | str:
    """Six significant figures; what JSON has no number for becomes a word."""
    if not math.isfinite(x):
        return "NaN" if math.isnan(x) else "∞" if x > 0 else "−∞"
    return float(f"{x:.6g}")
