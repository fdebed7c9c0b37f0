"""The plain recurrent layer over whole sequences."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Any

from ... import backend
from ...backend import Array
from ...engine import Tensor, fused, ops
from ...errors import ConfigError
from ._gradients import GateGradients
from ._products import product
from ._scan import scan
from ._schedule import Lengths, schedule
from ._shared import Preactivations, total
from ._workspace import workspace
from .checks import check

PLAIN = ((0, 1.0),)


@fused
def rnn(
    xp: Any,
    x: Array,
    h0: Array,
    w_ih: Array,
    w_hh: Array,
    b_ih: Array | None = None,
    b_hh: Array | None = None,
    *,
    nonlinearity: str = "tanh",
    lengths: Lengths = None,
    reverse: bool = False,
    keep: bool,
) -> tuple[tuple[Array, Array], Any]:
    """One plain recurrent layer, one direction, over whole sequences: hₜ = φ(W xₜ + U hₜ₋₁ + b).

    Shapes: x (T, B, I), h0 (B, H), w_ih (H, I), w_hh (H, H), b_ih and b_hh (H,); φ is tanh or relu.
    Returns y (T, B, H), h_T (B, H). `lengths` and `reverse` as in `lstm`.

    Raises: ShapeError, DTypeError if the arguments do not fit; ConfigError for another φ.
    Paper: Elman 1990.
    """
    lengths = check("rnn", 1, x, {"h0": h0}, w_ih, w_hh, b_ih, b_hh, lengths)
    if nonlinearity not in {"tanh", "relu"}:
        raise ConfigError(f"rnn: nonlinearity is {nonlinearity!r}, expected 'tanh' or 'relu'")
    T, B, _ = x.shape
    batch = schedule(T, B, lengths, reverse)
    whole = backend.fused(xp, "rnn_sequence", x.dtype)
    if whole is not None:
        return whole(batch, x, h0, w_ih, w_hh, total(b_ih, b_hh), nonlinearity == "relu", keep)
    rows, bias = batch.pack(xp, x), total(b_ih, b_hh)
    space = workspace(xp, B, x.dtype, "rnn", w_ih.shape, w_hh.shape, bias is None)
    preactivations = Preactivations(space, PLAIN, w_ih, w_hh, bias, rows, batch)
    out, previous = batch.outputs(xp, h0)
    hidden = batch.columns(xp, h0)
    zero = xp.zeros((), dtype=x.dtype)
    step_forward = backend.fused(xp, "rnn_forward", x.dtype)

    tanh, copyto, is_tanh = xp.tanh, xp.copyto, nonlinearity == "tanh"

    for run in batch.runs:
        n, starts = run
        h, steps = preactivations(n, starts)
        h[...], turned = hidden[:, :n], h.T
        if preactivations.at_once("rnn", n, starts, h, h, out, not is_tanh):
            steps = iter(())
        for (_, gate), h_rows in zip(steps, batch.steps(run, out), strict=False):
            if step_forward is not None:
                step_forward(gate, h, h_rows, nonlinearity)
                continue
            if is_tanh:
                tanh(gate, h)
            else:
                xp.maximum(gate, zero, out=h)
            copyto(h_rows, turned)
        hidden[:, :n] = h
    space.keep()

    ys = batch.unpack(xp, out), batch.states(xp, hidden)
    return ys, (batch, rows, previous, out) if keep else None


@rnn.backward
def _(
    xp: Any,
    gs: tuple[Array | None, ...],
    ys: tuple[Array, ...],
    inputs: tuple[Any, ...],
    residual: Any,
    needs: tuple[bool, ...],
    *,
    nonlinearity: str,
    lengths: Lengths,
    reverse: bool,
) -> tuple[Array | None, ...]:
    if callable(residual):
        return residual(gs, needs)
    _, h0, w_ih, w_hh, _, _ = inputs
    batch, rows, previous, out = residual
    H, dtype = h0.shape[1], h0.dtype
    if previous is None:
        previous = batch.previous(xp, ys[0], h0)
    dy = None if gs[0] is None else batch.pack(xp, gs[0])
    dhidden = batch.columns(xp, xp.zeros_like(h0) if gs[1] is None else gs[1])
    every = slice(None)
    space = workspace(xp, batch.B, dtype, "rnn back", w_ih.shape, w_hh.shape)
    sums = GateGradients(space, batch, 1, H, max(w_ih.size, w_hh.size), dtype)
    dx = sums.for_inputs(every, w_ih) if needs[0] else None
    dw_ih = sums.for_weight(every, rows) if needs[2] else None
    dw_hh = sums.for_weight(every, previous) if needs[3] else None
    db = sums.for_bias(every) if needs[4] or needs[5] else None
    one = xp.ones((), dtype=dtype)
    step_backward, weight = backend.fused(xp, "rnn_backward", dtype), backend.operand(w_hh.T)
    all_backward = backend.fused(xp, "rnn_persistent_backward", dtype)

    add, multiply, subtract, copyto = xp.add, xp.multiply, xp.subtract, xp.copyto

    def steps_back() -> Iterator[None]:
        for run in reversed(batch.runs):
            n, starts = run
            dh, slope, d = space.columns("work", n, 3, H)
            recur = product(xp, weight, d, dh)
            dh[...] = dhidden[:, :n]
            if all_backward is not None and all_backward(
                w_hh, None, out, dy, dh, None, sums.columns, n, starts, nonlinearity == "relu"
            ):
                dhidden[:, :n] = dh
                continue
            dys = repeat(None) if dy is None else batch.steps(run, dy)[::-1]
            hs = batch.steps(run, out)[::-1]
            for start, upstream, h_rows in zip(reversed(starts), dys, hs, strict=False):
                columns = sums.columns(start, n)[0]
                if sums.waiting:
                    yield
                if step_backward is not None:
                    step_backward(dh, upstream, h_rows, columns, nonlinearity)
                    backend.matmul(weight, columns, dh)
                    continue
                if upstream is not None:
                    add(dh, upstream.T, dh)
                copyto(slope, h_rows.T)
                if nonlinearity == "tanh":
                    multiply(slope, slope, slope)
                    subtract(one, slope, slope)
                else:
                    xp.sign(slope, slope)
                multiply(dh, slope, d)
                copyto(columns, d)
                recur()
            dhidden[:, :n] = dh

    sums.take(steps_back())
    space.keep()
    dx = None if dx is None else batch.unpack(xp, dx)
    return dx, batch.states(xp, dhidden), dw_ih, dw_hh, db, db


@rnn.composite
def _(
    x: Tensor,
    h0: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    *,
    nonlinearity: str,
    lengths: Lengths,
    reverse: bool,
) -> tuple[Tensor, Tensor]:
    activation = ops.tanh if nonlinearity == "tanh" else ops.relu

    def step(x: Tensor, h: Tensor) -> tuple[Tensor]:
        return (activation(ops.linear(x, w_ih, b_ih) + ops.linear(h, w_hh, b_hh)),)

    return scan(step, x, (h0,), lengths, reverse)
