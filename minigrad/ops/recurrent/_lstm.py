"""The LSTM over whole sequences."""

from __future__ import annotations

from functools import partial
from typing import Any

from ... import backend
from ...backend import Array, on_cpu
from ...engine import Tensor, fused, ops
from ._products import product
from ._scan import scan
from ._schedule import Lengths, schedule
from ._shared import GateGradients, Preactivations, total
from .checks import check

# The forward loop keeps its gates in the order g o f i: the sigmoids, and the factors of each
# product, are then neighbours in memory. σ(x) = ½ + ½ tanh(x/2): the inner ½ goes into the weights.
HALVED = ((2, 1.0), (3, 0.5), (1, 0.5), (0, 0.5))  # (place in PyTorch's i f g o, factor)
GROUP = 1 << 14  # elements of a gate for which slopes are made at once, in the cache


@fused
def lstm(
    xp: Any,
    x: Array,
    h0: Array,
    c0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    w_hr: Array | None = None,
    *,
    lengths: Lengths = None,
    reverse: bool = False,
    keep: bool,
) -> tuple[tuple[Array, Array, Array], Any]:
    """One layer of long short-term memory, one direction, over whole sequences.

        i, f, o = σ(W xₜ + U hₜ₋₁ + b)        g = tanh(W xₜ + U hₜ₋₁ + b)
        cₜ = f ∘ cₜ₋₁ + i ∘ g                  hₜ = o ∘ tanh(cₜ)       [hₜ = W_hr (o ∘ tanh(cₜ))]

    Shapes: x (T, B, I), h0 (B, P), c0 (B, H), w_ih (4H, I), w_hh (4H, P), b_ih and b_hh (4H,), with
    the gates in the order i f g o; w_hr (P, H) projects the hidden state, else P = H. Returns
    y (T, B, P), h_T (B, P), c_T (B, H).

    `lengths`: how many steps of each sequence exist; outputs beyond are 0, the final state is each
    sequence's own, and what stands in x there is never read. `reverse`: each sequence is read from
    its last element to its first; outputs stay in clock order.

    Raises: ShapeError, DTypeError if the arguments do not fit.
    Papers: Hochreiter & Schmidhuber 1997; Gers et al. 2000; projection: Sak et al. 2014.
    """
    lengths = check("lstm", 4, x, {"h0": h0, "c0": c0}, w_ih, w_hh, b_ih, b_hh, lengths, w_hr)
    (T, B, _), H, dtype = x.shape, c0.shape[1], x.dtype
    batch = schedule(T, B, lengths, reverse)
    rows = batch.pack(xp, x)
    preactivations = Preactivations(xp, HALVED, w_ih, w_hh, total(b_ih, b_hh), rows, batch)
    out, previous = batch.outputs(xp, h0)
    hidden, cell = batch.columns(xp, h0), batch.columns(xp, c0)
    unprojected = xp.empty((batch.size if w_hr is not None else 0, H), dtype=dtype)
    saved = []
    rows_of_m = out if w_hr is None else unprojected
    step_forward = backend.fused(xp, "lstm_forward", dtype) or partial(forward_step, xp)

    for n, starts in batch.runs:
        # A step's block: tanh cₜ, cₜ₋₁, g, o, f, i. The next block takes cₜ.
        blocks = xp.empty((len(starts) + 1 if keep else 2, 6, H, n), dtype=dtype)
        h, steps = preactivations(n, starts)
        m = h if w_hr is None else xp.empty((H, n), dtype=dtype)
        project = None if w_hr is None else product(xp, w_hr, m, h)
        h[...], blocks[0, 1] = hidden[:, :n], cell[:, :n]

        if w_hr is None and preactivations.at_once(n, starts, h, blocks, out):
            steps, after = iter(()), blocks[-1, 1]
        for step, (start, gates) in enumerate(steps):
            after = blocks[(step + 1) % len(blocks), 1]
            step_forward(gates, blocks[step % len(blocks)], after, m, rows_of_m[start : start + n])
            if project is not None:
                project()
                xp.copyto(out[start : start + n], h.T)
        hidden[:, :n], cell[:, :n] = h, after
        saved.append(blocks)

    ys = batch.unpack(xp, out), batch.states(xp, hidden), batch.states(xp, cell)
    return ys, (batch, rows, previous, saved, unprojected) if keep else None


def forward_step(xp: Any, gates: Array, block: Array, after: Array, m: Array, rows: Array) -> None:
    """From the preactivations of g o f i to the step's block, cₜ, and o ∘ tanh cₜ in m and rows."""
    sigmoids, half = block[3:], xp.full((), 0.5, dtype=block.dtype)
    products = xp.empty_like(block[:2])
    xp.tanh(gates, block[2:].reshape(gates.shape))
    xp.multiply(sigmoids, half, sigmoids)
    xp.add(sigmoids, half, sigmoids)
    xp.multiply(block[4:], block[1:3], products)  # f ∘ cₜ₋₁, i ∘ g
    xp.add(products[0], products[1], after)
    xp.tanh(after, block[0])
    xp.multiply(block[3], block[0], m)
    xp.copyto(rows, m.T)


