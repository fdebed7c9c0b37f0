"""Broadcasting and its transpose: what the engine sums elementwise gradients down with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import Array
from ..engine import op

__all__ = ["broadcast_to", "sum_to"]

_WRITE = 1 << 13  # elements; more than that are not worth writing


@op
def sum_to(xp: Any, x: Array, /, shape: tuple[int, ...]) -> Array:
    """Sum of x over the axes along which `shape` broadcasts to x.shape: the vjp of broadcast_to."""
    lead = x.ndim - len(shape)
    if lead:
        x = x.sum(axis=tuple(range(lead)))
    axes = tuple(i for i, n in enumerate(shape) if n == 1 and x.shape[i] != 1)
    return x.sum(axis=axes, keepdims=True) if axes else x


@op(view=True)
def broadcast_to(xp: Any, x: Array, /, shape: tuple[int, ...]) -> Array:
    """x repeated along new and length-1 axes to `shape`."""
    return xp.broadcast_to(x, shape)


def spread(g: Any, shape: tuple[int, ...]) -> Any:
    """broadcast_to for a rule: written out where that is faster than making a NumPy view."""
    if not isinstance(g, (np.ndarray, np.generic)) or math.prod(shape) > _WRITE:
        return broadcast_to(g, shape)
    full = np.empty(shape, g.dtype)
    full[...] = g
    return full


sum_to.defvjp(lambda g, _y, _x, *, shape: spread(g, _x.shape))
broadcast_to.defvjp(lambda g, _y, _x, *, shape: sum_to(g, _x.shape))
