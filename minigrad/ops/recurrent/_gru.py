"""The GRU over whole sequences."""

from __future__ import annotations

from functools import partial
from typing import Any

from ... import backend
from ...backend import Array, on_cpu
from ...engine import Tensor, fused, ops
from ._products import product
from ._scan import scan
from ._schedule import Lengths, schedule
from ._shared import GateGradients, InputProjection, arrange
from .checks import check

# σ(x) = ½ + ½ tanh(x/2): the inner ½ is folded into the weights of r and z.
HALVED = ((0, 0.5), (1, 0.5), (2, 1.0))  # (place in PyTorch's r z n, factor)
ROTATED = ((2, 1.0), (0, 1.0), (1, 1.0))  # n r z


@fused
def gru(
    xp: Any,
    x: Array,
    h0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    lengths: Lengths = None,
    reverse: bool = False,
    keep: bool,
) -> tuple[tuple[Array, Array], Any]:
    """One layer of gated recurrent units, one direction, over whole sequences.

        r, z = σ(W xₜ + b + U hₜ₋₁ + b')       n = tanh(W xₜ + b + r ∘ (U hₜ₋₁ + b'))
        hₜ = (1 - z) ∘ n + z ∘ hₜ₋₁

    Shapes: x (T, B, I), h0 (B, H), w_ih (3H, I), w_hh (3H, H), b_ih and b_hh (3H,), with the gates
    in the order r z n. Returns y (T, B, H), h_T (B, H). `lengths` and `reverse` as in `lstm`.

    Raises: ShapeError, DTypeError if the arguments do not fit.
    Paper: Cho et al. 2014, with the reset gate after the product, as cuDNN and PyTorch have it.
    """
    lengths = check("gru", 3, x, {"h0": h0}, w_ih, w_hh, b_ih, b_hh, lengths)
    (T, B, _), H, dtype = x.shape, h0.shape[1], x.dtype
    batch = schedule(T, B, lengths, reverse)
    rows = batch.pack(xp, x)
    project_input = InputProjection(xp, arrange(xp, w_ih, HALVED, b_ih), rows)
    recurrent = arrange(xp, w_hh, HALVED, b_hh)
    out, previous = batch.outputs(xp, h0)
    hidden = batch.columns(xp, h0)
    saved = []
    step_forward = backend.fused(xp, "gru_forward", dtype) or partial(forward_step, xp)

    for n, starts in batch.runs:
        # A step's block: r, z, U hₜ₋₁ + b' for n, hₜ₋₁ - n, n.
        blocks = xp.empty((len(starts) if keep else 1, 5, H, n), dtype=dtype)
        gates = xp.empty((3 * H, n), dtype=dtype)
        state = xp.ones((recurrent.shape[1], n), dtype=dtype)  # hₜ₋₁, and ones for the bias
        h = state[:H]
        recur = product(xp, recurrent, state, gates)
        h[...] = hidden[:, :n]

        for step, (start, projected) in enumerate(project_input(n, starts)):
            recur()
            block = blocks[step % len(blocks)]
            step_forward(gates, projected, block, h, out[start : start + n])
        hidden[:, :n] = h
        saved.append(blocks)

    ys = batch.unpack(xp, out), batch.states(xp, hidden)
    return ys, (batch, rows, previous, saved) if keep else None


def forward_step(
    xp: Any, gates: Array, projected: Array, block: Array, h: Array, rows: Array
) -> None:
    """From U hₜ₋₁ + b' and W xₜ + b, r z halved, to the step's block, and hₜ in h and rows."""
    H, n = h.shape
    rz, new, change = block[:2], block[4], block[3]
    flat = rz.reshape(2 * H, n)
    xp.add(gates[: 2 * H], projected[: 2 * H], flat)
    xp.tanh(flat, flat)
    xp.multiply(rz, 0.5, rz)
    xp.add(rz, 0.5, rz)
    xp.copyto(block[2], gates[2 * H :])
    xp.multiply(block[0], block[2], new)
    xp.add(new, projected[2 * H :], new)
    xp.tanh(new, new)
    xp.subtract(h, new, change)
    xp.multiply(block[1], change, h)
    xp.add(new, h, h)
    xp.copyto(rows, h.T)


