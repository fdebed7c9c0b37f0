"""Broadcasting and its transpose: what the engine sums elementwise gradients down with."""

from __future__ import annotations

from typing import Any

from ..backend import Array
from ..engine import op

__all__ = ["broadcast_to", "sum_to"]


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


sum_to.defvjp(lambda g, _y, _x, *, shape: broadcast_to(g, _x.shape))
broadcast_to.defvjp(lambda g, _y, _x, *, shape: sum_to(g, _x.shape))
