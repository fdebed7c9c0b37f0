"""Margins: of one value, or of reflected, repeated or circular elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import Array
from ..engine import function, op
from ..errors import ConfigError, ShapeError
from .gathering import take

__all__ = ["pad"]


@op
def _pad(xp: Any, x: Array, /, widths: tuple[tuple[int, int], ...], *, value: float) -> Array:
    """x with a margin of `value`: widths[i] = (before, after) along axis i."""
    shape = tuple(n + before + after for n, (before, after) in zip(x.shape, widths, strict=True))
    y = xp.full(shape, value, dtype=x.dtype)
    y[_inside(x.shape, widths)] = x
    return y


def _inside(shape: tuple[int, ...], widths: tuple[tuple[int, int], ...]) -> tuple[slice, ...]:
    return tuple(slice(b, b + n) for n, (b, _) in zip(shape, widths, strict=True))


_pad.defvjp(lambda g, _y, _x, *, widths, value: g[_inside(_x.shape, widths)])


@function
def pad(x: Any, pad_width: Any, mode: str = "constant", *, constant_values: float = 0) -> Any:
    """x with a margin: of `constant_values`, or of its own elements.

    `pad_width` is, as in NumPy, ((before, after), …) per axis, or one (before, after) or one
    number for all of them.

    mode: "constant"; "reflect" (about the outermost element), "symmetric" (about its outer side),
    "edge" or "replicate" (the outermost repeated), "wrap" or "circular" (the other end).

    Raises: ConfigError for another mode or negative widths; ShapeError if the widths do not fit.

    >>> import minigrad as mg
    >>> mg.pad(mg.tensor([1, 2, 3]), 2, "reflect")
    tensor([3, 2, 1, 2, 3, 2, 1])
    """
    try:
        widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    except ValueError as error:
        raise ShapeError(
            f"pad: pad_width {pad_width} does not fit shape {x.shape}; "
            "give ((before, after), …), one pair per axis"
        ) from error
    if any(type(w) is not int or w < 0 for pair in widths for w in pair):
        raise ConfigError(f"pad: pad_width {pad_width}; widths are integers, 0 or more")
    margins = tuple((before, after) for before, after in widths)
    if mode != "constant":
        return _by_copies(x, margins, mode)
    return _pad(x, margins, value=constant_values)


def _by_copies(x: Any, widths: tuple[tuple[int, int], ...], mode: str) -> Any:
    """x with a margin of its own elements: "reflect", "symmetric", "edge" or "wrap".

    "replicate" and "circular" are PyTorch's names of the last two.
    """
    known = {"replicate": "edge", "circular": "wrap"}
    mode = known.get(mode, mode)
    if mode not in ("reflect", "symmetric", "edge", "wrap"):
        raise ConfigError(
            f'pad: mode={mode!r}; give "constant", "reflect", "symmetric", "edge" (PyTorch\'s '
            '"replicate") or "wrap" ("circular")'
        )
    for axis, width in enumerate(widths):
        n = x.shape[axis]
        if any(width):
            if not n:
                raise ShapeError(f"pad: axis {axis} of {x.shape} is empty: nothing to copy")
            places = np.pad(np.arange(n), width, mode=mode)  # type: ignore[call-overload]
            x = take(x, places.tolist(), axis=axis)
    return x