def backward_step(xp: Any, dh: Array, _dy: None, block: Array, d: Array) -> None:
    """From dh and the step's block to d: dn, dr, dz, d(U h + b') of n; dh becomes dh ∘ z."""
    multiply, subtract = xp.multiply, xp.subtract
    dn, drz, dhn = d[0], d[1:3], d[3]
    u, w = v = xp.empty_like(drz)
    multiply(dh, block[1], w)
    subtract(dh, w, u)  # dh ∘ (1 - z)
    xp.copyto(dh, w)
    multiply(u, block[4], w)
    multiply(w, block[4], w)
    subtract(u, w, dn)
    multiply(dn, block[0], dhn)
    multiply(dhn, block[2], d[1])  # dn ∘ r ∘ (U h + b')
    multiply(dh, block[3], d[2])  # dh ∘ z ∘ (h - n)
    multiply(drz, block[:2], v)
    subtract(drz, v, drz)  # … ∘ (1 - r), … ∘ (1 - z)


@gru.backward
def _(
    xp: Any,
    gs: tuple[Array | None, ...],
    ys: tuple[Array, ...],
    inputs: tuple[Any, ...],
    residual: Any,
    needs: tuple[bool, ...],
    *,
    lengths: Lengths,
    reverse: bool,
) -> tuple[Array | None, ...]:
    _, h0, w_ih, w_hh, _, _ = inputs
    batch, rows, previous, saved = residual
    H, dtype = h0.shape[1], h0.dtype
    if previous is None:
        previous = batch.previous(xp, ys[0], h0)
    dy = None if gs[0] is None else batch.pack(xp, gs[0])
    dhidden = batch.columns(xp, xp.zeros_like(h0) if gs[1] is None else gs[1])

    # The rows of the gradients: n and r z as the inputs meet them, then n as the state does.
    n_x, rz, n_rz, rz_n = slice(H), slice(H, 3 * H), slice(3 * H), slice(H, 4 * H)
    sums = GateGradients(xp, batch, 4, H, max(w_ih.size, w_hh.size), dtype)
    dx = sums.for_inputs(n_rz, arrange(xp, w_ih, ROTATED)) if needs[0] else None
    dw_ih, db_ih = xp.zeros_like(w_ih), xp.zeros(3 * H, dtype=dtype)
    if needs[2]:
        sums.for_weight(rz, rows, dw_ih[: 2 * H])
        sums.for_weight(n_x, rows, dw_ih[2 * H :])
    if needs[4]:
        sums.for_bias(rz, db_ih[: 2 * H])
        sums.for_bias(n_x, db_ih[2 * H :])
    dw_hh = sums.for_weight(rz_n, previous) if needs[3] else None
    db_hh = sums.for_bias(rz_n) if needs[5] else None
    add, copyto = xp.add, xp.copyto
    step_backward = backend.fused(xp, "gru_backward", dtype) or partial(backward_step, xp)
    direct = not on_cpu(xp) and backend.fused(xp, "gru_backward", dtype) is not None
    weight = backend.operand(w_hh.T)

    for (n, starts), blocks in zip(reversed(batch.runs), reversed(saved), strict=True):
        d = xp.empty((4, H, n), dtype=dtype)  # dn, dr, dz, d(U h + b') of n
        dh, back = xp.empty((2, H, n), dtype=dtype)
        recur = product(xp, weight, d[1:].reshape(3 * H, n), back)
        dh[...] = dhidden[:, :n]

        for step in range(len(starts) - 1, -1, -1):
            start = starts[step]
            if direct:
                columns = sums.columns(start, n)
                upstream = None if dy is None else dy[start : start + n]
                step_backward(dh, upstream, blocks[step], columns)
                backend.accumulate(weight, columns[1:].reshape(3 * H, n), dh)
                continue
            if dy is not None:
                add(dh, dy[start : start + n].T, dh)
            step_backward(dh, None, blocks[step], d)
            copyto(sums.columns(start, n), d)
            recur()
            add(back, dh, dh)
        dhidden[:, :n] = dh

    sums.flush()
    dx = None if dx is None else batch.unpack(xp, dx)
    return dx, batch.states(xp, dhidden), dw_ih, dw_hh, db_ih, db_hh


@gru.composite
def _(
    x: Tensor,
    h0: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    *,
    lengths: Lengths,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    H = h0.shape[1]

    def step(x: Tensor, h: Tensor) -> tuple[Tensor]:
        from_x, from_h = ops.linear(x, w_ih, b_ih), ops.linear(h, w_hh, b_hh)
        r, z = (ops.sigmoid(from_x[:, k : k + H] + from_h[:, k : k + H]) for k in (0, H))
        n = ops.tanh(from_x[:, 2 * H :] + r * from_h[:, 2 * H :])
        return ((1 - z) * n + z * h,)

    return scan(step, x, (h0,), lengths, reverse)
