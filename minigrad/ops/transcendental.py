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
    "erf",
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


# -- the error function ------------------------------------------------------------------------

_ERF32_P = (  # erf(x) ≈ x · P(x²) / Q(x²) on [-4, 4]
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_ERF32_Q = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)
_ERF_T = (  # erf(x) = x · T(x²) / U(x²) for |x| < 1
    9.60497373987051638749e0,
    9.00260197203842689217e1,
    2.23200534594684319226e3,
    7.00332514112805075473e3,
    5.55923013010394962768e4,
)
_ERF_U = (
    1.0,
    3.35617141647503099647e1,
    5.21357949780152679795e2,
    4.59432382970980127987e3,
    2.26290000613890934246e4,
    4.92673942608635921086e4,
)
_ERF_P = (  # 1 - erf(x) = exp(-x²) · P(x) / Q(x) for 1 ≤ x < 8
    2.46196981473530512524e-10,
    5.64189564831068821977e-1,
    7.46321056442269912687e0,
    4.86371970985681366614e1,
    1.96520832956077098242e2,
    5.26445194995477358631e2,
    9.34528527171957607540e2,
    1.02755188689515710272e3,
    5.57535335369399327526e2,
)
_ERF_Q = (
    1.0,
    1.32281951154744992508e1,
    8.67072140885989742329e1,
    3.54937778887819891062e2,
    9.75708501743205489753e2,
    1.82390916687909736289e3,
    2.24633760818710981792e3,
    1.65666309194161350182e3,
    5.57535340817727675546e2,
)


def _polynomial(x: Array, coefficients: tuple[float, ...]) -> Array:
    """Horner's rule, highest power first."""
    y = x * coefficients[0]
    for c in coefficients[1:-1]:
        y += c
        y *= x
    y += coefficients[-1]
    return y


@elementwise
def erf(xp: Any, x: Array) -> Array:
    """The error function (2/√π) ∫₀ˣ exp(-t²) dt, to a few units in the last place.

    Rational approximations: in double precision those of the Cephes library (S. Moshier), after
    W. J. Cody, "Rational Chebyshev approximations for the error function" (1969); in single
    precision Eigen's.
    """
    x = x * 1.0
    if x.dtype.itemsize < 8:
        single = xp.minimum(xp.maximum(x.astype("float32"), -4.0), 4.0)
        z = single * single
        single *= _polynomial(z, _ERF32_P)
        return (single / _polynomial(z, _ERF32_Q)).astype(x.dtype)
    size = xp.abs(x)
    small = xp.minimum(size, 1.0)
    z = small * small
    near = small * _polynomial(z, _ERF_T) / _polynomial(z, _ERF_U)
    large = xp.minimum(xp.maximum(size, 1.0), 6.5)
    far = 1.0 - xp.exp(-large * large) * _polynomial(large, _ERF_P) / _polynomial(large, _ERF_Q)
    return xp.copysign(xp.where(size < 1.0, near, far), x)


erf.defvjp(lambda g, _y, x: g * exp(-x * x) * (2 / math.sqrt(math.pi)))
