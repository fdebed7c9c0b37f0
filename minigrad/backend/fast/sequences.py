"""The compiled loops of recurrent layers with the arguments of ops/recurrent.

Each function runs a layer forward and gives its outputs, and the way back: a function of the
outputs' gradients and of which gradients are wanted (None if nothing is kept). Arrays are made by
`xp` and loops called by `run`, as in `launch.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache, wraps
from typing import Any

import numpy as np

from minigrad.backend.blas_threads import blas_threads
from minigrad.backend.device import Array

from . import recurrent
from .blas import WIDE, sgemm

CACHED = 256  # rows of gate gradients that stay in cache until they are multiplied
SMALL = 1 << 17  # elements up to which a weight's gradient is summed part by part
AHEAD = 128  # rows of inputs projected at a time
TURNED = 8  # steps from which it pays to turn the weights

Back = Callable[[Sequence[Any], Sequence[bool]], tuple[Any, ...]]


class Loop:
    """What the layers share: packed rows, the steps, and arrays for what is kept or passing."""

    def __init__(self, xp: Any, run: Any, batch: Any, x: Array, hidden: int, keep: bool) -> None:
        self.xp, self.run, self.batch, self.dtype = xp, run, batch, x.dtype
        self.rows = xp.ascontiguousarray(batch.pack(xp, x))
        self.cell = batch.T == 1
        self.keep, self.height = keep, batch.size if keep else batch.B
        widest = max((n for n, _ in batch.runs), default=0)
        small = 4 * hidden * max(hidden, x.shape[2]) <= SMALL
        self.room = min(batch.size, max(CACHED, widest)) if small else batch.size
        self.steps = steps_of(batch, self.room)

    def call(self, kernel: Callable[..., None], *args: Any, writes: tuple[int, ...]) -> None:
        """kernel(gemm, steps, *args); `writes` counts from the first of args."""
        places = tuple(place + 1 for place in writes)
        self.run(with_products(kernel), self.steps, *args, writes=places)

    def empty(self, *shape: int) -> Array:
        """New, and arbitrary."""
        return self.xp.empty(shape, dtype=self.dtype)

    def zeros(self, *shape: int) -> Array:
        """New, and zero."""
        return self.xp.zeros(shape, dtype=self.dtype)

    def weights(self, *given: Array) -> list[Array]:
        """Weights (N, K)."""
        return [self.xp.ascontiguousarray(w) for w in given]

    def panels(self, *weights: Array) -> list[Array]:
        """Room for weights (N, K) turned, in panels; none where turning does not pay."""
        turns = self.batch.T >= TURNED
        return [self.empty(-(-len(w) // WIDE) * turns, w.shape[1], WIDE) for w in weights]

    def bias(self, b: Array | None, size: int) -> Array:
        """A bias, or zeros."""
        return self.zeros(size) if b is None else self.xp.ascontiguousarray(b)

    def state(self, given: Array | None, like: Array) -> Array:
        """The rows of a state, or of its gradient, in the order of the packed rows: a copy."""
        given = self.xp.zeros_like(like) if given is None else given
        return self.batch.ordered(self.xp, given)

    def outputs(self, h0: Array) -> tuple[Array, Array, Array]:
        """Room for the outputs, for hₜ₋₁ of each row, and for the copies that this takes.

        None, where the states before are the outputs a step earlier.
        """
        out, before = self.batch.outputs(self.xp, h0)
        copies = self.empty(self.height if self.keep and before is None else 0, h0.shape[1])
        return out, copies if before is None else before, copies

    def upstream(self, dy: Array | None, width: int) -> Array:
        """The packed rows of the outputs' gradient; none, if nothing came back."""
        if dy is None:
            return self.zeros(0, width)
        return self.xp.ascontiguousarray(self.batch.pack(self.xp, dy))

    def sum_for(self, wanted: bool, w: Array) -> Array:
        """Where the loop sums the gradient of a weight; without elements if it does not."""
        summed = wanted and not self.cell
        return self.xp.zeros_like(w) if summed else self.zeros(*(0,) * w.ndim)

    def product(self, wanted: bool, d: Array, rows: Array) -> Array | None:
        """The gradient of a cell's weight, by NumPy: a program makes one product of many steps'."""
        return self.xp.matmul(d.T, rows) if wanted else None

    def inputs(self, dx: Array) -> Array:
        """The gradient of x."""
        return self.batch.unpack(self.xp, dx)


