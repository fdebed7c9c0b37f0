"""The GRU over whole sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
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
from ._workspace import Workspace, workspace
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
    space = workspace(xp, B, dtype, "gru", w_ih.shape, w_hh.shape, b_ih is None, b_hh is None)
    project_input = InputProjection(space, HALVED, w_ih, b_ih, rows)
    room = space.array("w_hh", 3 * H, H + (b_hh is not None))
    recurrent = arrange(xp, w_hh, HALVED, b_hh, room)
    out, previous = batch.outputs(xp, h0)
    hidden = batch.columns(xp, h0)
    launch = backend.fused(xp, "gru_forward", dtype)
    all_forward = backend.fused(xp, "gru_persistent", dtype)
    saved = []

    for run in batch.runs:
        n, starts = run
        # A step's block: r, z, U hₜ₋₁ + b' for n, hₜ₋₁ - n, n.
        blocks = xp.empty((len(starts) if keep else 1, 5, H, n), dtype=dtype)
        state, gates, recur = space.product(recurrent, n)
        h = state[:H]
        step = space.once(n, partial(forward_step, xp, gates, h))
        h[...], state[H:] = hidden[:, :n], 1  # for the bias

        steps = project_input(n, starts)
        if all_forward is not None and all_forward(
            project_input.at_once, recurrent, h, blocks, out, n, starts
        ):
            steps = iter(())
        every = zip(steps, batch.steps(run, out), cycle(blocks), strict=False)
        for (_, projected), h_rows, block in every:
            recur()
            if launch is None:
                step(projected, h_rows, block)
            else:
                launch(gates, projected, block, h, h_rows)
        hidden[:, :n] = h
        saved.append(blocks)
    space.keep()

    ys = batch.unpack(xp, out), batch.states(xp, hidden)
    return ys, (batch, rows, previous, saved) if keep else None


def forward_step(xp: Any, gates: Array, h: Array) -> Callable[[Array, Array, Array], None]:
    """A function `step(projected, rows, block)` for the steps of a run, one after the other.

    From W xₜ + b, and U hₜ₋₁ + b' in `gates`, r z halved, to its block, and hₜ in h and in rows.
    """
    H = len(h)
    half = xp.full((), 0.5, dtype=h.dtype)
    gates_rz, gates_n, turned = gates[: 2 * H], gates[2 * H :], h.T
    add, multiply, subtract, tanh, copyto = xp.add, xp.multiply, xp.subtract, xp.tanh, xp.copyto

    def step(projected: Array, rows: Array, block: Array) -> None:
        r, z, from_h, change, new = block
        rz = block[:2].reshape(gates_rz.shape)
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
    space = workspace(xp, batch.B, dtype, "gru back", w_ih.shape, w_hh.shape)
    sums = GateGradients(space, batch, 4, H, max(w_ih.size, w_hh.size), dtype)
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
            dh, d, through, step = space.once(n, partial(step_back, space, n, H))
            back = space.columns("back", n, H)
            recur = product(xp, weight, d[1:].reshape(3 * H, n), back)
            dh[...] = dhidden[:, :n]
            if all_backward is not None and all_backward(
                w_hh, blocks, None, dy, dh, None, sums.columns, n, starts
            ):
                dhidden[:, :n] = dh
                continue
            dys = repeat(None) if dy is None else batch.steps(run, dy)[::-1]

            for start, upstream, block in zip(reversed(starts), dys, blocks[::-1], strict=False):
                columns = sums.columns(start, n)
                if sums.waiting:
                    yield
                if launch is not None:
                    launch(dh, upstream, block, columns)
                    backend.accumulate(weight, columns[1:].reshape(3 * H, n), dh)
                    continue
                if upstream is not None:
                    add(dh, upstream.T, dh)
                step(block)
                copyto(columns, d)
                recur()
                add(back, through, dh)
            dhidden[:, :n] = dh

    sums.take(steps_back())
    space.keep()
    dx = None if dx is None else batch.unpack(xp, dx)
    return dx, batch.states(xp, dhidden), dw_ih, dw_hh, db_ih, db_hh


def step_back(
    space: Workspace, n: int, H: int
) -> tuple[Array, Array, Array, Callable[[Array], None]]:
    """The places of dhₜ, of dn, dr, dz, d(U h + b') of n, and of dhₜ ∘ z; and a step.

    A step goes from the first to the others, by the block that the way forward saved.
    """
    multiply, subtract = space.xp.multiply, space.xp.subtract
    dh, work = space.columns("dh", n, H), space.columns("work", n, 5, H)
    dn, dhn, through, drz, dhn_through = work[0], work[3], work[4], work[1:3], work[3:]
    u, w = v = space.columns("products", n, 2, H)

    def step(block: Array) -> None:
        r, z, _, _, new = block
        rz, from_h_change = block[:2], block[2:4]
        multiply(dh, z, through)
        subtract(dh, through, u)  # dh ∘ (1 - z)
        multiply(u, new, w)
        multiply(w, new, w)
        subtract(u, w, dn)
        multiply(dn, r, dhn)
        multiply(dhn_through, from_h_change, drz)  # dn ∘ r ∘ (U h + b'), dh ∘ z ∘ (h - n)
        multiply(drz, rz, v)
        subtract(drz, v, drz)  # … ∘ (1 - r), … ∘ (1 - z)

    return dh, work[:4], through, step


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
