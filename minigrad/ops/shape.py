"""Shapes and order: the same elements, seen or arranged differently.

Most of these are views: they share the memory of their argument, and their derivative is the
inverse rearrangement of the cotangent. Joining and splitting are in `joining.py`,
margins in `padding.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import Array
from ..engine import Tensor, function, op
from ..errors import AxisError, ConfigError, ShapeError
from .broadcasting import broadcast_to

__all__ = [
    "broadcast_arrays",
    "diag",
    "diagonal",
    "expand_dims",
    "flatten",
    "flip",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "repeat",
    "reshape",
    "roll",
    "squeeze",
    "tile",
]


def normalize_axis(axis: int, ndim: int, *, what: str) -> int:
    """`axis` counted from the front. Raises: AxisError if there is no such axis."""
    if not -ndim <= axis < ndim:
        raise AxisError(f"{what}: axis {axis} does not exist in an array with {ndim} axes")
    return axis % ndim


# -- another shape -------------------------------------------------------------------------------


@op(view=True)
def reshape(xp: Any, x: Array, /, shape: Any, *, copy: bool | None = None) -> Array:
    """The elements of x, in row-major order, in another shape; one length may be -1.

    `copy`: True always copies, False never does (ShapeError where it would have to), None copies
    where the memory order asks for it.
    """
    if copy is False and not x.flags.c_contiguous:
        raise ShapeError("reshape: copy=False needs memory in row-major order; leave copy=None")
    return (x.copy() if copy else x).reshape(shape)


reshape.defvjp(lambda g, _y, _x, **_: g.reshape(_x.shape))


@function
def flatten(x: Any, /, start_axis: int = 0, end_axis: int = -1) -> Any:
    """Axes `start_axis` to `end_axis` (inclusive) joined into one."""
    if not x.ndim:
        return reshape(x, (1,))
    first = normalize_axis(start_axis, x.ndim, what="flatten")
    last = normalize_axis(end_axis, x.ndim, what="flatten")
    if first > last:
        raise ShapeError(f"flatten: start_axis {start_axis} comes after end_axis {end_axis}")
    middle = math.prod(x.shape[first : last + 1])
    return reshape(x, x.shape[:first] + (middle,) + x.shape[last + 1 :])


@op(view=True)
def expand_dims(xp: Any, x: Array, /, axis: int | tuple[int, ...] = 0) -> Array:
    """x with a new axis of length 1 at position `axis` (or several) of the result."""
    return xp.expand_dims(x, axis)


expand_dims.defvjp(lambda g, _y, _x, *, axis: g.reshape(_x.shape))


@op(view=True)
def squeeze(xp: Any, x: Array, /, axis: int | tuple[int, ...]) -> Array:
    """x without the named axes, each of length 1."""
    return x.squeeze(axis)


squeeze.defvjp(lambda g, _y, _x, *, axis: g.reshape(_x.shape))


@function
def broadcast_arrays(*arrays: Any) -> tuple[Any, ...]:
    """Each array broadcast to the shape they have together."""
    try:
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
    except ValueError as error:
        shapes = ", ".join(str(a.shape) for a in arrays)
        raise ShapeError(f"broadcast_arrays: shapes {shapes} do not broadcast") from error
    return tuple(a if a.shape == shape else broadcast_to(a, shape) for a in arrays)


# -- another order -------------------------------------------------------------------------------


@op(view=True)
def permute_dims(xp: Any, x: Array, /, axes: Sequence[int]) -> Array:
    """Axis i of the result is axis axes[i] of x."""
    return x.transpose(axes)


def _inverse(axes: Sequence[int]) -> tuple[int, ...]:
    order = [0] * len(axes)
    for i, a in enumerate(axes):
        order[a] = i
    return tuple(order)


permute_dims.defvjp(lambda g, _y, _x, *, axes: g.transpose(_inverse(axes)))


@op(view=True)
def matrix_transpose(xp: Any, x: Array, /) -> Array:
    """The last two axes swapped."""
    if x.ndim < 2:
        raise ShapeError(f"matrix_transpose: needs at least 2 axes, got shape {x.shape}")
    return x.swapaxes(-1, -2)


matrix_transpose.defvjp(lambda g, _y, _x: matrix_transpose(g))


@function
def moveaxis(x: Any, source: int | Sequence[int], destination: int | Sequence[int], /) -> Any:
    """Axes `source` moved to the positions `destination`; the others keep their order."""
    src = [source] if isinstance(source, int) else list(source)
    dst = [destination] if isinstance(destination, int) else list(destination)
    src = [normalize_axis(a, x.ndim, what="moveaxis") for a in src]
    dst = [normalize_axis(a, x.ndim, what="moveaxis") for a in dst]
    if len(src) != len(dst) or len(set(src)) < len(src) or len(set(dst)) < len(dst):
        raise ShapeError(f"moveaxis: source {source} and destination {destination} do not match")
    order = [a for a in range(x.ndim) if a not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        order.insert(d, s)
    return permute_dims(x, tuple(order))


@op(view=True)
def flip(xp: Any, x: Array, /, *, axis: int | tuple[int, ...] | None = None) -> Array:
    """The elements in reverse order along `axis`, one or several; along all of them by default."""
    return xp.flip(x, axis)


flip.defvjp(lambda g, _y, _x, *, axis: flip(g, axis=axis))


@op
def roll(
    xp: Any,
    x: Array,
    /,
    shift: int | tuple[int, ...],
    *,
    axis: int | tuple[int, ...] | None = None,
) -> Array:
    """The elements moved by `shift` places along `axis`; what leaves at the end enters in front.

    Without an axis, x is rolled as if it were flat.
    """
    return xp.roll(x, shift, axis)


def _roll_vjp(g: Any, _y: Any, _x: Any, *, shift: Any, axis: Any) -> Any:
    back = -shift if isinstance(shift, int) else tuple(-s for s in shift)
    return roll(g, back, axis=axis)


roll.defvjp(_roll_vjp)


# -- more elements -------------------------------------------------------------------------------


@op
def tile(xp: Any, x: Array, /, repetitions: tuple[int, ...]) -> Array:
    """x laid out `repetitions[i]` times along axis i, as tiles."""
    return xp.tile(x, repetitions)


def _tile_vjp(g: Any, _y: Any, _x: Any, *, repetitions: tuple[int, ...]) -> Any:
    n = max(_x.ndim, len(repetitions))
    counts = (1,) * (n - len(repetitions)) + tuple(repetitions)
    shape = (1,) * (n - _x.ndim) + _x.shape
    pairs = [m for pair in zip(counts, shape, strict=True) for m in pair]  # (count, length, …)
    return g.reshape(tuple(pairs)).sum(axis=tuple(range(0, 2 * n, 2))).reshape(_x.shape)


tile.defvjp(_tile_vjp)


@op
def _repeat(xp: Any, x: Array, /, repeats: int, *, axis: int) -> Array:
    """Each element `repeats` times in a row along `axis`."""
    return xp.repeat(x, repeats, axis)


def _repeat_vjp(g: Any, _y: Any, _x: Any, *, repeats: int, axis: int) -> Any:
    shape = _x.shape
    g = g.reshape((*shape[:axis], shape[axis], repeats, *shape[axis + 1 :]))
    return g.sum(axis=axis + 1)


_repeat.defvjp(_repeat_vjp)


@function
def repeat(x: Any, /, repeats: int | Sequence[int] | Tensor, *, axis: int | None = None) -> Any:
    """Each element repeated in a row along `axis`: `repeats` times, or repeats[i] times.

    One element of `repeats` stands for all. The counts decide the shape of the result, so those on
    another device are fetched from it. Without an axis, x is flattened first.
    """
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    axis = normalize_axis(axis, x.ndim, what="repeat")
    counts = repeats.numpy() if isinstance(repeats, Tensor) else np.asarray(repeats)
    counts = counts if counts.size else counts.astype(np.int64)  # [] is of floats
    if counts.dtype.kind not in "iu" or (counts < 0).any():
        raise ConfigError(f"repeat: repeats={repeats}; they count, so give integers, 0 or more")
    if counts.shape in ((), (1,)):
        return _repeat(x, counts.item(), axis=axis)
    if counts.shape != (x.shape[axis],):
        raise ShapeError(
            f"repeat: {counts.shape} repeats for an axis of length {x.shape[axis]}; give one each"
        )
    from .gathering import take

    return take(x, np.repeat(np.arange(len(counts)), counts).tolist(), axis=axis)


# -- diagonals -------------------------------------------------------------------------------------


@op(view=True)
def diagonal(xp: Any, x: Array, /, *, offset: int = 0, axis1: int = -2, axis2: int = -1) -> Array:
    """The diagonals of the matrices in the last two axes (or `axis1`, `axis2`), as a last axis."""
    if x.ndim < 2:
        raise ShapeError(f"diagonal: needs at least 2 axes, got shape {x.shape}")
    return xp.diagonal(x, offset, axis1, axis2)


@op
def _from_diagonal(
    xp: Any, x: Array, /, *, shape: tuple[int, ...], offset: int, axis1: int, axis2: int
) -> Array:
    """Zeros of `shape` with x on the diagonal: the transpose of `diagonal`."""
    y = xp.zeros(shape, dtype=x.dtype)
    steps = xp.arange(x.shape[-1])
    matrices = xp.moveaxis(y, (axis1, axis2), (-2, -1))
    matrices[..., steps + max(-offset, 0), steps + max(offset, 0)] = x
    return y


diagonal.defvjp(lambda g, _y, _x, **params: _from_diagonal(g, shape=_x.shape, **params))
_from_diagonal.defvjp(lambda g, _y, _x, *, shape, **params: diagonal(g, **params))


@function
def diag(x: Any, /, k: int = 0) -> Any:
    """A vector on diagonal k of a square matrix of zeros; of a matrix, its diagonal k."""
    if x.ndim == 2:
        return diagonal(x, offset=k)
    if x.ndim != 1:
        raise ShapeError(f"diag: needs a vector or a matrix, got shape {x.shape}")
    n = x.shape[0] + abs(k)
    return _from_diagonal(x, shape=(n, n), offset=k, axis1=0, axis2=1)
