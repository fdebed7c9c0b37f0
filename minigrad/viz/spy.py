"""What each line of the tape receives and sends on while the engine walks it backwards.

A line's op is replaced by one that does the same and takes notes, until the line was walked or the
watching ends: the order, the gradients and the contributions are the engine's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import NAMESPACES, device_of
from ..engine import Node
from ..engine.walk import fitted

SMALL = 24  # up to so many elements are kept, not only their norm


@dataclass(slots=True)
class Glimpse:
    """A gradient in passing: its 2-norm, its shape, and its elements if they are few."""

    norm: float
    shape: tuple[int, ...]
    values: Any = None


@dataclass(slots=True)
class Event:
    """The engine walked one line: what had arrived per output, what it sent per argument."""

    line: int
    came: list[Glimpse | None] = field(default_factory=list)
    sent: list[Glimpse | None] = field(default_factory=list)


class _Spy:
    """Stands in for the op of one line."""

    adds = None  # what is sent is to be seen, so it is not added in passing

    def __init__(self, op: Any, line: int, events: list[Event]) -> None:
        self._op, self._line, self._events = op, line, events

    def __getattr__(self, name: str) -> Any:
        return getattr(self._op, name)

    def pull(
        self, node: Node, gs: list[Any], wanted: int, create_graph: bool, *rest: Any
    ) -> list[Any]:
        event = Event(self._line, [glimpse(g) for g in gs])
        sent = fitted(node, self._op.pull(node, gs, wanted, create_graph, *rest), create_graph)
        event.sent = [glimpse(g) for g in sent]
        self._events.append(event)
        return sent


@contextmanager
def watched(at: dict[Node, int], events: list[Event]) -> Iterator[None]:
    """Note what the lines in `at` (with their positions) do, in the order in which they do it."""
    before = [(node, node.op) for node in at]
    for node, op in before:
        node.op = _Spy(op, at[node], events)  # type: ignore[assignment]
    try:
        yield
    finally:
        for node, op in before:
            node.op = op


def glimpse(g: Any) -> Glimpse | None:
    """A gradient (an array, a Tensor, row-sparse) as a few numbers."""
    if g is None:
        return None
    shape = tuple(g.shape)
    g = getattr(g, "values", getattr(g, "data", g)) if type(g) not in NAMESPACES else g
    g = getattr(g, "data", g) if type(g) not in NAMESPACES else g
    array = np.asarray(device_of(g).to_host(g), dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        norm = float(np.sqrt((array * array).sum()))
    few = array.tolist() if array.size <= SMALL and array.shape == shape else None
    return Glimpse(norm, shape, few)
