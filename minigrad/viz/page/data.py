"""From a drawn graph to the JSON that the page carries: parts of DOT, cards, the backward pass."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from ..dot import _Writer
from ..escape import clean
from ..hints import Hints
from ..ir import BACKWARDS, Box, GraphIR, Item, Link, Path, Specs, shape_text
from ..labels import Show, subtitle_of, title_of
from ..style import number as text
from .colours import colours
from .details import Details
from .events import backward_steps
from .lines import number as rounded
from .lines import tape_data
from .opening import Spliced, splice
from .theme import PAGE

FORMAT = "minigrad-page/1"
_TOOLTIP = re.compile(r'(?<=[ \[])(?:tooltip|id)="(?:[^"\\]|\\.)*" ?')
_HEADING = re.compile(r" label=(?:<<TABLE.*?TABLE>>|\"[^\"]*\")(?= labeljust)")
_REPEATED = ("steps", "layers", "repeats", "step")


class Page(NamedTuple):
    """What a page is made of: the picture in parts, and the tape behind it."""

    data: dict[str, Any]
    tape: dict[str, Any]


def page_data(ir: GraphIR, details: Details | None, show: Show) -> Page:
    """The data of a page; `ir` is the graph as drawn, `details` what lies behind it."""
    found = _spliced(ir, details)
    base, full = found.base, found.full
    writer = _Parts(base, show)
    if found.faces and details is not None:
        writer.writer.hints = _Both(details.deep, found)
    boxes = list(base.shown_boxes())
    number = {path: i for i, path in enumerate(boxes)}
    place = {item.id: i for i, item in enumerate(base.items.values())}
    data: dict[str, Any] = {
        "format": FORMAT,
        "title": clean(ir.title or "computation graph"),
        "notes": [clean(note, 300) for note in ir.notes],
        "banner": clean(ir.banner),
        "lines": ir.lines,
        "rankdir": show.rankdir,
        "head": writer.head(),
        "nodes": [_node(item, number, writer, show) for item in base.items.values()],
        "boxes": [_box(path, i, number, base, details, writer) for i, path in enumerate(boxes)],
        "gap": writer.summary("gap", "@@", []),
    }
    for path, face in found.faces.items():
        box, at = data["boxes"][number[path]], place[face]
        box |= {"face": at, "closed": True, "first": found.first[path]}
        data["nodes"][at]["opens"] = number[path]
    for id_, path in found.guests.items():
        data["nodes"][place[id_]]["inside"] = number[path]
    data["edges"] = [
        [place[e.src], place[e.dst], writer.edge(e), e.grad, clean(e.label), clean(e.role), e.arg]
        for e in base.links
        if e.src in place and e.dst in place
    ]
    columns = writer.writer.hints.columns()
    data["columns"] = [[writer.names[i] for i in c] for c in columns]
    tape: dict[str, Any] = {}
    if details is not None and details.full is not None:
        steps = backward_steps(details.full, details.events)
        tape = tape_data(base, full, details, steps, _Parts(full, show).node)
    ends = (i.facts["grad_scale"] for i in base.items.values() if "grad_scale" in i.facts)
    low_high = next(ends, ()) if show.grads else ()
    data["ends"] = [float(f"{x:.6g}") for x in low_high]
    data["scale"] = [text(x, 2) for x in low_high]
    data["recorded"] = bool(details and details.events)
    data |= colours(base, data["boxes"], boxes, details)
    return Page(data, tape)


def _spliced(ir: GraphIR, details: Details | None) -> Spliced:
    if details is None:
        return Spliced(ir, ir, ir)
    if details.full is None:
        return Spliced(details.deep, details.deep, details.deep)
    return splice(details.deep, details.full, details.openings)


class _Both(Hints):
    """Hints for the graph with its composites closed, and with them open."""

    def __init__(self, closed: GraphIR, found: Spliced) -> None:
        self.ir = found.base
        self.parts = Hints(closed), Hints(found.opened)
        shut, opened = self.parts
        self.groups = opened.groups | shut.groups
        self.heavy = opened.heavy | shut.heavy

    def enters(self, link: Link) -> bool:
        return any(
            link.src in h.ir.items and link.dst in h.ir.items and h.enters(link) for h in self.parts
        )

    def columns(self) -> list[list[str]]:
        first, second = (hints.columns() for hints in self.parts)
        return [*first, *(column for column in second if column not in first)]


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

    def cluster(self, path: Path, box: Box | None = None) -> str:
        """The attributes of a frame; `box` stands in for the one at `path`."""
        boxes = self.writer.ir.boxes
        if box is None:
            return _bare(self.writer._cluster(path, 0))
        self.writer.ir.boxes = {**boxes, path: box}
        try:
            return _bare(self.writer._cluster(path, 0))
        finally:
            self.writer.ir.boxes = boxes

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
        "shapes": _shapes(item.specs),
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
        "maps": item.facts.get("maps", []),
    }
    if item.kind == "state":
        node["loop"] = number.get(item.loop, -1)
    needed = ("box", "lines", "loop")
    return {k: v for k, v in node.items() if k in needed or v not in ("", [], 0, {})}


def _shapes(specs: Specs) -> list[list[str]]:
    """Text and dtype of each output; many equal ones as one."""
    if len(specs) > 2 and len(set(specs)) == 1:
        return [[f"{len(specs)} × {shape_text(specs[0][0])}", specs[0][1]]]
    return [[shape_text(shape), dtype] for shape, dtype in specs[:8]]


def _facts(item: Item) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key in ("grad", "seconds", "forward"):
        if key in item.facts:
            out[key] = rounded(item.facts[key])
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
    if box.index and details is not None and lines and len(lines) % box.count == 0:
        back = any(BACKWARDS in part for part in path)
        out["clock"] = {"index": box.index, "back": back, "first": box.first}
        one = f"{box.title.partition(' ')[0]} {box.index} = @@"
        out["one"] = writer.cluster(path, Box("module", one))
    return out
