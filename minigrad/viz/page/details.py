"""What a page shows beyond the picture: closed modules, single lines, the backward pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..group import group, is_module, modules_of
from ..ir import GraphIR, Path
from ..record import Record, Stats
from ..spy import Event

LONGEST = 6000  # tape lines whose backward pass a page can walk


@dataclass(frozen=True, slots=True)
class Details:
    """Plain data, taken when the graph was drawn; nothing of the computation.

    Attributes:
        deep: the folded graph with every module open.
        closed: the boxes that are closed at first.
        full: the graph before folding: one item per tape line.
        values, grads, events, seconds: what `record` saw, by position on the tape.
    """

    deep: GraphIR
    closed: frozenset[Path] = frozenset()
    full: GraphIR | None = None
    values: dict[int, Stats] = field(default_factory=dict)
    grads: dict[int, Stats] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)


def gather(
    folded: GraphIR,
    full: GraphIR,
    record: Record | None,
    model: Any,
    *,
    depth: int,
    expand: Iterable[str] = (),
    max_nodes: int = 400,
) -> Details | None:
    """The details of a drawn graph; None where it is too large to be opened on a page."""
    if full.lines > LONGEST or len(folded.items) > 2 * max_nodes:
        return None
    deep = group(folded, 99, model, expand)
    closed = _closed(deep, depth, {tuple(e.split(".")) for e in expand})
    if record is None:
        return Details(deep, closed, full)
    return Details(deep, closed, full, record.values, record.grads, record.events, record.seconds)


def _closed(deep: GraphIR, depth: int, opened: set[Path]) -> frozenset[Path]:
    """The boxes that stand deeper than `depth` modules and hold more than one op."""
    inside: dict[Path, int] = {}
    for item in deep.sequence():
        for end in range(1, len(item.path) + 1):
            box = item.path[:end]
            inside[box] = inside.get(box, 0) + (item.kind != "state")
    found = set()
    for box, ops in inside.items():
        if not is_module(box[-1]) or ops < 2:
            continue
        if any("@" in part and not part.startswith("×") for part in box):
            continue  # inside an opened op: the user asked to see it
        limit = depth
        for end in range(1, len(box) + 1):
            names = modules_of(box[:end])
            limit += names in opened or names[1:] in opened
        if len(modules_of(box)) > limit:
            found.add(box)
    return frozenset(found)