def wanted(needs: Sequence[bool], *found: Array) -> tuple[Array | None, ...]:
    """The gradients that are."""
    return tuple(g if need else None for g, need in zip(found, needs, strict=True))


def lstm_sequence(
    xp: Any, run: Any, batch: Any, x: Array, h0: Array, c0: Array,
    w_ih: Array, w_hh: Array, bias: Array | None, w_hr: Array | None, keep: bool,
) -> tuple[tuple[Array, Array, Array], Back | None]:  # fmt: skip
    """(y, h_T, c_T) of `ops.lstm`, and the way back: dx, dh0, dc0, dw_ih, dw_hh, db, db, dw_hr."""
    H, P = c0.shape[1], h0.shape[1]
    loop = Loop(xp, run, batch, x, H, keep)
    size, height, rows = batch.size, loop.height, loop.rows
    project = loop.zeros(0, 0) if w_hr is None else xp.ascontiguousarray(w_hr)
    h, c = loop.state(h0, h0), loop.state(c0, c0)
    out, before, copies = loop.outputs(h0)
    gates, cells = loop.empty(height, 4 * H), loop.empty(height, 2, H)
    inner = loop.empty(0 if w_hr is None else height, H)
    weights, bias = loop.weights(w_ih, w_hh), loop.bias(bias, 4 * H)
    given = rows, *weights, *loop.panels(*weights), bias, project
    loop.call(
        recurrent.lstm_forward, *given, h, c, keep, gates, copies, cells, inner, out,
        writes=(3, 4, 7, 8, 10, 11, 12, 13, 14),
    )  # fmt: skip
    ys = batch.unpack(xp, out), batch.unordered(xp, h), batch.unordered(xp, c)

    def back(gs: Sequence[Any], needs: Sequence[bool]) -> tuple[Any, ...]:
        dh, dc = loop.state(gs[1], h0), loop.state(gs[2], c0)
        dx = loop.empty(size, rows.shape[1] if needs[0] else 0)
        dw_ih, dw_hh = loop.sum_for(needs[3], w_ih), loop.sum_for(needs[4], w_hh)
        db, dw_hr = loop.sum_for(needs[5] or needs[6], bias), xp.zeros_like(project)
        d, d_h, dm = loop.empty(loop.room, 4 * H), loop.empty(loop.room, P), loop.empty(batch.B, H)
        loop.call(
            recurrent.lstm_backward, loop.upstream(gs[0], P), dh, dc, *weights, project, rows,
            gates, before, cells, inner, needs[1], dx, dw_ih, dw_hh, db, dw_hr, d, d_h, dm,
            writes=(1, 2, *range(12, 20)),
        )  # fmt: skip
        if loop.cell:
            dw_ih, dw_hh = loop.product(needs[3], d, rows), loop.product(needs[4], d, before)
            db = d.sum(axis=0)
        states = batch.unordered(xp, dh), batch.unordered(xp, dc)
        return wanted(needs, loop.inputs(dx), *states, dw_ih, dw_hh, db, db, dw_hr)

    return ys, back if keep else None


def gru_sequence(
    xp: Any, run: Any, batch: Any, x: Array, h0: Array,
    w_ih: Array, w_hh: Array, b_ih: Array | None, b_hh: Array | None, keep: bool,
) -> tuple[tuple[Array, Array], Back | None]:  # fmt: skip
    """(y, h_T) of `ops.gru`, and the way back: dx, dh0, dw_ih, dw_hh, db_ih, db_hh."""
    H = h0.shape[1]
    loop = Loop(xp, run, batch, x, H, keep)
    size, height, rows = batch.size, loop.height, loop.rows
    h, (out, before, copies) = loop.state(h0, h0), loop.outputs(h0)
    gates, inner = loop.empty(height, 3 * H), loop.empty(height, H)
    weights, biases = loop.weights(w_ih, w_hh), (loop.bias(b_ih, 3 * H), loop.bias(b_hh, 3 * H))
    loop.call(
        recurrent.gru_forward, rows, *weights, *loop.panels(*weights), *biases, h, keep, gates,
        copies, inner, loop.zeros(batch.B, 3 * H), out, writes=(3, 4, 7, 9, 10, 11, 12, 13),
    )  # fmt: skip
    ys = batch.unpack(xp, out), batch.unordered(xp, h)

    def back(gs: Sequence[Any], needs: Sequence[bool]) -> tuple[Any, ...]:
        dh = loop.state(gs[1], h0)
        dx = loop.empty(size, rows.shape[1] if needs[0] else 0)
        sums = [loop.sum_for(*pair) for pair in zip(needs[2:], (w_ih, w_hh, *biases), strict=True)]
        d_x, d_h = loop.empty(loop.room, 3 * H), loop.empty(loop.room, 3 * H)
        loop.call(
            recurrent.gru_backward, loop.upstream(gs[0], H), dh, *weights, rows, gates,
            before, inner, needs[1], dx, *sums, d_x, d_h, writes=(1, *range(9, 16)),
        )  # fmt: skip
        if loop.cell:
            products = loop.product(needs[2], d_x, rows), loop.product(needs[3], d_h, before)
            sums = [*products, d_x.sum(axis=0), d_h.sum(axis=0)]
        return wanted(needs, loop.inputs(dx), batch.unordered(xp, dh), *sums)

    return ys, back if keep else None


