"""x with other values at index arrays: index_add, index_copy, index_fill, scatter; blends.

PyTorch's functions of these names with NumPy's `axis=`; none of them writes into x.
"""

from __future__ import annotations

import math
import operator
from typing import Any

from ..engine import function, ops
from ..errors import ConfigError, ShapeError
from .gathering import _add_along_axis, _take_along_axis, add_at, index_array, put
from .shape import moveaxis, normalize_axis, reshape

__all__ = [
    "gather",
    "index_add",
    "index_copy",
    "index_fill",
    "lerp",
    "logcumsumexp",
    "scatter",
    "scatter_add",
]


def _source(x: Any, index: Any, source: Any, axis: int, what: str) -> Any:
    if index.ndim != 1:
        raise ShapeError(f"{what}: the index has shape {index.shape}, expected a vector")
    expected = (*x.shape[:axis], index.shape[0], *x.shape[axis + 1 :])
    if source.shape != expected:
        raise ShapeError(f"{what}: source has shape {source.shape}, expected {expected}")
    return source


@function
def index_add(x: Any, index: Any, source: Any, /, *, axis: int, alpha: float = 1) -> Any:
    """x with alpha · source[…, i, …] added at index[i] along `axis`; indices may repeat.

    Shapes: x (A, n, B), index (k,), source (A, k, B) → (A, n, B).

    >>> import minigrad as mg
    >>> mg.index_add(mg.zeros(3), mg.tensor([0, 2, 0]), mg.ones(3), axis=0)
    tensor([2., 0., 1.])
    """
    axis = normalize_axis(axis, x.ndim, what="index_add")
    index = index_array(x, index, "index_add")
    source = _source(x, index, source, axis, "index_add")
    added = add_at(source, index, axis=axis, shape=x.shape)
    return x + (added if alpha == 1 else added * alpha)


@function
def index_copy(x: Any, index: Any, source: Any, /, *, axis: int) -> Any:
    """x with source[…, i, …] in place of what stands at index[i] along `axis`.

    Where indices repeat the last one wins (on a GPU, any). Shapes: as in `index_add`.

    >>> import minigrad as mg
    >>> mg.index_copy(mg.zeros(3), mg.tensor([2, 0]), mg.tensor([5.0, 6.0]), axis=0)
    tensor([6., 0., 5.])
    """
    axis = normalize_axis(axis, x.ndim, what="index_copy")
    index = index_array(x, index, "index_copy")
    return put(x, _source(x, index, source, axis, "index_copy"), index, axis=axis)


@function
def index_fill(x: Any, index: Any, value: Any, /, *, axis: int) -> Any:
    """x with one value (a number, or a 0-d array) at all of index (k,) along `axis`.

    >>> import minigrad as mg
    >>> mg.index_fill(mg.zeros((2, 3)), mg.tensor([0, 2]), 7.0, axis=1)
    tensor([[7., 0., 7.],
            [7., 0., 7.]])
    """
    axis = normalize_axis(axis, x.ndim, what="index_fill")
    index = index_array(x, index, "index_fill")
    if index.ndim > 1 or getattr(value, "ndim", 0):
        raise ShapeError(f"index_fill: the index has shape {index.shape}, the value is a number")
    return put(x, value, index, axis=axis)


# -- along an axis, each position with its own index -----------------------------------------------


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
def scatter(x: Any, index: Any, source: Any, /, *, axis: int, reduce: str | None = None) -> Any:
    """x with source at `index` along `axis`, each position with its own index.

    Shapes: x, index and source have as many axes. Nothing broadcasts: no axis of the index is
    longer than the source's, nor, beside `axis`, than that of x; what the index does not reach
    stays out. source may be a number.

    reduce: None puts the value there (where indices repeat the last one wins; on a GPU, any);
    "sum" adds to what is there, repeated indices included.

    >>> import minigrad as mg
    >>> index = mg.tensor([[0, 0, 2]])
    >>> mg.scatter(mg.zeros((1, 3)), index, mg.tensor([[1.0, 2.0, 3.0]]), axis=1, reduce="sum")
    tensor([[3., 0., 3.]])
    """
    axis = normalize_axis(axis, x.ndim, what="scatter")
    index = index_array(x, index, "scatter")
    corner = _corner(x, index, axis, "scatter")
    if not hasattr(source, "ndim"):
        source = ops.full_like(index, source, dtype=x.dtype)
    if source.shape != index.shape:
        if source.ndim != index.ndim or any(map(operator.lt, source.shape, index.shape)):
            raise ShapeError(f"scatter: index {index.shape}, source {source.shape} is shorter")
        source = source[tuple(map(slice, index.shape))]
    if corner is not x:
        y = scatter(corner, index, source, axis=axis, reduce=reduce)
        return ops.setitem(x, y, key=tuple(map(slice, y.shape)))
    if reduce == "sum":
        return x + _add_along_axis(source, index, axis=axis, length=x.shape[axis])
    if reduce is not None:
        raise ConfigError(f'scatter: reduce={reduce!r}; give None or "sum"')
    n, shape = x.shape[axis], x.shape
    rest = math.prod(_beside(x, axis))
    rows = reshape(moveaxis(x, axis, -1), (rest * n,))
    flat = reshape(moveaxis(index, axis, -1), (rest, index.shape[axis]))
    flat = ops.where(flat < 0, flat + n, flat)
    start = ops.cumulative_sum(ops.zeros_like(flat[:, :1]) + n, axis=0) - n
    flat = reshape(flat + start, (-1,))
    rows = put(rows, reshape(moveaxis(source, axis, -1), (-1,)), flat, axis=0)
    return moveaxis(reshape(rows, (*_beside(x, axis), n)), -1, axis) if shape else rows


@function
def scatter_add(x: Any, index: Any, source: Any, /, *, axis: int) -> Any:
    """x with source added at `index` along `axis`: scatter(…, reduce="sum")."""
    return scatter(x, index, source, axis=axis, reduce="sum")


# -- blends and sums -------------------------------------------------------------------------------


@function
def lerp(start: Any, end: Any, weight: Any, /) -> Any:
    """start + weight · (end - start), elementwise: linear interpolation.

    >>> import minigrad as mg
    >>> mg.lerp(mg.tensor([0.0, 10.0]), mg.tensor([1.0, 20.0]), 0.5)
    tensor([ 0.5, 15. ])
    """
    return start + weight * (end - start)


@function
def logcumsumexp(x: Any, /, *, axis: int) -> Any:
    """log Σ exp of all elements so far along `axis`, without overflow.

    In log₂ n steps: sums of 2d elements from sums of d (Hillis and Steele 1986).

    >>> import minigrad as mg
    >>> mg.exp(mg.logcumsumexp(mg.zeros(3), axis=0))
    tensor([1., 2., 3.])
    """
    axis = normalize_axis(axis, x.ndim, what="logcumsumexp")
    n, d, y = x.shape[axis], 1, x
    before: tuple[slice, ...] = (slice(None),) * axis
    while d < n:
        late, early = y[(*before, slice(d, None))], y[(*before, slice(None, n - d))]
        y = ops.concat([y[(*before, slice(d))], ops.logaddexp(late, early)], axis=axis)
        d *= 2
    return y if d > 1 else ops.copy(x)
