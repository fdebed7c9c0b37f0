"""The LSTM over whole sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, repeat
from typing import Any, NamedTuple

from ... import backend
from ...backend import Array, on_cpu
from ...engine import Tensor, fused, ops
from ._gradients import GateGradients
from ._products import product
from ._scan import scan
from ._schedule import Lengths, schedule
from ._shared import Preactivations, total
from ._step import lstm_step
from ._workspace import Workspace, workspace
from .checks import check

# The forward loops keep the gates in an order of their own, the sigmoids together, given here by
# place in PyTorch's i f g o. σ(x) = ½ + ½ tanh(x/2): the inner ½ goes into the weights.
G_F_O_I = ((2, 1.0), (1, 0.5), (3, 0.5), (0, 0.5))
G_O_F_I = ((2, 1.0), (3, 0.5), (1, 0.5), (0, 0.5))  # of a GPU's kernels


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
    whole = backend.fused(xp, "lstm_sequence", dtype)
    if whole is not None:
        return whole(batch, x, h0, c0, w_ih, w_hh, total(b_ih, b_hh), w_hr, keep)
    if T == 1 and batch.rows is None and w_hr is None and on_cpu(xp):
        ys, back = lstm_step(xp, x, h0, c0, w_ih, w_hh, total(b_ih, b_hh))
        return ys, back if keep else None
    rows = batch.pack(xp, x)
    bias = total(b_ih, b_hh)
    launch = backend.fused(xp, "lstm_forward", dtype)
    order, begin = (G_F_O_I, numpy_steps) if launch is None else (G_O_F_I, launched_steps)
    out, previous = batch.outputs(xp, h0)
    hidden, cell = batch.columns(xp, h0), batch.columns(xp, c0)
    unprojected = xp.empty((batch.size if w_hr is not None else 0, H), dtype=dtype)
    rows_of_m = out if w_hr is None else unprojected
    saved = []

    space = workspace(xp, B, dtype, "lstm", w_ih.shape, w_hh.shape, bias is None)
    preactivations = Preactivations(space, order, w_ih, w_hh, bias, rows, batch)
    for run in batch.runs:
        n, starts = run
        h, steps = preactivations(n, starts)
        m = h if w_hr is None else space.columns("m", n, H)
        project = None if w_hr is None else product(xp, w_hr, m, h)
        loop, turned = begin(space, n, H, len(starts), keep, launch), m.T
        h[...], loop.before[...] = hidden[:, :n], cell[:, :n]
        if w_hr is None and preactivations.at_once("lstm", n, starts, h, loop.saved, out):
            steps = iter(())
        every = zip(steps, batch.steps(run, rows_of_m), loop.blocks, strict=False)
        for (start, gates), m_rows, block in every:
            loop.step(gates, m, turned, m_rows, block)
            if project is not None:
                project()
                xp.copyto(out[start : start + n], h.T)
        hidden[:, :n], cell[:, :n] = h, loop.after
        saved.append(loop.saved)
    space.keep()

    ys = batch.unpack(xp, out), batch.states(xp, hidden), batch.states(xp, cell)
    return ys, (batch, rows, previous, saved, unprojected) if keep else None


class Steps(NamedTuple):
    """The steps of a run, one after the other.

    `step(gates, m, mᵀ, rows, block)` goes from the preactivations of the gates to o ∘ tanh cₜ, in m
    and in rows, and saves for the way back in the next of `blocks`, the parts of `saved`. c₀ is to
    be put into `before`, the last cₜ will be in `after`.
    """

    before: Array
    after: Array
    step: Callable[[Array, Array, Array, Array, Any], None]
    blocks: Iterator[Any]
    saved: Array


def numpy_steps(space: Workspace, n: int, H: int, count: int, keep: bool, _launch: Any) -> Steps:
    """Steps that save the factors of the step back, made while the gates are in cache.

    They are, (steps, 6, H, n): of d(o ∘ tanh cₜ) by cₜ; of dcₜ by the preactivations of g and f; of
    d(o ∘ tanh cₜ) by that of o; of dcₜ by that of i, and by cₜ₋₁.
    """
    c, step = space.once(n, partial(numpy_step, space, n, H))
    saved = space.xp.empty((count if keep else 0, 6, H, n), dtype=space.dtype)
    factors = zip(saved[:, :2], saved[:, 2:5], saved[:, 5], strict=True)
    return Steps(c, c, step, factors if keep else repeat(None), saved)


def numpy_step(space: Workspace, n: int, H: int) -> tuple[Array, Callable[..., None]]:
    """The place of cₜ, and a function that takes a step.

    Whatever one call takes stands together in memory: calls are most of the time of a narrow step.
    """
    xp = space.xp
    work = space.columns("work", n, 6, H)  # cₜ, tanh cₜ, g, f, o, i
    products = space.columns("products", n, 3, H)  # f ∘ cₜ₋₁, o ∘ tanh cₜ, i ∘ g
    half = xp.full((), 0.5, dtype=space.dtype)
    c, tanh_c, g, f, o, i = work
    gates_of, sigmoids, o_i, tanh_c_g = work[2:].reshape(4 * H, n), work[3:], work[4:], work[1:3]
    fc, om, ig = products
    om_ig = products[1:]
    tanh, add, multiply, subtract, copyto = xp.tanh, xp.add, xp.multiply, xp.subtract, xp.copyto

    def step(
        gates: Array, m: Array, turned: Array, rows: Array, factors: Sequence[Array] | None
    ) -> None:
        tanh(gates, gates_of)
        multiply(sigmoids, half, sigmoids)
        add(sigmoids, half, sigmoids)
        multiply(f, c, fc)
        multiply(i, g, ig)
        add(fc, ig, c)
        tanh(c, tanh_c)
        multiply(o, tanh_c, om)
        copyto(m, om)
        copyto(rows, turned)
        if factors is not None:
            of_tanhs, of_sigmoids, of_c = factors
            multiply(om_ig, tanh_c_g, of_tanhs)
            subtract(o_i, of_tanhs, of_tanhs)  # o ∘ (1 - tanh² cₜ), i ∘ (1 - g²)
            multiply(products, sigmoids, of_sigmoids)
            subtract(products, of_sigmoids, of_sigmoids)  # f ∘ cₜ₋₁ ∘ (1 - f), …
            copyto(of_c, f)

    return c, step


def launched_steps(space: Workspace, n: int, H: int, count: int, keep: bool, launch: Any) -> Steps:
    """Steps of a GPU, which save tanh cₜ, cₜ₋₁, g, o, f, i, as little as they can compute from."""
    saved = space.xp.empty((count + 1 if keep else 2, 6, H, n), dtype=space.dtype)
    after = *saved[1:, 1], saved[0, 1]  # the next block takes cₜ

    def step(gates: Array, m: Array, _: Array, rows: Array, blocks: Sequence[Array]) -> None:
        launch(gates, *blocks, m, rows)

    blocks = zip(cycle(saved), cycle(after), strict=False)
    return Steps(saved[0, 1], saved[count % len(saved), 1], step, blocks, saved)


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
    if callable(residual):
        return residual(gs, needs)
    _, h0, c0, w_ih, w_hh, _, _, w_hr = inputs
    batch, rows, previous, saved, unprojected = residual
    P, H, dtype = h0.shape[1], c0.shape[1], c0.dtype
    if previous is None:
        previous = batch.previous(xp, ys[0], h0)
    dy = None if gs[0] is None else batch.pack(xp, gs[0])
    dhidden = batch.columns(xp, xp.zeros_like(h0) if gs[1] is None else gs[1])
    dcell = batch.columns(xp, xp.zeros_like(c0) if gs[2] is None else gs[2])

    every = slice(None)
    space = workspace(xp, batch.B, dtype, "lstm back", w_ih.shape, w_hh.shape)
    sums = GateGradients(space, batch, 4, H, max(w_ih.size, w_hh.size), dtype)
    dx = sums.for_inputs(every, w_ih) if needs[0] else None
    dw_ih = sums.for_weight(every, rows) if needs[3] else None
    dw_hh = sums.for_weight(every, previous) if needs[4] else None
    db = sums.for_bias(every) if needs[5] or needs[6] else None
    dw_hr = None
    if w_hr is not None:
        projection_sums = GateGradients(space, batch, 1, P, w_hr.size, dtype)
        dw_hr = projection_sums.for_weight(every, unprojected)
    add, copyto = xp.add, xp.copyto
    launch: Any = backend.fused(xp, "lstm_backward", dtype)
    back = backend.operand(w_hh.T)
    all_backward = backend.fused(xp, "lstm_persistent_backward", dtype) if w_hr is None else None

    def steps_back() -> Iterator[None]:
        for run, blocks in zip(reversed(batch.runs), reversed(saved), strict=True):
            n, starts = run
            dm, carry, d, step = space.once(n, partial(step_back, space, n, H))
            dh = dm if w_hr is None else space.columns("dh", n, P)
            recur = product(xp, back, d.reshape(4 * H, n), dh)
            project = None if w_hr is None else product(xp, w_hr.T, dh, dm)
            dh[...], carry[...] = dhidden[:, :n], dcell[:, :n]
            if all_backward is not None and all_backward(
                w_hh, blocks, None, dy, dh, carry, sums.columns, n, starts
            ):
                dhidden[:, :n], dcell[:, :n] = dh, carry
                continue
            dys = repeat(None) if dy is None else batch.steps(run, dy)[::-1]
            turned = blocks[len(starts) - 1 :: -1]
            for start, upstream, block in zip(reversed(starts), dys, turned, strict=False):
                if upstream is not None and (project is not None or launch is None):
                    add(dh, upstream.T, dh)
                    upstream = None
                if project is not None:
                    columns = projection_sums.columns(start, n)
                    projection_sums.flush()
                    copyto(columns[0], dh)
                    project()
                columns = sums.columns(start, n)
                if sums.waiting:
                    yield
                if launch is not None:
                    launch(dm, upstream, block, carry, columns)
                    backend.matmul(back, columns.reshape(4 * H, n), dh)
                else:
                    step(block)
                    copyto(columns, d)
                    recur()
            dhidden[:, :n], dcell[:, :n] = dh, carry

    sums.take(steps_back())
    if w_hr is not None:
        projection_sums.finish()
    space.keep()
    dx = None if dx is None else batch.unpack(xp, dx)
    return dx, batch.states(xp, dhidden), batch.states(xp, dcell), dw_ih, dw_hh, db, db, dw_hr


def step_back(
    space: Workspace, n: int, H: int
) -> tuple[Array, Array, Array, Callable[[Array], None]]:
    """The places of d(o ∘ tanh cₜ), of dcₜ, and of the gates' gradients i f g o; and a step.

    A step goes from the first two to the gates' and to dcₜ₋₁, by the factors that were saved.
    """
    add, multiply = space.xp.add, space.xp.multiply
    dm, carry, dc, through = (space.columns(k, n, H) for k in ("dm", "carry", "dc", "through"))
    d = space.columns("d", n, 4, H)
    di, df, dg, do = d

    def step(block: Array) -> None:
        of_m, of_g, of_f, of_o, of_i, of_c = block
        multiply(dm, of_m, through)
        multiply(dm, of_o, do)
        add(carry, through, dc)
        multiply(dc, of_i, di)
        multiply(dc, of_f, df)
        multiply(dc, of_g, dg)
        multiply(dc, of_c, carry)

    return dm, carry, d, step


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
