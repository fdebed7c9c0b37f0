"""Recurrent layers over whole sequences, one compiled call each way: the loops of ops/recurrent.

Everything is rows: packed rows (size, F), and states (B, F), whose first rows are the sequences
that run. A row of `steps` says what a step does, in the order of reading: `start` and `count` of
its packed rows; `low`, `high`: rows whose inputs are projected before it; `origin`: the packed row
of the first row of the room for gradients; `done`, `end`: rows whose gradients are complete after
the step back. So inputs are projected right before their use, and gradients multiplied while
they are in cache. Weights come as they are, or `turned`, (K, G·H), which multiplies faster.

What follows a product is one loop per row, all of it in registers: five tanh, and as many numbers
read and written as there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numba.core.compiler import Compiler

from .blas import product
from .numerics import SAFE, sigmoid, tanh


class Apart(Compiler):  # type: ignore[misc]  # numba has no types
    """For a function whose arrays never overlap: LLVM then need not prove it to use vectors."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()


compiled = njit(fastmath=SAFE, nogil=True, cache=True, error_model="numpy")
helper = njit(fastmath=SAFE, nogil=True, error_model="numpy")
row = njit(fastmath=SAFE, nogil=True, error_model="numpy", pipeline_class=Apart)
_ONE = np.float32(1)

# -- what the layers share ---------------------------------------------------------------------


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


@helper
def add_rows(rows: Any, out: Any) -> None:
    """out += rows, if there are any."""
    for j in range(rows.shape[0]):
        add(rows[j], out[j])


@helper
def copy_rows(rows: Any, out: Any) -> None:
    """out ← rows, or what `out` has room for."""
    for j in range(out.shape[0]):
        copy(rows[j], out[j])


@helper
def some(x: Any) -> bool:
    """Whether anything in x (N, F) is not zero."""
    for j in range(x.shape[0]):
        for k in range(x.shape[1]):
            if x[j, k] != 0:
                return True
    return False


@helper
def add_up(
    gemm: Any, d_x: Any, d_h: Any, rows: Any, before: Any, w_ih: Any,
    dx: Any, dw_ih: Any, dw_hh: Any, db_ih: Any, db_hh: Any,
) -> None:  # fmt: skip
    """What follows from the gradients of some rows' gates, by W x + b and by U h + b'.

    What is not wanted has no elements.
    """
    if dx.shape[1]:
        product(gemm, d_x, False, w_ih, False, dx, False)
    product(gemm, d_x, True, rows, False, dw_ih, True)
    product(gemm, d_h, True, before, False, dw_hh, True)
    for j in range(d_x.shape[0]):
        add(d_x[j], db_ih)
        add(d_h[j], db_hh)


# -- LSTM --------------------------------------------------------------------------------------


@compiled
def lstm_forward(
    gemm: Any, steps: Any, rows: Any, turned: bool, w_ih: Any, w_hh: Any, bias: Any, w_hr: Any,
    h: Any, c: Any, keep: bool, gates: Any, before: Any, cells: Any, inner: Any, out: Any,
) -> None:  # fmt: skip
    """gates: i f g o; before: hₜ₋₁; cells: cₜ₋₁ and tanh cₜ; inner: o ∘ tanh cₜ, if projected."""
    projected = w_hr.shape[0] > 0
    for s in range(steps.shape[0]):
        start, n, low, high = steps[s, :4]
        at = start if keep else 0
        if keep:
            product(gemm, rows[low:high], False, w_ih, not turned, gates[low:high], False)
            copy_rows(h, before[at : at + n])
        else:
            product(gemm, rows[start : start + n], False, w_ih, not turned, gates[:n], False)
        if s or some(h):
            product(gemm, h[:n], False, w_hh, not turned, gates[at : at + n], True)
        for j in range(n):
            m = inner[at + j] if projected else h[j]
            lstm_row(gates[at + j], bias, c[j], cells[at + j], m)
        if projected:
            product(gemm, inner[at : at + n], False, w_hr, True, h[:n], False)
        copy_rows(h, out[start : start + n])


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


