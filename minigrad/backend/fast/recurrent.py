"""Recurrent layers over whole sequences, one compiled call each way: the loops of ops/recurrent.

Everything is rows: packed rows (size, F), and states (B, F), whose first rows are the sequences
that run. A row of `steps` says what a step does, in the order of reading: `start` and `count` of
its packed rows; `low`, `high`: rows whose inputs are projected before it; `origin`: the packed row
of the first row of the room for gradients; `done`, `end`: rows whose gradients are complete after
the step back. So inputs are projected right before their use, and gradients multiplied while
they are in cache. Weights come as they are, or `turned`, (K, G·H), which multiplies faster.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .blas import product
from .numerics import SAFE, tanh

compiled = njit(fastmath=SAFE, nogil=True, cache=True, error_model="numpy")
helper = njit(fastmath=SAFE, nogil=True, error_model="numpy")
_ONE, _HALF = np.float32(1), np.float32(0.5)

# -- what the layers share ---------------------------------------------------------------------


@helper
def sigmoids(x: Any) -> None:
    """x ← σ(x)."""
    for k in range(x.shape[0]):
        x[k] = _HALF + _HALF * tanh(_HALF * x[k])


@helper
def tanhs(x: Any) -> None:
    """x ← tanh x. One array: two that may overlap would not vectorise."""
    for k in range(x.shape[0]):
        x[k] = tanh(x[k])


@helper
def add(values: Any, x: Any) -> None:
    """x += values."""
    for k in range(x.shape[0]):
        x[k] += values[k]


@helper
def add_rows(rows: Any, out: Any) -> None:
    """out += rows, if there are any."""
    for j in range(rows.shape[0]):
        add(rows[j], out[j])


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
    H, projected = c.shape[1], w_hr.shape[0] > 0
    for s in range(steps.shape[0]):
        start, n, low, high = steps[s, :4]
        at = start if keep else 0
        if keep:
            product(gemm, rows[low:high], False, w_ih, not turned, gates[low:high], False)
            before[at : at + n] = h[:n]
        else:
            product(gemm, rows[start : start + n], False, w_ih, not turned, gates[:n], False)
        product(gemm, h[:n], False, w_hh, not turned, gates[at : at + n], True)
        for j in range(n):
            gate, cell, was, tanh_c = gates[at + j], c[j], cells[at + j, 0], cells[at + j, 1]
            m = inner[at + j] if projected else h[j]
            add(bias, gate)
            sigmoids(gate[: 2 * H])
            tanhs(gate[2 * H : 3 * H])
            sigmoids(gate[3 * H :])
            for k in range(H):
                was[k] = cell[k]
            for k in range(H):
                cell[k] = gate[H + k] * was[k] + gate[k] * gate[2 * H + k]
            for k in range(H):
                tanh_c[k] = cell[k]
            tanhs(tanh_c)
            for k in range(H):
                m[k] = gate[3 * H + k] * tanh_c[k]
        if projected:
            product(gemm, inner[at : at + n], False, w_hr, True, h[:n], False)
        out[start : start + n] = h[:n]


@compiled
def lstm_backward(
    gemm: Any, steps: Any, dy: Any, dh: Any, dc: Any, w_ih: Any, w_hh: Any, w_hr: Any,
    rows: Any, gates: Any, before: Any, cells: Any, inner: Any,
    dx: Any, dw_ih: Any, dw_hh: Any, db: Any, dw_hr: Any, d: Any, d_h: Any, dm: Any,
) -> None:  # fmt: skip
    """dh and dc: of the states after, then before. d (room, 4H), d_h (room, P), dm: scratch."""
    projected, nothing = w_hr.shape[0] > 0, db[:0]
    for s in range(steps.shape[0] - 1, -1, -1):
        start, n, _, _, origin, done, end = steps[s]
        at = start - origin
        add_rows(dy[start : start + n], dh)
        if projected:
            d_h[at : at + n] = dh[:n]
            product(gemm, dh[:n], False, w_hr, False, dm[:n], False)
        for j in range(n):
            m = dm[j] if projected else dh[j]
            lstm_back(m, dc[j], gates[start + j], cells[start + j], d[at + j])
        product(gemm, d[at : at + n], False, w_hh, False, dh[:n], False)
        if done < end:
            part = d[done - origin : end - origin]
            add_up(gemm, part, part, rows[done:end], before[done:end], w_ih,
                   dx[done:end], dw_ih, dw_hh, db, nothing)  # fmt: skip
            if projected:
                part = d_h[done - origin : end - origin]
                product(gemm, part, True, inner[done:end], False, dw_hr, True)


@helper
def lstm_back(dm: Any, dc: Any, gate: Any, cell: Any, d: Any) -> None:
    """One row: d ← the gradients of i f g o, dc ← that of the cell before."""
    H = dc.shape[0]
    i, f, g, o = gate[:H], gate[H : 2 * H], gate[2 * H : 3 * H], gate[3 * H :]
    was, t = cell[0], cell[1]
    for k in range(H):
        dc[k] += dm[k] * o[k] * (_ONE - t[k] * t[k])
    for k in range(H):
        d[k] = dc[k] * g[k] * i[k] * (_ONE - i[k])
    for k in range(H):
        d[H + k] = dc[k] * was[k] * f[k] * (_ONE - f[k])
    for k in range(H):
        d[2 * H + k] = dc[k] * i[k] * (_ONE - g[k] * g[k])
    for k in range(H):
        d[3 * H + k] = dm[k] * t[k] * o[k] * (_ONE - o[k])
    for k in range(H):
        dc[k] *= f[k]


# -- GRU ---------------------------------------------------------------------------------------


@compiled
def gru_forward(
    gemm: Any, steps: Any, rows: Any, turned: bool, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any,
    h: Any, keep: bool, gates: Any, before: Any, inner: Any, scratch: Any, out: Any,
) -> None:  # fmt: skip
    """gates: r z n; before: hₜ₋₁; inner: U hₜ₋₁ + b' for n. scratch (B, 3H)."""
    H = h.shape[1]
    for s in range(steps.shape[0]):
        start, n, low, high = steps[s, :4]
        at = start if keep else 0
        if keep:
            product(gemm, rows[low:high], False, w_ih, not turned, gates[low:high], False)
        else:
            product(gemm, rows[start : start + n], False, w_ih, not turned, gates[:n], False)
        product(gemm, h[:n], False, w_hh, not turned, scratch[:n], False)
        for j in range(n):
            gate, hidden, u = gates[at + j], h[j], scratch[j]
            was, inside = before[at + j], inner[at + j]
            add(b_ih, gate)
            add(b_hh, u)
            add(u[: 2 * H], gate[: 2 * H])
            sigmoids(gate[: 2 * H])
            for k in range(H):
                inside[k] = u[2 * H + k]
            for k in range(H):
                gate[2 * H + k] += gate[k] * inside[k]
            tanhs(gate[2 * H :])
            for k in range(H):
                was[k] = hidden[k]
            for k in range(H):
                hidden[k] = gate[2 * H + k] + gate[H + k] * (was[k] - gate[2 * H + k])
        out[start : start + n] = h[:n]


