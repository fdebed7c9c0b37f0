"""What a recurrent layer does with one row between its products: one loop each, in registers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.core.compiler import Compiler

from .numerics import SAFE, sigmoid, tanh


class Apart(Compiler):  # type: ignore[misc]  # numba has no types
    """For a function whose arrays never overlap: LLVM then need not prove it to use vectors."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()


row = njit(fastmath=SAFE, nogil=True, error_model="numpy", pipeline_class=Apart)
_ONE = np.float32(1)


@row
def add(values: Any, x: Any) -> None:
    """x += values."""
    for k in range(x.shape[0]):
        x[k] += values[k]


@row
def copy(values: Any, x: Any) -> None:
    """x ← values."""
    for k in range(x.shape[0]):
        x[k] = values[k]


@row
def lstm_row(gate: Any, bias: Any, c: Any, cell: Any, m: Any) -> None:
    """From the preactivations to the gates i f g o, and to m = o ∘ tanh c."""
    H = c.shape[0]
    for k in range(H):
        i = sigmoid(gate[k] + bias[k])
        f = sigmoid(gate[H + k] + bias[H + k])
        g = tanh(gate[2 * H + k] + bias[2 * H + k])
        o = sigmoid(gate[3 * H + k] + bias[3 * H + k])
        gate[k], gate[H + k], gate[2 * H + k], gate[3 * H + k] = i, f, g, o
        cell[0, k] = c[k]
        c[k] = f * c[k] + i * g
        cell[1, k] = tanh(c[k])
        m[k] = o * cell[1, k]


@row
def lstm_row_back(dm: Any, dc: Any, gate: Any, cell: Any, d: Any) -> None:
    """d ← the gradients of i f g o, dc ← that of the cell before."""
    H = dc.shape[0]
    for k in range(H):
        i, f, g, o = gate[k], gate[H + k], gate[2 * H + k], gate[3 * H + k]
        was, t = cell[0, k], cell[1, k]
        whole = dc[k] + dm[k] * o * (_ONE - t * t)
        d[k] = whole * g * i * (_ONE - i)
        d[H + k] = whole * was * f * (_ONE - f)
        d[2 * H + k] = whole * i * (_ONE - g * g)
        d[3 * H + k] = dm[k] * t * o * (_ONE - o)
        dc[k] = whole * f


@row
def gru_row(gate: Any, u: Any, b_ih: Any, b_hh: Any, h: Any, inner: Any) -> None:
    """From W x and U h to the gates r z n, and to the next h."""
    H = h.shape[0]
    for k in range(H):
        r = sigmoid(gate[k] + b_ih[k] + (u[k] + b_hh[k]))
        z = sigmoid(gate[H + k] + b_ih[H + k] + (u[H + k] + b_hh[H + k]))
        inner[k] = u[2 * H + k] + b_hh[2 * H + k]
        n = tanh(gate[2 * H + k] + b_ih[2 * H + k] + r * inner[k])
        gate[k], gate[H + k], gate[2 * H + k] = r, z, n
        h[k] = n + z * (h[k] - n)


@row
def gru_row_back(dh: Any, gate: Any, before: Any, inner: Any, d_x: Any, d_h: Any) -> None:
    """The gradients of r z n by W x + b, and by U h + b'; dh ← dh ∘ z."""
    H = dh.shape[0]
    for k in range(H):
        r, z, n = gate[k], gate[H + k], gate[2 * H + k]
        dn = dh[k] * (_ONE - z) * (_ONE - n * n)
        dr = dn * inner[k] * r * (_ONE - r)
        dz = dh[k] * (before[k] - n) * z * (_ONE - z)
        d_x[k], d_x[H + k], d_x[2 * H + k] = dr, dz, dn
        d_h[k], d_h[H + k], d_h[2 * H + k] = dr, dz, dn * r
        dh[k] *= z


@row
def rnn_row(gate: Any, bias: Any, relu: bool) -> None:
    """From the preactivations to the next h."""
    for k in range(gate.shape[0]):
        x = gate[k] + bias[k]
        if relu:
            gate[k] = np.float32(0) if x < 0 else x  # NaN stays NaN
        else:
            gate[k] = tanh(x)


@row
def rnn_row_back(dh: Any, y: Any, d: Any, relu: bool) -> None:
    """d ← the gradient of the preactivations."""
    for k in range(dh.shape[0]):
        if relu:
            d[k] = dh[k] if y[k] > 0 else dh[k] * y[k]  # 0 · g, and NaN stays NaN
        else:
            d[k] = dh[k] * (_ONE - y[k] * y[k])
