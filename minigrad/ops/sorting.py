"""Order: sort, argsort, topk, searchsorted, unique values.

What sorting returns is differentiable in its values: each comes from one place of x, which gets its
gradient. Positions have no derivative.
"""

from __future__ import annotations

from typing import Any

from ..backend import Array
from ..engine import function, op
from ..errors import ConfigError, ShapeError
from .gathering import take_along_axis
from .shape import normalize_axis

__all__ = ["argsort", "searchsorted", "sort", "topk", "unique_values"]


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
def searchsorted(
    xp: Any, x1: Array, x2: Array, sorter: Array | None = None, /, *, side: str = "left"
) -> Array:
    """Where each x2 would have to be inserted into the ascending vector x1 to keep it in order.

    side="left": before equal elements; "right": behind them. `sorter` puts x1 in order, if it is
    not. Shapes: x1 (n,), x2 (…) → (…).
    """
    if x1.ndim != 1:
        raise ShapeError(f"searchsorted: x1 has shape {x1.shape}, expected a vector")
    if side not in ("left", "right"):
        raise ConfigError(f'searchsorted: side={side!r}; give "left" or "right"')
    return xp.searchsorted(x1, x2, side=side, sorter=sorter)


@op
def unique_values(xp: Any, x: Array, /) -> Array:
    """The different elements of x, in ascending order (waits for the GPU)."""
    return xp.unique(x.reshape(-1))
