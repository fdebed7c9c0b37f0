"""Comparisons, logic on booleans and on bits, tests for special values. None has a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import Array, device_of
from ..engine import Tensor, elementwise, function

__all__ = [
    "allclose",
    "array_equal",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "equal",
    "greater",
    "greater_equal",
    "isfinite",
    "isinf",
    "isnan",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "signbit",
]

# -- comparisons -------------------------------------------------------------------------------


@elementwise
def equal(xp: Any, a: Array, b: Array) -> Array:
    """a = b."""
    return xp.equal(a, b)


@elementwise
def not_equal(xp: Any, a: Array, b: Array) -> Array:
    """a ≠ b."""
    return xp.not_equal(a, b)


@elementwise
def less(xp: Any, a: Array, b: Array) -> Array:
    """a < b."""
    return xp.less(a, b)


@elementwise
def less_equal(xp: Any, a: Array, b: Array) -> Array:
    """a ≤ b."""
    return xp.less_equal(a, b)


@elementwise
def greater(xp: Any, a: Array, b: Array) -> Array:
    """a > b."""
    return xp.greater(a, b)


@elementwise
def greater_equal(xp: Any, a: Array, b: Array) -> Array:
    """a ≥ b."""
    return xp.greater_equal(a, b)


# -- logic -------------------------------------------------------------------------------------


@elementwise
def logical_and(xp: Any, a: Array, b: Array) -> Array:
    """a and b, a number counting as true unless it is 0."""
    return xp.logical_and(a, b)


@elementwise
def logical_or(xp: Any, a: Array, b: Array) -> Array:
    """a or b, a number counting as true unless it is 0."""
    return xp.logical_or(a, b)


@elementwise
def logical_xor(xp: Any, a: Array, b: Array) -> Array:
    """Either a or b, a number counting as true unless it is 0."""
    return xp.logical_xor(a, b)


@elementwise
def logical_not(xp: Any, x: Array) -> Array:
    """Not x: true where x is 0."""
    return xp.logical_not(x)


@elementwise
def bitwise_and(xp: Any, a: Array, b: Array) -> Array:
    """The bits set in both a and b."""
    return xp.bitwise_and(a, b)


@elementwise
def bitwise_or(xp: Any, a: Array, b: Array) -> Array:
    """The bits set in a or b."""
    return xp.bitwise_or(a, b)


@elementwise
def bitwise_xor(xp: Any, a: Array, b: Array) -> Array:
    """The bits set in one of a and b."""
    return xp.bitwise_xor(a, b)


@elementwise
def bitwise_invert(xp: Any, x: Array) -> Array:
    """Every bit of x flipped; not x for booleans."""
    return xp.invert(x)


@elementwise
def bitwise_left_shift(xp: Any, a: Array, b: Array) -> Array:
    """a · 2ᵇ on integers."""
    return xp.left_shift(a, b)


@elementwise
def bitwise_right_shift(xp: Any, a: Array, b: Array) -> Array:
    """⌊a / 2ᵇ⌋ on integers."""
    return xp.right_shift(a, b)


# -- special values ----------------------------------------------------------------------------


@elementwise
def isnan(xp: Any, x: Array) -> Array:
    """Where x is NaN."""
    return xp.isnan(x)


@elementwise
def isinf(xp: Any, x: Array) -> Array:
    """Where x is +inf or -inf."""
    return xp.isinf(x)


@elementwise
def isfinite(xp: Any, x: Array) -> Array:
    """Where x is neither infinite nor NaN."""
    return xp.isfinite(x)


@elementwise
def signbit(xp: Any, x: Array) -> Array:
    """Where the sign bit of x is set: negative numbers and -0."""
    return xp.signbit(x)


# -- of whole arrays ---------------------------------------------------------------------------


@function
def allclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, *, equal_nan: bool = False
) -> bool:
    """Whether |a - b| ≤ atol + rtol · |b| everywhere. Waits for the GPU.

    >>> import minigrad as mg
    >>> mg.allclose(mg.tensor([0.1]) + 0.2, mg.tensor([0.3]))
    True
    """
    return bool(np.allclose(_host(a), _host(b), rtol=rtol, atol=atol, equal_nan=equal_nan))


@function
def array_equal(a: Any, b: Any, *, equal_nan: bool = False) -> bool:
    """Whether a and b have the same shape and the same elements. Waits for the GPU.

    >>> import minigrad as mg
    >>> mg.array_equal(mg.zeros(3), [0, 0, 0])
    True
    """
    return np.array_equal(_host(a), _host(b), equal_nan=equal_nan)


def _host(x: Any) -> Any:
    if isinstance(x, Tensor):
        return x.numpy()
    return device_of(x).to_host(x) if hasattr(x, "dtype") else np.asarray(x)
