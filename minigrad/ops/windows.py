"""Sliding windows along an axis, and their transpose: unfold, fold."""

from __future__ import annotations

from typing import Any

from ..backend import Array
from ..engine import op
from ..errors import ConfigError, ShapeError
from .shape import normalize_axis

__all__ = ["fold", "unfold"]


@op
def unfold(xp: Any, x: Array, /, axis: int, size: int, step: int = 1) -> Array:
    """All windows of `size` elements along `axis`, `step` apart, along a new last axis.

    Shapes: (A, n, B) → (A, (n - size) // step + 1, B, size). PyTorch's `Tensor.unfold`.

    Raises: ConfigError for a size or a step below 1; ShapeError for windows longer than the axis.

    >>> import minigrad as mg
    >>> mg.unfold(mg.tensor([1, 2, 3, 4]), 0, 2)
    tensor([[1, 2],
            [2, 3],
            [3, 4]])
    """
    axis = normalize_axis(axis, x.ndim, what="unfold")
    _check(size, step, "unfold")
    if size > x.shape[axis]:
        raise ShapeError(f"unfold: windows of {size} along axis {axis} of {x.shape}")
    place = (slice(None),) * axis
    windows = xp.lib.stride_tricks.sliding_window_view(x, size, axis)
    return windows[(*place, slice(None, None, step))].copy()


def _check(size: int, step: int, what: str) -> None:
    if size < 1 or step < 1:
        raise ConfigError(f"{what}: size={size} and step={step}; give 1 or more")


@op
def fold(xp: Any, x: Array, /, axis: int, length: int, step: int = 1) -> Array:
    """Windows added up where they overlap: the transpose of `unfold`.

    `axis` of length n is that of the windows; in the result it has `length` elements.
    Shapes: (A, windows, B, size) → (A, length, B).

    Raises: ConfigError for a step below 1; ShapeError if as many windows do not fit into `length`.

    >>> import minigrad as mg
    >>> mg.fold(mg.tensor([[1, 2], [2, 3], [3, 4]]), 0, 4)
    tensor([1, 4, 6, 4])
    """
    axis = normalize_axis(axis, x.ndim - 1, what="fold")
    count, size = x.shape[axis], x.shape[-1]
    _check(size, step, "fold")
    if (count - 1) * step + size > length:
        raise ShapeError(f"fold: {count} windows of {size}, {step} apart, exceed length {length}")
    shape = x.shape[:-1]
    y = xp.zeros((*shape[:axis], length, *shape[axis + 1 :]), dtype=x.dtype)
    place = (slice(None),) * axis
    for i in range(size):  # one addition for each place in the windows, not for each window
        y[(*place, slice(i, i + (count - 1) * step + 1, step))] += x[..., i]
    return y


unfold.defvjp(
    lambda g, _y, _x, *, axis, size, step: fold(g, axis % _x.ndim, _x.shape[axis % _x.ndim], step)
)


def _fold_vjp(g: Any, _y: Any, _x: Any, *, axis: int, length: int, step: int) -> Any:
    axis = axis % (_x.ndim - 1)
    used = (_x.shape[axis] - 1) * step + _x.shape[-1]
    return unfold(g[(*(slice(None),) * axis, slice(used))], axis, _x.shape[-1], step)


fold.defvjp(_fold_vjp)
