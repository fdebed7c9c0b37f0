"""The products that the steps of a recurrent loop share on the way back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from ...backend import Array, on_cpu
from ...backend.threads import forks
from ...engine import fork
from ..rows import row_sums
from ._products import product
from ._schedule import Schedule
from ._workspace import Workspace

CACHED = 256  # columns of gate gradients that stay in cache until they are multiplied
SMALL = 1 << 17  # elements up to which a weight's gradient is summed part by part
BESIDE = 1 << 23  # multiplications of a part from which another thread takes them


class Part(NamedTuple):
    """Gradients (G·H, ·) of the packed rows from `low` to `high`."""

    d: Array
    low: int
    high: int


class GateGradients:
    """The gradients (G, H, size) of the gates, and what follows: Σ d xᵀ, Σ d and Wᵀ d.

    The loop asks for the room of each step with `columns` and writes there. Gradients of small
    weights are summed over parts that are still in cache; large ones, and all on a GPU, take one
    product at the end. Where there is another thread, it multiplies a part while the loop writes
    the next one into other room: nothing else in the loop waits for these products.
    """

    def __init__(
        self, space: Workspace, batch: Schedule, gates: int, hidden: int, largest: int, dtype: Any
    ) -> None:
        self.space, self.xp = space, (xp := space.xp)
        self.size, self.key = batch.size, (gates, hidden)
        self.empty = xp.empty if batch.size else xp.zeros  # nothing to sum: nothing will be written
        in_parts = on_cpu(xp) and largest <= SMALL
        most = max(CACHED, batch.B)  # a step is never cut
        self.width = min(self.size, most) if in_parts else self.size
        self.beside = on_cpu(xp) and forks() and largest * self.width >= BESIDE
        lead, columns = gates * hidden, self.width + 16  # rows end off 1 KB borders
        rooms = range(2 if self.beside and self.width < self.size else 1)
        self.rooms = [
            space.columns(("room", k, most, *self.key), columns, lead, widest=most + 16)
            if in_parts
            else xp.empty((lead, columns), dtype=dtype)
            for k in rooms
        ]
        by_gate = gates, hidden, self.width
        self.views = [room[:, : self.width].reshape(by_gate) for room in self.rooms]
        self.ascending = batch.reverse  # backward reads against the forward pass
        self.low = self.high = self.origin = 0
        self.waiting: Part | None = None
        self.started = False
        self.weights: list[tuple[slice, Array, Array]] = []
        self.biases: list[tuple[slice, Array]] = []
        self.inputs: list[tuple[slice, Array, Array]] = []

    def for_weight(self, gates: slice, operand: Array, out: Array | None = None) -> Array:
        """Register Σ d xᵀ over the gates' rows `gates`, `operand` the rows x (size, K)."""
        if out is None:
            shape = (len(range(*gates.indices(len(self.rooms[0])))), operand.shape[1])
            out = self.empty(shape, dtype=operand.dtype)
        self.weights.append((gates, operand, out))
        return out

    def for_bias(self, gates: slice, out: Array | None = None) -> Array:
        """Register Σ d over the rows `gates`."""
        if out is None:
            room = self.rooms[0]
            out = self.xp.zeros(room[gates].shape[:1], dtype=room.dtype)
        self.biases.append((gates, out))
        return out

    def for_inputs(self, gates: slice, weight: Array) -> Array:
        """Register Wᵀ d for every row: (size, K)."""
        out = self.xp.empty((self.size, weight.shape[1]), dtype=weight.dtype)
        self.inputs.append((gates, weight, out))
        return out

    def columns(self, start: int, n: int) -> Array:
        """Room (G, H, n) for the packed rows from `start`; the steps come in the loop's order.

        If a part is `waiting` then, the loop yields to `take`, or calls `flush`, before it writes.
        """
        low, high = min(self.low, start), max(self.high, start + n)
        if self.low == self.high or high - low > self.width:
            self._close()
            low, high = start, start + n
            self.origin = low if self.ascending else high - self.width
        self.low, self.high = low, high
        at = start - self.origin
        return self.views[0][:, :, at : at + n]

    def take(self, steps: Iterator[None]) -> None:
        """Take the steps of the loop, which yields when a part is waiting; and multiply all."""
        advance: Callable[[], Any] = partial(next, steps, steps)  # `steps` itself: they have ended
        ended = None
        while ended is None:
            part, self.waiting = self.waiting, None
            if part is not None and self.beside:
                ended, *_ = fork(advance, *self._products(part))
            else:
                if part is not None:
                    self._multiply(part)
                ended = advance()
        self.finish()

    def flush(self) -> None:
        """Multiply the part that is waiting, if there is one."""
        part, self.waiting = self.waiting, None
        if part is not None:
            self._multiply(part)

    def finish(self) -> None:
        """Multiply what was written last."""
        self._close()
        self.flush()

    def _close(self) -> None:
        """The part that was written waits for its products, the next one goes into other room."""
        low, high = self.low, self.high
        if low == high:
            return
        d = self.rooms[0][:, low - self.origin : high - self.origin]
        self.waiting = Part(d, low, high)
        self.rooms.reverse()  # of one or two
        self.views.reverse()
        self.low = self.high

    def _multiply(self, part: Part) -> None:
        products = self._products(part)
        if self.beside:
            fork(*products)
        else:
            for each in products:
                each()

    def _products(self, part: Part) -> list[Callable[[], None]]:
        """What is to be done with a part: functions that may run side by side."""
        d, low, high = part
        first, self.started = not self.started, True

        def weight(k: int, gates: slice, inputs: Array, out: Array) -> None:
            summand = out
            if not first:  # which weights need gradients may change from call to call
                summand = self.space.array(("summand", k, out.shape, *self.key), *out.shape)
            product(self.xp, d[gates], inputs[low:high], summand)()
            if not first:
                self.xp.add(out, summand, out)

        def rest() -> None:
            for gates, out in self.biases:
                self.xp.add(out, row_sums(self.xp, d[gates])[:, 0], out)
            for gates, weight, out in self.inputs:
                product(self.xp, d[gates].T, weight, out[low:high])()

        return [*(partial(weight, k, *each) for k, each in enumerate(self.weights)), rest]