@compiled
def lstm_backward(
    gemm: Any, steps: Any, dy: Any, dh: Any, dc: Any, w_ih: Any, w_hh: Any, w_hr: Any,
    rows: Any, gates: Any, before: Any, cells: Any, inner: Any, first: bool,
    dx: Any, dw_ih: Any, dw_hh: Any, db: Any, dw_hr: Any, d: Any, d_h: Any, dm: Any,
) -> None:  # fmt: skip
    """dh and dc: of the states after, then before, of the first ones only if `first`.

    d (room, 4H), d_h (room, P), dm: scratch.
    """
    projected, nothing = w_hr.shape[0] > 0, db[:0]
    for s in range(steps.shape[0] - 1, -1, -1):
        start, n, _, _, origin, done, end = steps[s]
        at = start - origin
        add_rows(dy[start : start + n], dh)
        if projected:
            copy_rows(dh, d_h[at : at + n])
            product(gemm, dh[:n], False, w_hr, False, dm[:n], False)
        for j in range(n):
            m = dm[j] if projected else dh[j]
            lstm_row_back(m, dc[j], gates[start + j], cells[start + j], d[at + j])
        if s or first:
            product(gemm, d[at : at + n], False, w_hh, False, dh[:n], False)
        if done < end:
            part = d[done - origin : end - origin]
            add_up(gemm, part, part, rows[done:end], before[done:end], w_ih,
                   dx[done:end], dw_ih, dw_hh, db, nothing)  # fmt: skip
            if projected:
                part = d_h[done - origin : end - origin]
                product(gemm, part, True, inner[done:end], False, dw_hr, True)


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


# -- GRU ---------------------------------------------------------------------------------------


@compiled
def gru_forward(
    gemm: Any, steps: Any, rows: Any, turned: bool, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any,
    h: Any, keep: bool, gates: Any, before: Any, inner: Any, scratch: Any, out: Any,
) -> None:  # fmt: skip
    """gates: r z n; before: hₜ₋₁; inner: U hₜ₋₁ + b' for n. scratch (B, 3H), zeros."""
    for s in range(steps.shape[0]):
        start, n, low, high = steps[s, :4]
        at = start if keep else 0
        if keep:
            product(gemm, rows[low:high], False, w_ih, not turned, gates[low:high], False)
        else:
            product(gemm, rows[start : start + n], False, w_ih, not turned, gates[:n], False)
        if s or some(h):
            product(gemm, h[:n], False, w_hh, not turned, scratch[:n], False)
        for j in range(n):
            gru_row(gates[at + j], scratch[j], b_ih, b_hh, h[j], before[at + j], inner[at + j])
        copy_rows(h, out[start : start + n])


@row
def gru_row(gate: Any, u: Any, b_ih: Any, b_hh: Any, h: Any, before: Any, inner: Any) -> None:
    """From W x and U h to the gates r z n, and to the next h."""
    H = h.shape[0]
    for k in range(H):
        r = sigmoid(gate[k] + b_ih[k] + (u[k] + b_hh[k]))
        z = sigmoid(gate[H + k] + b_ih[H + k] + (u[H + k] + b_hh[H + k]))
        inner[k] = u[2 * H + k] + b_hh[2 * H + k]
        n = tanh(gate[2 * H + k] + b_ih[2 * H + k] + r * inner[k])
        gate[k], gate[H + k], gate[2 * H + k] = r, z, n
        before[k] = h[k]
        h[k] = n + z * (h[k] - n)


