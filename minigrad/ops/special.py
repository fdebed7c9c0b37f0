"""The error function, which NumPy has not: rational approximations, the same on each device."""

from __future__ import annotations

import math
from typing import Any

from ..backend import Array
from ..engine import elementwise
from .transcendental import exp

__all__ = ["erf"]

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
        limit = xp.full(x.shape[-1:], 4.0, dtype="float32")  # rows, as in `along`
        single = xp.minimum(xp.maximum(x.astype("float32"), -limit), limit)
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