def make_slopes(xp: Any, blocks: Array, slopes: Array) -> None:
    """Of some steps (k, 6, H, n): cₜ by cₜ₋₁ and by the gates i f g, hₜ by o and by cₜ."""
    t, g, o, f, i = (blocks[:, k] for k in (0, 2, 3, 4, 5))
    ig_fc, ot, spare = slopes[:, 1:3], slopes[:, 0], xp.empty_like(slopes[:, :2])
    multiply, subtract = xp.multiply, xp.subtract
    multiply(o, t, ot)
    multiply(ot[:, None], blocks[:, 3::-3], spare)  # by o, by t
    subtract(ot, spare[:, 0], slopes[:, 4])  # tanh c ∘ o ∘ (1 - o)
    subtract(o, spare[:, 1], slopes[:, 5])  # o ∘ (1 - tanh² c)
    multiply(blocks[:, :3:-1], blocks[:, 2:0:-1], ig_fc)
    multiply(ig_fc[:, 0], g, spare[:, 0])
    subtract(i, spare[:, 0], slopes[:, 3])  # i ∘ (1 - g²)
    multiply(ig_fc, blocks[:, :3:-1], spare)
    subtract(ig_fc, spare, ig_fc)  # i ∘ g ∘ (1 - i), f ∘ cₜ₋₁ ∘ (1 - f)
    xp.copyto(slopes[:, 0], f)


@lstm.backward
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
    _, h0, c0, w_ih, w_hh, _, _, w_hr = inputs
    batch, rows, previous, saved, unprojected = residual
    P, H, dtype = h0.shape[1], c0.shape[1], c0.dtype
    if previous is None:
        previous = batch.previous(xp, ys[0], h0)
    dy = None if gs[0] is None else batch.pack(xp, gs[0])
    dhidden = batch.columns(xp, xp.zeros_like(h0) if gs[1] is None else gs[1])
    dcell = batch.columns(xp, xp.zeros_like(c0) if gs[2] is None else gs[2])

    every = slice(None)
    sums = GateGradients(xp, batch, 4, H, max(w_ih.size, w_hh.size), dtype)
    dx = sums.for_inputs(every, w_ih) if needs[0] else None
    dw_ih = sums.for_weight(every, rows) if needs[3] else None
    dw_hh = sums.for_weight(every, previous) if needs[4] else None
    db = sums.for_bias(every) if needs[5] or needs[6] else None
    dw_hr = None
    if w_hr is not None:
        projection_sums = GateGradients(xp, batch, 1, P, w_hr.size, dtype)
        dw_hr = projection_sums.for_weight(every, unprojected)
    add, multiply, copyto = xp.add, xp.multiply, xp.copyto
    step_backward = backend.fused(xp, "lstm_backward", dtype)
    all_backward = backend.fused(xp, "lstm_persistent_backward", dtype) if w_hr is None else None

    for (n, starts), blocks in zip(reversed(batch.runs), reversed(saved), strict=True):
        work = xp.empty((6, H, n), dtype=dtype)  # dcₜ₋₁; i f g o; what dh gives dc
        after, d, through, by_dc, by_dh = work[0], work[1:5], work[5], work[:4], work[4:]
        dm, dc = xp.empty((2, H, n), dtype=dtype)
        dh = dm if w_hr is None else xp.empty((P, n), dtype=dtype)
        recur = product(xp, w_hh.T, d.reshape(4 * H, n), dh)
        project = None if w_hr is None else product(xp, w_hr.T, dh, dm)
        dh[...], after[...] = dhidden[:, :n], dcell[:, :n]
        if all_backward is not None and all_backward(
            w_hh, blocks, dy, dh, after, sums.columns, n, starts
        ):
            dhidden[:, :n], dcell[:, :n] = dh, after
            continue
        group = max(1, GROUP // (H * n))
        slopes = xp.empty((group, 6, H, n), dtype=dtype)

        for step in range(len(starts) - 1, -1, -1):
            start, place = starts[step], step % group
            if step_backward is not None and not on_cpu(xp):
                upstream = None if dy is None else dy[start : start + n]
                if project is not None:
                    if upstream is not None:
                        add(dh, upstream.T, dh)
                    copyto(projection_sums.columns(start, n)[0], dh)
                    project()
                    upstream = None
                columns = sums.columns(start, n)
                step_backward(dm, upstream, blocks[step], after, columns)
                backend.matmul(w_hh.T, columns.reshape(4 * H, n), dh)
                continue
            if dy is not None:
                add(dh, dy[start : start + n].T, dh)
            if project is not None:
                copyto(projection_sums.columns(start, n)[0], dh)
                project()
            if step_backward is not None:
                step_backward(dm, None, blocks[step], after, d)
            else:
                if place == group - 1 or step == len(starts) - 1:
                    make_slopes(xp, blocks[step - place : step + 1], slopes[: place + 1])
                multiply(dm, slopes[place, 4:], by_dh)
                add(after, through, dc)
                multiply(dc, slopes[place, :4], by_dc)
            copyto(sums.columns(start, n), d)
            recur()
        dhidden[:, :n], dcell[:, :n] = dh, after

    sums.flush()
    if w_hr is not None:
        projection_sums.flush()
    dx = None if dx is None else batch.unpack(xp, dx)
    return dx, batch.states(xp, dhidden), batch.states(xp, dcell), dw_ih, dw_hh, db, db, dw_hr


@lstm.composite
def _(
    x: Tensor,
    h0: Tensor,
    c0: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    w_hr: Tensor | None,
    *,
    lengths: Lengths,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    H = c0.shape[1]

    def step(x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        gates = ops.linear(x, w_ih, b_ih) + ops.linear(h, w_hh, b_hh)
        i, f, g, o = (gates[:, k * H : (k + 1) * H] for k in range(4))
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return (h if w_hr is None else ops.linear(h, w_hr)), c

    return scan(step, x, (h0, c0), lengths, reverse)
