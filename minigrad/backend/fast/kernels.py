"""The compiled kernels: each stands in for a text of NumPy calls in the ops, and is read beside it.

They take C-contiguous float32 arrays. `launch.py` gives them the arguments that ops have.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from .numerics import SAFE, erf, exp, exponentials, exponentials_over, maximum, tanh

compiled = njit(fastmath=SAFE, nogil=True, cache=True, error_model="numpy")
_ONE, _HALF = np.float32(1), np.float32(0.5)

# -- elementwise: ops/activation.py ------------------------------------------------------------

_ROOT_HALF, _PHI0 = np.float32(0.5**0.5), np.float32((2 * np.pi) ** -0.5)
_SLOPE = np.float32(2 * (2 / np.pi) ** 0.5)
_CUBIC = np.float32(0.044715 * 2 * (2 / np.pi) ** 0.5)


@compiled
def gelu(x: Any, y: Any, slope: Any, keep: Any) -> None:
    """y: x Φ(x); slope, if `keep`: Φ(x) + x φ(x)."""
    for j in range(x.shape[0]):
        z = x[j]
        share = _HALF + _HALF * erf(z * _ROOT_HALF)
        y[j] = z * share
        if keep:
            slope[j] = share + z * (_PHI0 * exp(-_HALF * z * z))


@compiled
def gelu_tanh(x: Any, y: Any, slope: Any, keep: Any) -> None:
    """The same with Φ(x) ≈ σ(2 √(2/π) · (x + 0.044715 x³)), which is GPT-2's with tanh."""
    for j in range(x.shape[0]):
        z = x[j]
        e = exp(-abs(z * (_SLOPE + _CUBIC * (z * z))))
        part = _ONE / (_ONE + e)
        share = part if z > 0 else e * part
        y[j] = z * share
        if keep:  # σ' = e / (1 + e)²
            slope[j] = share + z * (_SLOPE + np.float32(3) * _CUBIC * (z * z)) * (e * part * part)


# -- along rows: ops/rows.py, ops/classification.py, ops/normalization.py ----------------------


@compiled
def softmax_over(x: Any) -> None:
    """x ← exp(x) / Σ exp(x), x (N, D); zeros where all x are -inf."""
    for i in range(x.shape[0]):
        row = x[i]
        top = maximum(row)
        top = np.float32(0) if top == -np.inf else top
        total = exponentials_over(row, top)
        scale = _ONE / (_ONE if total == 0 else total)
        for j in range(row.shape[0]):
            row[j] *= scale


@compiled
def masked_softmax_over(x: Any, allowed: Any) -> None:
    """The same over the positions that are allowed; zeros at the others."""
    for i in range(x.shape[0]):
        row, mask = x[i], allowed[i]
        for j in range(row.shape[0]):
            row[j] = row[j] if mask[j] else np.float32(-np.inf)
    softmax_over(x)


@compiled
def softmax(x: Any, out: Any) -> None:
    """exp(x) / Σ exp(x), x (N, D)."""
    for i in range(x.shape[0]):
        row, y = x[i], out[i]
        scale = _ONE / exponentials(row, maximum(row), y)
        for j in range(row.shape[0]):
            y[j] *= scale


@compiled
def log_softmax(x: Any, out: Any) -> None:
    """x - log Σ exp(x), x (N, D)."""
    for i in range(x.shape[0]):
        row, y = x[i], out[i]
        top = maximum(row)
        shift = top + np.log(exponentials(row, top, y))
        for j in range(row.shape[0]):
            y[j] = row[j] - shift


@compiled
def softmax_grad(g: Any, y: Any, out: Any) -> None:
    """y ∘ (g - Σ g ∘ y)."""
    for i in range(g.shape[0]):
        total = np.float32(0)
        for j in range(g.shape[1]):
            total += g[i, j] * y[i, j]
        for j in range(g.shape[1]):
            out[i, j] = y[i, j] * (g[i, j] - total)


@compiled
def log_softmax_grad(g: Any, y: Any, out: Any) -> None:
    """g - eʸ Σ g."""
    for i in range(g.shape[0]):
        total = np.float32(0)
        for j in range(g.shape[1]):
            total += g[i, j]
        for j in range(g.shape[1]):
            out[i, j] = g[i, j] - exp(y[i, j]) * total


