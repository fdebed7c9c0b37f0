"""`GraphIR`: what a picture shows, as plain data between the tape and the writers.

The reader makes one from the tape, transformations (`fold`, `group`, `overview`) turn it into a
smaller one, and the writers (`dot`, `mermaid`, `to_dict`) put it on paper. It holds no arrays, no
Tensors and no Nodes: ids are positions on the tape ("12", or "12.3" inside an opened line 12),
so the same computation gives the same text on every run.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]  # names of the boxes around an item, outermost first
DERIVED = "∂"  # in a path: recorded by the rules of other lines; "∂∂": by rules of those
FORWARD = "∂0"  # in a path: the lines that were there before the first of those
BACKWARDS = "←"  # in the path of an opened op that walks a sequence from its end
Specs = tuple[tuple[tuple[int, ...], str], ...]  # (shape, dtype) of each output


@dataclass(slots=True)
class Item:
    """One node of the picture: an op, a parameter, an input, a state, or a summary of many.

    Attributes:
        id: position on the tape, or a letter and a number for what has none.
        kind: "op", "elementwise", "gate", "parameter", "input", "state", "loss", "output",
            "module" (collapsed) or "overview" (a stretch of a long tape).
        op: name of the op.
        name: what the user called it.
        title: what is written large; made from the other fields where it is empty.
        specs: (shape, dtype) of each output.
        path: the boxes around it.
        lines: the tape positions it stands for.
        loop: of a state, the box of the loop it belongs to.
        count: how many repetitions were folded into it.
        token: equal for items that compute the same thing; for finding repeats.
        jump: the code went backwards before this line, as at the turn of a loop.
        params: static parameters, as text.
        notes: further lines of small text.
        doc, rule, place, saved: first line of the op's docstring, its derivative rules, the line of
            code, bytes kept for the backward pass.
        facts: numbers: "grad" (a norm), "strips" and so on, by name.
    """

    id: str
    kind: str
    op: str = ""
    name: str = ""
    title: str = ""
    specs: Specs = ()
    path: Path = ()
    lines: Sequence[int] = ()
    loop: Path = ()
    count: int = 1
    token: object = None
    jump: bool = False
    params: str = ""
    notes: list[str] = field(default_factory=list)
    doc: str = ""
    rule: str = ""
    place: str = ""
    saved: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def badge(self) -> str:
        """×20 on the item itself, where no box around it and no plural in its name says so."""
        counted = self.count > 1 and self.kind not in ("state", "overview")
        counted = counted and not self.id.endswith("…")
        return f"×{self.count:,}" if counted and not any(p[0] == "×" for p in self.path) else ""

    @property
    def ordered(self) -> bool:
        """Whether it has a place in the order of evaluation; leaves have none."""
        return self.kind not in ("parameter", "input", "output", "loss")


@dataclass(slots=True)
class Link:
    """An arrow: output `slot` of item `src` is argument `arg` of item `dst`.

    `grad` says that a gradient flows back along it; `label` which repetition it belongs to;
    `count` how many links of the tape it stands for; `role` what the op calls the argument.
    """

    src: str
    dst: str
    slot: int = 0
    arg: int = 0
    grad: bool = True
    label: str = ""
    count: int = 1
    role: str = ""


@dataclass(slots=True)
class Box:
    """A frame around items: a module, the repeated body of a loop, an opened op.

    Attributes:
        kind: "module", "steps", "layers", "repeats", "step" (one of a loop) or "opened".
        title, detail: written at its top.
        count: number of repetitions, shown as a badge ×20.
        later: it is a part of a loop, and not its first.
        index, first: of a loop or a part of it, the letter and the number of its first repetition.
    """

    kind: str
    title: str
    detail: str = ""
    count: int = 1
    later: bool = False
    index: str = ""
    first: int = 0


@dataclass(slots=True)
class GraphIR:
    """Items in order of evaluation, links between them, and boxes by path.

    `key` explains colours, in the legend: (text before, a scale, text after).
    """

    items: dict[str, Item] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    boxes: dict[Path, Box] = field(default_factory=dict)
    title: str = ""
    notes: list[str] = field(default_factory=list)
    banner: str = ""
    lines: int = 0  # tape lines that all of this stands for
    key: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)

    def into(self, item: Item | str) -> list[Link]:
        """The links that end in an item."""
        key = item if isinstance(item, str) else item.id
        return [link for link in self.links if link.dst == key]

    def sequence(self) -> list[Item]:
        """The items that have a place in the order of evaluation."""
        return [item for item in self.items.values() if item.ordered]

    def shown_boxes(self) -> Iterator[Path]:
        """Every box path that has an item inside, parents before children."""
        seen: dict[Path, None] = {}
        for item in self.items.values():
            for depth in range(1, len(item.path) + 1):
                seen.setdefault(item.path[:depth])
        return iter(seen)

    def to_dict(self) -> dict[str, Any]:
        """The whole graph as JSON-able data."""
        return {
            "format": "minigrad-graph/1",
            "title": self.title,
            "notes": self.notes,
            "banner": self.banner,
            "tape_lines": self.lines,
            "boxes": [
                {
                    "path": list(path),
                    "kind": self.boxes[path].kind,
                    "title": self.boxes[path].title,
                    "detail": self.boxes[path].detail,
                    "count": self.boxes[path].count,
                }
                for path in self.shown_boxes()
                if path in self.boxes
            ],
            "nodes": [_item_dict(item) for item in self.items.values()],
            "edges": [
                {
                    "from": e.src,
                    "to": e.dst,
                    "output": e.slot,
                    "argument": e.arg,
                    "gradient": e.grad,
                    "label": e.label,
                    "count": e.count,
                    "role": e.role,
                }
                for e in self.links
            ],
        }


def _item_dict(item: Item) -> dict[str, Any]:
    lines = list(item.lines[:1000])
    full: dict[str, Any] = {
        "id": item.id,
        "kind": item.kind,
        "op": item.op,
        "name": item.name,
        "title": item.title,
        "outputs": [{"shape": list(shape), "dtype": dtype} for shape, dtype in item.specs],
        "box": list(item.path),
        "lines": lines,
        "line_count": len(item.lines),
        "count": item.count,
        "params": item.params,
        "notes": item.notes,
        "doc": item.doc,
        "rule": item.rule,
        "place": item.place,
        "saved_bytes": item.saved,
        "facts": item.facts,
    }
    needed = ("id", "kind", "outputs", "box", "line_count")
    return {k: v for k, v in full.items() if k in needed or v not in ("", [], {}, 0, 1)}


@contextmanager
def gc_paused(lines: int) -> Iterator[None]:
    """Half of the time for a long tape would go into collections that find nothing."""
    paused = lines > 10_000 and gc.isenabled()
    if paused:
        gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def joined(links: Iterable[Link]) -> list[Link]:
    """Each arrow once: equal ones add up."""
    found: Counter[tuple[str, str, int, int, bool, str, str]] = Counter()
    for e in links:
        found[e.src, e.dst, e.slot, e.arg, e.grad, e.label, e.role] += e.count
    return [Link(*key[:6], count, key[6]) for key, count in found.items()]


def shape_text(shape: Sequence[int]) -> str:
    """(64, 32), a vector (32,), a number ()."""
    return str(tuple(shape))
