"""`record`: what flows through each line, kept as a few numbers while backward runs.

Nothing is kept unless asked for: `record` looks at a tape that is there, computes the values once
more from what the tape saved, and listens to the gradients through hooks that it takes away again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..engine import Node, Tensor, edge, pull
from ..engine.gradients import WATCH
from ..errors import ConfigError
from .alignments import maps_of, weighing
from .rerun import rerun
from .reveal import Expand
from .spy import Event, watched
from .stats import Stats, stats
from .tape import Tape, opener

# One line for a whole sequence: its first axis is time.
RECURRENT = ("lstm", "gru", "rnn", "bilstm", "bigru", "birnn")


@dataclass(slots=True)
class Record:
    """What `record` saw, by position of the line on the tape.

    Attributes:
        values, grads: statistics of each line's first output, and of the gradient of all its
            outputs.
        order: positions in the order in which backward came by.
        seconds: how long backward took on each line.
        forward: how long its kernel takes, run once more.
        events: what each line received and sent on, in the engine's order.
        maps: attention weights (heads, T, S) of the first example, of the lines that have some.
        model: whose run it was, if it was given.
    """

    _tape: Tape | None = None
    values: dict[int, Stats] = field(default_factory=dict)
    grads: dict[int, Stats] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)
    seconds: dict[int, float] = field(default_factory=dict)
    forward: dict[int, float] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    maps: dict[int, Any] = field(default_factory=dict)
    model: Any = None

    @property
    def tape(self) -> Tape:
        """The tape that was watched. Raises: ConfigError if no backward pass came by."""
        if self._tape is None:
            raise ConfigError(
                "record: there was no backward() inside; call it in the with block, or give record "
                "the loss itself"
            )
        return self._tape

    def __repr__(self) -> str:
        lines = 0 if self._tape is None else len(self._tape.lines)
        return (
            f"<Record: {lines:,} lines, {len(self.values):,} values, {len(self.grads):,} gradients>"
        )


@contextmanager
def record(of: Any = None, *, expand: Expand = ()) -> Iterator[Record]:
    """Watch a backward pass: values, gradients, times of each line, as statistics.

    Args:
        of: the outputs that backward will start from, before it did; or a model, or nothing: then
            each `backward()` inside the block is watched, and the last one stays.
        expand: which fused ops to watch inside, as in `draw_graph`.

    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> loss = (w * w).sum()
    >>> with mg.viz.record(loss) as seen:
    ...     loss.backward()
    >>> seen
    <Record: 2 lines, 2 values, 2 gradients>
    >>> graph = mg.viz.draw_graph(loss, record=seen)

    Around a whole training step:

    >>> model = mg.nn.Linear(2, 1)
    >>> with mg.viz.record(model) as seen:
    ...     loss = model(mg.ones((3, 2))).sum()
    ...     loss.backward()
    >>> seen
    <Record: 2 lines, 2 values, 2 gradients>
    """
    if of is not None and not hasattr(of, "named_parameters"):
        seen = Record()
        with _watching(seen, of, expand):
            yield seen
        return
    seen = Record(model=of)

    def watch(loss: Tensor) -> AbstractContextManager[None]:
        fresh = Record(model=of)
        for name in Record.__slots__:
            setattr(seen, name, getattr(fresh, name))
        return _watching(seen, loss, expand)

    token = WATCH.set(watch)
    try:
        yield seen
    finally:
        WATCH.reset(token)


@contextmanager
def _watching(seen: Record, outputs: Any, expand: Expand) -> Iterator[None]:
    tape = seen._tape = Tape(outputs, opener(expand))
    at = {node: i for i, node in enumerate(tape.lines)}
    factors = weighing(tape)
    for node, known, seconds in rerun(tape):
        line = at[node]
        if (node, 0) in known:
            seen.values[line] = stats(known[node, 0], sequence=node.op.name in RECURRENT)
        maps = maps_of(node, known, factors)
        if maps is not None:
            seen.maps[line] = maps
        if seconds is not None:
            seen.forward[line] = seconds
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
            yield
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
