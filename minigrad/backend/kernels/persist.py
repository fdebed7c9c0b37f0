"""The LSTM's loop as one launch, with the weights in shared memory; see `persist.cu`.

Opt-in with MINIGRAD_PERSISTENT=1: where it wins over a product and a kernel per step depends on the
GPU and is for `benchmarks` to say. It runs where the weights of all units fit the shared memory of
the multiprocessors at once, each with a block of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minigrad.backend.device import Array, namespace
from minigrad.backend.kernels.gates import _lstm_backward, _lstm_forward, wide
from minigrad.backend.kernels.kernel import Kernel, Launch, row

UNITS = 4  # hidden units a lane has in registers, as in persist.cu


class Limits(NamedTuple):
    """What a GPU has: multiprocessors, bytes of shared memory for a block, clusters of blocks."""

    multiprocessors: int
    shared: int
    clusters: bool = False


LIMITS: dict[type, Callable[[], Limits]] = {}
"""Array type → the limits of the current device; types that are not here have no such kernel."""


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


def plan(limits: Limits, H: int, n: int, itemsize: int) -> Plan | None:
    """How to divide H units and n sequences; None where the weights do not fit.

    A cluster of eight blocks for 32 sequences each, if it holds all units; else the whole grid.
    """
    for cluster in (True, False) if limits.clusters else (False,):
        J = UNITS * -(-H // (UNITS * (8 if cluster else limits.multiprocessors)))
        many, warps = min(n, 32) if cluster else n, 8
        splits = max(1, warps // -(-many // 32))
        shared = 4 * max(itemsize, 4) * J * (H + splits * many)
        if shared <= limits.shared:
            grid = 8 * -(-n // 32) if cluster else -(-H // J)
            return Plan(J, splits, Launch(grid, 32 * warps, shared), cluster)
    return None


def _chosen(x: Array, H: int, n: int) -> Plan | None:
    limits = LIMITS.get(type(x))
    if limits is None or os.environ.get("MINIGRAD_PERSISTENT") != "1":
        return None
    return plan(limits(), H, n, x.itemsize)


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
    H, xp = h.shape[0], namespace(h)
    chosen = _chosen(h, H, n)
    if chosen is None or len(blocks) != len(starts) + 1:
        return False
    J, splits, launch, cluster = chosen
    low, width = min(starts), n * len(starts)
    projected, out = project(low, width), out[low : low + width]
    state = xp.empty((2, H, n), dtype=h.dtype)
    state[0] = h
    (CLUSTER_FORWARD if cluster else FORWARD)(
        launch, projected, row(projected), U, state, blocks, out, row(out), starts[0] - low,
        _stride(starts), len(starts), H, n, J, splits, xp.zeros(1, dtype=np.uint32),
    )  # fmt: skip
    h[...] = state[len(starts) % 2]
    return True


def lstm_persistent_backward(
    V: Array, blocks: Array, dy: Array | None, dh: Array, carry: Array,
    columns: Callable[[int, int], Array], n: int, starts: Sequence[int],
) -> bool:  # fmt: skip
    """All steps back of a run, if it is worth it: whether it was done.

    V (4H, H) with gates i f g o, dy (size, H), dh and carry (H, n) after the last step, then before
    the first. `columns(low, width)` is room for the gradients, (4, H, width).
    """
    H, xp = dh.shape[0], namespace(dh)
    chosen = _chosen(dh, H, n)
    if chosen is None or len(blocks) != len(starts) + 1:
        return False
    J, _, launch, cluster = chosen
    low, width = min(starts), n * len(starts)
    d = columns(low, width)
    dstate = xp.empty((2, H, n), dtype=dh.dtype)
    dstate[0] = dh
    y, has = dh, 0
    if dy is not None:
        y, has = xp.ascontiguousarray(dy[low : low + width]), 1
    (CLUSTER_BACKWARD if cluster else BACKWARD)(
        launch, V, blocks, y, row(y), has, dstate, carry, d, int(d.strides[0] // d.itemsize),
        row(d), starts[0] - low, _stride(starts), len(starts), H, n, J,
        xp.zeros(1, dtype=np.uint32),
    )  # fmt: skip
    dh[...] = dstate[len(starts) % 2]
    return True


__all__: list[str] = ["LIMITS", "Limits", "lstm_persistent", "lstm_persistent_backward", "plan"]
