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
    sigmoids, products = block[3:], xp.empty_like(block[:2])
    xp.tanh(gates, block[2:].reshape(gates.shape))
    xp.multiply(sigmoids, 0.5, sigmoids)
    xp.add(sigmoids, 0.5, sigmoids)
    xp.multiply(block[4:], block[1:3], products)  # f ∘ cₜ₋₁, i ∘ g
    xp.add(products[0], products[1], after)
    xp.tanh(after, block[0])
    xp.multiply(block[3], block[0], m)
    xp.copyto(rows, m.T)


def backward_step(
    xp: Any, work: Array, dm: Array, _dy: None, block: Array, carry: Array, d: Array
) -> None:
    """From dm, dcₜ in `carry` and the step's block to d: di df dg do; carry becomes dcₜ₋₁."""
    multiply, subtract = xp.multiply, xp.subtract
    u, t, through, dc = work[:4]
    v, w, i_f = work[4:6], work[6:8], block[:3:-1]
    multiply(dm, block[3], t)  # dm ∘ o
    multiply(t, block[0], u)  # dm ∘ o ∘ tanh c
    multiply(u, block[3], d[3])
    subtract(u, d[3], d[3])  # u ∘ (1 - o)
    multiply(u, block[0], through)
    subtract(t, through, through)  # t ∘ (1 - tanh² c)
    xp.add(carry, through, dc)
    multiply(dc, i_f, w)  # dc ∘ i, and dc ∘ f, which is the step before's dc
    multiply(w, block[2:0:-1], v)  # dc ∘ i ∘ g and dc ∘ f ∘ cₜ₋₁
    multiply(v, i_f, d[:2])
    subtract(v, d[:2], d[:2])
    multiply(v[0], block[2], d[2])
    subtract(w[0], d[2], d[2])
    xp.copyto(carry, w[1])


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
    add, copyto = xp.add, xp.copyto
    compiled = backend.fused(xp, "lstm_backward", dtype)
    direct = compiled is not None and not on_cpu(xp)
    all_backward = backend.fused(xp, "lstm_persistent_backward", dtype) if w_hr is None else None

    for (n, starts), blocks in zip(reversed(batch.runs), reversed(saved), strict=True):
        d = xp.empty((4, H, n), dtype=dtype)  # i f g o
        step_back = compiled or partial(backward_step, xp, xp.empty((8, H, n), dtype=dtype))
        dm, carry = xp.empty((2, H, n), dtype=dtype)
        dh = dm if w_hr is None else xp.empty((P, n), dtype=dtype)
        recur = product(xp, w_hh.T, d.reshape(4 * H, n), dh)
        project = None if w_hr is None else product(xp, w_hr.T, dh, dm)
        dh[...], carry[...] = dhidden[:, :n], dcell[:, :n]
        if all_backward is not None and all_backward(
            w_hh, blocks, dy, dh, carry, sums.columns, n, starts
        ):
            dhidden[:, :n], dcell[:, :n] = dh, carry
            continue

        for step in range(len(starts) - 1, -1, -1):
            start = starts[step]
            upstream = None if dy is None else dy[start : start + n]
            if upstream is not None and (project is not None or not direct):
                add(dh, upstream.T, dh)
                upstream = None
            if project is not None:
                copyto(projection_sums.columns(start, n)[0], dh)
                project()
            columns = sums.columns(start, n)
            if direct:
                step_back(dm, upstream, blocks[step], carry, columns)
                backend.matmul(w_hh.T, columns.reshape(4 * H, n), dh)
            else:
                step_back(dm, None, blocks[step], carry, d)
                copyto(columns, d)
                recur()
        dhidden[:, :n], dcell[:, :n] = dh, carry

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
