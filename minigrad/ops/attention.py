"""Attention: weights over a memory from scores, and what they read there.

Additive attention, whose scores are no products, is in `alignment.py`.

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
from ..backend import Array, namespace, on_cpu
from ..engine import Tensor, fused, op, primitive
from ..errors import DTypeError, ShapeError
from . import rows
from .broadcasting import sum_to
from .elementwise import where
from .linalg import matmul
from .shape import matrix_transpose

__all__ = ["masked_softmax", "scaled_dot_product_attention"]


# -- softmax under a mask ------------------------------------------------------------------------


def masked_scores(xp: Any, scores: Array, mask: Array | None) -> Array:
    """The scores with -inf where the mask allows nothing; fresh memory unless mask is None."""
    if mask is None:
        return scores
    if mask.dtype == np.bool_:
        return xp.where(mask, scores, -math.inf)
    return xp.where(mask == -math.inf, -math.inf, scores + mask)  # also where the score is NaN


def weigh(xp: Any, scores: Array, mask: Array | None, axis: int = -1) -> Array:
    """softmax(scores) where the mask allows, 0 elsewhere, written over `scores`."""
    if not scores.shape[axis]:
        return scores
    if on_cpu(xp):
        primitive(_weigh, np, scores, mask, axis, writes=(1,))
    else:
        _weigh(xp, scores, mask, axis)
    return scores


def _weigh(xp: Any, scores: Array, mask: Array | None, axis: int) -> None:
    boolean = mask is None or mask.dtype == np.bool_
    if boolean and on_cpu(xp) and axis in (-1, scores.ndim - 1) and scores.flags.c_contiguous:
        name = "softmax_over" if mask is None else "masked_softmax_over"
        compiled = backend.fast.lookup(name, scores.dtype)
        if compiled is not None and scores.size:
            allowed = () if mask is None else (xp.broadcast_to(mask, scores.shape),)
            compiled(*(a.reshape(-1, scores.shape[-1]) for a in (scores, *allowed)))
            return
    if boolean and rows.tame(xp, scores):
        e = xp.exp(scores, out=scores)
        if mask is None:
            e /= rows.row_sums(xp, e, axis)  # which are positive
            return
        e *= mask
    else:
        e, _ = rows.shifted_exp(xp, masked_scores(xp, scores, mask), axis, scores)
    total = rows.row_sums(xp, e, axis)
    e /= xp.where(total == 0, 1, total)


def check_mask(mask: Any, shape: tuple[int, ...], what: str) -> None:
    """Raise unless the mask is bool or floating and broadcasts to `shape`."""
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
    check_mask(mask, x.shape, "masked_softmax")
    return weigh(xp, x.copy(), mask, axis)


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


def clean(xp: Any, x: Array, used: Array) -> Array:
    """x with zeros where it is not used: what is masked may be NaN, and 0 · NaN is NaN.

    Looking first is cheaper on the CPU; a GPU would have to wait for the answer.
    """
    if on_cpu(xp) and np.isfinite(x).all():
        return x
    return xp.where(used, x, 0)


def used_by(xp: Any, mask: Array) -> tuple[Array, Array]:
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
    check_mask(mask, shape, what)
    if is_causal:
        mask = _with_causal(mask, query, *shape[-2:])
    if mask is not None:
        value = clean(xp, value, used_by(xp, mask)[1])
    scores = backend.matmul(query * _scale(query, scale), key.swapaxes(-1, -2))
    if scores.dtype.itemsize < 4:
        scores = scores.astype(np.float32)
    weights = weigh(xp, scores, mask).astype(query.dtype, copy=False)
    dropped = weights if dropout_mask is None else weights * dropout_mask
    output = _product(xp, dropped, value, query)
    return (output, dropped), (weights, value) if keep else None


def _product(xp: Any, a: Array, b: Array, like: Array) -> Array:
    """a @ b, in memory laid out as that of `like`, so that heads come together without a copy."""
    shape = (*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    if not on_cpu(xp) or shape != like.shape or a.dtype != like.dtype or a.dtype.itemsize < 4:
        return backend.matmul(a, b)
    return backend.matmul(a, b, out=xp.empty_like(like))


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
            dvalue = sum_to(_product(xp, ys[1].swapaxes(-1, -2), g, value), value.shape)
        by_weights = sum_to(backend.matmul(g, clean_value.swapaxes(-1, -2)), ys[1].shape)
        d = by_weights if d is None else by_weights + d
    if dropout_mask is not None:
        if needs[4]:
            ddropout = sum_to(d * weights, dropout_mask.shape)
        d = sum_to(d * dropout_mask, weights.shape)
    d = rows.rowwise(xp, rows.softmax_grad, (d, weights), -1)  # by the scores
    if needs[3] and mask is not None:
        dmask = sum_to(d, mask.shape)
    if is_causal:
        mask = _with_causal(mask, query, *weights.shape[-2:])
    if mask is not None:
        looking, seen = used_by(xp, mask)
        query, key = clean(xp, query, looking), clean(xp, key, seen)
    scale = _scale(query, scale)
    if needs[0]:
        dquery = _product(xp, d, key, query)
        dquery *= scale
        dquery = sum_to(dquery, inputs[0].shape)
    if needs[1]:
        dkey = _product(xp, d.swapaxes(-1, -2), query, key)
        dkey *= scale
        dkey = sum_to(dkey, inputs[1].shape)
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
        looking, seen = used_by(namespace(like), data)
        query = where(looking, query, 0)
        key, value = where(seen, key, 0), where(seen, value, 0)
    scores = matmul(query * _scale(query, scale), matrix_transpose(key))
    weights = masked_softmax(scores, mask)
    if dropout_mask is not None:
        weights = weights * dropout_mask
    return matmul(weights, value), weights
