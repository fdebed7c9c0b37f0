"""The backward pass as a list of steps, in the order in which the engine walks the tape."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..ir import GraphIR, Link
from ..spy import Event, Glimpse

Target = tuple[str, int]  # an item of the full graph and which of its outputs


@dataclass(slots=True)
class Sent:
    """One contribution: along argument `arg` to `target`, the `nth` of `total` that arrive there.

    `gradient` is None where nothing was recorded.
    """

    arg: int
    role: str
    target: Target
    gradient: Glimpse | None = None
    nth: int = 1
    total: int = 1


@dataclass(slots=True)
class Step:
    """The engine walks one line."""

    line: int
    came: Glimpse | None = None
    sent: list[Sent] = field(default_factory=list)


def backward_steps(full: GraphIR, events: Iterable[Event] = ()) -> list[Step]:
    """The steps of the backward pass: as recorded, else as the engine would go.

    The engine keeps the lines that wait in a heap and takes the newest first; so does this, over
    the links along which a gradient flows.
    """
    into: dict[str, list[Link]] = {}
    for link in full.links:
        if link.grad:
            into.setdefault(link.dst, []).append(link)
    seen = {event.line: event for event in events}
    order = _recorded(full, seen) if seen else _walk(full, into)
    by_line = {item.lines[0]: item.id for item in full.items.values() if item.lines}
    arrived: Counter[Target] = Counter()
    steps: list[Step] = []
    for line in order:
        event = seen.get(line)
        step = Step(line, next((g for g in event.came if g), None) if event else None)
        for link in into.get(by_line[line], ()):
            if event is None:
                gradient = None
            elif link.arg < len(event.sent) and event.sent[link.arg] is not None:
                gradient = event.sent[link.arg]
            else:
                continue  # not asked for
            target = (link.src, link.slot)
            arrived[target] += 1
            step.sent.append(Sent(link.arg, link.role, target, gradient, arrived[target]))
        steps.append(step)
    for step in steps:
        for sent in step.sent:
            sent.total = arrived[sent.target]
    return steps


def _recorded(full: GraphIR, seen: dict[int, Event]) -> list[int]:
    """The recorded order; lines inside an opened line take the place of that line."""
    opened = any("." in item.id for item in full.items.values() if item.lines)
    return sorted(seen, reverse=True) if opened else list(seen)


def _walk(full: GraphIR, into: dict[str, list[Link]]) -> list[int]:
    heap: list[tuple[int, str]] = []
    waiting: set[str] = set()

    def send(id_: str) -> None:
        item = full.items[id_]
        if item.lines and id_ not in waiting:
            waiting.add(id_)
            heapq.heappush(heap, (-item.lines[0], id_))

    for item in full.items.values():
        if item.kind in ("loss", "output"):
            for link in into.get(item.id, ()):
                send(link.src)
    order = []
    while heap:
        at, id_ = heapq.heappop(heap)
        order.append(-at)
        for link in into.get(id_, ()):
            send(link.src)
    return order
