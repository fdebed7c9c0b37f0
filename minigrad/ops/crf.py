"""Linear-chain conditional random fields: likelihood and best path (Lafferty et al. 2001).

The score of a path y through a sequence of n steps is

    start[y₀] + Σₜ emissions[t, yₜ] + Σₜ transitions[yₜ₋₁, yₜ] + end[yₙ₋₁]

and its probability exp(score) / Z. All is computed with logarithms; a transition may be -inf:
forbidden. A sequence of no steps has one path, of score 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import Array, device_of, namespace
from ..engine import Tensor, examine, function, fused, op, ops
from ..errors import DTypeError, IndexRangeError, ShapeError
from .classification import host_visible

__all__ = ["crf_log_likelihood", "crf_log_partition", "viterbi"]

NEVER = -math.inf


# -- log Z ---------------------------------------------------------------------------------------


@fused
def _crf(
    xp: Any,
    emissions: Array,
    transitions: Array,
    start: Array,
    end: Array,
    steps: Array,
    /,
    *,
    keep: bool,
) -> Any:
    """log Z, by the forward recursion. Shapes: (T, B, K), (K, K), (K,), (K,), (B,) → (B,)."""
    T = len(emissions)
    alpha = start + (emissions[0] if T else xp.zeros((len(steps), len(start)), start.dtype))
    alphas = [alpha]
    for t in range(1, T):
        new = _logsum(xp, alpha[:, :, None] + transitions, 1) + emissions[t]
        alpha = xp.where((steps > t)[:, None], new, alpha)
        alphas.append(alpha)
    total = xp.where(steps > 0, _logsum(xp, alpha + end, 1), 0)
    return total.astype(emissions.dtype, copy=False), (alphas, total) if keep else None


def _logsum(xp: Any, a: Array, axis: int) -> Array:
    top = a.max(axis=axis, keepdims=True)
    total = xp.exp(a - xp.where(top == NEVER, 0, top)).sum(axis=axis)
    return xp.log(xp.where(total == 0, 1, total)) + top.squeeze(axis)


@_crf.backward
def _dcrf(
    xp: Any, g: Array, y: Array, inputs: Any, residual: Any, needs: tuple[bool, ...]
) -> tuple[Array | None, ...]:
    """The probabilities of tags and of pairs of tags: forward and backward recursion."""
    emissions, transitions, _, end, steps = inputs
    alphas, total = residual
    T, B, K = emissions.shape
    z = xp.where(total == NEVER, 0, total)[:, None]
    beta = xp.broadcast_to(end, (B, K))
    g = xp.where(steps > 0, g, 0)[:, None]
    tags = xp.zeros(emissions.shape, dtype=emissions.dtype)
    pairs = xp.zeros(transitions.shape, dtype=emissions.dtype)
    for t in reversed(range(T)):
        on = (steps > t)[:, None]
        tags[t] = xp.where(on, g * xp.exp(alphas[t] + beta - z), 0)
        if t:
            ahead = transitions + (emissions[t] + beta)[:, None, :]  # (B, K, K)
            both = xp.exp(alphas[t - 1][:, :, None] + ahead - z[:, :, None]) * g[:, :, None]
            pairs += xp.where(on[:, :, None], both, 0).sum(axis=0)
            beta = xp.where(on, _logsum(xp, ahead, 2), beta)
    last = (g * xp.exp(alphas[-1] + end - z)).sum(axis=0)
    first = tags[0].sum(axis=0) if T else xp.zeros(K, dtype=emissions.dtype)
    return tags, pairs, first, last, None


@_crf.composite
def _plain_crf(emissions: Any, transitions: Any, start: Any, end: Any, steps: Any) -> Any:
    T = len(emissions)
    alpha = start + (emissions[0] if T else emissions.sum(axis=0))
    for t in range(1, T):
        new = ops.logsumexp(ops.expand_dims(alpha, 2) + transitions, axis=1) + emissions[t]
        alpha = ops.where(ops.expand_dims(steps > t, 1), new, alpha)
    return ops.where(steps > 0, ops.logsumexp(alpha + end, axis=1), 0)


# -- the best path -------------------------------------------------------------------------------


@op
def _viterbi(
    xp: Any,
    emissions: Array,
    transitions: Array,
    start: Array,
    end: Array,
    steps: Array,
    /,
) -> tuple[Array, Array]:
    """The path of the highest score (Viterbi 1967). → tags (T, B), -1 past the end; scores (B,)."""
    T, B = emissions.shape[:2]
    path = xp.full((T, B), -1, dtype=np.int64)
    if not T:
        return path, xp.zeros(B, dtype=emissions.dtype)
    best = start + emissions[0]
    came: list[Any] = [None]
    for t in range(1, T):
        ways = best[:, :, None] + transitions  # (B, from, to)
        came.append(ways.argmax(axis=1))
        best = xp.where((steps > t)[:, None], ways.max(axis=1) + emissions[t], best)
    best = best + end
    tag, each = best.argmax(axis=1), xp.arange(B)
    for t in reversed(range(T)):
        path[t] = xp.where(steps > t, tag, -1)
        if t:
            tag = xp.where(steps > t, came[t][each, tag], tag)
    return path, xp.where(steps > 0, best.max(axis=1), 0).astype(emissions.dtype, copy=False)


# -- the functions -------------------------------------------------------------------------------


def _prepare(
    what: str, emissions: Any, transitions: Any, start: Any, end: Any, lengths: Any
) -> tuple[Any, Any]:
    """Emissions with zeros past the end, and the number of steps of each sequence."""
    if emissions.ndim != 3:
        raise ShapeError(f"{what}: emissions are {emissions.shape}, expected (T, B, K)")
    if emissions.dtype.kind not in "fV":
        raise DTypeError(f"{what}: emissions are {emissions.dtype}; give floating scores")
    T, B, K = emissions.shape
    if transitions.shape != (K, K) or start.shape != (K,) or end.shape != (K,):
        raise ShapeError(
            f"{what}: emissions of {K} tags with transitions {transitions.shape}, start "
            f"{start.shape}, end {end.shape}; expected {(K, K)}, {(K,)} and {(K,)}"
        )
    from .recurrent.checks import exists, length_array

    device = device_of(emissions.data if isinstance(emissions, Tensor) else emissions)
    steps = length_array(what, lengths, T, B)
    if steps is None:
        return emissions, device.asarray(np.full(B, T))
    on = exists(steps, T, device)[..., None]  # (T, B, 1)
    return ops.where(on, emissions, 0), device.asarray(steps)


@function
def crf_log_partition(
    emissions: Any, transitions: Any, start: Any, end: Any, lengths: Any = None
) -> Any:
    """log Z = log Σ exp(score) over all paths, a number per sequence.

    Shapes: emissions (T, B, K), transitions (K, K) from row to column, start and end (K,); lengths
    B host integers → (B,). The gradients are the probabilities: of the tag k at t for emissions, of
    the pair i, j, summed over the steps, for transitions.

    Raises: ShapeError, DTypeError for arguments that do not fit.
    """
    emissions, steps = _prepare("crf_log_partition", emissions, transitions, start, end, lengths)
    return _crf(emissions, transitions, start, end, steps)


@function
def crf_log_likelihood(
    emissions: Any, tags: Any, transitions: Any, start: Any, end: Any, lengths: Any = None
) -> Any:
    """log P(tags | emissions) = score - log Z, a number per sequence.

    Shapes: as `crf_log_partition`; tags (T, B) integers, anything past the end → (B,).

    Raises: ShapeError, DTypeError for arguments that do not fit; on the CPU also IndexRangeError
    for a tag that is none.
    """
    what = "crf_log_likelihood"
    emissions, steps = _prepare(what, emissions, transitions, start, end, lengths)
    T, _, K = emissions.shape
    if tags.shape != emissions.shape[:2]:
        raise ShapeError(f"{what}: tags are {tags.shape}, expected {emissions.shape[:2]}")
    if tags.dtype.kind not in "iu":
        raise DTypeError(f"{what}: tags are {tags.dtype}; give integers")
    total = _crf(emissions, transitions, start, end, steps)
    if not T:
        return -total
    on = namespace(steps).arange(T)[:, None] < steps  # (T, B)
    seen, known = host_visible(tags), host_visible(on)
    if seen is not None and known is not None:
        examine(_check_tags, what, seen, known, K)
    tags = ops.where(on, tags, 0)
    own = ops.squeeze(ops.take_along_axis(emissions, ops.expand_dims(tags, 2), axis=2), 2)
    score = ops.where(on, own, 0).sum(axis=0) + ops.take(start, tags[0])
    steps_taken = ops.take(ops.reshape(transitions, (-1,)), tags[:-1] * K + tags[1:])
    score = score + ops.where(on[1:], steps_taken, 0).sum(axis=0)
    final = ops.expand_dims(ops.maximum(steps - 1, 0), 0)
    last = ops.squeeze(ops.take_along_axis(tags, final, axis=0), 0)
    score = score + ops.take(end, last)
    return ops.where(steps > 0, score, 0) - total


def _check_tags(what: str, tags: Array, on: Array, K: int) -> None:
    wrong = tags[on & ((tags < 0) | (tags >= K))]
    if wrong.size:
        raise IndexRangeError(f"{what}: tag {int(wrong[0])} is none of 0 to {K - 1}")


@function
def viterbi(
    emissions: Any, transitions: Any, start: Any, end: Any, lengths: Any = None
) -> tuple[Any, Any]:
    """The path of the highest score, and that score (Viterbi 1967).

    Shapes: as `crf_log_partition` → tags (T, B), -1 past the end, and scores (B,).

    Raises: ShapeError, DTypeError for arguments that do not fit.
    """
    emissions, steps = _prepare("viterbi", emissions, transitions, start, end, lengths)
    tags, scores = _viterbi(emissions, transitions, start, end, steps)
    return tags, scores
