"""Joining and splitting: concat, stack, unstack, split, chunk.

Each is one line on the tape. Taking a sequence apart with `unstack` (or a loop over it) is one line
for all steps, where x[t] is one for each.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import Array
from ..engine import function, op
from ..errors import ConfigError, ShapeError
from .shape import normalize_axis, reshape

__all__ = ["chunk", "concat", "split", "stack", "unstack"]

Arrays = Sequence[Any]


def _along(axis: int, key: Any) -> tuple[Any, ...]:
    """The index that applies `key` to `axis`."""
    return (*(slice(None),) * axis, key)


def _parts(arrays: Arrays, what: str) -> list[Any]:
    parts = list(arrays)
    if not parts:
        raise ShapeError(f"{what}: no arrays to join; give at least one")
    if any(not hasattr(a, "ndim") for a in parts):
        kinds = ", ".join(type(a).__name__ for a in parts)
        raise ShapeError(f"{what}: needs tensors to join, got {kinds}; use mg.asarray on numbers")
    return parts


@op
def _concat(xp: Any, *arrays: Array, axis: int, starts: tuple[int, ...]) -> Array:
    """The arrays one after the other along `axis`."""
    if len(arrays) <= 8:
        return xp.concatenate(arrays, axis)
    shape = list(arrays[0].shape)  # one buffer: from 9 arrays on, CuPy uploads a table of pointers
    shape[axis] = starts[-1]
    y = xp.empty(shape, dtype=np.result_type(*{a.dtype for a in arrays}))
    for a, start, stop in zip(arrays, starts, starts[1:], strict=False):
        shape[axis] = stop - start
        if a.shape != tuple(shape):
            raise ShapeError(f"concat: {arrays[0].shape} and {a.shape} differ beside axis {axis}")
        y[_along(axis, slice(start, stop))] = a
    return y


_concat.defvjp(
    lambda g, _y, *_xs, i, axis, starts: g[_along(axis, slice(starts[i], starts[i + 1]))]
)


@function
def concat(arrays: Arrays, /, *, axis: int | None = 0) -> Any:
    """The arrays one after the other along `axis`; flattened first if `axis` is None.

    Raises: ShapeError if the other axes differ.

    >>> import minigrad as mg
    >>> mg.concat([mg.tensor([1.0, 2.0]), mg.tensor([3.0])])
    tensor([1., 2., 3.])
    """
    parts = _parts(arrays, "concat")
    if axis is None:
        parts, axis = [reshape(a, (-1,)) for a in parts], 0
    axis = normalize_axis(axis, parts[0].ndim, what="concat")
    lengths = [a.shape[axis] if axis < a.ndim else 0 for a in parts]
    return _concat(*parts, axis=axis, starts=tuple(itertools.accumulate(lengths, initial=0)))


@op
def _stack(xp: Any, *arrays: Array, axis: int) -> Array:
    """The arrays side by side along a new axis."""
    first = arrays[0]
    y = xp.empty(
        (*first.shape[:axis], len(arrays), *first.shape[axis:]),
        dtype=np.result_type(*{a.dtype for a in arrays}),
    )
    place = (slice(None),) * axis
    for i, a in enumerate(arrays):
        if a.shape != first.shape:
            raise ShapeError(f"stack: all shapes must be equal, got {first.shape} and {a.shape}")
        y[(*place, i)] = a
    return y


_stack.defvjp(lambda g, _y, *_xs, i, axis: g[_along(axis, i)])


@function
def stack(arrays: Arrays, /, *, axis: int = 0) -> Any:
    """The arrays, all of one shape, side by side along a new axis.

    >>> import minigrad as mg
    >>> mg.stack([mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0])], axis=1)
    tensor([[1., 3.],
            [2., 4.]])
    """
    parts = _parts(arrays, "stack")
    return _stack(*parts, axis=normalize_axis(axis, parts[0].ndim + 1, what="stack"))


@op(view=True)
def unstack(xp: Any, x: Array, /, *, axis: int = 0) -> tuple[Array, ...]:
    """The slices of x along `axis`, without that axis: the inverse of `stack`."""
    axis = normalize_axis(axis, x.ndim, what="unstack")
    place = (slice(None),) * axis
    return tuple(x[(*place, i)] for i in range(x.shape[axis]))


unstack.defvjp(lambda g, _y, _x, *, axis: stack(g, axis=axis))


@op(view=True)
def _split(xp: Any, x: Array, /, bounds: tuple[int, ...], *, axis: int) -> tuple[Array, ...]:
    """x cut along `axis` at `bounds`."""
    place = (slice(None),) * axis
    return tuple(x[(*place, slice(a, b))] for a, b in itertools.pairwise(bounds))


_split.defvjp(lambda g, _y, _x, *, bounds, axis: concat(g, axis=axis))


@function
def split(x: Any, /, indices_or_sections: int | Sequence[int], *, axis: int = 0) -> tuple[Any, ...]:
    """x cut along `axis` into equal sections, or before each of the given positions, as in NumPy.

    Raises: ShapeError if the axis does not divide into that many sections, or for positions that
    descend or lie outside.
    """
    axis = normalize_axis(axis, x.ndim, what="split")
    n = x.shape[axis]
    if isinstance(indices_or_sections, int | np.integer):
        sections = int(indices_or_sections)
        if sections < 1 or n % sections:
            raise ShapeError(
                f"split: axis {axis} of length {n} does not divide into {sections} equal sections; "
                "give positions, or use chunk"
            )
        bounds = tuple(range(0, n + 1, n // sections)) if n else (0,) * (sections + 1)
    else:
        bounds = (0, *(int(i) for i in indices_or_sections), n)
        if any(a > b for a, b in itertools.pairwise(bounds)):
            raise ShapeError(f"split: positions {bounds[1:-1]} must ascend within 0…{n}")
    return _split(x, bounds, axis=axis)


@function
def chunk(x: Any, /, chunks: int, *, axis: int = 0) -> tuple[Any, ...]:
    """x cut along `axis` into `chunks` parts of equal length; the last may be shorter."""
    if chunks < 1:
        raise ConfigError(f"chunk: chunks={chunks}; give 1 or more")
    axis = normalize_axis(axis, x.ndim, what="chunk")
    n = x.shape[axis]
    size = max(-(-n // chunks), 1)
    return _split(x, (*range(0, n, size), n) if n else (0, 0), axis=axis)
