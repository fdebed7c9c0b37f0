"""Running sums and products along an axis, and differences: what undoes them."""

from __future__ import annotations

from typing import Any

from ..backend import Array
from ..engine import function, op, ops
from ..errors import ConfigError, ShapeError
from .reduction import axes_of

__all__ = ["cumulative_prod", "cumulative_sum", "diff"]


def _axis(ndim: int, axis: int | None, what: str) -> int:
    """`axis` from the front; None is the only axis of a vector."""
    if axis is None and ndim != 1:
        raise ShapeError(f"{what}: say which axis of {ndim} is meant")
    return axes_of(ndim, axis or 0, what)[0]


def _along(axis: int, start: int | None, stop: int | None = None, step: int = 1) -> Any:
    """The index x[start:stop:step] along `axis`."""
    return (slice(None),) * axis + (slice(start, stop, step),)


def _after(xp: Any, y: Array, axis: int, initial: int) -> Array:
    """y with `initial` before it."""
    full = xp.full((*y.shape[:axis], y.shape[axis] + 1, *y.shape[axis + 1 :]), initial, y.dtype)
    full[_along(axis, 1)] = y
    return full


@op
def cumulative_sum(
    xp: Any,
    x: Array,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> Array:
    """The running sum along `axis` (may be left out for a vector).

    include_initial: start with 0, so that the result is one longer.
    """
    axis = _axis(x.ndim, axis, "cumulative_sum")
    y = xp.cumsum(x, axis=axis, dtype=dtype)
    return _after(xp, y, axis, 0) if include_initial else y


def _dcumulative_sum(
    g: Any, _y: Any, _x: Any, *, axis: int | None, dtype: Any, include_initial: bool
) -> Any:
    axis = (axis or 0) % _x.ndim
    back = _along(axis, None, None, -1)
    if include_initial:
        g = g[_along(axis, 1)]
    return cumulative_sum(g[back], axis=axis)[back]


cumulative_sum.defvjp(_dcumulative_sum)


@op
def cumulative_prod(
    xp: Any,
    x: Array,
    /,
    *,
    axis: int | None = None,
    dtype: Any = None,
    include_initial: bool = False,
) -> Array:
    """The running product along `axis` (may be left out for a vector).

    include_initial: start with 1, so that the result is one longer.
    """
    axis = _axis(x.ndim, axis, "cumulative_prod")
    y = xp.cumprod(x, axis=axis, dtype=dtype)
    return _after(xp, y, axis, 1) if include_initial else y


def _dcumulative_prod(
    g: Any, _y: Any, x: Any, *, axis: int | None, dtype: Any, include_initial: bool
) -> Any:
    """pᵢ₋₁ rᵢ, with p the products so far and rᵢ = gᵢ + xᵢ₊₁ rᵢ₊₁: without dividing by x.

    The recurrence runs in log₂ n steps: r after 2d terms from r after d (Hillis and Steele 1986).
    """
    axis = (axis or 0) % x.ndim
    n = x.shape[axis]
    if include_initial:
        g = g[_along(axis, 1)]
    if not n:
        return x
    before = cumulative_prod(x[_along(axis, None, n - 1)], axis=axis, include_initial=True)
    last = ops.zeros_like(x[_along(axis, n - 1)])
    factor, r, d = ops.concat([x[_along(axis, 1)], last], axis=axis), g, 1
    while d < n:
        head, tail = _along(axis, None, n - d), _along(axis, n - d)
        r = ops.concat([r[head] + factor[head] * r[_along(axis, d)], r[tail]], axis=axis)
        factor = ops.concat(
            [factor[head] * factor[_along(axis, d)], ops.zeros_like(factor[tail])], axis=axis
        )
        d *= 2
    return before * r


cumulative_prod.defvjp(_dcumulative_prod)


@function
def diff(x: Any, /, *, axis: int = -1, n: int = 1, prepend: Any = None, append: Any = None) -> Any:
    """x[1:] - x[:-1] along `axis`, n times; `prepend` and `append` are joined to x before.

    >>> import minigrad as mg
    >>> mg.diff(mg.tensor([1, 4, 9, 16]))
    tensor([3, 5, 7])
    """
    if n < 0:
        raise ConfigError(f"diff: n is {n}, expected a number >= 0")
    axis = _axis(x.ndim, axis, "diff")
    joined = [part for part in (prepend, x, append) if part is not None]
    if len(joined) > 1:
        x = ops.concat(joined, axis=axis)
    for _ in range(n):
        x = x[_along(axis, 1)] - x[_along(axis, None, -1)]
    return x
