"""What the tests of the fused recurrent ops share: arguments, outputs with gradients, the ops."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops.recurrent import gru, lstm, rnn

OPS = {"rnn": (rnn, 1, 1), "lstm": (lstm, 4, 2), "gru": (gru, 3, 1)}  # op, gates, states
kinds = pytest.mark.parametrize("kind", OPS)
ways = pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])


def arguments(kind, T, B, I, H, *, seed=0, dtype="float64", proj=0, bias=True):
    """x, the initial states, and the weights, as host arrays."""
    rng = np.random.default_rng(seed)
    _, gates, states = OPS[kind]
    P = proj or H
    shapes = [(T, B, I), (B, P), (B, H)][: 1 + states]
    shapes += [(gates * H, I), (gates * H, P), (gates * H,), (gates * H,)]
    args = [rng.uniform(-0.6, 0.6, shape).astype(dtype) for shape in shapes]
    if not bias:
        args[-2:] = [None, None]
    if kind == "lstm":
        args.append(rng.uniform(-0.6, 0.6, (P, H)).astype(dtype) if proj else None)
    return args


def cotangents(ys, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(y.shape).astype(y.dtype) for y in ys]


def run(function, args, vs=None, **params):
    """Outputs, and the gradient of Σ v · output with respect to each argument."""
    xs = [None if a is None else mg.asarray(a).requires_grad_() for a in args]
    ys = function(*xs, **params)
    vs = cotangents(ys) if vs is None else vs
    wanted = [x for x in xs if x is not None]
    grads = mg.grad(list(ys), wanted, [mg.asarray(v) for v in vs])
    found = iter([g.numpy() for g in grads])
    return [y.numpy() for y in ys], [None if a is None else next(found) for a in args]


def both(result):
    """Outputs and gradients in one list."""
    return [*result[0], *result[1]]


def assert_close(got, expected, tolerance):
    for a, b in zip(got, expected, strict=True):
        if a is not None or b is not None:
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
