"""Elements at index arrays: take, put, add_at, take_along_axis, and masks.

`take` and `add_at` are each other's derivatives; so are `take_along_axis` and its transpose.
Keys between brackets, x[key], are in `indexing.py`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import NAMESPACES, Array, device_of, on_cpu
from ..engine import Tensor, examine, function, op
from ..errors import DTypeError, IndexRangeError, ShapeError
from .broadcasting import broadcast_to, sum_to
from .elementwise import where
from .lookup import sum_rows
from .shape import normalize_axis

__all__ = [
    "masked_fill",
    "nonzero",
    "put",
    "take",
    "take_along_axis",
]

_ALL = slice(None)


def integers(indices: Array, what: str) -> Array:
    """`indices`, if they are integers."""
    if indices.dtype.kind not in "iu":
        raise DTypeError(f"{what}: indices are {indices.dtype}; give integers")
    return indices.astype(np.int64) if indices.dtype == np.uint64 else indices


# -- index arrays --------------------------------------------------------------------------------


def _axes(axis: int | tuple[int, ...]) -> tuple[int, ...]:
    return (axis,) if isinstance(axis, int) else axis


def _position(axes: tuple[int, ...]) -> int:
    """Where the axes of the indices stand in the result of `take`: NumPy's rule."""
    return axes[0] if axes == tuple(range(axes[0], axes[0] + len(axes))) else 0


def _key(indices: Array, axis: int | tuple[int, ...]) -> tuple[Any, ...]:
    """The key for index arrays on `axis`: one array, or a stack of arrays for several axes."""
    if isinstance(axis, int):
        return (*(_ALL,) * axis, indices)
    key: list[Any] = [_ALL] * (max(axis) + 1)
    for i, a in enumerate(axis):
        key[a] = indices[i]
    return tuple(key)


@op
def _take(xp: Any, x: Array, indices: Array, /, *, axis: int | tuple[int, ...]) -> Array:
    """The elements of x at `indices` along `axis`.

    With a tuple of axes, indices[i] indexes axis[i].
    """
    indices = integers(indices, "take")
    try:
        return x.take(indices, axis) if isinstance(axis, int) else x[_key(indices, axis)]
    except IndexError as error:
        raise IndexRangeError(f"take: x has shape {x.shape}: {error}") from error


@op
def add_at(
    xp: Any, x: Array, indices: Array, /, *, axis: int | tuple[int, ...], shape: tuple[int, ...]
) -> Array:
    """Zeros of `shape` to which x is added at `indices` along `axis`: the transpose of `take`.

    Indices may repeat; what they share is summed.
    """
    axes = _axes(axis)
    index = _flat_index(xp, indices, axis, shape)
    first = _position(axes)
    lead = range(index.ndim)
    rows = xp.moveaxis(x, [first + i for i in lead], list(lead))
    rest = tuple(n for a, n in enumerate(shape) if a not in axes)
    rows = rows.reshape(index.size, math.prod(rest))
    sums = sum_rows(xp, rows, index.reshape(-1), math.prod(shape[a] for a in axes))
    sums = sums.reshape(tuple(shape[a] for a in axes) + rest)
    return xp.moveaxis(sums, list(range(len(axes))), axes)


def _flat_index(xp: Any, indices: Array, axis: Any, shape: tuple[int, ...]) -> Array:
    """Non-negative indices into the indexed axes as if they were one."""
    indices = indices.astype(np.int64)
    if isinstance(axis, int):
        return xp.where(indices < 0, indices + shape[axis], indices)
    index: Any = 0
    for i, a in enumerate(axis):
        index = index * shape[a] + xp.where(indices[i] < 0, indices[i] + shape[a], indices[i])
    return index


_take.defvjp(
    lambda g, _y, _x, indices, *, axis: add_at(g, indices, axis=axis, shape=_x.shape), None
)
add_at.defvjp(lambda g, _y, _x, indices, *, axis, shape: _take(g, indices, axis=axis), None)


