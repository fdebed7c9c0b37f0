"""Elements of a `Batch`: x[key] and x[key] = value, take, and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...backend import Array
from ...backend import matmul as multiply
from ...backend.gemm import explain
from .array import Batch, LookedAtValuesError
from .rules import behind, example_of, looped, reshape, wrapped


def getitem(x: Batch, key: Any) -> Any:
    """x[key] per example."""
    kind, key = type(x), key if isinstance(key, tuple) else (key,)
    if not any(hasattr(k, "shape") or isinstance(k, list) for k in key):
        return kind(x.value[key], True) if x.shared else kind(x.value[(slice(None), *key)])
    return _at_arrays(kind, x, key)


def setitem(x: Batch, key: Any, value: Any) -> None:
    """x[key] = value per example."""
    kind, key = type(x), key if isinstance(key, tuple) else (key,)
    value, arrays = kind.lift(value), [kind.lift(k) for k in key]
    several = [a for a in (value, *arrays) if type(a) is kind and not a.shared]
    if x.shared and not several:
        x.value[tuple(map(raw, arrays))] = raw(value)
        return
    own = x.own()
    if any(hasattr(k, "shape") or isinstance(k, list) for k in key):
        for i in range(kind.n):
            own[i, ...][tuple(example_of(k, i) for k in arrays)] = example_of(value, i)
    elif type(value) is kind:
        place = own[(slice(None), *key)]
        own[(slice(None), *key)] = value.aligned(max(place.ndim - 1, value.ndim))
    else:
        own[(slice(None), *key)] = value


def _at_arrays(kind: type[Batch], x: Batch, key: tuple[Any, ...]) -> Any:
    """x[key] with index arrays in the key."""
    key = tuple(kind.lift(np.asarray(k)) if isinstance(k, list) else kind.lift(k) for k in key)
    arrays = [k for k in key if type(k) is kind]
    if all(a.shared for a in (x, *arrays)):
        return kind(x.value[tuple(map(raw, key))], True)
    if any(a.dtype == bool for a in arrays):
        if any(a.dtype == bool and not a.shared for a in arrays):
            raise LookedAtValuesError("x[mask]: the shape of the result depends on the values")
        return looped(kind, _item, x, key)
    return getitem_at(kind, x, key)


def _item(x: Array, key: tuple[Any, ...]) -> Any:
    return x[key]


def getitem_at(kind: type[Batch], x: Batch, key: tuple[Any, ...]) -> Any:
    """x[key], integer arrays in the key, as one look-up: with the example as one more index."""
    if Ellipsis in [k for k in key if k is ...]:
        used = sum(k is not None and k is not ... for k in key)
        at = next(i for i, k in enumerate(key) if k is ...)
        key = key[:at] + (slice(None),) * (x.ndim - used) + key[at + 1 :]
    places = [i for i, k in enumerate(key) if type(k) is kind or isinstance(k, int)]
    width = max(getattr(k, "ndim", 0) for k in key)
    together = places == list(range(places[0], places[-1] + 1))
    full = [k.aligned(width) if type(k) is kind else k for k in key]
    inner = kind.device.inner.xp
    each = inner.arange(kind.n).reshape((kind.n,) + (1,) * width)
    if x.shared:  # NumPy puts the axes of the indices where they stand, or in front
        y = x.value[tuple(full)]
        if together:
            front = sum(k is None or isinstance(k, slice) for k in key[: places[0]])
            y = inner.moveaxis(y, front, 0)
        return kind(y)
    y = x.value[(each, *full)]  # (n, *indices, *rest)
    if together:
        front = sum(k is None or isinstance(k, slice) for k in key[: places[0]])
        y = inner.moveaxis(y, list(range(1, width + 1)), list(range(1 + front, 1 + front + width)))
    return kind(y)


def take(
    kind: type[Batch], f: Callable[..., Any], x: Any, indices: Any, axis: Any = None, **_: Any
) -> Any:
    """Rows of one table for all, or of each example's own."""
    x, indices = kind.lift(x), kind.lift(np.asarray(indices) if np.isscalar(indices) else indices)
    if isinstance(indices, list | tuple):
        indices = kind.lift(np.asarray(indices))
    if axis is None:
        x, axis = reshape(kind, None, x, -1), 0
    axis = behind(axis, x.ndim)
    if indices.shared:
        return kind(x.value.take(indices.value, axis), x.shared)
    return getitem_at(kind, x, (slice(None),) * (axis + x.ndim) + (indices,))


def raw(a: Any) -> Any:
    """The array of a batch."""
    return a.value if isinstance(a, Batch) else a


def matmul(a: Any, b: Any, out: Any = None, *, accumulate: bool = False) -> Any:
    """a @ b per example, by one call: a matrix that all share meets the others' rows as one.

    `accumulate`: added to what stands in `out`.
    """
    if accumulate:
        out += matmul(a, b)
        return out
    kind = type(a) if isinstance(a, Batch) else type(b)
    if isinstance(b, Batch) and b.depth > kind.depth:
        kind = type(b)
    a, b = kind.lift(a), kind.lift(b)
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[max(b.ndim - 2, 0)]:
        explain(a, b, out)
    if a.shared and b.shared:
        y, several = multiply(a.value, b.value), False
    elif b.shared and b.ndim <= 2:
        y, several = multiply(a.value, b.value), True
    elif a.shared and a.ndim == b.ndim == 2 and b.shape[1] == 1:  # columns: rows of one product
        into = None if out is None or out.shared else out.value[..., 0]
        y = multiply(b.value[..., 0], a.value.T, into)[..., None]
        if into is not None:
            return out
        several = True
    else:
        row, column = a.ndim == 1, b.ndim == 1
        left = a.value[..., None, :] if row else a.value
        right = b.value[..., None] if column else b.value
        ndim = max(a.ndim + row, b.ndim + column)
        left = left if a.shared else _padded(left, ndim)
        right = right if b.shared else _padded(right, ndim)
        if out is not None and not (row or column or out.shared):
            multiply(left, right, out.value)
            return out
        try:
            y, several = multiply(left, right), True
        except ValueError as error:
            explain(a, b, out, error)
        y = y[..., 0, :] if row else y
        y = y[..., 0] if column else y
    if out is None:
        return wrapped(kind, y, not several)
    out[...] = wrapped(kind, y, not several)
    return out


def _padded(value: Array, ndim: int) -> Array:
    """(n, …) with `ndim` axes behind the first."""
    return value[(slice(None), *(None,) * (ndim + 1 - value.ndim))]
