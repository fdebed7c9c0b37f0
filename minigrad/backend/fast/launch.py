"""The compiled kernels with the arguments of the GPU's (see `minigrad.backend.kernels`).

Each takes first `xp`, which makes arrays, and `run(kernel, *arguments, writes=positions)`, which
calls: NumPy and a plain call, or what a recorder of programs puts in their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.backend.device import Array

from . import kernels
from .blas import sgemm

if sgemm() is not None:  # else recurrent layers go on with NumPy
    from .sequences import gru_sequence, lstm_sequence, rnn_sequence  # noqa: F401


def gelu(
    xp: Any, run: Any, x: Array, *, approximate: str, keep: bool
) -> tuple[Array, Array | None]:
    """(y, its derivative or None) of x."""
    kernel = kernels.gelu_tanh if approximate == "tanh" else kernels.gelu
    flat = xp.ascontiguousarray(x).reshape(x.size)
    y = xp.empty(x.size, dtype=x.dtype)
    slope = xp.empty(x.size if keep else 0, dtype=x.dtype)
    run(kernel, flat, y, slope, keep, writes=(1, 2))
    return y.reshape(x.shape), slope.reshape(x.shape) if keep else None


def cross_entropy(
    xp: Any, run: Any, x: Array, ids: Array, scale: Array, divisor: Array, *, keep: bool
) -> tuple[Array, Array, Array | None]:
    """(loss (N,), log Σ exp (N, 1), slope (N, C) or None) of logits x (N, C)."""
    n = len(x)
    loss, logs = xp.empty(n, dtype=x.dtype), xp.empty((n, 1), dtype=x.dtype)
    slope = xp.empty(x.shape if keep else (1, x.shape[1]), dtype=x.dtype)
    x, ids = xp.ascontiguousarray(x), xp.ascontiguousarray(ids, dtype=np.int64)
    run(kernels.cross_entropy, x, ids, scale, divisor, loss, logs, slope, keep, writes=(4, 5, 6))
    return loss, logs, slope if keep else None


def layer_norm_forward(
    xp: Any, run: Any, x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """(y, normal, scale (N, 1)) of rows x (N, D)."""
    D, dtype = x.shape[1], x.dtype
    weight = xp.ones(D, dtype=dtype) if weight is None else xp.ascontiguousarray(weight)
    bias = xp.zeros(D, dtype=dtype) if bias is None else xp.ascontiguousarray(bias)
    y, normal = xp.empty(x.shape, dtype=dtype), xp.empty(x.shape, dtype=dtype)
    scale = xp.empty((len(x), 1), dtype=dtype)
    x = xp.ascontiguousarray(x)
    run(kernels.layer_norm_forward, x, weight, bias, eps, y, normal, scale, writes=(4, 5, 6))
    return y, normal, scale


def layer_norm_backward(
    xp: Any, run: Any, g: Array, normal: Array, scale: Array, weight: Array
) -> tuple[Array, Array]:
    """dx (N, D), and rows (…, D) that add up to the gradient of the weight."""
    parts = -(-len(g) // kernels.PART)
    dx = xp.empty(g.shape, dtype=g.dtype)
    product = xp.zeros((parts, g.shape[1]), dtype=g.dtype)
    g, weight = xp.ascontiguousarray(g), xp.ascontiguousarray(weight)
    run(kernels.layer_norm_backward, g, normal, scale, weight, dx, product, writes=(4, 5))
    return dx, product


def sum_rows(xp: Any, run: Any, rows: Array, ids: Array, count: int) -> Array:
    """(count, E): row i is the sum of the rows[n] with ids[n] = i, in their order."""
    sums = xp.zeros((count, rows.shape[1]), dtype=rows.dtype)
    rows, ids = xp.ascontiguousarray(rows), xp.ascontiguousarray(ids, dtype=np.int64)
    run(kernels.sum_rows, rows, ids, sums, writes=(2,))
    return sums


def additive_scores(xp: Any, run: Any, query: Array, keys: Array, v: Array) -> Array:
    """Σ v tanh(query + keys): query (B, T, F), keys (B, S, F), v (F,) → (B, T, S)."""
    query, keys, v = (xp.ascontiguousarray(a) for a in (query, keys, v))
    scores = xp.empty((*query.shape[:2], keys.shape[1]), dtype=v.dtype)
    run(kernels.additive_scores, query, keys, v, scores, writes=(3,))
    return scores


def additive_backward(
    xp: Any, run: Any, query: Array, keys: Array, v: Array, d: Array
) -> tuple[Array, Array, Array]:
    """(dquery, dkeys, dv) of `additive_scores`, for d (B, T, S) by the scores."""
    query, keys, v, d = (xp.ascontiguousarray(a) for a in (query, keys, v, d))
    grads = tuple(xp.zeros(a.shape, dtype=a.dtype) for a in (query, keys, v))
    run(kernels.additive_backward, query, keys, v, d, *grads, writes=(4, 5, 6))
    return grads


def adam(
    xp: Any,
    run: Any,
    p: Array,
    g: Array,
    state: Sequence[Array],
    n: Mapping[str, Array],
    group: Mapping[str, Any],
    decoupled: bool,
) -> bool:
    """`optim.Adam`'s rule on flat arrays, but for AMSGrad: whether it was done."""
    if p.ndim != 1 or group["amsgrad"]:
        return False
    numbers = [n[k] for k in ("keep1", "take1", "keep2", "take2", "eps", "rate", "decay")]
    decays = (2 if decoupled else 1) if group["weight_decay"] else 0
    run(kernels.adam, p, g, *state[:2], *numbers, decays, writes=(0, 2, 3))
    return True
