"""Reductions over axes: sums, extremes, moments, norms. `axis=None` means all axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import Array
from ..engine import op, ops
from ..errors import ConfigError, ShapeError
from .broadcasting import spread
from .elementwise import abs, pow, sign, where

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "count_nonzero",
    "max",
    "mean",
    "min",
    "norm",
    "prod",
    "std",
    "sum",
    "var",
]

Axis = int | Sequence[int] | None


def axes_of(ndim: int, axis: Axis, what: str = "") -> tuple[int, ...]:
    """`axis` as non-negative axis numbers; `what`: the function that asks, for the error."""
    if axis is None:
        return tuple(range(ndim))
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    for a in axes:
        if not -ndim <= a < ndim:
            lead = f"{what}: " if what else ""
            raise ShapeError(f"{lead}axis {a} does not exist in an array with {ndim} axes")
    return tuple(a % ndim for a in axes)


def kept_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The shape of a reduction with `keepdims=True`."""
    axes = axes_of(len(shape), axis)
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


def reduced_shape(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The shape of a reduction with `keepdims=False`."""
    axes = axes_of(len(shape), axis)
    return tuple([n for i, n in enumerate(shape) if i not in axes])


def _keep(g: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """The reduced g with its axes back, of length 1, so that it broadcasts against `shape`."""
    return g if keepdims or not g.ndim else g.reshape(kept_shape(shape, axis))


def _count(shape: tuple[int, ...], axis: Axis, correction: float = 0) -> float:
    """How many elements are reduced to one, less `correction`; NaN in place of 0, a divisor."""
    lengths = shape if axis is None else [shape[a] for a in axes_of(len(shape), axis)]
    n = math.prod(lengths) - correction
    return n if n > 0 else math.nan


# -- sums and means ----------------------------------------------------------------------------


@op
def sum(
    xp: Any, x: Array, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False
) -> Array:
    """Σ x over `axis`. Small integers and booleans are summed as int64."""
    return x.sum(axis=axis, dtype=dtype, keepdims=keepdims)


sum.defvjp(
    lambda g, _y, _x, *, axis, dtype, keepdims: spread(_keep(g, _x.shape, axis, keepdims), _x.shape)
)


@op
def mean(xp: Any, x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The arithmetic mean over `axis`."""
    if type(x) is np.ndarray and x.dtype.char in "fd" and x.size:
        add: Any = np.add.reduce  # xp: allow - only NumPy's arrays come here
        total = add(x, axis, keepdims=keepdims)
        return total / (x.size // total.size)  # what x.mean does, in half the time
    return x.mean(axis=axis, keepdims=keepdims)


mean.defvjp(
    lambda g, _y, _x, *, axis, keepdims: spread(
        _keep(g, _x.shape, axis, keepdims) / _count(_x.shape, axis), _x.shape
    )
)


@op
def var(
    xp: Any, x: Array, /, *, axis: Axis = None, correction: float = 0, keepdims: bool = False
) -> Array:
    """Σ (x - mean)² / (n - correction) over `axis`; correction=1 for the unbiased estimate."""
    return x.var(axis=axis, ddof=correction, keepdims=keepdims)


var.defvjp(
    lambda g, _y, x, *, axis, correction, keepdims: (
        _keep(g, x.shape, axis, keepdims)
        * (2 / _count(x.shape, axis, correction))
        * (x - x.mean(axis=axis, keepdims=True))
    )
)


@op
def std(
    xp: Any, x: Array, /, *, axis: Axis = None, correction: float = 0, keepdims: bool = False
) -> Array:
    """√var(x). Its gradient is 0 where all x are equal, as in PyTorch."""
    return x.std(axis=axis, ddof=correction, keepdims=keepdims)


std.defvjp(
    lambda g, y, x, *, axis, correction, keepdims: (
        _keep(g / where(y == 0, 1, y), x.shape, axis, keepdims)
        * (1 / _count(x.shape, axis, correction))
        * (x - x.mean(axis=axis, keepdims=True))
    )
)


# -- products ----------------------------------------------------------------------------------


@op
def prod(
    xp: Any, x: Array, /, *, axis: Axis = None, dtype: Any = None, keepdims: bool = False
) -> Array:
    """Π x over `axis`."""
    return x.prod(axis=axis, dtype=dtype, keepdims=keepdims)


def _dprod(g: Any, _y: Any, x: Any, *, axis: Axis, dtype: Any, keepdims: bool) -> Any:
    """g · the product of all the others: without dividing, so that zeros are right to any order.

    Up a binary tree with the products, and down again with the products of the rest.
    """
    if not x.size:
        return ops.zeros_like(x)
    axes = axes_of(x.ndim, axis)
    order = axes + tuple(i for i in range(x.ndim) if i not in axes)
    front = ops.permute_dims(x, order)
    n = math.prod(x.shape[a] for a in axes)
    level = front.reshape((n, *front.shape[len(axes) :]))
    levels = []
    while n > 1:
        levels.append(level)
        half = n // 2
        pairs = level[:half] * level[half : 2 * half]
        level = ops.concat([pairs, level[2 * half :]], axis=0) if n % 2 else pairs
        n = half + n % 2
    rest = ops.ones_like(level)
    for level in reversed(levels):
        half = level.shape[0] // 2
        low, high = level[:half], level[half : 2 * half]
        rest = ops.concat([rest[:half] * high, rest[:half] * low, rest[half:]], axis=0)
    back = tuple(sorted(range(x.ndim), key=order.__getitem__))
    rest = ops.permute_dims(rest.reshape(front.shape), back)
    return _keep(g, x.shape, axis, keepdims) * rest


prod.defvjp(_dprod)


# -- extremes ----------------------------------------------------------------------------------


@op
def max(xp: Any, x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The largest x over `axis`, NaN if one is NaN. Equal ones share the gradient evenly."""
    return x.max(axis=axis, keepdims=keepdims)


@op
def min(xp: Any, x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """The smallest x over `axis`, NaN if one is NaN. Equal ones share the gradient evenly."""
    return x.min(axis=axis, keepdims=keepdims)


def _dextreme(g: Any, y: Any, x: Any, *, axis: Axis, keepdims: bool) -> Any:
    chosen = (x == _keep(y, x.shape, axis, keepdims)).astype(x.dtype)
    return chosen * (_keep(g, x.shape, axis, keepdims) / chosen.sum(axis=axis, keepdims=True))


max.defvjp(_dextreme)
min.defvjp(_dextreme)


@op
def argmax(xp: Any, x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first largest x along `axis`, in the flattened x without one."""
    return x.argmax(axis=axis, keepdims=keepdims)


@op
def argmin(xp: Any, x: Array, /, *, axis: int | None = None, keepdims: bool = False) -> Array:
    """The index of the first smallest x along `axis`, in the flattened x without one."""
    return x.argmin(axis=axis, keepdims=keepdims)


# -- truth and counts --------------------------------------------------------------------------


@op
def all(xp: Any, x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether every x over `axis` is true."""
    return x.all(axis=axis, keepdims=keepdims)


@op
def any(xp: Any, x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Whether some x over `axis` is true."""
    return x.any(axis=axis, keepdims=keepdims)


@op
def count_nonzero(xp: Any, x: Array, /, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """How many x over `axis` are not 0."""
    return (x != 0).sum(axis=axis, keepdims=keepdims)


# -- norms -------------------------------------------------------------------------------------


@op
def norm(
    xp: Any, x: Array, /, *, ord: float = 2, axis: Axis = None, keepdims: bool = False
) -> Array:
    """The vector norm (Σ |x|^ord)^(1/ord) over `axis`; ord=inf: max |x|, -inf: min |x|.

    Where the norm is 0 its gradient is 0. Elements that tie for the extreme share the gradient.

    Raises: ConfigError for ord=0, which counts: use `count_nonzero`.
    """
    if ord == 0:
        raise ConfigError("norm: ord=0 counts; use count_nonzero")
    if ord == 2:
        return xp.sqrt((x * x).sum(axis=axis, keepdims=keepdims))
    x = xp.abs(x)
    if ord == math.inf:
        return x.max(axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return x.min(axis=axis, keepdims=keepdims)
    return (x**ord).sum(axis=axis, keepdims=keepdims) ** (1 / ord)


def _dnorm(g: Any, y: Any, x: Any, *, ord: float, axis: Axis, keepdims: bool) -> Any:
    g = _keep(g, x.shape, axis, keepdims)
    y = _keep(y, x.shape, axis, keepdims)
    if math.isinf(ord):
        chosen = (abs(x) == y).astype(x.dtype)
        return g / chosen.sum(axis=axis, keepdims=True) * chosen * sign(x)
    y = where(y == 0, 1, y)
    if ord == 2:
        return g * (x / y)
    return g * sign(x) * pow(abs(x) / y, ord - 1)


norm.defvjp(_dnorm)
