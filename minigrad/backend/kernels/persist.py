"""The LSTM's loop as one launch, with the weights in shared memory; see `persist.cu`.

It can run where the weights of all units fit the shared memory of the multiprocessors at once, each
with a block of its own, or of a cluster of eight. Whether it is faster there than a product and a
kernel per step depends on the GPU and the sizes, so it is tried: before the first of a kind (its
way, H, the number of sequences, the element type and the precision of products), a few steps are
done in all ways, as graphs, on numbers made up for it. The fastest is taken from then on; see
`RACES`. Runs of less than SHORT steps are not tried; what a GPU refuses, or computes wrongly, is
not taken.

MINIGRAD_PERSISTENT=1 takes it wherever it can run, 0 nowhere.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from minigrad.backend.device import Array, namespace
from minigrad.backend.gemm import accumulate, matmul, operand
from minigrad.backend.kernels.gates import (
    _lstm_backward,
    _lstm_forward,
    lstm_backward,
    lstm_forward,
    wide,
)
from minigrad.backend.kernels.kernel import Kernel, Launch, row
from minigrad.backend.threads import in_branch

UNITS = 4  # hidden units a lane has in registers, as in persist.cu
SHORT, TRIED = 4, 8  # steps below which nothing is tried, and of a try


class Limits(NamedTuple):
    """What a GPU has: multiprocessors, bytes of shared memory for a block, clusters of blocks.

    `cooperative`: whether blocks of one launch may wait for each other.
    """

    multiprocessors: int
    shared: int
    clusters: bool = False
    cooperative: bool = True


LIMITS: dict[type, Callable[[], Limits]] = {}
"""Array type → the limits of the current device; types that are not here have no such kernel."""

Ways = list[Callable[[], Array]]
RACES: dict[type, Callable[[Hashable, Callable[[], Ways]], int]] = {}
"""Array type → race(kind, ways): which of several functions that compute the same is right and the
fastest on the current device. `ways()` makes them when the kind is new; the last one is right."""


def _forward(
    projected: Array, _pr: int, U: Array, state: Array, blocks: Array, out: Array, _or: int,
    first: int, stride: int, steps: int, H: int, n: int, J: int, splits: int, meet: Array,
) -> None:  # fmt: skip
    for step in range(steps):
        at = slice(first + step * stride, first + step * stride + n)
        gates = wide(projected[:, at]) + wide(U) @ wide(state[step % 2])
        now = state[(step + 1) % 2]
        _lstm_forward(gates, 0, blocks[step], blocks[step + 1, 1], now, 0, out[at], 0, H, n)


def _backward(
    V: Array, blocks: Array, dy: Array, _yr: int, has_dy: int, dstate: Array, carry: Array,
    d: Array, _dp: int, _dr: int, first: int, stride: int, steps: int, H: int, n: int, J: int,
    meet: Array,
) -> None:  # fmt: skip
    for step in reversed(range(steps)):
        at = slice(first + step * stride, first + step * stride + n)
        dh, following = dstate[(steps - 1 - step) % 2], dstate[(steps - step) % 2]
        columns = d[:, :, at]
        _lstm_backward(
            dh, dy[at] if has_dy else dh, 0, has_dy, blocks[step], carry, columns,
            0, 0, H, n,
        )  # fmt: skip
        following[...] = wide(V).T @ wide(columns).reshape(4 * H, n)


FORWARD = Kernel("persist.cu", "lstm_persistent", _forward, cooperative=True)
BACKWARD = Kernel("persist.cu", "lstm_persistent_backward", _backward, cooperative=True)
CLUSTER_FORWARD = Kernel("persist.cu", "lstm_cluster", _forward, cluster=True)
CLUSTER_BACKWARD = Kernel("persist.cu", "lstm_cluster_backward", _backward, cluster=True)


class Plan(NamedTuple):
    """J units per block, splits of each sum, and by clusters or by the whole grid."""

    J: int
    splits: int
    launch: Launch
    cluster: bool


def plans(limits: Limits, H: int, n: int, itemsize: int) -> list[Plan]:
    """The ways to divide H units and n sequences in which the weights fit.

    Clusters of eight blocks for 32 sequences each: they meet quickly, but are few multiprocessors.
    The whole grid for all sequences: the other way round.
    """
    found = []
    for cluster in [True] * limits.clusters + [False] * limits.cooperative:
        J = UNITS * -(-H // (UNITS * (8 if cluster else limits.multiprocessors)))
        many, warps = min(n, 32) if cluster else n, 8
        each = 4 * max(itemsize, 4) * J
        room = (limits.shared // each - H) // many  # for the parts of a sum, beside the weights
        splits = min(max(1, warps // -(-many // 32)), room)
        if splits > 0:
            grid = 8 * -(-n // 32) if cluster else -(-H // J)
            launch = Launch(grid, 32 * warps, each * (H + splits * many))
            found.append(Plan(J, splits, launch, cluster))
    return found


def _chosen(
    way: str, x: Array, n: int, steps: int, ways: Callable[[list[Plan], Array, int], Ways]
) -> Plan | None:
    """How to run `steps` steps of x (H, n) in one launch; None where another way is better."""
    limits, wanted = LIMITS.get(type(x)), os.environ.get("MINIGRAD_PERSISTENT")
    if limits is None or wanted == "0":
        return None
    found = plans(limits(), x.shape[0], n, x.itemsize)
    if in_branch():  # two grids, each half on the GPU, would wait for each other
        found = [each for each in found if each.cluster]
    if wanted == "1" or not found:
        return found[0] if found else None
    race = RACES.get(type(x))
    if race is None or steps < SHORT:
        return None
    kind = way, x.shape[0], n, x.dtype.name, len(found)
    return dict(enumerate(found)).get(race(kind, lambda: ways(found, x, n)))


def _stride(starts: Sequence[int]) -> int:
    return starts[1] - starts[0] if len(starts) > 1 else 0


def lstm_persistent(
    project: Callable[[int, int], Array],
    U: Array,
    h: Array,
    blocks: Array,
    out: Array,
    n: int,
    starts: Sequence[int],
) -> bool:
    """All steps of a run, if it is worth it: whether it was done.

    `project(low, width)` gives W x + b of the packed rows from `low`, (4H, width). U (4H, H), h
    (H, n) before and then after, blocks (steps + 1, 6, H, n), out (size, H).
    """
    if len(blocks) != len(starts) + 1:
        return False
    chosen = _chosen("forward", h, n, len(starts), _forward_ways)
    if chosen is None:
        return False
    low, width = min(starts), n * len(starts)
    there = [start - low for start in starts]
    _run_forward(chosen, project(low, width), U, h, blocks, out[low : low + width], n, there)
    return True


def _run_forward(
    chosen: Plan, projected: Array, U: Array, h: Array, blocks: Array, out: Array, n: int,
    starts: Sequence[int],
) -> None:  # fmt: skip
    H, xp = h.shape[0], namespace(h)
    J, splits, launch, cluster = chosen
    state = xp.empty((2, H, n), dtype=h.dtype)
    state[0] = h
    (CLUSTER_FORWARD if cluster else FORWARD)(
        launch, projected, row(projected), U, state, blocks, out, row(out), starts[0],
        _stride(starts), len(starts), H, n, J, splits, xp.zeros(1, dtype=np.uint32),
    )  # fmt: skip
    h[...] = state[len(starts) % 2]


def _forward_ways(found: list[Plan], like: Array, n: int) -> Ways:
    """All ways of a few steps on arrays of their own; each gives all outputs, at its first call."""
    H, xp, dtype = like.shape[0], namespace(like), like.dtype
    U, h = _wave(like, (4 * H, H), H**-0.5), xp.empty((H, n), dtype=dtype)
    projected = _wave(like, (4 * H, TRIED * n), 1.0)
    given, blocks = projected.copy(), xp.zeros((TRIED + 1, 6, H, n), dtype=dtype)
    weight, starts = operand(U), range(0, TRIED * n, n)

    def at_once(chosen: Plan) -> Array:
        out = xp.empty((TRIED * n, H), dtype=dtype)
        h.fill(0)
        _run_forward(chosen, projected, U, h, blocks, out, n, starts)
        return out

    def by_step() -> Array:
        out = xp.empty((TRIED * n, H), dtype=dtype)
        h.fill(0)
        for step, start in enumerate(starts):
            rows = slice(start, start + n)
            gates = accumulate(weight, h, given[:, rows])
            lstm_forward(gates, blocks[step], blocks[step + 1, 1], h, out[rows])
        return out

    return [*(partial(at_once, each) for each in found), by_step]


def _wave(like: Array, shape: tuple[int, ...], height: float) -> Array:
    """Numbers of some kind between -height and height."""
    xp, size = namespace(like), math.prod(shape)
    wave = xp.sin(xp.arange(size, dtype=np.float32)) * height
    return wave.astype(like.dtype).reshape(shape)


def lstm_persistent_backward(
    V: Array, blocks: Array, dy: Array | None, dh: Array, carry: Array,
    columns: Callable[[int, int], Array], n: int, starts: Sequence[int],
) -> bool:  # fmt: skip
    """All steps back of a run, if it is worth it: whether it was done.

    V (4H, H) with gates i f g o, dy (size, H), dh and carry (H, n) after the last step, then before
    the first. `columns(low, width)` is room for the gradients, (4, H, width).
    """
    if len(blocks) != len(starts) + 1:
        return False
    chosen = _chosen("backward", dh, n, len(starts), _backward_ways)
    if chosen is None:
        return False
    low, width = min(starts), n * len(starts)
    there = [start - low for start in starts]
    y = None if dy is None else namespace(dh).ascontiguousarray(dy[low : low + width])
    _run_backward(chosen, V, blocks, y, dh, carry, columns(low, width), n, there)
    return True


def _run_backward(
    chosen: Plan, V: Array, blocks: Array, dy: Array | None, dh: Array, carry: Array, d: Array,
    n: int, starts: Sequence[int],
) -> None:  # fmt: skip
    H, xp = dh.shape[0], namespace(dh)
    J, _, launch, cluster = chosen
    dstate = xp.empty((2, H, n), dtype=dh.dtype)
    dstate[0] = dh
    y, has = (dh, 0) if dy is None else (dy, 1)
    (CLUSTER_BACKWARD if cluster else BACKWARD)(
        launch, V, blocks, y, row(y), has, dstate, carry, d, int(d.strides[0] // d.itemsize),
        row(d), starts[0], _stride(starts), len(starts), H, n, J, xp.zeros(1, dtype=np.uint32),
    )  # fmt: skip
    dh[...] = dstate[len(starts) % 2]


def _backward_ways(found: list[Plan], like: Array, n: int) -> Ways:
    """All ways of a few steps back on arrays of their own; each gives all gradients."""
    H, xp, dtype = like.shape[0], namespace(like), like.dtype
    V, blocks = _wave(like, (4 * H, H), H**-0.5), _wave(like, (TRIED + 1, 6, H, n), 0.9)
    dy, (dh, carry) = _wave(like, (TRIED * n, H), 1.0), xp.empty((2, H, n), dtype=dtype)
    weight, starts = operand(V.T), range(0, TRIED * n, n)

    def begin() -> Array:
        dh.fill(0)
        carry.fill(0)
        return xp.empty((4, H, TRIED * n), dtype=dtype)

    def at_once(chosen: Plan) -> Array:
        d = begin()
        _run_backward(chosen, V, blocks, dy, dh, carry, d, n, starts)
        return d

    def by_step() -> Array:
        d = begin()
        for step, start in reversed(list(enumerate(starts))):
            rows = slice(start, start + n)
            columns = d[:, :, rows]
            lstm_backward(dh, dy[rows], blocks[step], carry, columns)
            matmul(weight, columns.reshape(4 * H, n), dh)
        return d

    return [*(partial(at_once, each) for each in found), by_step]


__all__: list[str] = [
    "LIMITS",
    "RACES",
    "Limits",
    "lstm_persistent",
    "lstm_persistent_backward",
    "plans",
]
