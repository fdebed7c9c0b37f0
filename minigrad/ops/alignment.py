"""Additive attention, with which an RNN decoder aligns what it writes with what it reads.

Masks are those of `attention.py`: True = attend.
"""

from __future__ import annotations

from typing import Any

from .. import backend
from ..backend import Array, namespace
from ..engine import Tensor, fused
from ..errors import ShapeError
from . import rows
from .attention import (
    check_mask,
    clean,
    masked_softmax,
    used_by,
    weigh,
)
from .broadcasting import sum_to
from .elementwise import where
from .linalg import matmul
from .shape import expand_dims
from .transcendental import tanh

__all__ = ["additive_attention"]


@fused
def additive_attention(
    xp: Any,
    query: Array,
    keys: Array,
    values: Array,
    v: Array,
    mask: Array | None = None,
    /,
    *,
    keep: bool,
) -> Any:
    """Weights softmax(vᵀ tanh(query + keys)) and their mean of the values (Bahdanau et al. 2015).

    One step of a decoder, or T of them at once. query and keys are projected already; see
    `nn.AdditiveAttention`.

    Shapes: query (B, A) or (B, T, A), keys (B, S, A), values (B, S, V), v (A,), mask (B, S) bool
    (**True = attend**) or floating → context (B, V) or (B, T, V), weights (B, S) or (B, T, S). A
    mask of the shape of the weights says it for each step.
    """
    steps = _check_additive(query, keys, values, v, mask)
    mask = _per_step(mask)
    if mask is not None:
        used = used_by(xp, mask)[1]  # (B, S, 1)
        keys, values = clean(xp, keys, used), clean(xp, values, used)
    fast = backend.fused(xp, "additive_scores", query.dtype)
    if fast is not None:  # makes the sums again in the backward pass
        sums, scores = keys, fast(steps, keys, v)
    else:
        sums = keys[:, None] + steps[:, :, None]  # (B, T, S, A)
        xp.tanh(sums, out=sums)
        scores = backend.matmul(sums, v)
    weights = weigh(xp, scores, mask)
    context = backend.matmul(weights, values)
    residual = (sums, weights, values) if keep else None
    if query.ndim == 2:
        return (context[:, 0], weights[:, 0]), residual
    return (context, weights), residual


def _check_additive(query: Array, keys: Array, values: Array, v: Array, mask: Any) -> Array:
    given = f"additive_attention: query {query.shape}, keys {keys.shape}, values {values.shape}"
    if query.ndim not in (2, 3) or keys.ndim != 3 or values.ndim != 3 or v.ndim != 1:
        raise ShapeError(f"{given}, v {v.shape}; expected (B, [T,] A), (B, S, A), (B, S, V), (A,)")
    if not query.shape[-1] == keys.shape[-1] == v.shape[0]:
        raise ShapeError(f"{given}, v {v.shape}; query, keys and v must have as many features")
    if not len(query) == len(keys) == len(values) or keys.shape[1] != values.shape[1]:
        raise ShapeError(f"{given}; they must agree in B, and keys and values in S")
    steps = query if query.ndim == 3 else query[:, None]
    B, S = keys.shape[:2]
    check_mask(_per_step(mask), (B, steps.shape[1], S), "additive_attention")
    return steps


def _per_step(mask: Any) -> Any:
    """The mask (B, S) or (B, T, S) as one that broadcasts to (B, T, S)."""
    return mask if mask is None or mask.ndim == 3 else expand_dims(mask, -2)


@additive_attention.backward
def _additive_backward(
    xp: Any,
    gs: Any,
    ys: Any,
    inputs: Any,
    residual: Any,
    needs: tuple[bool, ...],
) -> tuple[Array | None, ...]:
    query, _, _, v, mask = inputs
    sums, weights, values = residual  # (B, T, S, A), (B, T, S), (B, S, V)
    g, d = (x if x is None or query.ndim == 3 else x[:, None] for x in gs)
    dquery = dkeys = dvalues = dv = dmask = None
    if g is not None:
        if needs[2]:
            dvalues = backend.matmul(weights.swapaxes(-1, -2), g)
        by_weights = backend.matmul(g, values.swapaxes(-1, -2))
        d = by_weights if d is None else by_weights + d
    d = rows.rowwise(xp, rows.softmax_grad, (d, weights), -1)  # by the scores (B, T, S)
    if needs[4] and mask is not None:
        dmask = sum_to(d, _per_step(mask).shape).reshape(mask.shape)
    fast = backend.fused(xp, "additive_backward", query.dtype)
    if fast is not None:
        dquery, dkeys, dv = fast(query.reshape(d.shape[:2] + v.shape), sums, v, d)
        return dquery.reshape(query.shape), dkeys, dvalues, dv, dmask
    if needs[3]:
        dv = backend.matmul(d.reshape(-1), sums.reshape(-1, sums.shape[-1]))
    if needs[0] or needs[1]:
        inner = sums * sums  # d · (1 - tanh²): by query + keys, but for v
        xp.subtract(1, inner, out=inner)
        inner *= d[..., None]
        if needs[0]:  # a sum over S, as a product: several times faster
            ones = xp.ones((1, inner.shape[2]), dtype=inner.dtype)
            dquery = backend.matmul(ones, inner).reshape(query.shape) * v
        if needs[1]:
            inner *= v
            dkeys = inner[:, 0] if inner.shape[1] == 1 else inner.sum(axis=1)
    return dquery, dkeys, dvalues, dv, dmask


@additive_attention.composite
def _plain_additive(query: Any, keys: Any, values: Any, v: Any, mask: Any) -> Any:
    steps = query if query.ndim == 3 else expand_dims(query, 1)
    if mask is not None:
        data = _per_step(mask.data if isinstance(mask, Tensor) else mask)
        used = used_by(namespace(data), data)[1]
        keys, values = where(used, keys, 0), where(used, values, 0)
    sums = tanh(expand_dims(keys, 1) + expand_dims(steps, 2))  # (B, T, S, A)
    weights = masked_softmax(matmul(sums, v), _per_step(mask))
    context = matmul(weights, values)
    if query.ndim == 2:
        return context[:, 0], weights[:, 0]
    return context, weights