@op
def put(
    xp: Any, x: Array, value: Array, indices: Array, /, *, axis: int | tuple[int, ...]
) -> Array:
    """A copy of x with `value` at `indices` along `axis`. Where indices repeat, the last one wins.

    On a GPU the winner among repeated indices is undefined.
    """
    indices, y = integers(indices, "put"), x.copy()
    try:
        y[_key(indices, axis)] = value
    except IndexError as error:
        raise IndexRangeError(f"put: x has shape {x.shape}: {error}") from error
    return y


@op
def _wins(xp: Any, indices: Array, /, *, axis: Any, shape: tuple[int, ...]) -> Array:
    """Is each index the last one for its place? Shaped to multiply a result of `take`."""
    index = _flat_index(xp, indices, axis, shape)
    order = xp.arange(index.size, dtype=np.int32)  # CuPy's maximum.at does not take int64
    place = xp.zeros(math.prod(shape[a] for a in _axes(axis)), dtype=order.dtype)
    xp.maximum.at(place, index.reshape(-1), order)
    last = place[index.reshape(-1)] == order
    rest = len(shape) - len(_axes(axis)) - _position(_axes(axis))
    return last.reshape(index.shape + (1,) * rest)


def _put_value_vjp(g: Any, _y: Any, _x: Any, _value: Any, indices: Any, *, axis: Any) -> Any:
    kept = _take(g, indices, axis=axis) * _wins(indices, axis=axis, shape=_x.shape)
    return sum_to(kept, _value.shape)


put.defvjp(
    lambda g, _y, _x, _value, indices, *, axis: put(g, 0, indices, axis=axis),
    _put_value_vjp,
    None,
)


def index_array(x: Any, indices: Any, what: str) -> Any:
    """`indices` as an array or Tensor beside x; lists and numbers go to x's device."""
    if isinstance(indices, Tensor) or type(indices) in NAMESPACES:
        return indices
    array = np.asarray(indices)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.dtype.kind not in "biu":
        raise DTypeError(f"{what}: cannot use {indices!r} as an index")
    return device_of(x.data if isinstance(x, Tensor) else x).asarray(array)


@op
def from_front(xp: Any, indices: Array, /, *, length: int, what: str) -> Array:
    """Indices along an axis of `length`, negative ones counted from the front.

    Raises: IndexRangeError for those outside, on the CPU: a GPU would have to wait.
    """
    indices = integers(indices, what)
    if on_cpu(xp):
        examine(_inside, indices, length, what)
    return xp.where(indices < 0, indices + length, indices)


def _inside(indices: Array, length: int, what: str) -> None:
    if indices.size and (indices.min() < -length or indices.max() >= length):
        wrong = indices[(indices < -length) | (indices >= length)].flat[0]
        raise IndexRangeError(
            f"{what}: index {wrong} is outside an axis of length {length}; "
            f"give {-length} to {length - 1}"
        )


@function
def take(x: Any, indices: Any, /, *, axis: int | tuple[int, ...] | None = None) -> Any:
    """The elements of x at `indices` along `axis` (may be left out for a vector).

    Shapes: x (A, n, B), indices (…) → (A, …, B). Negative indices count from the end. With a tuple
    of axes, indices[i] are those along axis[i].

    Raises: IndexRangeError for an index outside the axis (on a GPU it wraps around instead, since
    looking would make the GPU wait).

    >>> import minigrad as mg
    >>> mg.take(mg.tensor([[1.0, 2.0, 3.0]]), mg.tensor([2, 0]), axis=1)
    tensor([[3., 1.]])
    """
    if axis is None:
        if x.ndim != 1:
            raise ShapeError(f"take: x has shape {x.shape}; say along which axis")
        axis = 0
    if isinstance(axis, int):
        axis = normalize_axis(axis, x.ndim, what="take")
    else:
        axis = tuple(normalize_axis(a, x.ndim, what="take") for a in axis)
    return _take(x, index_array(x, indices, "take"), axis=axis)


