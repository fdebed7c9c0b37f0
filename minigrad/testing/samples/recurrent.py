"""Samples of the recurrent ops: one sequence, one step at a time, as the papers have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...engine.define import FusedOp
from ...ops.recurrent import BOTH, gru, lstm, reverse_each, rnn
from .sample import Sample, real

T, B, I, H, P = 3, 3, 2, 2, 1
UNSORTED = (2, 3, 0)  # of T = 3 steps: shorter, full, empty


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _each(step: Callable[..., Any], x: Any, states: Any, lengths: Any, reverse: bool) -> Any:
    """Run `states = step(x_t, *states)` over each sequence alone; the first state is the output."""
    states = [s.copy() for s in states]
    y = np.zeros((*x.shape[:2], states[0].shape[1]), x.dtype)
    for b, length in enumerate(lengths or (x.shape[0],) * x.shape[1]):
        for t in reversed(range(length)) if reverse else range(length):
            for state, new in zip(states, step(x[t, b], *(s[b] for s in states)), strict=True):
                state[b] = new
            y[t, b] = states[0][b]
    return (y, *states)


def _zero(b: Any) -> Any:
    return 0 if b is None else b


def _rnn(
    x: Any,
    h0: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    *,
    nonlinearity: str = "tanh",
    lengths: Any = None,
    reverse: bool = False,
) -> Any:
    def step(x: Any, h: Any) -> Any:
        a = w_ih @ x + _zero(b_ih) + w_hh @ h + _zero(b_hh)
        return (np.tanh(a) if nonlinearity == "tanh" else np.maximum(a, 0),)

    return _each(step, x, [h0], lengths, reverse)


def _lstm(
    x: Any,
    h0: Any,
    c0: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    w_hr: Any,
    *,
    lengths: Any = None,
    reverse: bool = False,
) -> Any:
    def step(x: Any, h: Any, c: Any) -> Any:
        i, f, g, o = np.split(w_ih @ x + _zero(b_ih) + w_hh @ h + _zero(b_hh), 4)
        c = _sigmoid(f) * c + _sigmoid(i) * np.tanh(g)
        h = _sigmoid(o) * np.tanh(c)
        return h if w_hr is None else w_hr @ h, c

    return _each(step, x, [h0, c0], lengths, reverse)


def _gru(
    x: Any,
    h0: Any,
    w_ih: Any,
    w_hh: Any,
    b_ih: Any,
    b_hh: Any,
    *,
    lengths: Any = None,
    reverse: bool = False,
) -> Any:
    def step(x: Any, h: Any) -> Any:
        r_x, z_x, n_x = np.split(w_ih @ x + _zero(b_ih), 3)
        r_h, z_h, n_h = np.split(w_hh @ h + _zero(b_hh), 3)
        z = _sigmoid(z_x + z_h)
        n = np.tanh(n_x + _sigmoid(r_x + r_h) * n_h)
        return ((1 - z) * n + z * h,)

    return _each(step, x, [h0], lengths, reverse)


def _both(reference: Any) -> Any:
    """Both directions of a reference, as `BOTH` has them."""

    def both(x: Any, *args: Any, reverse: bool = False, **params: Any) -> Any:
        half = len(args) // 2
        y, *ahead = reference(x, *args[:half], reverse=reverse, **params)
        y_back, *back = reference(x, *args[half:], reverse=not reverse, **params)
        return (np.concatenate((y, y_back), axis=2), *ahead, *back)

    return both


def _sample(op: FusedOp, gates: int, reference: Any, label: str, **params: Any) -> Sample:
    bias, projected = "no bias" not in label, "projected" in label
    out = P if projected else H
    states = [real(B, out), real(B, H)] if op is lstm else [real(B, out)]
    weights = [real(gates * H, I), real(gates * H, out)]
    biases = [real(gates * H)] * 2 if bias else [None] * 2
    projection = [real(P, H) if projected else None] if op is lstm else []
    args = (*states, *weights, *biases, *projection)
    if "both" not in label:
        return Sample(op.name, (real(T, B, I), *args), reference, params, label=label)
    inputs = (real(T, B, I), *args, *args)
    return Sample(BOTH[op].name, inputs, _both(reference), params, label=label)


WAYS: dict[str, dict[str, Any]] = {
    "": {},
    "no bias, reverse": {"reverse": True},
    "lengths": {"lengths": UNSORTED},
    "lengths, reverse": {"lengths": UNSORTED, "reverse": True},
}


def _reverse_each(x: Any, lengths: Any) -> Any:
    y = x.copy()
    for b, n in enumerate(lengths):
        y[:n, b] = x[:n, b][::-1]
    return y


SAMPLES = [
    Sample("reverse_each", (real(4, 3, 2), np.array([3, 0, 4])), _reverse_each, call=reverse_each),
    *(_sample(rnn, 1, _rnn, label, **params) for label, params in WAYS.items()),
    _sample(rnn, 1, _rnn, "relu", nonlinearity="relu", lengths=UNSORTED),
    *(_sample(gru, 3, _gru, label, **params) for label, params in WAYS.items()),
    *(_sample(lstm, 4, _lstm, label, **params) for label, params in WAYS.items()),
    _sample(lstm, 4, _lstm, "projected", lengths=UNSORTED, reverse=True),
    _sample(rnn, 1, _rnn, "both", nonlinearity="relu"),
    _sample(gru, 3, _gru, "both, no bias", lengths=UNSORTED),
    _sample(lstm, 4, _lstm, "both", reverse=True),
    _sample(lstm, 4, _lstm, "both, projected", lengths=UNSORTED),
]
