"""The GRU over whole sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, repeat
from typing import Any

from ... import backend
from ...backend import Array
from ...engine import Tensor, fused, ops
from ._gradients import GateGradients
from ._products import product
from ._scan import scan
from ._schedule import Lengths, schedule
from ._shared import InputProjection, arrange
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
    whole = backend.fused(xp, "gru_sequence", dtype)
    if whole is not None:
        return whole(batch, x, h0, w_ih, w_hh, b_ih, b_hh, keep)
    rows = batch.pack(xp, x)
    project_input = InputProjection(xp, arrange(xp, w_ih, HALVED, b_ih), rows)
    recurrent = arrange(xp, w_hh, HALVED, b_hh)
    out, previous = batch.outputs(xp, h0)
    hidden = batch.columns(xp, h0)
    launch = backend.fused(xp, "gru_forward", dtype)
    all_forward = backend.fused(xp, "gru_persistent", dtype)
    saved = []

    for run in batch.runs:
        n, starts = run
        # A step's block: r, z, U hₜ₋₁ + b' for n, hₜ₋₁ - n, n.
        blocks = xp.empty((len(starts) if keep else 1, 5, H, n), dtype=dtype)
        gates = xp.empty((3 * H, n), dtype=dtype)
        state = xp.ones((recurrent.shape[1], n), dtype=dtype)  # hₜ₋₁, and ones for the bias
        h = state[:H]
        recur = product(xp, recurrent, state, gates)
        step = forward_step(xp, gates, h, blocks, launch)
        h[...] = hidden[:, :n]

        steps = project_input(n, starts)
        if all_forward is not None and all_forward(
            project_input.at_once, recurrent, h, blocks, out, n, starts
        ):
            steps = iter(())
        for (_, projected), h_rows in zip(steps, batch.steps(run, out), strict=False):
            recur()
            step(projected, h_rows)
        hidden[:, :n] = h
        saved.append(blocks)

    ys = batch.unpack(xp, out), batch.states(xp, hidden)
    return ys, (batch, rows, previous, saved) if keep else None


def forward_step(
    xp: Any, gates: Array, h: Array, blocks: Array, launch: Any
) -> Callable[[Array, Array], None]:
    """A function `step(projected, rows)` for the steps of a run, one after the other.

    From W xₜ + b, and U hₜ₋₁ + b' in `gates`, r z halved, to its block, and hₜ in h and in rows.
    """
    if launch is not None:
        turn = cycle(blocks)
        return lambda projected, rows: launch(gates, projected, next(turn), h, rows)
    H, n = h.shape
    both = blocks[:, :2].reshape(len(blocks), 2 * H, n)
    views = cycle(zip(both, *[blocks[:, k] for k in range(5)], strict=True)).__next__
    half = xp.full((), 0.5, dtype=h.dtype)
    gates_rz, gates_n, turned = gates[: 2 * H], gates[2 * H :], h.T
    add, multiply, subtract, tanh, copyto = xp.add, xp.multiply, xp.subtract, xp.tanh, xp.copyto

    def step(projected: Array, rows: Array) -> None:
        rz, r, z, from_h, change, new = views()
        add(gates_rz, projected[: 2 * H], rz)
        tanh(rz, rz)
        multiply(rz, half, rz)
        add(rz, half, rz)
        copyto(from_h, gates_n)
        multiply(r, from_h, new)
        add(new, projected[2 * H :], new)
        tanh(new, new)
        subtract(h, new, change)
        multiply(z, change, h)
        add(new, h, h)
        copyto(rows, turned)

    return step


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
    if callable(residual):
        return residual(gs, needs)
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
    launch: Any = backend.fused(xp, "gru_backward", dtype)
    all_backward = backend.fused(xp, "gru_persistent_backward", dtype)
    weight = backend.operand(w_hh.T)

    def steps_back() -> Iterator[None]:
        for run, blocks in zip(reversed(batch.runs), reversed(saved), strict=True):
            n, starts = run
            work = xp.empty((5, H, n), dtype=dtype)  # dn, dr, dz, d(U h + b') of n, dh ∘ z
            d = work[:4]
            dh, back = xp.empty((2, H, n), dtype=dtype)
            recur = product(xp, weight, d[1:].reshape(3 * H, n), back)
            dh[...] = dhidden[:, :n]
            if all_backward is not None and all_backward(
                w_hh, blocks, None, dy, dh, None, sums.columns, n, starts
            ):
                dhidden[:, :n] = dh
                continue
            dys = repeat(None) if dy is None else batch.steps(run, dy)[::-1]
            step = step_back(xp, dh, work, blocks[::-1]) if launch is None else None

            for start, upstream, block in zip(reversed(starts), dys, blocks[::-1], strict=False):
                columns = sums.columns(start, n)
                if sums.waiting:
                    yield
                if step is None:
                    launch(dh, upstream, block, columns)
                    backend.accumulate(weight, columns[1:].reshape(3 * H, n), dh)
                    continue
                if upstream is not None:
                    add(dh, upstream.T, dh)
                step()
                copyto(columns, d)
                recur()
                add(back, work[4], dh)
            dhidden[:, :n] = dh

    sums.take(steps_back())
    dx = None if dx is None else batch.unpack(xp, dx)
    return dx, batch.states(xp, dhidden), dw_ih, dw_hh, db_ih, db_hh


def step_back(xp: Any, dh: Array, work: Array, blocks: Array) -> Callable[[], None]:
    """A function that takes the next step back: from dh to `work`, by the blocks in that order."""
    multiply, subtract = xp.multiply, xp.subtract
    dn, dhn, through, drz, dhn_through = work[0], work[3], work[4], work[1:3], work[3:]
    u, w = v = xp.empty_like(drz)
    views = zip(
        *[blocks[:, k] for k in (0, 1, 4)], blocks[:, :2], blocks[:, 2:4], strict=True
    ).__next__

    def step() -> None:
        r, z, new, rz, from_h_change = views()
        multiply(dh, z, through)
        subtract(dh, through, u)  # dh ∘ (1 - z)
        multiply(u, new, w)
        multiply(w, new, w)
        subtract(u, w, dn)
        multiply(dn, r, dhn)
        multiply(dhn_through, from_h_change, drz)  # dn ∘ r ∘ (U h + b'), dh ∘ z ∘ (h - n)
        multiply(drz, rz, v)
        subtract(drz, v, drz)  # … ∘ (1 - r), … ∘ (1 - z)

    return step


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
