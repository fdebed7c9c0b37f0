"""Elementary functions that a compiler can put into vector instructions, in float32.

numba calls the C library for `exp` and `tanh`, one element at a time; these are arithmetic alone.
NaN stays NaN, and ±∞ have their limits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

# Sums may be reordered and products contracted; NaN and infinities keep their meaning.
SAFE = {"reassoc", "contract", "nsz", "arcp"}

_LOG2E, _LN2_HIGH, _LN2_LOW = (
    np.float32(1.44269504),
    np.float32(0.693359375),
    np.float32(-2.1219444e-4),
)
_LOWEST, _HIGHEST = np.float32(-87.3), np.float32(88.3)
_ONE, _HALF = np.float32(1), np.float32(0.5)
_E2, _E3, _E4, _E5, _E6, _E7 = (
    np.float32(c)
    for c in (
        0.5,
        1.6666665459e-1,
        4.1665795894e-2,
        8.3334519073e-3,
        1.3981999507e-3,
        1.9875691500e-4,
    )
)  # Cephes, expf

_BOUND = np.float32(7.90531110763549805)
_T1, _T3, _T5, _T7, _T9, _T11, _T13 = (
    np.float32(c)
    for c in (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05,
              5.12229709037114e-08, -8.60467152213735e-11, 2.00018790482477e-13,
              -2.76076847742355e-16)
)  # fmt: skip
_U0, _U2, _U4, _U6 = (
    np.float32(c)
    for c in (
        4.89352518554385e-03,
        2.26843463243900e-03,
        1.18534705686654e-04,
        1.19825839466702e-06,
    )
)  # Eigen, a rational approximation

_FOUR = np.float32(4)
_P6, _P5, _P4, _P3, _P2, _P1, _P0 = (
    np.float32(c)
    for c in (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06,
              -5.69250639462346e-05, -7.34990630326855e-04, -2.95459980854025e-03,
              -1.60960333262415e-02)
)  # fmt: skip
_Q4, _Q3, _Q2, _Q1, _Q0 = (
    np.float32(c)
    for c in (
        -1.45660718464996e-05,
        -2.13374055278905e-04,
        -1.68282697438203e-03,
        -7.37332916720468e-03,
        -1.42647390514189e-02,
    )
)  # fmt: skip  Eigen, as in ops/special.py


@intrinsic
def _float_of_bits(context: Any, bits: Any) -> Any:
    """The float32 whose bits an int32 has."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), code


@njit(fastmath=SAFE, inline="always")
def exp(x: Any) -> Any:
    """eˣ; 0 below -87.3, ∞ above 88.3."""
    z = _HIGHEST if x > _HIGHEST else x  # noqa: FURB136  NaN stays: it is neither less nor more
    z = _LOWEST if z < _LOWEST else z  # noqa: FURB136  the same
    n = np.floor(z * _LOG2E + _HALF)
    r = z - n * _LN2_HIGH - n * _LN2_LOW
    p = ((((_E7 * r + _E6) * r + _E5) * r + _E4) * r + _E3) * r + _E2
    y = (p * r * r + r + _ONE) * _float_of_bits((np.int32(n) + np.int32(127)) << np.int32(23))
    y = np.float32(0) if x < _LOWEST else y
    return np.float32(np.inf) if x > _HIGHEST else y


@njit(fastmath=SAFE, inline="always")
def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    z = _BOUND if x > _BOUND else x  # noqa: FURB136  the same
    z = -_BOUND if z < -_BOUND else z  # noqa: FURB136  the same
    y = z * z
    p = ((((((_T13 * y + _T11) * y + _T9) * y + _T7) * y + _T5) * y + _T3) * y + _T1) * z
    return p / (((_U6 * y + _U4) * y + _U2) * y + _U0)


@njit(fastmath=SAFE, inline="always")
def sigmoid(x: Any) -> Any:
    """1 / (1 + e⁻ˣ)."""
    return _HALF + _HALF * tanh(_HALF * x)


@njit(fastmath=SAFE, inline="always")
def erf(x: Any) -> Any:
    """The error function."""
    z = _FOUR if x > _FOUR else x  # noqa: FURB136  the same
    z = -_FOUR if z < -_FOUR else z  # noqa: FURB136  the same
    y = z * z
    p = ((((((_P6 * y + _P5) * y + _P4) * y + _P3) * y + _P2) * y + _P1) * y + _P0) * z
    return p / ((((_Q4 * y + _Q3) * y + _Q2) * y + _Q1) * y + _Q0)


@intrinsic
def _bits_of_float(context: Any, number: Any) -> Any:
    """The int32 that has the bits of a float32."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), code


@njit(inline="always")
def _ordered(bits: Any) -> Any:
    """Integers in the order of the floats with these bits; the inverse of itself."""
    return bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF))


@njit
def maximum(row: Any) -> Any:
    """The largest number; as integers, whose maxima vectorise. NaN if there is one."""
    top = _ordered(_bits_of_float(np.float32(-np.inf)))
    for j in range(row.shape[0]):
        key = _ordered(_bits_of_float(row[j]))
        top = max(key, top)
    return _float_of_bits(np.int32(_ordered(top)))


@njit(fastmath=SAFE)
def exponentials_over(row: Any, top: Any) -> Any:
    """row ← exp(row - top), and its sum. One array: two that may overlap may not vectorise."""
    total = np.float32(0)
    for j in range(row.shape[0]):
        e = exp(row[j] - top)
        row[j] = e
        total += e
    return total


@njit(fastmath=SAFE)
def exponentials(row: Any, top: Any, out: Any) -> Any:
    """out ← exp(row - top), and its sum: in the same order wherever the two lie in memory."""
    for j in range(row.shape[0]):
        out[j] = row[j]
    return exponentials_over(out, top)
