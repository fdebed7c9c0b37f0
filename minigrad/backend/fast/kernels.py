"""The compiled kernels. Each has the arguments, and gives the results, of the NumPy code that it
stands in for; the file of that code is named beside it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .numerics import SAFE, exp, maximum, tanh

compiled = njit(fastmath=SAFE, nogil=True, cache=True, error_model="numpy")
_ONE, _HALF = np.float32(1), np.float32(0.5)

# -- recurrent layers: ops/recurrent -----------------------------------------------------------


@compiled
def lstm_forward(gates: Any, block: Any, after: Any, h: Any) -> None:
    """gates: g o f i, the sigmoids' halved; block: tanh cₜ, cₜ₋₁, g, o, f, i; after: cₜ."""
    a, b = gates.reshape(4, -1), block.reshape(6, -1)
    new, out = after.reshape(-1), h.reshape(-1)
    for j in range(out.shape[0]):
        g = tanh(a[0, j])
        o = _HALF + _HALF * tanh(a[1, j])
        f = _HALF + _HALF * tanh(a[2, j])
        i = _HALF + _HALF * tanh(a[3, j])
        c = f * b[1, j] + i * g
        t = tanh(c)
        b[0, j] = t
        b[2, j] = g
        b[3, j] = o
        b[4, j] = f
        b[5, j] = i
        new[j] = c
        out[j] = o * t


@compiled
def lstm_backward(dh: Any, block: Any, work: Any) -> None:
    """work: dcₜ in, dcₜ₋₁ out; the gradients of i f g o."""
    d, b, w = dh.reshape(-1), block.reshape(6, -1), work.reshape(6, -1)
    for j in range(d.shape[0]):
        t, g, o, f, i = b[0, j], b[2, j], b[3, j], b[4, j], b[5, j]
        u = d[j] * o
        dc = w[0, j] + u * (_ONE - t * t)
        w[0, j] = dc * f
        w[1, j] = dc * g * i * (_ONE - i)
        w[2, j] = dc * b[1, j] * f * (_ONE - f)
        w[3, j] = dc * i * (_ONE - g * g)
        w[4, j] = u * t * (_ONE - o)
