"""Additive attention without the (B, T, S, A) array of its sums; see `attention.cu`."""

from __future__ import annotations

import numpy as np

from minigrad.backend.device import Array, namespace
from minigrad.backend.kernels.gates import wide
from minigrad.backend.kernels.kernel import Kernel, over, per_row


def _sums(query: Array, keys: Array) -> Array:
    return np.tanh(wide(keys)[:, None] + wide(query)[:, :, None])


def _scores(
    query: Array, keys: Array, v: Array, scores: Array, count: int, T: int, S: int, F: int
) -> None:
    scores[...] = (_sums(query, keys) * wide(v)).sum(axis=-1)


def _by_query(
    query: Array, keys: Array, v: Array, d: Array, dquery: Array, parts: Array,
    count: int, T: int, S: int, F: int,
) -> None:  # fmt: skip
    y, g = _sums(query, keys), wide(d)[..., None]
    dquery[...] = (g * (1 - y * y)).sum(axis=2) * wide(v)
    parts[...] = (g * y).sum(axis=2)


def _by_keys(
    query: Array, keys: Array, v: Array, d: Array, dkeys: Array, count: int, T: int, S: int, F: int
) -> None:
    y = _sums(query, keys)
    dkeys[...] = (wide(d)[..., None] * (1 - y * y)).sum(axis=1) * wide(v)


SCORES = Kernel("attention.cu", "additive_scores", _scores)
BY_QUERY = Kernel("attention.cu", "additive_by_query", _by_query)
BY_KEYS = Kernel("attention.cu", "additive_by_keys", _by_keys)


def additive_scores(query: Array, keys: Array, v: Array) -> Array:
    """Σ v tanh(query + keys): query (B, T, F), keys (B, S, F), v (F,) → (B, T, S)."""
    xp, (B, T, F), S = namespace(query), query.shape, keys.shape[1]
    query, keys, v = map(xp.ascontiguousarray, (query, keys, v))
    scores = xp.empty((B, T, S), dtype=query.dtype)
    SCORES(
        per_row(min(scores.size, 1 << 16), F, query.itemsize),
        query, keys, v, scores, scores.size, T, S, F,
    )  # fmt: skip
    return scores


def additive_backward(query: Array, keys: Array, v: Array, d: Array) -> tuple[Array, Array, Array]:
    """(dquery, dkeys, dv) of `additive_scores`, for d (B, T, S) by the scores."""
    xp, (B, T, F), S = namespace(query), query.shape, keys.shape[1]
    query, keys, v, d = map(xp.ascontiguousarray, (query, keys, v, d))
    dquery, parts, dkeys = xp.empty_like(query), xp.empty_like(query), xp.empty_like(keys)
    BY_QUERY(over(query.size), query, keys, v, d, dquery, parts, query.size, T, S, F)
    BY_KEYS(over(keys.size), query, keys, v, d, dkeys, keys.size, T, S, F)
    return dquery, dkeys, parts.reshape(B * T, F).sum(axis=0)
