"""What a page shows beyond the picture: closed modules, single lines, the backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..boxes import is_module, modules_of
from ..group import group
from ..ir import GraphIR, Item, Path
from ..record import Record
from ..shade import ColorBy
from ..spy import Event
from ..stats import Stats
from ..tape import Tape, saved_bytes
from .opening import Opening, openings, representatives

LONGEST = 6000  # tape lines whose backward pass a page can walk
SEEN = ("values", "grads", "events", "seconds", "forward")


@dataclass(frozen=True, slots=True)
class Details:
    """Plain data, taken when the graph was drawn; nothing of the computation.

    Attributes:
        deep: the folded graph with every module open.
        closed: the boxes that are closed at first.
        full: the graph before folding: one item per tape line.
        values, grads, events, seconds, forward: what `record` saw, by position on the tape.
        saved: bytes that a line keeps for backward, by position.
        openings: fused items that can be opened.
        by: what the page colours nodes by at first: "", "grad", "time", "memory", "module" or
            "given": what a function of that `name` said of each item.
    """

    deep: GraphIR
    closed: frozenset[Path] = frozenset()
    full: GraphIR | None = None
    values: dict[int, Stats] = field(default_factory=dict)
    grads: dict[int, Stats] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)
    forward: dict[int, float] = field(default_factory=dict)
    saved: dict[int, int] = field(default_factory=dict)
    openings: dict[str, Opening] = field(default_factory=dict)
    by: str = ""
    name: str = ""
    given: dict[str, float | str] = field(default_factory=dict)


def gather(
    folded: GraphIR,
    full: GraphIR,
    tape: Tape,
    record: Record | None,
    model: Any,
    *,
    color_by: ColorBy = None,
    depth: int,
    expand: Iterable[str] = (),
    max_nodes: int = 400,
) -> Details | None:
    """The details of a drawn graph; None where it is too large to be opened on a page."""
    if full.lines > LONGEST or len(folded.items) > 2 * max_nodes:
        return None
    deep = group(folded, 99, model, expand)
    closed = _closed(deep, depth, {tuple(e.split(".")) for e in expand})
    seen = {} if record is None else {k: getattr(record, k) for k in SEEN}
    by, name, given = str(color_by or ""), "", {}
    if callable(color_by):
        by, name = "given", getattr(color_by, "__name__", "value").strip("<>")
        given = _given(deep, color_by)
    return Details(
        deep, closed, full, **seen,
        saved={at: size for at, node in enumerate(tape.lines) if (size := saved_bytes(node))},
        openings=openings(tape, representatives(deep, full)),
        by=by, name=name, given=given,
    )  # fmt: skip


def _given(deep: GraphIR, by: Callable[[Item], Any]) -> dict[str, float | str]:
    """What the user's function says of each item."""
    found = {id_: by(item) for id_, item in deep.items.items()}
    return {
        id_: x if isinstance(x, str) else float(x)
        for id_, x in found.items()
        if x is not None and (isinstance(x, str) or math.isfinite(x))
    }


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
