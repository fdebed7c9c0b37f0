"""Recurrent layers over whole sequences, one compiled call each way: the loops of ops/recurrent.

Everything is rows: packed rows (size, F), and states (B, F), whose first rows are the sequences
that run. A row of `steps` says what a step does, in the order of reading: `start` and `count` of
its packed rows; `low`, `high`: rows whose inputs are projected before it; `origin`: the packed row
of the first row of the room for gradients; `done`, `end`: rows whose gradients are complete after
the step back. So inputs are projected right before their use, and gradients multiplied while
they are in cache. Beside the weights there is room for them turned, `t_ih` and `t_hh`, if that
pays; `copies` is for hₜ₋₁ of each row, if it is not to be found in the outputs.

The first step takes no product with states that are zero, and backward none if nobody asked for
the gradient of the `first` states.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from .blas import product, turn, turned_product
from .cells import add, copy, gru_row, gru_row_back, lstm_row, lstm_row_back, rnn_row, rnn_row_back
from .numerics import SAFE

compiled = njit(fastmath=SAFE, nogil=True, cache=True, error_model="numpy")
helper = njit(fastmath=SAFE, nogil=True, error_model="numpy")

# -- what the layers share ---------------------------------------------------------------------


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
def turn_both(w_ih: Any, w_hh: Any, t_ih: Any, t_hh: Any) -> None:
    """The panels of both weights, if there is room for panels."""
    if t_hh.shape[0]:
        turn(w_ih, t_ih)
        turn(w_hh, t_hh)


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
    gemm: Any, steps: Any, rows: Any, w_ih: Any, w_hh: Any, t_ih: Any, t_hh: Any,
    bias: Any, w_hr: Any, h: Any, c: Any, keep: bool,
    gates: Any, copies: Any, cells: Any, inner: Any, out: Any,
) -> None:  # fmt: skip
    """gates: i f g o; cells: cₜ₋₁ and tanh cₜ; inner: o ∘ tanh cₜ, if projected."""
    projected = w_hr.shape[0] > 0
    turn_both(w_ih, w_hh, t_ih, t_hh)
    for s in range(steps.shape[0]):
        start, n, low, high = steps[s, :4]
        at = start if keep else 0
        if keep:
            turned_product(gemm, rows[low:high], w_ih, t_ih, gates[low:high], False)
        else:
            turned_product(gemm, rows[start : start + n], w_ih, t_ih, gates[:n], False)
        copy_rows(h, copies[at : at + n])
        if s or some(h):
            turned_product(gemm, h[:n], w_hh, t_hh, gates[at : at + n], True)
        for j in range(n):
            m = inner[at + j] if projected else h[j]
            lstm_row(gates[at + j], bias, c[j], cells[at + j], m)
        if projected:
            product(gemm, inner[at : at + n], False, w_hr, True, h[:n], False)
        copy_rows(h, out[start : start + n])


@compiled
def lstm_backward(
    gemm: Any, steps: Any, dy: Any, dh: Any, dc: Any, w_ih: Any, w_hh: Any, w_hr: Any,
    rows: Any, gates: Any, before: Any, cells: Any, inner: Any, first: bool,
    dx: Any, dw_ih: Any, dw_hh: Any, db: Any, dw_hr: Any, d: Any, d_h: Any, dm: Any,
) -> None:  # fmt: skip
    """dh and dc: of the states after, then before. d (room, 4H), d_h (room, P), dm: scratch."""
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


# -- GRU ---------------------------------------------------------------------------------------


@compiled
def gru_forward(
    gemm: Any, steps: Any, rows: Any, w_ih: Any, w_hh: Any, t_ih: Any, t_hh: Any,
    b_ih: Any, b_hh: Any, h: Any, keep: bool,
    gates: Any, copies: Any, inner: Any, scratch: Any, out: Any,
) -> None:  # fmt: skip
    """gates: r z n; inner: U hₜ₋₁ + b' for n. scratch (B, 3H), zeros."""
    turn_both(w_ih, w_hh, t_ih, t_hh)
    for s in range(steps.shape[0]):
        start, n, low, high = steps[s, :4]
        at = start if keep else 0
        if keep:
            turned_product(gemm, rows[low:high], w_ih, t_ih, gates[low:high], False)
        else:
            turned_product(gemm, rows[start : start + n], w_ih, t_ih, gates[:n], False)
        copy_rows(h, copies[at : at + n])
        if s or some(h):
            turned_product(gemm, h[:n], w_hh, t_hh, scratch[:n], False)
        for j in range(n):
            gru_row(gates[at + j], scratch[j], b_ih, b_hh, h[j], inner[at + j])
        copy_rows(h, out[start : start + n])


@compiled
def gru_backward(
    gemm: Any, steps: Any, dy: Any, dh: Any, w_ih: Any, w_hh: Any,
    rows: Any, gates: Any, before: Any, inner: Any, first: bool,
    dx: Any, dw_ih: Any, dw_hh: Any, db_ih: Any, db_hh: Any, d_x: Any, d_h: Any,
) -> None:  # fmt: skip
    """dh: of the state after, then before. d_x, d_h (room, 3H): scratch."""
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


# -- RNN ---------------------------------------------------------------------------------------


@compiled
def rnn_forward(
    gemm: Any, steps: Any, rows: Any, w_ih: Any, w_hh: Any, t_ih: Any, t_hh: Any,
    bias: Any, relu: bool, h: Any, keep: bool, gates: Any, copies: Any, out: Any,
) -> None:  # fmt: skip
    """gates (size, H): hₜ."""
    turn_both(w_ih, w_hh, t_ih, t_hh)
    for s in range(steps.shape[0]):
        start, n, low, high = steps[s, :4]
        at = start if keep else 0
        if keep:
            turned_product(gemm, rows[low:high], w_ih, t_ih, gates[low:high], False)
        else:
            turned_product(gemm, rows[start : start + n], w_ih, t_ih, gates[:n], False)
        copy_rows(h, copies[at : at + n])
        if s or some(h):
            turned_product(gemm, h[:n], w_hh, t_hh, gates[at : at + n], True)
        for j in range(n):
            rnn_row(gates[at + j], bias, relu)
        copy_rows(gates[at : at + n], h[:n])
        copy_rows(h, out[start : start + n])


@compiled
def rnn_backward(
    gemm: Any, steps: Any, dy: Any, dh: Any, w_ih: Any, w_hh: Any, relu: bool,
    rows: Any, gates: Any, before: Any, first: bool,
    dx: Any, dw_ih: Any, dw_hh: Any, db: Any, d: Any,
) -> None:  # fmt: skip
    """dh: of the state after, then before. d (room, H): scratch."""
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
