"""The optimiser's update of an arena in one launch; see `optimizer.cu`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.backend.device import Array
from minigrad.backend.kernels.gates import wide
from minigrad.backend.kernels.kernel import Kernel, over


def _adam(
    p: Array, g: Array, m: Array, v: Array, most: Array, keep1: Array, take1: Array, keep2: Array,
    take2: Array, eps: Array, rate: Array, decay: Array, amsgrad: int, decays: int, count: int,
) -> None:  # fmt: skip
    w, slope = wide(p), wide(g)
    slope = slope + w * decay if decays == 1 else slope
    w = w * decay if decays == 2 else w
    mean = wide(m) * keep1 + slope * take1
    square = wide(v) * keep2 + slope * slope * take2
    m[...], v[...] = mean, square
    if amsgrad:
        square = np.maximum(wide(most), square)
        most[...] = square
    p[...] = w - mean / (np.sqrt(square) + eps) * rate


def _sgd(
    p: Array, g: Array, b: Array, momentum: Array, take: Array, rate: Array, decay: Array,
    with_momentum: int, nesterov: int, decays: int, count: int,
) -> None:  # fmt: skip
    slope = wide(g) + wide(p) * decay if decays else wide(g)
    if with_momentum:
        moved = wide(b) * momentum + slope * take
        b[...] = moved
        slope = slope + moved * momentum if nesterov else moved
    p[...] = wide(p) - slope * rate


ADAM = Kernel("optimizer.cu", "adam", _adam)
SGD = Kernel("optimizer.cu", "sgd", _sgd)


def adam(
    p: Array, g: Array, state: Sequence[Array], n: Mapping[str, Array], group: Mapping[str, Any],
    decoupled: bool,
) -> bool:  # fmt: skip
    """`optim.Adam`'s rule, if the arrays are contiguous: whether it was done."""
    arrays = p, g, *state
    if not all(a.flags.c_contiguous for a in arrays):
        return False
    numbers = [n[k] for k in ("keep1", "take1", "keep2", "take2", "eps", "rate", "decay")]
    m, v = state[:2]
    decays = (2 if decoupled else 1) if group["weight_decay"] else 0
    amsgrad = int(bool(group["amsgrad"]))
    most = state[2] if amsgrad else v
    ADAM(over(p.size), p, g, m, v, most, *numbers, amsgrad, decays, p.size)
    return True


def sgd(
    p: Array, g: Array, state: Sequence[Array], n: Mapping[str, Array], group: Mapping[str, Any]
) -> bool:
    """`optim.SGD`'s rule, if the arrays are contiguous: whether it was done."""
    if not all(a.flags.c_contiguous for a in (p, g, *state)):
        return False
    numbers = [n[k] for k in ("momentum", "take", "rate", "decay")]
    flags = [int(bool(group[k])) for k in ("momentum", "nesterov", "weight_decay")]
    SGD(over(p.size), p, g, state[0] if state else p, *numbers, *flags, p.size)
    return True