@op
def _take_along_axis(xp: Any, x: Array, indices: Array, /, *, axis: int) -> Array:
    """x[…, indices[…, i, …], …] along `axis`."""
    indices = integers(indices, "take_along_axis")
    try:
        return x[_along_key(xp, indices, axis)]
    except IndexError as error:
        raise IndexRangeError(f"take_along_axis: x has shape {x.shape}: {error}") from error


@op
def _add_along_axis(xp: Any, x: Array, indices: Array, /, *, axis: int, length: int) -> Array:
    """Zeros to which x is added at `indices` along `axis`: the transpose of take_along_axis."""
    shape = list(indices.shape)
    shape[axis] = length
    flat: Any = 0
    for n, i in zip(shape, _along_key(xp, indices, axis), strict=True):
        flat = flat * n + i
    flat = xp.where(indices < 0, flat + length * math.prod(shape[axis + 1 :]), flat)
    sums = sum_rows(xp, x.reshape(-1, 1), flat.reshape(-1), math.prod(shape))
    return sums.reshape(shape)


def _along_key(xp: Any, indices: Array, axis: int) -> tuple[Array, ...]:
    n = indices.ndim
    key = [xp.arange(m).reshape((m,) + (1,) * (n - 1 - a)) for a, m in enumerate(indices.shape)]
    key[axis] = indices
    return tuple(key)


_take_along_axis.defvjp(
    lambda g, _y, _x, indices, *, axis: _add_along_axis(
        g, indices, axis=axis, length=_x.shape[axis]
    ),
    None,
)
_add_along_axis.defvjp(
    lambda g, _y, _x, indices, *, axis, length: _take_along_axis(g, indices, axis=axis), None
)


@function
def take_along_axis(x: Any, indices: Any, /, *, axis: int = -1) -> Any:
    """For each position of the other axes, the elements at its own `indices` along `axis`.

    Shapes: x and indices have the same number of axes and agree (or broadcast) beside `axis`.
    What `argsort(x, axis=a)` or `argmax(x, axis=a, keepdims=True)` return fits here.
    """
    if x.ndim != indices.ndim:
        raise ShapeError(
            f"take_along_axis: x has {x.ndim} axes, indices have {indices.ndim}; give as many"
        )
    axis = normalize_axis(axis, x.ndim, what="take_along_axis")
    try:
        rest = np.broadcast_shapes(_but(x.shape, axis, 1), _but(indices.shape, axis, 1))
    except ValueError as error:
        raise ShapeError(
            f"take_along_axis: x {x.shape} and indices {indices.shape} differ beside axis {axis}"
        ) from error
    x = broadcast_to(x, _but(rest, axis, x.shape[axis]))
    indices = broadcast_to(indices, _but(rest, axis, indices.shape[axis]))
    return _take_along_axis(x, indices, axis=axis)


def _but(shape: tuple[int, ...], axis: int, n: int) -> tuple[int, ...]:
    return (*shape[:axis], n, *shape[axis + 1 :])


# -- masks ---------------------------------------------------------------------------------------


@op
def nonzero(xp: Any, x: Array, /) -> tuple[Array, ...]:
    """The indices of the elements that are not zero, one array per axis (waits for the GPU)."""
    if not x.ndim:
        raise ShapeError("nonzero: needs at least 1 axis, got a 0-d array")
    return tuple(xp.nonzero(x))


@function
def masked_fill(x: Any, mask: Any, value: Any, /) -> Any:
    """x with `value` wherever `mask` is True; mask and value broadcast to x."""
    if mask.dtype != bool:
        raise DTypeError(f"masked_fill: the mask is {mask.dtype}; give a bool mask, e.g. m != 0")
    y = where(mask, value, x)
    if y.shape != x.shape:
        raise ShapeError(f"masked_fill: mask {mask.shape} and value do not broadcast to {x.shape}")
    return y.astype(x.dtype) if y.dtype != x.dtype else y
