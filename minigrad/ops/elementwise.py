"""Elementwise arithmetic: the kernel, then one partial derivative per argument.

Shapes broadcast by NumPy's rules; each gradient is summed down to its argument's shape by the
engine, so a rule is just the partial derivative times g.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import Array
from ..engine import elementwise, op, ops
from .dtypes import get_default_dtype

__all__ = [
    "abs",
    "add",
    "ceil",
    "clip",
    "copysign",
    "divide",
    "floor",
    "floor_divide",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "nextafter",
    "positive",
    "pow",
    "reciprocal",
    "remainder",
    "round",
    "sign",
    "sqrt",
    "square",
    "subtract",
    "trunc",
    "where",
]

# -- arithmetic --------------------------------------------------------------------------------


@elementwise
def add(xp: Any, a: Array, b: Array) -> Array:
    """a + b."""
    return xp.add(a, b)


add.defvjp(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: g)


@elementwise
def subtract(xp: Any, a: Array, b: Array) -> Array:
    """a - b."""
    return xp.subtract(a, b)


subtract.defvjp(lambda g, _y, _a, _b: g, lambda g, _y, _a, _b: -g)


@elementwise
def multiply(xp: Any, a: Array, b: Array) -> Array:
    """a · b."""
    return xp.multiply(a, b)


multiply.defvjp(lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a)


@elementwise
def divide(xp: Any, a: Array, b: Array) -> Array:
    """a / b; integers give a floating result."""
    return xp.divide(a, b)


divide.defvjp(lambda g, _y, _a, b: g / b, lambda g, y, _a, b: -g * y / b)


@elementwise
def floor_divide(xp: Any, a: Array, b: Array) -> Array:
    """⌊a / b⌋. A step function: its gradient is zero."""
    return xp.floor_divide(a, b)


floor_divide.defvjp(lambda g, _y, _a, _b: _zero(g), lambda g, _y, _a, _b: _zero(g))


@elementwise
def remainder(xp: Any, a: Array, b: Array) -> Array:
    """a - ⌊a / b⌋ · b, with the sign of b."""
    return xp.remainder(a, b)


remainder.defvjp(lambda g, _y, _a, _b: g, lambda g, _y, a, b: -g * floor_divide(a, b))


@elementwise
def pow(xp: Any, a: Array, b: Array) -> Array:
    """a to the power b.

    At a = b = 0 both partial derivatives are 0, as in PyTorch; a negative base gives NaN for the
    derivative by the exponent.
    """
    return a**b if hasattr(a, "dtype") else xp.power(a, b)


def _pow_by_base(g: Any, _y: Any, a: Any, b: Any) -> Any:
    if isinstance(b, int | float):
        if b == 2:
            return g * (a + a)
        return g * (b * a ** (b - 1)) if b else _zero(g)
    # 0⁰ is the constant 1: without the mask its derivative would be 0 · 0⁻¹
    return g * (b * pow(a, where((a == 0) & (b == 0), 1, b) - 1))


def _pow_by_exponent(g: Any, y: Any, a: Any, b: Any) -> Any:
    if isinstance(a, int | float) and a > 0:
        return g * y * math.log(a)
    return g * y * ops.log(where((a == 0) & (b >= 0), 1, a))  # 0ᵇ is the constant 0 (or 1) there


pow.defvjp(_pow_by_base, _pow_by_exponent)


@elementwise
def negative(xp: Any, x: Array) -> Array:
    """-x."""
    return xp.negative(x)


negative.defvjp(lambda g, _y, _x: -g)


@elementwise
def positive(xp: Any, x: Array) -> Array:
    """+x, a copy."""
    return xp.positive(x)


positive.defvjp(lambda g, _y, _x: g)


@elementwise
def square(xp: Any, x: Array) -> Array:
    """x²."""
    return xp.square(x)


square.defvjp(lambda g, _y, x: g * (x + x))


@elementwise
def sqrt(xp: Any, x: Array) -> Array:
    """√x; NaN for x < 0, and an infinite derivative at 0."""
    return xp.sqrt(x)


sqrt.defvjp(lambda g, y, _x: g / (y + y))


@elementwise
def reciprocal(xp: Any, x: Array) -> Array:
    """1 / x."""
    return xp.reciprocal(x)


reciprocal.defvjp(lambda g, y, _x: -g * y * y)


# -- sign and rounding -------------------------------------------------------------------------


@elementwise
def sign(xp: Any, x: Array) -> Array:
    """-1, 0 or 1. A step function: its gradient is zero."""
    return xp.sign(x)


@elementwise
def abs(xp: Any, x: Array) -> Array:
    """|x|; its derivative at 0 is 0."""
    return xp.abs(x)


abs.defvjp(lambda g, _y, x: g * sign(x))


@elementwise
def floor(xp: Any, x: Array) -> Array:
    """The largest integer ≤ x. A step function: its gradient is zero."""
    return xp.floor(x)


@elementwise
def ceil(xp: Any, x: Array) -> Array:
    """The smallest integer ≥ x. A step function: its gradient is zero."""
    return xp.ceil(x)


@elementwise
def trunc(xp: Any, x: Array) -> Array:
    """x rounded towards 0. A step function: its gradient is zero."""
    return xp.trunc(x)


@op
def round(xp: Any, x: Array, /, *, decimals: int = 0) -> Array:
    """x rounded to `decimals` places, halves to even. A step function: its gradient is zero."""
    return xp.round(x, decimals)


for _step in (sign, floor, ceil, trunc):
    _step.defvjp(lambda g, _y, _x: _zero(g))
round.defvjp(lambda g, _y, _x, *, decimals: _zero(g))


@elementwise
def copysign(xp: Any, a: Array, b: Array) -> Array:
    """|a| with the sign of b."""
    return xp.copysign(a, b)


copysign.defvjp(
    lambda g, _y, a, b: g * (sign(a) * copysign(1.0, b)),
    lambda g, _y, _a, _b: _zero(g),
)


@elementwise
def nextafter(xp: Any, a: Array, b: Array) -> Array:
    """The next representable number after a towards b."""
    return xp.nextafter(a, b)


# -- choosing ----------------------------------------------------------------------------------


@elementwise
def where(xp: Any, condition: Array, x: Array, y: Array) -> Array:
    """x where `condition` holds, else y. The one not chosen gets a zero gradient, never NaN.

    Two Python floats give the default dtype (float32), as everywhere.

    That holds for the elementwise chain inside x or y as well, where a derivative is infinite or
    NaN: nothing has to be made safe first.

    >>> import minigrad as mg
    >>> x = mg.tensor([0.0, 4.0], requires_grad=True)
    >>> mg.where(x > 0, mg.sqrt(x), 0).sum().backward()
    >>> x.grad
    tensor([0.  , 0.25])
    """
    out = xp.where(condition, x, y)
    numbers = {type(x), type(y)} <= {int, float, bool}
    return out.astype(get_default_dtype()) if numbers and out.dtype.kind == "f" else out


where.defvjp(
    None,
    lambda g, _out, condition, _x, _y: where(condition, g, 0),
    lambda g, _out, condition, _x, _y: where(condition, 0, g),
)


@elementwise
def maximum(xp: Any, a: Array, b: Array) -> Array:
    """The larger of a and b, NaN if one is NaN. Where they are equal each gets half of g."""
    return xp.maximum(a, b)


@elementwise
def minimum(xp: Any, a: Array, b: Array) -> Array:
    """The smaller of a and b, NaN if one is NaN. Where they are equal each gets half of g."""
    return xp.minimum(a, b)


def _chosen(g: Any, lost: Any, tie: Any) -> Any:
    """g, but 0 where this argument lost, and half of it where there was a tie."""
    return where(lost, 0, where(tie, g * 0.5, g))


maximum.defvjp(
    lambda g, _y, a, b: _chosen(g, a < b, a == b),
    lambda g, _y, a, b: _chosen(g, b < a, a == b),
)
minimum.defvjp(
    lambda g, _y, a, b: _chosen(g, a > b, a == b),
    lambda g, _y, a, b: _chosen(g, b > a, a == b),
)


@elementwise
def clip(xp: Any, x: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """x limited to [min, max]; None means no limit. On a limit the gradient is that of x.

    If min > max the result is max.
    """
    if min is not None:
        x = xp.maximum(x, min)
    elif max is None:
        return x.copy()
    return x if max is None else xp.minimum(x, max)


def _inside(x: Any, min: Any, max: Any) -> Any:
    if min is None:
        return True if max is None else ~(x > max)
    return ~(x < min) if max is None else ~((x < min) | (x > max))


clip.defvjp(
    lambda g, _y, x, min, max: g * _inside(x, min, max),
    lambda g, _y, x, min, max: g * ((x < min) if max is None else (x < min) & (min <= max)),
    lambda g, _y, x, min, max: g * ((x > max) if min is None else (x > max) | (min > max)),
)


def _zero(g: Any) -> Any:
    return ops.zeros_like(g)
