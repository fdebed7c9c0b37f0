"""The GRU over whole sequences."""

from __future__ import annotations

from typing import Any

from ...backend import Array
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
    half = xp.full((), 0.5, dtype=dtype)
    add, multiply, subtract, tanh, copyto = xp.add, xp.multiply, xp.subtract, xp.tanh, xp.copyto

    for n, starts in batch.runs:
        # A step's block: r, z, U hₜ₋₁ + b' for n, hₜ₋₁ - n, n.
        blocks = xp.empty((len(starts) if keep else 1, 5, H, n), dtype=dtype)
        gates = xp.empty((3 * H, n), dtype=dtype)
        state = xp.ones((recurrent.shape[1], n), dtype=dtype)  # hₜ₋₁, and ones for the bias
        h, t = state[:H], xp.empty((H, n), dtype=dtype)
        recur = product(xp, recurrent, state, gates)
        h[...] = hidden[:, :n]

        for step, (start, projected) in enumerate(project_input(n, starts)):
            block = blocks[step % len(blocks)]
            rz, new, change = block[:2].reshape(2 * H, n), block[4], block[3]
            recur()
            add(gates[: 2 * H], projected[: 2 * H], rz)
            tanh(rz, rz)
            multiply(rz, half, rz)
            add(rz, half, rz)
            copyto(block[2], gates[2 * H :])
            multiply(block[0], block[2], new)
            add(new, projected[2 * H :], new)
            tanh(new, new)
            subtract(h, new, change)
            multiply(block[1], change, t)
            add(new, t, h)
            copyto(out[start : start + n], h.T)
        hidden[:, :n] = h
        saved.append(blocks)

    ys = batch.unpack(xp, out), batch.states(xp, hidden)
    return ys, (batch, rows, previous, saved) if keep else None


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
    add, multiply, subtract, copyto = xp.add, xp.multiply, xp.subtract, xp.copyto

    for (n, starts), blocks in zip(reversed(batch.runs), reversed(saved), strict=True):
        work = xp.empty((5, H, n), dtype=dtype)  # dn, dr, dz, d(U h + b') of n, dh ∘ z
        d, dn, drz, dhn, dhn_t, t = work[:4], work[0], work[1:3], work[3], work[3:], work[4]
        v = xp.empty((2, H, n), dtype=dtype)
        u, w = v
        dh, back = xp.empty((2, H, n), dtype=dtype)
        recur = product(xp, w_hh.T, work[1:4].reshape(3 * H, n), back)
        dh[...] = dhidden[:, :n]

        for step in range(len(starts) - 1, -1, -1):
            start, block = starts[step], blocks[step]  # r, z, U h + b', h - n, n
            if dy is not None:
                add(dh, dy[start : start + n].T, dh)
            multiply(dh, block[1], t)
            subtract(dh, t, u)  # dh ∘ (1 - z)
            multiply(u, block[4], w)
            multiply(w, block[4], w)
            subtract(u, w, dn)
            multiply(dn, block[0], dhn)
            multiply(dhn_t, block[2:4], drz)  # dn ∘ r ∘ (U h + b'), and dh ∘ z ∘ (h - n)
            multiply(drz, block[:2], v)
            subtract(drz, v, drz)  # … ∘ (1 - r), … ∘ (1 - z)
            copyto(sums.columns(start, n), d)
            recur()
            add(back, t, dh)
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
