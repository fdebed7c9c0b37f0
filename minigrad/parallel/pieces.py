"""A batch in pieces along its batch axes, and results put together again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from .. import ops
from ..backend import NAMESPACES
from ..engine import Tensor
from ..errors import ConfigError, ShapeError

Axes = Any
"""An axis, None for what is not cut, or a nest of them that the value's own nest continues."""


def bounds(size: int, parts: int) -> list[tuple[int, int]]:
    """0 … size in `parts` pieces that differ by one at most.

    >>> bounds(5, 2)
    [(0, 2), (2, 5)]
    """
    cuts = [size * i // parts for i in range(parts + 1)]
    return list(pairwise(cuts))


def batch_size(what: str, batch: Any, axes: Axes) -> int:
    """The length of the batch axes, which must agree.

    Raises: ShapeError if they differ, or if no axis is given.
    """
    sizes = {_size(value, axis) for value, axis in _leaves(what, batch, axes)}
    if len(sizes) != 1:
        given = f"lengths {sorted(sizes)}" if sizes else "none"
        raise ShapeError(f"{what}: the batch axes must have one length, got {given}; axes={axes}")
    return sizes.pop()


def cut(what: str, value: Any, axes: Axes, start: int, stop: int) -> Any:
    """Elements `start` to `stop` of each batch axis in `value`; the rest as it is."""
    if axes is None or value is None:
        return value
    if _is_leaf(value):
        axis = _axis(what, value, axes)
        key = (slice(None),) * axis + (slice(start, stop),)
        return value[start:stop] if isinstance(value, list | tuple) else value[key]
    items = _items(what, value, axes)
    return _like(value, [cut(what, item, axis, start, stop) for item, axis in items])


def join(what: str, values: Sequence[Any], axes: Axes) -> Any:
    """The inverse of `cut`: pieces side by side along their batch axes.

    None keeps the pieces apart, in a list.
    """
    first = values[0]
    if axes is None:
        return list(values)
    if first is None:
        return None
    if not _is_leaf(first):
        parts = [[item for item, _ in _items(what, value, axes)] for value in values]
        inner = [axis for _, axis in _items(what, first, axes)]
        return _like(
            first, [join(what, p, a) for p, a in zip(zip(*parts, strict=True), inner, strict=True)]
        )
    axis = _axis(what, first, axes)
    if isinstance(first, Tensor):
        return ops.concat(list(values), axis=axis)
    if isinstance(first, list | tuple):
        return type(first)([item for value in values for item in value])
    return np.concatenate(values, axis=axis)


def _is_leaf(value: Any) -> bool:
    """Whether an axis belongs to it: a Tensor, an array, or a sequence of numbers or texts."""
    if isinstance(value, list | tuple):
        return bool(value) and all(
            isinstance(item, int | float | str | np.generic) for item in value
        )
    return not isinstance(value, dict)


def _axis(what: str, value: Any, axis: Any) -> int:
    """The batch axis of a leaf, from the left."""
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise ConfigError(f"{what}: an axis is an integer or None, got {axis!r} for {_name(value)}")
    ndim = 1 if isinstance(value, list | tuple) else getattr(value, "ndim", 0)
    if not (-ndim <= axis < ndim):
        raise ShapeError(f"{what}: {_name(value)} has no axis {axis}; give None for what is shared")
    return axis % ndim


def _size(value: Any, axis: int) -> int:
    return len(value) if isinstance(value, list | tuple) else int(value.shape[axis])


def _items(what: str, value: Any, axes: Axes) -> list[tuple[Any, Any]]:
    """The entries of a nest with the axes of each."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    entries = [value[key] for key in keys]
    if not isinstance(axes, list | tuple | dict):
        return [(entry, axes) for entry in entries]
    if len(axes) != len(keys) or isinstance(axes, dict) != isinstance(value, dict):
        raise ConfigError(f"{what}: axes {axes!r} do not fit {len(keys)} entries; one for each")
    return [(entry, axes[key]) for entry, key in zip(entries, keys, strict=True)]


def _leaves(what: str, value: Any, axes: Axes) -> list[tuple[Any, int]]:
    if axes is None or value is None:
        return []
    if _is_leaf(value):
        return [(value, _axis(what, value, axes))]
    pairs = _items(what, value, axes)
    return [leaf for item, axis in pairs for leaf in _leaves(what, item, axis)]


def _like(value: Any, items: list[Any]) -> Any:
    if isinstance(value, dict):
        return dict(zip(value, items, strict=True))
    return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)


def _name(value: Any) -> str:
    if isinstance(value, Tensor) or type(value) in NAMESPACES:
        return f"a {type(value).__name__} of shape {value.shape}"
    return f"a {type(value).__name__}"
