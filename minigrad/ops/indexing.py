"""x[key] and x[key] = value, with every kind of key that NumPy takes.

A key becomes at most two ops: `getitem`, a view, for integers, slices, None and `...`; then `take`
for the index arrays. Boolean masks become index arrays (`nonzero`), lists become arrays. Assignment
is functional, x with another value at key: the same two steps backwards, `put` and `setitem`.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np

from ..backend import NAMESPACES, Array, device_of
from ..engine import Tensor, function, op
from ..errors import DTypeError, IndexRangeError
from .broadcasting import broadcast_to, sum_to
from .gathering import index_array, masked_fill, nonzero, put, take
from .joining import stack
from .shape import broadcast_arrays, moveaxis, reshape

__all__ = ["getitem", "setitem"]

Key = Any  # what may stand between the brackets
_BASIC = {int, slice, type(None), type(...)}
_ALL = slice(None)


# -- keys without arrays -------------------------------------------------------------------------


@op(view=True)
def _getitem(xp: Any, x: Array, /, *, key: Key) -> Array:
    """x[key] for integers, slices, None and an ellipsis."""
    try:
        return x[key]
    except IndexError as error:
        raise IndexRangeError(f"getitem: x has shape {x.shape}: {error}") from error


@op
def _place(xp: Any, x: Array, /, *, key: Key, shape: tuple[int, ...]) -> Array:
    """Zeros of `shape` with x at `key`: the transpose of getitem."""
    y = xp.zeros(shape, dtype=x.dtype)
    y[key] = x
    return y


_getitem.defvjp(lambda g, _y, _x, *, key: _place(g, key=key, shape=_x.shape))


@_getitem.defadd
def _(total: Array, g: Array, *, key: Key) -> None:
    total[key] += g


_place.defvjp(lambda g, _y, _x, *, key, shape: g[key])


@op
def _setitem(xp: Any, x: Array, value: Array, /, *, key: Key) -> Array:
    """A copy of x with `value` at `key`."""
    y = x.copy()
    try:
        y[key] = value
    except IndexError as error:
        raise IndexRangeError(f"setitem: x has shape {x.shape}: {error}") from error
    return y


_setitem.defvjp(
    lambda g, _y, _x, _value, *, key: _setitem(g, 0, key=key),
    lambda g, _y, _x, _value, *, key: sum_to(g[key], _value.shape),
)


# -- any key -------------------------------------------------------------------------------------


@function
def getitem(x: Any, /, key: Key) -> Any:
    """x[key], as in NumPy; a view where the key has no arrays in it.

    On a GPU, index arrays must be on x's device, out-of-range indices wrap around, and boolean
    masks wait for the GPU (the shape of the result depends on them).

    Raises: IndexRangeError for an index outside its axis, or a mask of another length than x (of
    length 0, it fits: it chooses nothing); ShapeError for index arrays that do not fit each other;
    DTypeError for index arrays that are neither integer nor bool.
    """
    if _is_basic(key):
        return _getitem(x, key=key)
    if isinstance(key, Tensor) and key.dtype.kind == "i" and x.ndim:
        return take(x, key, axis=0)
    plan = _plan(x, key, "getitem")
    if not plan.trivial:
        x = _getitem(x, key=plan.basic)
    if not plan.axes:
        return x
    y = take(x, plan.index, axis=plan.axis)
    return moveaxis(y, plan.found, plan.wanted) if plan.found != plan.wanted else y


@function
def setitem(x: Any, value: Any, /, *, key: Key) -> Any:
    """x with `value`, broadcast, at `key`: what x would be after x[key] = value in NumPy.

    Differentiable in x and in value. Where index arrays repeat, the last value wins (on a GPU,
    any of them).
    """
    if isinstance(value, list | tuple | np.generic):
        value = device_of(x.data if isinstance(x, Tensor) else x).asarray(value, x.dtype)
    if isinstance(value, Tensor) and value.requires_grad and x.dtype.kind not in "fV":
        raise DTypeError(
            f"setitem: a {value.dtype} value that requires grad cannot be kept in {x.dtype}; "
            "cast x with .astype"
        )
    if _is_basic(key):
        return _setitem(x, _trimmed(value, x, key), key=key)
    number = isinstance(value, int | float)
    if number and _is_mask(key) and key.ndim and key.shape == x.shape[: key.ndim]:
        # x[mask] = number: nothing to look up
        return masked_fill(x, reshape(key, key.shape + (1,) * (x.ndim - key.ndim)), value)
    plan = _plan(x, key, "setitem")
    if not plan.axes:
        return _setitem(x, _trimmed(value, x, plan.basic), key=plan.basic)
    inner = x if plan.trivial else _getitem(x, key=plan.basic)
    if not number:
        value = _trimmed_to(value, inner.ndim - len(plan.axes) + plan.width)
        if plan.found != plan.wanted:  # NumPy wants the indexed axes in front, put in place
            value = _to_place(value, inner, plan)
    inner = put(inner, value, plan.index, axis=plan.axis)
    return inner if plan.trivial else _setitem(x, inner, key=plan.basic)


def _is_basic(key: Key) -> bool:
    if type(key) is tuple:
        return _BASIC.issuperset(map(type, key))
    return type(key) in _BASIC


def _trimmed(value: Any, x: Any, key: Key) -> Any:
    """`value` without leading axes of length 1 that x[key] has not, which assignment allows."""
    if getattr(value, "ndim", 0) and value.shape[0] == 1:
        data = x.data if isinstance(x, Tensor) else x
        return _trimmed_to(value, getattr(data[key], "ndim", 0))
    return value


def _trimmed_to(value: Any, ndim: int) -> Any:
    extra = value.ndim - ndim
    if extra > 0 and value.shape[:extra] == (1,) * extra:
        return reshape(value, value.shape[extra:])
    return value


def _to_place(value: Any, inner: Any, plan: _Plan) -> Any:
    rest = tuple(n for a, n in enumerate(inner.shape) if a not in plan.axes)
    lead = plan.index.shape[plan.index.ndim - plan.width :]
    return moveaxis(broadcast_to(value, lead + rest), plan.wanted, plan.found)


# -- from a key to its two steps -----------------------------------------------------------------


class _Plan(NamedTuple):
    basic: tuple[Any, ...]  # the first step: x[basic]
    trivial: bool  # which does nothing
    axes: tuple[int, ...]  # the second: these axes of x[basic] …
    index: Any  # … at this index array, or at this stack of them
    width: int  # number of axes of the index arrays
    found: tuple[int, ...]  # where take leaves those axes
    wanted: tuple[int, ...]  # where NumPy wants them

    @property
    def axis(self) -> int | tuple[int, ...]:
        return self.axes[0] if len(self.axes) == 1 else self.axes


def _plan(x: Any, key: Key, what: str) -> _Plan:
    entries = [_entry(x, k, what) for k in (key if isinstance(key, tuple) else (key,))]
    used = sum(_consumes(k) for k in entries)
    if used > x.ndim or sum(k is ... for k in entries) > 1:
        given = "two ellipses" if used <= x.ndim else f"{used} axes"
        raise IndexRangeError(f"{what}: the key names {given}, but x has shape {x.shape}")
    basic: list[Any] = []
    axes: list[int] = []
    arrays: list[Any] = []
    at = axis = runs = 0  # axis of x[basic], axis of x, separate groups of indices so far
    inside = False
    for k in entries:
        indexes = k is not ... and k is not None and not isinstance(k, slice)
        runs += indexes and not inside
        inside = indexes
        if k is ...:
            basic += [_ALL] * (x.ndim - used)
            at += x.ndim - used
            axis += x.ndim - used
            continue
        if k is None or isinstance(k, slice | int):
            basic.append(k)
            at += not isinstance(k, int)
        elif not _is_mask(k):
            basic.append(_ALL)
            axes.append(at)
            arrays.append(k)
            at += 1
        else:  # a mask; one without axes selects all or nothing along a new axis
            _check_mask(x.shape, axis, k.shape, what)
            basic += [_ALL] * k.ndim or [None]
            width = max(k.ndim, 1)
            axes += range(at, at + width)
            arrays += nonzero(k if k.ndim else reshape(k, (1,)))
            at += width
        axis += _consumes(k)
    trivial = all(isinstance(k, slice) and k == _ALL for k in basic)
    index, width = None, 0
    if arrays:
        width = max(a.ndim for a in arrays)
        index = arrays[0] if len(arrays) == 1 else stack(broadcast_arrays(*arrays))
    together = axes == list(range(at_first := axes[0] if axes else 0, at_first + len(axes)))
    found = at_first if together else 0
    wanted = found if runs < 2 else 0
    return _Plan(
        tuple(basic), trivial, tuple(axes), index, width, _span(found, width), _span(wanted, width)
    )


def _span(start: int, width: int) -> tuple[int, ...]:
    return tuple(range(start, start + width))


def _consumes(k: Any) -> int:
    """How many axes of x this part of a key speaks of."""
    if k is None or k is ...:
        return 0
    return k.ndim if _is_mask(k) else 1


def _is_mask(k: Any) -> bool:
    return getattr(k, "dtype", None) == np.bool_


def _entry(x: Any, k: Any, what: str) -> Any:
    """A part of a key: an int, a slice, None, an ellipsis, or an array of integers or bools."""
    if type(k) in _BASIC or isinstance(k, slice):
        return k
    if isinstance(k, int | np.integer) and not isinstance(k, bool):
        return int(k)
    if not isinstance(k, Tensor) and (type(k) not in NAMESPACES or isinstance(k, np.generic)):
        k = index_array(x, k.item() if isinstance(k, np.generic) else k, what)
    if k.dtype.kind not in "biu":
        raise DTypeError(f"{what}: an index array is {k.dtype}; give integers, or a bool mask")
    if type(k) is np.ndarray and not k.ndim and k.dtype.kind != "b":
        return operator.index(k)
    return k.astype(np.int64) if k.dtype.kind == "u" else k


def _check_mask(shape: tuple[int, ...], axis: int, mask: tuple[int, ...], what: str) -> None:
    if any(m not in (0, n) for m, n in zip(mask, shape[axis:], strict=False)):
        raise IndexRangeError(
            f"{what}: a mask of shape {mask} does not fit axes {axis}… of x, whose shape is {shape}"
        )
