"""Samples of attention and layer normalisation: the formulas, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine import ops
from .sample import Sample, real

Q, K, V = real(2, 3, 4), real(2, 5, 4), real(2, 5, 6)
ALLOWED = np.array([[1, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 1, 1, 1]], bool)  # nothing in row 1
PADDING = np.array([[[1, 1, 1, 0, 0]], [[0, 0, 0, 0, 0]]], bool)  # batch 1 is empty
ADDED = np.array([[0.5, -1, 0, 2, -np.inf], [-np.inf] * 5, [0, 0, 1, -np.inf, 3]])


def _kept(rng: np.random.Generator, dtype: Any) -> Any:
    """A dropout mask for p = 1/2."""
    return (2 * rng.integers(0, 2, (2, 3, 5))).astype(dtype)


def _weights(scores: Any, mask: Any = None) -> Any:
    """Softmax over the last axis under a mask, one row at a time."""
    y = np.zeros(scores.shape, scores.dtype)
    mask = np.broadcast_to(True if mask is None else mask, scores.shape)
    for row in np.ndindex(scores.shape[:-1]):
        added = np.where(mask[row], 0, -np.inf) if mask.dtype == bool else mask[row]
        on = added > -np.inf
        e = np.exp(scores[row][on] + added[on])
        y[row][on] = e / e.sum()
    return y


def _masked_softmax(x: Any, mask: Any = None, *, axis: int = -1) -> Any:
    if axis != -1:
        mask = None if mask is None else np.moveaxis(np.broadcast_to(mask, x.shape), axis, -1)
        return np.moveaxis(_weights(np.moveaxis(x, axis, -1), mask), -1, axis)
    return _weights(x, mask)


def _attention(
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    drop: Any = 1.0,
    *,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    scores = q @ k.swapaxes(-1, -2) * (scale or q.shape[-1] ** -0.5)
    if is_causal:
        past = np.tri(*scores.shape[-2:], dtype=np.bool_)
        mask = past if mask is None else mask & past
    weights = _weights(scores, mask) * drop
    return weights @ v, weights


def _torch_attention(**params: Any) -> Any:
    def attention(torch: Any, q: Any, k: Any, v: Any, mask: Any = None) -> Any:
        f = torch.nn.functional.scaled_dot_product_attention
        return f(q, k, v, mask, **params), _torch_weights(torch, q, k, mask, **params)

    return attention


def _torch_weights(
    torch: Any, q: Any, k: Any, mask: Any, *, is_causal: bool = False, scale: float | None = None
) -> Any:
    scores = q @ k.mT * (scale or q.shape[-1] ** -0.5)
    if is_causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return torch.softmax(scores if mask is None else scores.masked_fill(~mask, -torch.inf), -1)


def _additive(query: Any, keys: Any, values: Any, v: Any, mask: Any = None) -> Any:
    steps = query[:, None] if query.ndim == 2 else query
    weights = np.zeros((*steps.shape[:2], keys.shape[1]), query.dtype)
    for b, t in np.ndindex(steps.shape[:2]):
        scores = np.tanh(steps[b, t] + keys[b]) @ v
        row = mask if mask is None else mask[b] if mask.ndim == 2 else mask[b, t]
        weights[b, t] = _weights(scores, row)
    context = weights @ values
    return (context[:, 0], weights[:, 0]) if query.ndim == 2 else (context, weights)


def _layer_norm(x: Any, weight: Any = 1.0, bias: Any = 0.0, *, axes: Any, eps: float) -> Any:
    scale = np.sqrt(x.var(axis=axes, keepdims=True) + eps)
    return (x - x.mean(axis=axes, keepdims=True)) / scale * weight + bias


def _norm(
    *inputs: Any, shape: Any, torch: bool = False, label: str = "", eps: float = 1e-5
) -> Sample:
    axes = tuple(range(-len(shape), 0))
    return Sample(
        "layer_norm",
        inputs,
        lambda x, *p: _layer_norm(x, *p, axes=axes, eps=eps),
        call=lambda x, *p: ops.layer_norm(x, shape, *p, eps=eps),
        torch=(lambda t, x, *p: t.nn.functional.layer_norm(x, shape, *p)) if torch else None,
        label=label,
    )


def _batch_norm(x: Any, weight: Any = 1.0, bias: Any = 0.0, *, eps: float = 1e-5) -> Any:
    channels_last = np.moveaxis(x, 1, -1)
    axes = tuple(range(x.ndim - 1))
    return np.moveaxis(_layer_norm(channels_last, weight, bias, axes=axes, eps=eps), -1, 1)


def _batch(*inputs: Any, label: str = "", eps: float = 1e-5) -> Sample:
    return Sample(
        "batch_norm",
        inputs,
        lambda x, *p: _batch_norm(x, *p, eps=eps),
        call=lambda x, *p: ops.batch_norm(x, None, None, *p, eps=eps),
        torch=lambda t, x, *p: t.nn.functional.batch_norm(
            x, None, None, *p, *(None,) * (2 - len(p)), True, eps=eps
        ),
        label=label,
    )


def _rms_norm(x: Any, weight: Any) -> Any:
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + 0.1) * weight


NAME, ADDITIVE = "scaled_dot_product_attention", (real(2, 4), real(2, 5, 4), real(2, 5, 3), real(4))
STEPS = (real(2, 3, 4), *ADDITIVE[1:])
CAUSAL = {"is_causal": True}
EACH = np.stack([ALLOWED, ALLOWED[::-1]])

SAMPLES = [
    Sample("masked_softmax", (real(3, 5),), _masked_softmax, torch=lambda t, x: t.softmax(x, -1)),
    Sample("masked_softmax", (real(2, 3, 5), ALLOWED), _masked_softmax, label="bool"),
    Sample("masked_softmax", (real(2, 3, 5), ADDED), _masked_softmax, constant=(1,), label="added"),
    Sample("masked_softmax", (real(3, 5), real(5)), _masked_softmax, label="learned"),
    Sample("masked_softmax", (real(5, 3), ALLOWED.T), _masked_softmax, {"axis": 0}),
    Sample(NAME, (Q, K, V), _attention, torch=_torch_attention()),
    Sample(NAME, (Q, K, V), _attention, {"scale": 0.7}, torch=_torch_attention(scale=0.7)),
    Sample(NAME, (Q, K, V), _attention, CAUSAL, torch=_torch_attention(**CAUSAL)),
    Sample(NAME, (Q, K, V, ALLOWED), _attention, label="bool"),
    Sample(NAME, (Q, K, V, PADDING), _attention, label="padding"),
    Sample(NAME, (Q, K, V, ALLOWED), _attention, CAUSAL, label="bool, causal"),
    Sample(NAME, (Q, K, V, ALLOWED[2]), _attention, torch=_torch_attention(), label="1-D mask"),
    Sample(NAME, (Q, K, V, ADDED), _attention, constant=(3,), label="added"),
    Sample(NAME, (Q, K, V, real(3, 5)), _attention, label="learned"),
    Sample(NAME, (Q, K, V, ALLOWED, _kept), _attention, constant=(4,), label="dropout"),
    Sample(
        NAME,
        (real(3, 4), K, real(2, 2, 5, 3)),
        _attention,
        torch=_torch_attention(),
        label="broadcast",
    ),
    Sample(NAME, (real(2, 0, 4), K, V), _attention, label="no query"),
    Sample(NAME, (Q, real(2, 0, 4), real(2, 0, 6)), _attention, label="no key"),
    Sample("additive_attention", ADDITIVE, _additive),
    Sample("additive_attention", (*ADDITIVE, PADDING[:, 0]), _additive, label="mask"),
    Sample("additive_attention", (*ADDITIVE, real(2, 5)), _additive, label="learned mask"),
    Sample("additive_attention", STEPS, _additive, label="steps"),
    Sample("additive_attention", (*STEPS, EACH), _additive, label="steps, mask"),
    _norm(real(2, 3, 4), real(4), real(4), shape=(4,), torch=True),
    _norm(real(2, 3, 4), real(3, 4), real(3, 4), shape=(3, 4), torch=True, label="two axes"),
    _norm(real(3, 4), shape=(4,), label="plain", eps=0.1),
    _norm(real(3, 4), real(4), shape=(4,), label="no bias"),
    _norm(real(0, 4), real(4), real(4), shape=(4,), label="empty"),
    Sample(
        "layer_norm",
        (real(2, 3, 4), real(4)),
        _rms_norm,
        call=lambda x, w: ops.rms_norm(x, 4, w, 0.1),
        torch=lambda t, x, w: t.nn.functional.rms_norm(x, (4,), w, 0.1),
        label="rms",
    ),
    _batch(real(5, 3), real(3), real(3)),
    _batch(real(5, 3), label="plain"),
    _batch(real(4, 2, 3), real(2), label="a place axis, no bias", eps=0.1),
]