@compiled
def cross_entropy(
    x: Any, ids: Any, scale: Any, divisor: Any, loss: Any, logs: Any, slope: Any, keep: Any
) -> None:
    """loss: -scale · log softmax(x) at the id; logs: log Σ exp(x); slope: d loss / divisor."""
    for i in range(x.shape[0]):
        row, e = x[i], slope[i if keep else 0]
        top = maximum(row)
        total = exponentials(row, top, e)
        logs[i, 0] = top + np.log(total)
        loss[i] = 0 if scale[i] == 0 else scale[i] * (logs[i, 0] - row[ids[i]])
        if keep:
            factor = scale[i] / divisor[0]
            share = factor / total
            for j in range(row.shape[0]):
                e[j] *= share
            e[ids[i]] -= factor


@compiled
def layer_norm_forward(
    x: Any, weight: Any, bias: Any, eps: Any, y: Any, normal: Any, scale: Any
) -> None:
    """scale: 1 / √(Var[x] + ε); normal: (x - E[x]) · scale; y: normal · weight + bias."""
    D = np.float32(x.shape[1])
    for i in range(x.shape[0]):
        mean, power = np.float32(0), np.float32(0)
        for j in range(x.shape[1]):
            mean += x[i, j]
        mean /= D
        for j in range(x.shape[1]):
            power += (x[i, j] - mean) * (x[i, j] - mean)
        s = _ONE / np.sqrt(power / D + np.float32(eps))
        scale[i, 0] = s
        for j in range(x.shape[1]):
            n = (x[i, j] - mean) * s
            normal[i, j] = n
            y[i, j] = n * weight[j] + bias[j]


PART = 64  # rows that are summed one after the other; more would lose digits


@compiled
def layer_norm_backward(
    g: Any, normal: Any, scale: Any, weight: Any, dx: Any, product: Any
) -> None:
    """dx; each row of `product` is added g ∘ normal of PART rows."""
    D = np.float32(g.shape[1])
    for i in range(g.shape[0]):
        along, total, sums = np.float32(0), np.float32(0), product[i // PART]
        for j in range(g.shape[1]):
            p = g[i, j] * normal[i, j]
            sums[j] += p
            along += p * weight[j]
            total += g[i, j] * weight[j]
        along /= D
        total /= D
        for j in range(g.shape[1]):
            dx[i, j] = (g[i, j] * weight[j] - total - normal[i, j] * along) * scale[i, 0]


# -- tables, attention, optimisers -------------------------------------------------------------


@compiled
def sum_rows(rows: Any, ids: Any, sums: Any) -> None:
    """Add rows[n] to the row ids[n] of `sums`, in the order of n: ops/lookup.py."""
    for n in range(ids.shape[0]):
        k = ids[n]
        for j in range(rows.shape[1]):
            sums[k, j] += rows[n, j]


@compiled
def additive_scores(query: Any, keys: Any, v: Any, scores: Any) -> None:
    """scores (B, T, S): Σ v tanh(query + keys), query (B, T, F), keys (B, S, F)."""
    B, T, S = scores.shape
    for b in range(B):
        for t in range(T):
            for s in range(S):
                total = np.float32(0)
                for k in range(v.shape[0]):
                    total += v[k] * tanh(query[b, t, k] + keys[b, s, k])
                scores[b, t, s] = total


@compiled
def additive_backward(
    query: Any, keys: Any, v: Any, d: Any, dquery: Any, dkeys: Any, dv: Any
) -> None:
    """d: by the scores. All three gradients are added to."""
    B, T, S = d.shape
    for b in range(B):
        for t in range(T):
            for s in range(S):
                w = d[b, t, s]
                for k in range(v.shape[0]):
                    y = tanh(query[b, t, k] + keys[b, s, k])
                    inner = w * v[k] * (_ONE - y * y)
                    dv[k] += w * y
                    dquery[b, t, k] += inner
                    dkeys[b, s, k] += inner


@compiled
def adam(
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    keep1: Any,
    take1: Any,
    keep2: Any,
    take2: Any,
    eps: Any,
    rate: Any,
    decay: Any,
    decays: Any,
) -> None:
    """m ← keep1 m + take1 g; v ← keep2 v + take2 g²; p ← p - rate m / (√v + eps); numbers 0-d.

    decays: 0, 1 (g + decay p is the gradient) or 2 (p times decay first).
    """
    a, b, c, d, e, r = keep1[()], take1[()], keep2[()], take2[()], eps[()], rate[()]
    coupled = decay[()] if decays == 1 else np.float32(0)
    kept = decay[()] if decays == 2 else _ONE
    for j in range(p.shape[0]):
        slope = g[j] + coupled * p[j]
        m[j] = a * m[j] + b * slope
        v[j] = c * v[j] + d * (slope * slope)
        p[j] = kept * p[j] - r * m[j] / (np.sqrt(v[j]) + e)
