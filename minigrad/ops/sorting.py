"""Order: sort, argsort, topk, searchsorted, unique values.

What sorting returns is differentiable in its values: each comes from one place of x, which gets its
gradient. Positions have no derivative.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..backend import Array
from ..engine import function, op
from ..errors import ConfigError, ShapeError
from .gathering import add_at, take_along_axis
from .shape import normalize_axis

__all__ = [
    "argsort",
    "searchsorted",
    "sort",
    "topk",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
]


@op
def argsort(
    xp: Any, x: Array, /, *, axis: int = -1, descending: bool = False, stable: bool = True
) -> Array:
    """The positions along `axis` that put x in order; equal elements keep theirs.

    NaN comes last, or first when descending.
    """
    if not x.ndim:
        raise ShapeError("argsort: needs at least 1 axis, got a 0-d array")
    if not descending:
        return xp.argsort(x, axis=axis, kind="stable" if stable else None)
    # Turned twice: the last of equal elements comes first in the reversed order, and stays first.
    order = xp.argsort(xp.flip(x, axis), axis=axis, kind="stable")
    return x.shape[axis] - 1 - xp.flip(order, axis)


@function
def sort(x: Any, /, *, axis: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The elements of x in order along `axis`; NaN comes last, or first when descending.

    >>> import minigrad as mg
    >>> mg.sort(mg.tensor([2.0, 3.0, 1.0]), descending=True)
    tensor([3., 2., 1.])
    """
    order = argsort(x, axis=axis, descending=descending, stable=stable)
    return take_along_axis(x, order, axis=axis)


@function
def topk(
    x: Any, /, k: int, *, axis: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Any, Any]:
    """The k largest (or smallest) elements along `axis`, in order, and their positions.

    `sorted` is accepted for PyTorch's sake: the result is in order either way.

    Raises: ConfigError unless 0 ≤ k ≤ x.shape[axis].
    """
    axis = normalize_axis(axis, x.ndim, what="topk")
    if not 0 <= k <= x.shape[axis]:
        raise ConfigError(f"topk: k={k} of an axis of length {x.shape[axis]}")
    order = argsort(x, axis=axis, descending=largest)
    order = order[(*(slice(None),) * axis, slice(k))]
    return take_along_axis(x, order, axis=axis), order


@op
def _searchsorted(xp: Any, x1: Array, x2: Array, sorter: Array | None, /, *, side: str) -> Array:
    """Where each x2 would have to be inserted into the ascending vector x1."""
    if x1.ndim != 1:
        raise ShapeError(f"searchsorted: x1 has shape {x1.shape}, expected a vector")
    if side not in ("left", "right"):
        raise ConfigError(f'searchsorted: side={side!r}; give "left" or "right"')
    return xp.searchsorted(x1, x2, side=side, sorter=sorter)


@function
def searchsorted(x1: Any, x2: Any, /, *, side: str = "left", sorter: Any = None) -> Any:
    """Where each x2 would have to be inserted into the ascending vector x1 to keep it in order.

    side="left": before equal elements; "right": behind them. `sorter` puts x1 in order, if it is
    not. Shapes: x1 (n,), x2 (…) → (…).

    >>> import minigrad as mg
    >>> mg.searchsorted(mg.tensor([1.0, 2.0, 4.0]), mg.tensor([3.0, 4.0]))
    tensor([2, 2])
    """
    return _searchsorted(x1, x2, sorter, side=side)


# -- different values: the shape of the result depends on them, so these wait for a GPU ------------


@op
def unique_values(xp: Any, x: Array, /) -> Array:
    """The different elements of x, in ascending order; each NaN is its own."""
    return xp.unique(x.reshape(-1), equal_nan=False)


@op
def _unique_all(xp: Any, x: Array, /) -> tuple[Array, ...]:
    """unique_values(x), where each comes first, x as indices into them, and how often."""
    values, first, inverse, counts = xp.unique(
        x.reshape(-1), return_index=True, return_inverse=True, return_counts=True, equal_nan=False
    )
    return values, first, inverse.reshape(x.shape), counts


def _at_first(g: Any, first: Any, shape: tuple[int, ...]) -> Any:
    """The gradient of the values, each at the first place where its element occurs."""
    return add_at(g, first, axis=0, shape=(math.prod(shape),)).reshape(shape)


unique_values.defvjp(lambda g, _y, x: _at_first(g, _unique_all(x)[1], x.shape))
_unique_all.defvjp(lambda gs, ys, _x: _at_first(gs[0], ys[1], _x.shape))


class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Any
    inverse_indices: Any


@function
def unique_all(x: Any, /) -> UniqueAll:
    """The different elements of x, where each comes first, x as indices into them, and how often.

    The indices of the first occurrences are those of the flat x.
    """
    return UniqueAll(*_unique_all(x))


@function
def unique_counts(x: Any, /) -> UniqueCounts:
    """The different elements of x, and how often each occurs."""
    found = unique_all(x)
    return UniqueCounts(found.values, found.counts)


@function
def unique_inverse(x: Any, /) -> UniqueInverse:
    """The different elements of x, and x as indices into them: values[inverse_indices] is x."""
    found = unique_all(x)
    return UniqueInverse(found.values, found.inverse_indices)
