"""Elementwise exponentials, logarithms, trigonometric and hyperbolic functions."""

from __future__ import annotations

import math
from typing import Any

from ..backend import Array
from ..engine import elementwise, ops
from .elementwise import where

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "exp",
    "expm1",
    "hypot",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "sin",
    "sinh",
    "tan",
    "tanh",
]

# -- exponentials and logarithms ---------------------------------------------------------------


@elementwise
def exp(xp: Any, x: Array) -> Array:
    """eˣ."""
    return xp.exp(x)


exp.defvjp(lambda g, y, _x: g * y)


@elementwise
def expm1(xp: Any, x: Array) -> Array:
    """eˣ - 1, exact for small x."""
    return xp.expm1(x)


expm1.defvjp(lambda g, y, _x: g * (y + 1))


@elementwise
def log(xp: Any, x: Array) -> Array:
    """The natural logarithm; -inf at 0, NaN below."""
    return xp.log(x)


log.defvjp(lambda g, _y, x: g / x)


@elementwise
def log1p(xp: Any, x: Array) -> Array:
    """log(1 + x), exact for small x."""
    return xp.log1p(x)


log1p.defvjp(lambda g, _y, x: g / (x + 1))


@elementwise
def log2(xp: Any, x: Array) -> Array:
    """The logarithm to base 2."""
    return xp.log2(x)


log2.defvjp(lambda g, _y, x: g / (x * math.log(2)))


@elementwise
def log10(xp: Any, x: Array) -> Array:
    """The logarithm to base 10."""
    return xp.log10(x)


log10.defvjp(lambda g, _y, x: g / (x * math.log(10)))


@elementwise
def logaddexp(xp: Any, a: Array, b: Array) -> Array:
    """log(eᵃ + eᵇ), without overflow."""
    return xp.logaddexp(a, b)


def _share(g: Any, y: Any, x: Any) -> Any:
    """g · eˣ / (eᵃ + eᵇ); 0 where both are -inf."""
    return g * exp(x - where(y == -math.inf, 0, y))


logaddexp.defvjp(
    lambda g, y, a, _b: _share(g, y, a),
    lambda g, y, _a, b: _share(g, y, b),
)


# -- trigonometric -----------------------------------------------------------------------------


@elementwise
def sin(xp: Any, x: Array) -> Array:
    """The sine of x radians."""
    return xp.sin(x)


@elementwise
def cos(xp: Any, x: Array) -> Array:
    """The cosine of x radians."""
    return xp.cos(x)


sin.defvjp(lambda g, _y, x: g * cos(x))
cos.defvjp(lambda g, _y, x: -g * sin(x))


@elementwise
def tan(xp: Any, x: Array) -> Array:
    """The tangent of x radians."""
    return xp.tan(x)


tan.defvjp(lambda g, y, _x: g * (y * y + 1))


@elementwise
def asin(xp: Any, x: Array) -> Array:
    """The angle in [-π/2, π/2] whose sine is x."""
    return xp.arcsin(x)


asin.defvjp(lambda g, _y, x: g / ops.sqrt(1 - x * x))


@elementwise
def acos(xp: Any, x: Array) -> Array:
    """The angle in [0, π] whose cosine is x."""
    return xp.arccos(x)


acos.defvjp(lambda g, _y, x: -g / ops.sqrt(1 - x * x))


@elementwise
def atan(xp: Any, x: Array) -> Array:
    """The angle in (-π/2, π/2) whose tangent is x."""
    return xp.arctan(x)


atan.defvjp(lambda g, _y, x: g / (x * x + 1))


@elementwise
def atan2(xp: Any, a: Array, b: Array) -> Array:
    """The angle in [-π, π] of the point (x=b, y=a). Its gradient at the origin is 0."""
    return xp.arctan2(a, b)


def _positive(d: Any) -> Any:
    """d, with 1 in place of 0: a denominator whose numerator is 0 there."""
    return where(d == 0, 1, d)


atan2.defvjp(
    lambda g, _y, a, b: g * b / _positive(a * a + b * b),
    lambda g, _y, a, b: -g * a / _positive(a * a + b * b),
)


@elementwise
def hypot(xp: Any, a: Array, b: Array) -> Array:
    """√(a² + b²), without overflow. Its gradient at the origin is 0."""
    return xp.hypot(a, b)


hypot.defvjp(
    lambda g, y, a, _b: g * (a / _positive(y)),
    lambda g, y, _a, b: g * (b / _positive(y)),
)


# -- hyperbolic --------------------------------------------------------------------------------


@elementwise
def sinh(xp: Any, x: Array) -> Array:
    """(eˣ - e⁻ˣ) / 2."""
    return xp.sinh(x)


@elementwise
def cosh(xp: Any, x: Array) -> Array:
    """(eˣ + e⁻ˣ) / 2."""
    return xp.cosh(x)


sinh.defvjp(lambda g, _y, x: g * cosh(x))
cosh.defvjp(lambda g, _y, x: g * sinh(x))


@elementwise
def tanh(xp: Any, x: Array) -> Array:
    """sinh(x) / cosh(x)."""
    return xp.tanh(x)


tanh.defvjp(lambda g, y, _x: g * (1 - y * y))


@elementwise
def asinh(xp: Any, x: Array) -> Array:
    """The number whose hyperbolic sine is x."""
    return xp.arcsinh(x)


asinh.defvjp(lambda g, _y, x: g / ops.sqrt(x * x + 1))


@elementwise
def acosh(xp: Any, x: Array) -> Array:
    """The number ≥ 0 whose hyperbolic cosine is x; NaN for x < 1."""
    return xp.arccosh(x)


acosh.defvjp(lambda g, _y, x: g / ops.sqrt(x * x - 1))


@elementwise
def atanh(xp: Any, x: Array) -> Array:
    """The number whose hyperbolic tangent is x; NaN for |x| > 1."""
    return xp.arctanh(x)


atanh.defvjp(lambda g, _y, x: g / (1 - x * x))