def rnn_sequence(
    xp: Any, run: Any, batch: Any, x: Array, h0: Array,
    w_ih: Array, w_hh: Array, bias: Array | None, relu: bool, keep: bool,
) -> tuple[tuple[Array, Array], Back | None]:  # fmt: skip
    """(y, h_T) of `ops.rnn`, and the way back: dx, dh0, dw_ih, dw_hh, db, db."""
    H = h0.shape[1]
    loop = Loop(xp, run, batch, x, H, keep)
    size, height, rows = batch.size, loop.height, loop.rows
    h, (out, before, copies) = loop.state(h0, h0), loop.outputs(h0)
    gates = loop.empty(height, H)
    weights, bias = loop.weights(w_ih, w_hh), loop.bias(bias, H)
    loop.call(
        recurrent.rnn_forward, rows, *weights, *loop.panels(*weights), bias, relu, h, keep, gates,
        copies, out, writes=(3, 4, 7, 9, 10, 11),
    )  # fmt: skip
    ys = batch.unpack(xp, out), batch.unordered(xp, h)

    def back(gs: Sequence[Any], needs: Sequence[bool]) -> tuple[Any, ...]:
        dh = loop.state(gs[1], h0)
        dx = loop.empty(size, rows.shape[1] if needs[0] else 0)
        dw_ih, dw_hh = loop.sum_for(needs[2], w_ih), loop.sum_for(needs[3], w_hh)
        db, d = loop.sum_for(needs[4] or needs[5], bias), loop.empty(loop.room, H)
        loop.call(
            recurrent.rnn_backward, loop.upstream(gs[0], H), dh, *weights, relu, rows, gates,
            before, needs[1], dx, dw_ih, dw_hh, db, d, writes=(1, *range(9, 14)),
        )  # fmt: skip
        if loop.cell:
            dw_ih, dw_hh = loop.product(needs[2], d, rows), loop.product(needs[3], d, before)
            db = d.sum(axis=0)
        return wanted(needs, loop.inputs(dx), batch.unordered(xp, dh), dw_ih, dw_hh, db, db)

    return ys, back if keep else None


@cache
def with_products(kernel: Callable[..., None]) -> Callable[..., None]:
    """The kernel with its first argument, the function that multiplies, and one BLAS thread.

    Its products are small, or in the caches of one core.
    """
    gemm = tuple(sgemm() or ())

    @wraps(kernel)
    def call(*args: Any) -> None:
        with blas_threads(1):
            kernel(gemm, *args)

    return call


@lru_cache(maxsize=128)
def steps_of(batch: Any, room: int) -> np.ndarray:
    """What each step does (see `recurrent`), (steps, 7); `room`: rows of gradients at a time."""
    found = [[start, n, 0, 0, 0, 0, 0] for n, starts in batch.runs for start in starts]
    low = high = 0
    for step in found:
        start, end = step[0], step[0] + step[1]
        if start < low or end > high or low == high:
            low, high = start, end
            if batch.reverse:
                low = max(0, min(start, end - AHEAD))
            else:
                high = min(batch.size, max(end, start + AHEAD))
            step[2:4] = low, high
    low = high = origin = 0
    after: list[int] = []
    for step in reversed(found):
        start, end = step[0], step[0] + step[1]
        if not after or max(high, end) - min(low, start) > room:
            after[5:] = (low, high) if after else ()
            low, high, origin = start, end, start if batch.reverse else end - room
        low, high, after = min(low, start), max(high, end), step
        step[4] = origin
    after[5:] = (low, high) if after else ()
    return np.array(found, np.int64).reshape(-1, 7)