@compiled
def gru_backward(
    gemm: Any, steps: Any, dy: Any, dh: Any, w_ih: Any, w_hh: Any,
    rows: Any, gates: Any, before: Any, inner: Any, first: bool,
    dx: Any, dw_ih: Any, dw_hh: Any, db_ih: Any, db_hh: Any, d_x: Any, d_h: Any,
) -> None:  # fmt: skip
    """dh: of the state after, then before, of the first one only if `first`.

    d_x, d_h (room, 3H): scratch.
    """
    for s in range(steps.shape[0] - 1, -1, -1):
        start, n, _, _, origin, done, end = steps[s]
        at = start - origin
        add_rows(dy[start : start + n], dh)
        for j in range(n):
            i = start + j
            gru_row_back(dh[j], gates[i], before[i], inner[i], d_x[at + j], d_h[at + j])
        if s or first:
            product(gemm, d_h[at : at + n], False, w_hh, False, dh[:n], True)
        if done < end:
            here = slice(done - origin, end - origin)
            add_up(gemm, d_x[here], d_h[here], rows[done:end], before[done:end], w_ih,
                   dx[done:end], dw_ih, dw_hh, db_ih, db_hh)  # fmt: skip


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


# -- RNN ---------------------------------------------------------------------------------------


@compiled
def rnn_forward(
    gemm: Any, steps: Any, rows: Any, turned: bool, w_ih: Any, w_hh: Any, bias: Any, relu: bool,
    h: Any, keep: bool, gates: Any, before: Any, out: Any,
) -> None:  # fmt: skip
    """gates (size, H): hₜ; before: hₜ₋₁."""
    for s in range(steps.shape[0]):
        start, n, low, high = steps[s, :4]
        at = start if keep else 0
        if keep:
            product(gemm, rows[low:high], False, w_ih, not turned, gates[low:high], False)
            copy_rows(h, before[at : at + n])
        else:
            product(gemm, rows[start : start + n], False, w_ih, not turned, gates[:n], False)
        if s or some(h):
            product(gemm, h[:n], False, w_hh, not turned, gates[at : at + n], True)
        for j in range(n):
            rnn_row(gates[at + j], bias, relu)
        copy_rows(gates[at : at + n], h[:n])
        copy_rows(h, out[start : start + n])


@row
def rnn_row(gate: Any, bias: Any, relu: bool) -> None:
    """From the preactivations to the next h."""
    for k in range(gate.shape[0]):
        x = gate[k] + bias[k]
        if relu:
            gate[k] = np.float32(0) if x < 0 else x  # NaN stays NaN
        else:
            gate[k] = tanh(x)


@compiled
def rnn_backward(
    gemm: Any, steps: Any, dy: Any, dh: Any, w_ih: Any, w_hh: Any, relu: bool,
    rows: Any, gates: Any, before: Any, first: bool,
    dx: Any, dw_ih: Any, dw_hh: Any, db: Any, d: Any,
) -> None:  # fmt: skip
    """dh: of the state after, then before, of the first one only if `first`.

    d (room, H): scratch.
    """
    nothing = db[:0]
    for s in range(steps.shape[0] - 1, -1, -1):
        start, n, _, _, origin, done, end = steps[s]
        at = start - origin
        add_rows(dy[start : start + n], dh)
        for j in range(n):
            rnn_row_back(dh[j], gates[start + j], d[at + j], relu)
        if s or first:
            product(gemm, d[at : at + n], False, w_hh, False, dh[:n], False)
        if done < end:
            part = d[done - origin : end - origin]
            add_up(gemm, part, part, rows[done:end], before[done:end], w_ih,
                   dx[done:end], dw_ih, dw_hh, db, nothing)  # fmt: skip


@row
def rnn_row_back(dh: Any, y: Any, d: Any, relu: bool) -> None:
    """d ← the gradient of the preactivations."""
    for k in range(dh.shape[0]):
        if relu:
            d[k] = dh[k] if y[k] > 0 else dh[k] * y[k]  # 0 · g, and NaN stays NaN
        else:
            d[k] = dh[k] * (_ONE - y[k] * y[k])
