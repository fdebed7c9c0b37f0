"""x with other values at an index vector: index_add, index_copy, index_fill; blends.

PyTorch's functions of these names with NumPy's `axis=`; none of them writes into x. Those with an
index for each position are in `scattering.py`.
"""

from __future__ import annotations

from typing import Any

from ..engine import function, ops
from ..errors import ShapeError
from .gathering import add_at, from_front, index_array, put
from .shape import normalize_axis

__all__ = [
    "index_add",
    "index_copy",
    "index_fill",
    "lerp",
    "logcumsumexp",
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

    Raises: IndexRangeError for an index outside the axis, where one can look: not on a GPU.

    >>> import minigrad as mg
    >>> mg.index_add(mg.zeros(3), mg.tensor([0, 2, 0]), mg.ones(3), axis=0)
    tensor([2., 0., 1.])
    """
    axis = normalize_axis(axis, x.ndim, what="index_add")
    index = index_array(x, index, "index_add")
    source = _source(x, index, source, axis, "index_add")
    index = from_front(index, length=x.shape[axis], what="index_add")
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
