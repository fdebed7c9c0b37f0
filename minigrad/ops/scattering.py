"""gather and scatter: an index for each position along an axis, and what meets there reduced.

PyTorch's functions of these names with NumPy's `axis=`; none of them writes into x.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..backend import Array, fused
from ..engine import function, op, ops
from ..errors import ConfigError, ShapeError
from .gathering import _add_along_axis, _take_along_axis, add_at, from_front, index_array, put, take
from .shape import moveaxis, normalize_axis, reshape

__all__ = ["gather", "scatter", "scatter_add"]

_REDUCTIONS = (None, "sum", "mean", "prod", "amax", "amin")


@function
def gather(x: Any, index: Any, /, *, axis: int) -> Any:
    """x[…, index[…, i, …], …] along `axis`: PyTorch's name for it.

    Unlike in `take_along_axis` nothing broadcasts: beside `axis`, index may be shorter than x.

    >>> import minigrad as mg
    >>> mg.gather(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), mg.tensor([[0, 0], [1, 0]]), axis=1)
    tensor([[1., 1.],
            [4., 3.]])
    """
    axis = normalize_axis(axis, x.ndim, what="gather")
    index = index_array(x, index, "gather")
    return _take_along_axis(_corner(x, index, axis, "gather"), index, axis=axis)


def _corner(x: Any, index: Any, axis: int, what: str) -> Any:
    """x cut, beside `axis`, to the lengths of the index."""
    fits = index.ndim == x.ndim and all(
        i <= n or a == axis for a, (i, n) in enumerate(zip(index.shape, x.shape, strict=True))
    )
    if not fits:
        raise ShapeError(
            f"{what}: the index has shape {index.shape}, x {x.shape}; beside axis {axis} no axis "
            "of the index may be longer"
        )
    if _beside(index, axis) == _beside(x, axis):
        return x
    return x[tuple(slice(None if a == axis else n) for a, n in enumerate(index.shape))]


def _beside(x: Any, axis: int) -> tuple[int, ...]:
    shape: tuple[int, ...] = x.shape
    return shape[:axis] + shape[axis + 1 :]


@function
def scatter(
    x: Any,
    index: Any,
    source: Any,
    /,
    *,
    axis: int,
    reduce: str | None = None,
    include_self: bool = True,
) -> Any:
    """x with source at `index` along `axis`, each position with its own index.

    Shapes: x, index and source have as many axes. Nothing broadcasts: no axis of the index is
    longer than the source's, nor, beside `axis`, than that of x; what the index does not reach
    stays out. source may be a number.

    reduce: None puts the value there (where indices repeat the last one wins; on a GPU, any);
    "sum", "mean", "prod", "amax" and "amin" reduce what meets at a place: what was there and, with
    repeated indices, several elements of source. The gradient of an extreme is shared evenly among
    those that attain it.
    include_self: False leaves out what was there, where anything comes to a place. It is no tie
    then (PyTorch divides the gradient of an extreme by it all the same).

    Raises: ShapeError for shapes that do not fit; ConfigError for another `reduce`; IndexRangeError
    for an index outside the axis, where one can look: not on a GPU.

    >>> import minigrad as mg
    >>> index = mg.tensor([[0, 0, 2]])
    >>> mg.scatter(mg.zeros((1, 3)), index, mg.tensor([[1.0, 2.0, 3.0]]), axis=1, reduce="sum")
    tensor([[3., 0., 3.]])
    """
    axis = normalize_axis(axis, x.ndim, what="scatter")
    if reduce not in _REDUCTIONS:
        known = ", ".join(f'"{name}"' for name in _REDUCTIONS[1:])
        raise ConfigError(f"scatter: reduce={reduce!r}; give None, {known}")
    index = index_array(x, index, "scatter")
    corner = _corner(x, index, axis, "scatter")
    if not hasattr(source, "ndim"):
        source = ops.full_like(index, source, dtype=x.dtype)
    if source.shape != index.shape:
        if source.ndim != index.ndim or any(map(operator.lt, source.shape, index.shape)):
            raise ShapeError(f"scatter: index {index.shape}, source {source.shape} is shorter")
        source = source[tuple(map(slice, index.shape))]
    if corner is not x:
        y = scatter(corner, index, source, axis=axis, reduce=reduce, include_self=include_self)
        return ops.setitem(x, y, key=tuple(map(slice, y.shape)))
    n = x.shape[axis]
    index = from_front(index, length=n, what="scatter")
    if reduce == "sum" and include_self:
        return x + _add_along_axis(source, index, axis=axis, length=n)
    rest = math.prod(_beside(x, axis))
    places = reshape(moveaxis(index, axis, -1), (rest, index.shape[axis]))
    start = ops.cumulative_sum(ops.zeros_like(places[:, :1]) + n, axis=0) - n
    places = reshape(places + start, (-1,))
    row, values = (reshape(moveaxis(a, axis, -1), (-1,)) for a in (x, source))
    if reduce is None:
        row = put(row, values, places, axis=0)
    else:
        row = _reduced(row, values, places, reduce, include_self)
    return moveaxis(reshape(row, (*_beside(x, axis), n)), -1, axis)


@function
def scatter_add(x: Any, index: Any, source: Any, /, *, axis: int) -> Any:
    """x with source added at `index` along `axis`: scatter(…, reduce="sum")."""
    return scatter(x, index, source, axis=axis, reduce="sum")


# -- reductions of vectors -------------------------------------------------------------------------


def _reduced(x: Any, source: Any, index: Any, reduce: str, include_self: bool) -> Any:
    """What meets at each place of x. Shapes: x (n,), source and index (k,) → (n,)."""
    counts = add_at(ops.ones_like(source), index, axis=0, shape=x.shape)
    if not include_self:
        x = ops.where(counts > 0, _neutral(reduce, x.dtype), x)
    if reduce in ("amax", "amin"):
        return extreme_at(x, source, index, largest=reduce == "amax")
    if reduce == "prod":
        return x * ops.where(counts > 0, _products(source, index, x.shape), 1)
    total = x + add_at(source, index, axis=0, shape=x.shape)
    if reduce == "sum":
        return total
    counts = counts + 1 if include_self else ops.maximum(counts, 1)
    return total // counts if x.dtype.kind in "iu" else total / counts


def _neutral(reduce: str, dtype: Any) -> float:
    """What changes no result."""
    if reduce not in ("amax", "amin"):
        return 1 if reduce == "prod" else 0
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min if reduce == "amax" else np.iinfo(dtype).max)
    return -math.inf if reduce == "amax" else math.inf


def _products(source: Any, index: Any, shape: tuple[int, ...]) -> Any:
    """The product of the elements that go to each place; 0 where there are none.

    Sorted by place, in log₂ k steps: products of 2d neighbours from products of d. Made of
    products alone, it has derivatives of every order, also where elements are 0.
    """
    order = ops.argsort(index)
    place, y, d = take(index, order, axis=0), take(source, order, axis=0), 1
    while d < len(y):
        before = ops.where(place[d:] == place[:-d], y[:-d], 1)
        y = ops.concat([y[:d], y[d:] * before], axis=0)
        d *= 2
    following = ops.concat([place[1:], ops.zeros_like(place[:1]) - 1], axis=0)
    return add_at(ops.where(place == following, 0, y), place, axis=0, shape=shape)


@op
def extreme_at(xp: Any, x: Array, source: Array, indices: Array, /, *, largest: bool) -> Array:
    """A vector, at each place the largest (or least) of it and of what comes from source."""
    fast = fused(xp, "extreme_at", x.dtype)
    if fast is not None:
        return fast(x, source.astype(x.dtype, copy=False), indices, largest=largest)
    y = x.copy()
    (xp.maximum if largest else xp.minimum).at(y, indices, source)
    return y


def _share(g: Any, y: Any, x: Any, source: Any, indices: Any) -> Any:
    """g, over the number of those that attain y."""
    ties = (source == take(y, indices)).astype(g.dtype)
    count = (x == y).astype(g.dtype) + add_at(ties, indices, axis=0, shape=x.shape)
    return g / ops.maximum(count, 1)  # 0 beside NaN


def _extreme_x_vjp(g: Any, y: Any, x: Any, source: Any, indices: Any, *, largest: bool) -> Any:
    return ops.where(x == y, _share(g, y, x, source, indices), 0)


def _extreme_source_vjp(g: Any, y: Any, x: Any, source: Any, indices: Any, *, largest: bool) -> Any:
    share = take(_share(g, y, x, source, indices), indices)
    return ops.where(source == take(y, indices), share, 0)


extreme_at.defvjp(_extreme_x_vjp, _extreme_source_vjp, None)
