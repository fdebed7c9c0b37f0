"""Attention: weights over a memory from scores, and what they read there.

In this module a mask says where attention may go: True = attend (a floating mask is added to the
scores, -inf = never). Where a row of the mask allows nothing, weights, output and gradients are
exactly zero, never NaN; and what is masked for everybody, such as padding, may hold NaN without
leaking.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..backend import Array, namespace
from ..engine import Tensor, fused, op
from ..errors import DTypeError, ShapeError
from .broadcasting import sum_to
from .elementwise import where
from .linalg import matmul
from .shape import expand_dims, matrix_transpose
from .transcendental import tanh

__all__ = ["additive_attention", "masked_softmax", "scaled_dot_product_attention"]


# -- softmax under a mask ------------------------------------------------------------------------


def _masked(xp: Any, scores: Array, mask: Array | None) -> Array:
    """The scores with -inf where the mask allows nothing; fresh memory unless mask is None."""
    if mask is None:
        return scores
    if mask.dtype == np.bool_:
        return xp.where(mask, scores, -math.inf)
    return xp.where(mask == -math.inf, -math.inf, scores + mask)  # also where the score is NaN


def _softmax(xp: Any, scores: Array, axis: int) -> Array:
    """exp(s) / Σ exp(s), written over `scores`; zeros where all scores are -inf."""
    if not scores.shape[axis]:
        return scores
    top = scores.max(axis=axis, keepdims=True)
    scores -= xp.where(top == -math.inf, 0, top)
    xp.exp(scores, out=scores)
    total = scores.sum(axis=axis, keepdims=True)
    scores /= xp.where(total == 0, 1, total)
    return scores


def _check_mask(mask: Any, shape: tuple[int, ...], what: str) -> None:
    if mask is None:
        return
    if mask.dtype.kind not in "bfV":
        raise DTypeError(
            f"{what}: the mask is {mask.dtype}; give bool (True = attend), or floats to be added "
            "to the scores"
        )
    try:
        fits = np.broadcast_shapes(mask.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{what}: the mask is {mask.shape} and does not broadcast to {shape}")


@op
def masked_softmax(xp: Any, x: Array, mask: Array | None = None, /, *, axis: int = -1) -> Array:
    """softmax(x) along `axis` over the positions that `mask` allows; 0 at the others.

    mask broadcasts to x: bool (True = allowed), or floating, to be added to x. Where nothing is
    allowed, all is 0.
    """
    _check_mask(mask, x.shape, "masked_softmax")
    scores = _masked(xp, x, mask)
    return _softmax(xp, scores.copy() if scores is x else scores.astype(x.dtype, copy=False), axis)


def _softmax_vjp(g: Any, y: Any, axis: int) -> Any:
    g = where(y == 0, 0, g)  # the cotangent of a masked position may be anything, also NaN
    return y * (g - (g * y).sum(axis=axis, keepdims=True))


masked_softmax.defvjp(
    lambda g, y, _x, _mask, *, axis: _softmax_vjp(g, y, axis),
    lambda g, y, _x, _mask, *, axis: sum_to(_softmax_vjp(g, y, axis), _mask.shape),
)


# -- scaled dot product --------------------------------------------------------------------------


def _with_causal(mask: Any, like: Array, L: int, S: int) -> Any:
    """The mask, and no looking ahead: query i sees keys 0…i."""
    past = namespace(like).tri(L, S, dtype=bool)
    if mask is None:
        return past
    return mask & past if mask.dtype == np.bool_ else where(past, mask, -math.inf)


def _unused(xp: Any, mask: Array) -> tuple[Array, Array]:
    """Which queries see any key, (…, L, 1), and which keys are seen by any query, (…, S, 1)."""
    allowed = mask if mask.dtype == np.bool_ else mask != -math.inf
    allowed = allowed.reshape((1,) * (2 - allowed.ndim) + allowed.shape)
    return allowed.any(axis=-1, keepdims=True), allowed.any(axis=-2)[..., None]


@fused
def scaled_dot_product_attention(
    xp: Any,
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    dropout_mask: Array | None = None,
    /,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    keep: bool,
) -> Any:
    """softmax(scale · Q Kᵀ + mask) V, and the weights (Vaswani et al. 2017, eq. 1).

    Shapes: query (…, L, E), key (…, S, E), value (…, S, V), leading axes broadcast
    → output (…, L, V), weights (…, L, S).

    mask: broadcasts to the weights. Bool: **True = attend**; note that `nn.MultiheadAttention`,
    as in PyTorch, has it the other way round. Floating: added to the scores. A query that may
    attend to nothing gets zeros. is_causal: query i sees keys 0…i only. scale: 1/√E by default.
    dropout_mask: the weights are multiplied by it (zeros and 1/(1-p)), and returned so.
    """
    what = "scaled_dot_product_attention"
    shape = _weights_shape(query, key, value, what)
    _check_mask(mask, shape, what)
    if is_causal:
        mask = _with_causal(mask, query, *shape[-2:])
    if mask is not None:  # padding may hold NaN, and 0 · NaN is NaN
        value = xp.where(_unused(xp, mask)[1], value, 0)
    scores = backend.matmul(query * _scale(query, scale), key.swapaxes(-1, -2))
    if scores.dtype.itemsize < 4:
        scores = scores.astype(np.float32)
    weights = _softmax(xp, _masked(xp, scores, mask), -1).astype(query.dtype, copy=False)
    dropped = weights if dropout_mask is None else weights * dropout_mask
    output = backend.matmul(dropped, value)
    return (output, dropped), (weights, value) if keep else None


def _scale(query: Any, scale: float | None) -> float:
    return 1 / math.sqrt(query.shape[-1] or 1) if scale is None else float(scale)


def _weights_shape(query: Any, key: Any, value: Any, what: str) -> tuple[int, ...]:
    given = f"{what}: query {query.shape}, key {key.shape}, value {value.shape}"
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise ShapeError(f"{given}; expected (…, L, E), (…, S, E), (…, S, V)")
    if query.shape[-1] != key.shape[-1] or key.shape[-2] != value.shape[-2]:
        raise ShapeError(f"{given}; query and key must have as many features, key and value rows")
    try:
        lead = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    except ValueError as error:
        raise ShapeError(f"{given}; the leading axes do not broadcast") from error
    return (*lead, query.shape[-2], key.shape[-2])


@scaled_dot_product_attention.backward
def _attention_backward(
    xp: Any,
    gs: Any,
    ys: Any,
    inputs: Any,
    residual: Any,
    needs: tuple[bool, ...],
    *,
    is_causal: bool,
    scale: float | None,
) -> tuple[Array | None, ...]:
    query, key, value, mask, dropout_mask = inputs
    weights, clean_value = residual
    g, d = gs  # d: the cotangent of the weights as they were returned
    dvalue = ddropout = dquery = dkey = dmask = None
    if g is not None:
        if needs[2]:
            dvalue = sum_to(backend.matmul(ys[1].swapaxes(-1, -2), g), value.shape)
        by_weights = sum_to(backend.matmul(g, clean_value.swapaxes(-1, -2)), ys[1].shape)
        d = by_weights if d is None else by_weights + d
    if dropout_mask is not None:
        if needs[4]:
            ddropout = sum_to(d * weights, dropout_mask.shape)
        d = sum_to(d * dropout_mask, weights.shape)
    d = d * weights
    d -= weights * d.sum(axis=-1, keepdims=True)  # by the scores
    if needs[3] and mask is not None:
        dmask = sum_to(d, mask.shape)
    if is_causal:
        mask = _with_causal(mask, query, *weights.shape[-2:])
    rows, columns = (None, None) if mask is None else _unused(xp, mask)
    if needs[0]:
        clean = key if columns is None else xp.where(columns, key, 0)
        dquery = sum_to(backend.matmul(d, clean) * _scale(query, scale), query.shape)
    if needs[1]:
        clean = query if rows is None else xp.where(rows, query, 0)
        dkey = backend.matmul(d.swapaxes(-1, -2), clean * _scale(query, scale))
        dkey = sum_to(dkey, key.shape)
    return dquery, dkey, dvalue, dmask, ddropout


@scaled_dot_product_attention.composite
def _plain_attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any,
    dropout_mask: Any,
    *,
    is_causal: bool,
    scale: float | None,
) -> Any:
    like = query.data if isinstance(query, Tensor) else query
    if is_causal:
        mask = _with_causal(mask, like, query.shape[-2], key.shape[-2])
    if mask is not None:
        data = mask.data if isinstance(mask, Tensor) else mask
        rows, columns = _unused(namespace(like), data)
        query = where(rows, query, 0)
        key, value = where(columns, key, 0), where(columns, value, 0)
    scores = matmul(query * _scale(query, scale), matrix_transpose(key))
    weights = masked_softmax(scores, mask)
    if dropout_mask is not None:
        weights = weights * dropout_mask
    return matmul(weights, value), weights


# -- additive ------------------------------------------------------------------------------------


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
    mask of the shape of the weights says it for each step. Masked keys and values must be finite.
    """
    steps = _check_additive(query, keys, values, v, mask)
    mask = _per_step(mask)
    sums = keys[:, None] + steps[:, :, None]  # (B, T, S, A)
    xp.tanh(sums, out=sums)
    scores = backend.matmul(sums, v)
    weights = _softmax(xp, _masked(xp, scores, mask), -1).astype(scores.dtype, copy=False)
    context = backend.matmul(weights, values)
    if query.ndim == 2:
        return (context[:, 0], weights[:, 0]), (sums, weights) if keep else None
    return (context, weights), (sums, weights) if keep else None


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
    _check_mask(_per_step(mask), (B, steps.shape[1], S), "additive_attention")
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
    query, _, values, v, mask = inputs
    sums, weights = residual  # (B, T, S, A), (B, T, S)
    g, d = (x if x is None or query.ndim == 3 else x[:, None] for x in gs)
    dquery = dkeys = dvalues = dv = dmask = None
    if g is not None:
        if needs[2]:
            dvalues = backend.matmul(weights.swapaxes(-1, -2), g)
        by_weights = backend.matmul(g, values.swapaxes(-1, -2))
        d = by_weights if d is None else by_weights + d
    d = d * weights
    d -= weights * d.sum(axis=-1, keepdims=True)  # by the scores (B, T, S)
    if needs[4] and mask is not None:
        dmask = sum_to(d, _per_step(mask).shape).reshape(mask.shape)
    if needs[3]:
        dv = backend.matmul(d.reshape(-1), sums.reshape(-1, sums.shape[-1]))
    if needs[0] or needs[1]:
        inner = sums * sums  # by query + keys: d · (1 - tanh²) · v
        xp.subtract(1, inner, out=inner)
        inner *= d[..., None]
        inner *= v
        if needs[0]:
            dquery = inner.sum(axis=2).reshape(query.shape)
        if needs[1]:
            dkeys = inner[:, 0] if inner.shape[1] == 1 else inner.sum(axis=1)
    return dquery, dkeys, dvalues, dv, dmask


@additive_attention.composite
def _plain_additive(query: Any, keys: Any, values: Any, v: Any, mask: Any) -> Any:
    steps = query if query.ndim == 3 else expand_dims(query, 1)
    sums = tanh(expand_dims(keys, 1) + expand_dims(steps, 2))  # (B, T, S, A)
    weights = masked_softmax(matmul(sums, v), _per_step(mask))
    context = matmul(weights, values)
    if query.ndim == 2:
        return context[:, 0], weights[:, 0]
    return context, weights
