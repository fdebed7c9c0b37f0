"""Elementwise arithmetic and functions: the kernel, then one partial derivative per argument.

Shapes broadcast by NumPy's rules; each gradient is summed down to its argument's shape by the
engine, so a rule is just the partial derivative times g.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import Array
from ..engine import elementwise, function, op

# -- arithmetic --------------------------------------------------------------------------------


@elementwise
def add(xp: Any, a: Array, b: Array) -> Array:
    """a + b."""
    return xp.add(a, b)


add.defvjp(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g)


@elementwise
def subtract(xp: Any, a: Array, b: Array) -> Array:
    """a - b."""
    return xp.subtract(a, b)


subtract.defvjp(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g)


@elementwise
def multiply(xp: Any, a: Array, b: Array) -> Array:
    """a · b."""
    return xp.multiply(a, b)


multiply.defvjp(lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a)


@elementwise
def divide(xp: Any, a: Array, b: Array) -> Array:
    """a / b; integers give a floating result."""
    return xp.divide(a, b)


divide.defvjp(lambda g, _y, _a, b: g / b, lambda g, y, _a, b: -g * y / b)


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
