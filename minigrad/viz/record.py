"""`record`: what flows through each line, kept as a few numbers while backward runs.

Nothing is kept unless asked for: `record` looks at a tape that is there, computes the values once
more from what the tape saved, and listens to the gradients through hooks that it takes away again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import NAMESPACES, device_of
from ..engine import Node, Tensor, edge, no_grad, pull
from .spy import Event, watched
from .tape import Tape, opener

UNITS = 16  # rows of a heat map at most
RECURRENT = ("lstm", "gru", "rnn")  # one line for a whole sequence: its first axis is time


@dataclass(slots=True)
class Stats:
    """An array in a few numbers.

    Attributes:
        norm: the 2-norm. mean, low, high: of the finite elements.
        bad: how many elements are NaN or infinite.
        units: mean over all axes but the last, in at most 16 groups.
        steps: of a whole sequence in one line: the same numbers per step.
    """

    norm: float
    mean: float
    low: float
    high: float
    bad: int = 0
    units: list[float] = field(default_factory=list)
    steps: list[Stats] = field(default_factory=list)

    def add(self, other: Stats) -> None:
        """Take in the gradient of a further output of the same line."""
        self.norm = (self.norm**2 + other.norm**2) ** 0.5
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.bad += other.bad


@dataclass(slots=True)
class Record:
    """What `record` saw, by position of the line on the tape.

    Attributes:
        values, grads: statistics of each line's first output, and of the gradient of all its
            outputs.
        order: positions in the order in which backward came by.
        seconds: how long backward took on each line.
        events: what each line received and sent on, in the engine's order.
    """

    tape: Tape
    values: dict[int, Stats] = field(default_factory=dict)
    grads: dict[int, Stats] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    def __repr__(self) -> str:
        return (
            f"<Record: {len(self.tape.lines):,} lines, {len(self.values):,} values, "
            f"{len(self.grads):,} gradients>"
        )


@contextmanager
def record(outputs: Any, *, expand: Iterable[str] | str | bool = ()) -> Iterator[Record]:
    """Watch the backward pass of `outputs`: values and gradients of each line, as statistics.

    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> loss = (w * w).sum()
    >>> with mg.viz.record(loss) as seen:
    ...     loss.backward()
    >>> seen
    <Record: 2 lines, 2 values, 2 gradients>
    >>> graph = mg.viz.draw_graph(loss, record=seen)

    Args:
        outputs: what backward will start from, before it did.
        expand: which fused ops to watch inside, as in `draw_graph`.
    """
    tape = Tape(outputs, opener(expand))
    seen = Record(tape)
    at = {node: i for i, node in enumerate(tape.lines)}
    for node, value in _replayed(tape):
        seen.values[at[node]] = stats(value, sequence=node.op.name in RECURRENT)
    hooks: list[tuple[dict[int, Any], int]] = []
    inner: dict[Node, dict[int, Any]] = {node: {} for node in tape.opened}
    clock = _Clock(seen)
    for node in tape.keys:
        if node not in tape.inside:
            for slot in range(len(node.specs)):
                hook = _hook(seen, clock, at, inner, node, slot)
                owner = node.add_hooks(slot)
                owner[id(hook)] = hook
                hooks.append((owner, id(hook)))
    with watched(at, seen.events):
        try:
            yield seen
        finally:
            clock.stop()
            for owner, key in hooks:
                owner.pop(key, None)
        for node in tape.opened:
            _pull_inside(seen, at, tape, node, inner)


class _Clock:
    """The time between one line of the backward pass and the next belongs to the first."""

    def __init__(self, seen: Record) -> None:
        self.seen, self.line, self.since = seen, -1, 0.0

    def step(self, line: int) -> None:
        now = time.perf_counter()
        if self.line >= 0:
            seconds = self.seen.seconds
            seconds[self.line] = seconds.get(self.line, 0.0) + now - self.since
        self.line, self.since = line, time.perf_counter()

    def stop(self) -> None:
        if self.line >= 0:
            self.step(-1)


def _hook(
    seen: Record, clock: _Clock, at: dict[Node, int], inner: dict[Node, Any], node: Node, slot: int
) -> Any:
    sequence = node.op.name in RECURRENT

    def listen(grad: Tensor) -> None:
        line = at.get(node)
        if node in inner:
            inner[node][slot] = grad.data
        elif line is not None:
            new = stats(grad.data, sequence=sequence and slot == 0)
            if line in seen.grads and slot:
                seen.grads[line].add(new)
                return
            seen.grads[line] = new
            if line not in seen.seconds:
                seen.order.append(line)
            clock.step(line)

    return listen


def _pull_inside(
    seen: Record, at: dict[Node, int], tape: Tape, node: Node, inner: dict[Node, Any]
) -> None:
    """Carry the gradient that reached an opened line through the lines inside it."""
    grads = inner[node]
    outs = tape.opened[node]
    roots = [(edge(outs[i]), g) for i, g in grads.items() if outs[i].requires_grad]
    if not roots:
        return
    clock = _Clock(seen)
    members = [n for n, outer in tape.inside.items() if outer is node]
    for member in members:
        for slot in range(len(member.specs)):
            hook = _hook(seen, clock, at, inner, member, slot)
            member.add_hooks(slot)[id(hook)] = hook
    pull(roots, retain_graph=True)
    clock.stop()
    for member in members:
        member.hooks = None


def _replayed(tape: Tape) -> Iterator[tuple[Node, Any]]:
    """(line, its first output) in order: what was saved, else computed again from what was."""
    known: dict[tuple[Node, int], Any] = {}
    for node in tape.keys:
        if node.outputs is not None:
            for slot, value in enumerate(node.outputs if node.many else (node.outputs,)):
                known[node, slot] = value
        for (of, slot), value in zip(tape.sources(node), node.inputs or (), strict=False):
            if isinstance(of, Node) and type(value) in NAMESPACES:
                known.setdefault((of, slot), value)
    with no_grad():
        for node in tape.lines:
            if any((node, slot) not in known for slot in range(len(node.specs))):
                _compute(tape, node, known)
            if (node, 0) in known:
                yield node, known[node, 0]


def _compute(tape: Tape, node: Node, known: dict[tuple[Node, int], Any]) -> None:
    arguments = []
    for i, (of, slot) in enumerate(tape.sources(node)):
        saved = node.inputs[i] if node.inputs is not None else None
        if isinstance(of, Node):
            value = known.get((of, slot))
        elif of is None:
            value = saved
        else:
            tensor = of if isinstance(of, Tensor) else of()
            value = saved if tensor is None else tensor.data
        if isinstance(value, tuple) or (value is None and of is not None):
            return  # a constant that is gone: this value stays unknown
        arguments.append(value)
    out = node.op(*arguments, **node.params)
    for slot, value in enumerate(out if isinstance(out, tuple) else (out,)):
        known.setdefault((node, slot), value)


def stats(value: Any, *, sequence: bool = False) -> Stats:
    """The statistics of an array of any device; of a whole sequence also step by step."""
    value = getattr(value, "values", value)  # RowSparse
    array = np.asarray(device_of(value).to_host(value) if type(value) in NAMESPACES else value)
    whole = _stats(array)
    if sequence and array.ndim >= 2:
        whole.steps = [_stats(step) for step in array]
    return whole


def _stats(array: np.ndarray[Any, Any]) -> Stats:
    numbers = array.astype(np.float64, copy=False)
    finite = np.isfinite(numbers)
    bad = int(numbers.size - np.count_nonzero(finite))
    good = numbers if not bad else numbers[finite]
    if not good.size:
        return Stats(0.0, 0.0, 0.0, 0.0, bad)
    norm = float(np.sqrt((good * good).sum()))
    units: list[float] = []
    if numbers.ndim and not bad:
        rows = numbers.reshape(-1, numbers.shape[-1]).mean(axis=0)
        parts = np.array_split(rows, min(UNITS, len(rows)))
        units = [float(part.mean()) for part in parts]
    return Stats(norm, float(good.mean()), float(good.min()), float(good.max()), bad, units)