@compiled
def gru_backward(
    gemm: Any, steps: Any, dy: Any, dh: Any, w_ih: Any, w_hh: Any,
    rows: Any, gates: Any, before: Any, inner: Any,
    dx: Any, dw_ih: Any, dw_hh: Any, db_ih: Any, db_hh: Any, d_x: Any, d_h: Any,
) -> None:  # fmt: skip
    """dh: of the state after, then before. d_x, d_h (room, 3H): scratch."""
    for s in range(steps.shape[0] - 1, -1, -1):
        start, n, _, _, origin, done, end = steps[s]
        at = start - origin
        add_rows(dy[start : start + n], dh)
        for j in range(n):
            row = start + j
            gru_back(dh[j], gates[row], before[row], inner[row], d_x[at + j], d_h[at + j])
        product(gemm, d_h[at : at + n], False, w_hh, False, dh[:n], True)
        if done < end:
            here = slice(done - origin, end - origin)
            add_up(gemm, d_x[here], d_h[here], rows[done:end], before[done:end], w_ih,
                   dx[done:end], dw_ih, dw_hh, db_ih, db_hh)  # fmt: skip


@helper
def gru_back(dh: Any, gate: Any, was: Any, inside: Any, d_x: Any, d_h: Any) -> None:
    """One row: the gradients of r z n by W x + b, and by U h + b'; dh ← dh ∘ z."""
    H = dh.shape[0]
    r, z, m = gate[:H], gate[H : 2 * H], gate[2 * H :]
    for k in range(H):
        d_x[2 * H + k] = dh[k] * (_ONE - z[k]) * (_ONE - m[k] * m[k])
    for k in range(H):
        d_x[k] = d_x[2 * H + k] * inside[k] * r[k] * (_ONE - r[k])
    for k in range(H):
        d_x[H + k] = dh[k] * (was[k] - m[k]) * z[k] * (_ONE - z[k])
    for k in range(2 * H):
        d_h[k] = d_x[k]
    for k in range(H):
        d_h[2 * H + k] = d_x[2 * H + k] * r[k]
    for k in range(H):
        dh[k] *= z[k]


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
            before[at : at + n] = h[:n]
        else:
            product(gemm, rows[start : start + n], False, w_ih, not turned, gates[:n], False)
        product(gemm, h[:n], False, w_hh, not turned, gates[at : at + n], True)
        for j in range(n):
            gate = gates[at + j]
            add(bias, gate)
            if relu:
                for k in range(gate.shape[0]):
                    gate[k] = np.float32(0) if gate[k] < 0 else gate[k]  # NaN stays NaN
            else:
                tanhs(gate)
        h[:n] = gates[at : at + n]
        out[start : start + n] = h[:n]


@compiled
def rnn_backward(
    gemm: Any, steps: Any, dy: Any, dh: Any, w_ih: Any, w_hh: Any, relu: bool,
    rows: Any, gates: Any, before: Any, dx: Any, dw_ih: Any, dw_hh: Any, db: Any, d: Any,
) -> None:  # fmt: skip
    """dh: of the state after, then before. d (room, H): scratch."""
    H, nothing = dh.shape[1], db[:0]
    for s in range(steps.shape[0] - 1, -1, -1):
        start, n, _, _, origin, done, end = steps[s]
        at = start - origin
        add_rows(dy[start : start + n], dh)
        for j in range(n):
            g, y, slope = dh[j], gates[start + j], d[at + j]
            if relu:
                for k in range(H):
                    slope[k] = g[k] if y[k] > 0 else g[k] * y[k]  # 0 · g, and NaN stays NaN
            else:
                for k in range(H):
                    slope[k] = g[k] * (_ONE - y[k] * y[k])
        product(gemm, d[at : at + n], False, w_hh, False, dh[:n], False)
        if done < end:
            part = d[done - origin : end - origin]
            add_up(gemm, part, part, rows[done:end], before[done:end], w_ih,
                   dx[done:end], dw_ih, dw_hh, db, nothing)  # fmt: skip
