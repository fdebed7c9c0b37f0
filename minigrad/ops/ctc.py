"""Connectionist temporal classification: one op, twice differentiable by its composite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import NAMESPACES, Array, Device, device_of, namespace
from ..engine import Tensor, examine, function, fused, ops
from ..errors import DeviceError, DTypeError, IndexRangeError, ShapeError
from .classification import check_reduction, host_visible
from .lookup import sum_rows

__all__ = ["ctc_loss"]

NEVER = -math.inf


# -- the fused op --------------------------------------------------------------------------------
#
# A target of S labels is read along L = 2S + 1 states: blank, label, blank, …, label, blank. From
# state s a path stays, goes to s + 1, or skips to s + 2 if that is another label. All numbers are
# log probabilities; alpha before the first frame is 0 at state 0, so that the first step is a step
# like all others, and no frames at all are right for no labels.


@fused
def _ctc(
    xp: Any,
    log_probs: Array,
    targets: Array,
    frames: Array,
    labels: Array,
    /,
    *,
    blank: int,
    keep: bool,
) -> Any:
    """-log of the probability of each target, summed over its alignments (Graves et al. 2006).

    Shapes: log_probs (T, N, C), targets (N, S), frames and labels (N,): how many of T and S exist
    → (N,).
    """
    states, skip = _states(xp, targets, labels, blank)
    seen = _at_states(xp, log_probs, states)
    T, N, L = seen.shape
    running = xp.arange(T)[:, None] < frames  # (T, N)
    alpha = xp.full((N, L), NEVER, dtype=seen.dtype)
    alpha[:, 0] = 0
    alphas = xp.empty(seen.shape, dtype=seen.dtype) if keep else None
    for t in range(T):
        new = _logsum(xp, alpha, _right(xp, alpha, 1), _right(xp, alpha, 2) + skip) + seen[t]
        alpha = xp.where(running[t][:, None], new, alpha)
        if alphas is not None:
            alphas[t] = alpha
    ends = _ends(xp, labels, L, seen.dtype)
    total = _logsum_along(xp, alpha + ends)
    residual = (alphas, seen, states, skip, running, ends, total) if keep else None
    return (-total).astype(log_probs.dtype, copy=False), residual


def _states(xp: Any, targets: Array, labels: Array, blank: int) -> tuple[Array, Array]:
    """The class of each state, (N, L), and 0 where a path may skip to it, else -inf."""
    N, S = targets.shape
    states = xp.full((N, 2 * S + 1), blank, dtype=np.int64)
    states[:, 1::2] = xp.where(xp.arange(S) < labels[:, None], targets, blank)
    other = states != blank
    other[:, :2] = False
    other[:, 2:] &= states[:, 2:] != states[:, :-2]
    return states, xp.where(other, 0.0, NEVER)


def _at_states(xp: Any, log_probs: Array, states: Array) -> Array:
    """(T, N, L): the log probability of each state's class, in single precision at least."""
    T, N, _ = log_probs.shape
    seen = log_probs[xp.arange(T)[:, None, None], xp.arange(N)[:, None], states]
    return seen if seen.dtype.itemsize >= 4 else seen.astype(np.float32)


def _ends(xp: Any, labels: Array, L: int, dtype: Any) -> Array:
    """0 at the two states in which a path may end, the last label and the blank after it."""
    behind = 2 * labels[:, None] - xp.arange(L)
    return xp.where((behind == 0) | (behind == 1), 0.0, NEVER).astype(dtype)


def _right(xp: Any, a: Array, n: int) -> Array:
    """a[:, s - n] at s."""
    y = xp.full(a.shape, NEVER, dtype=a.dtype)
    y[:, n:] = a[:, :-n]
    return y


def _left(xp: Any, a: Array, n: int) -> Array:
    """a[:, s + n] at s."""
    y = xp.full(a.shape, NEVER, dtype=a.dtype)
    y[:, :-n] = a[:, n:]
    return y


def _logsum(xp: Any, a: Array, b: Array, c: Array) -> Array:
    top = xp.maximum(xp.maximum(a, b), c)
    shift = xp.where(top == NEVER, 0, top)
    total = xp.exp(a - shift) + xp.exp(b - shift) + xp.exp(c - shift)
    return (xp.log(xp.where(total == 0, 1, total)) + top).astype(a.dtype, copy=False)


def _logsum_along(xp: Any, a: Array) -> Array:
    top = a.max(axis=1)
    total = xp.exp(a - xp.where(top == NEVER, 0, top)[:, None]).sum(axis=1)
    return xp.log(xp.where(total == 0, 1, total)) + top


@_ctc.backward
def _dctc(
    xp: Any,
    g: Array,
    y: Array,
    inputs: Any,
    residual: Any,
    needs: tuple[bool, ...],
    *,
    blank: int,
) -> tuple[Array | None, ...]:
    """-P(state at t), added up over the states of a class."""
    log_probs = inputs[0]
    alphas, seen, states, skip, running, ends, total = residual
    T, N, C = log_probs.shape
    beta = ends
    share = xp.empty(seen.shape, dtype=seen.dtype)
    scale = xp.where(total == NEVER, 0, total)[:, None]
    for t in reversed(range(T)):
        on = running[t][:, None]
        share[t] = xp.where(on, xp.exp(alphas[t] + beta - scale), 0)
        ahead = beta + seen[t]
        back = _logsum(xp, ahead, _left(xp, ahead, 1), _left(xp, ahead + skip, 2))
        beta = xp.where(on, back, beta)
    share *= -g[:, None]
    place = (xp.arange(T)[:, None, None] * N + xp.arange(N)[:, None]) * C + states
    sums = sum_rows(xp, share.reshape(-1, 1), place.reshape(-1), T * N * C)
    return sums.reshape(log_probs.shape).astype(log_probs.dtype, copy=False), None, None, None


@_ctc.composite
def _plain_ctc(log_probs: Any, targets: Any, frames: Any, labels: Any, *, blank: int) -> Any:
    T, N, _ = log_probs.shape
    S = targets.shape[1]
    L = 2 * S + 1
    here = targets.device if isinstance(targets, Tensor) else device_of(targets)
    inside = ops.arange(S, device=here) < ops.expand_dims(labels, 1)
    pairs = [ops.zeros_like(targets) + blank, ops.where(inside, targets, blank)]
    states = ops.reshape(ops.stack(pairs, axis=2), (N, 2 * S))
    states = ops.pad(states, ((0, 0), (0, 1)), constant_values=blank)
    other = states[:, 2:] != states[:, :-2]
    other = ops.pad(other & (states[:, 2:] != blank), ((0, 0), (2, 0)), constant_values=False)
    other = other[:, :L]  # with no labels, two states too many
    seen = ops.take_along_axis(log_probs, ops.expand_dims(states, 0), axis=2)
    first = ops.arange(L, device=here) == 0
    alpha = ops.zeros_like(seen[0] if T else log_probs[:, :, :1].sum(axis=0) + first)
    alpha = ops.where(first, alpha, NEVER)

    def right(a: Any, n: int) -> Any:
        return ops.pad(a, ((0, 0), (n, 0)), constant_values=NEVER)[:, :L]

    for t in range(T):
        paths = [alpha, right(alpha, 1), ops.where(other, right(alpha, 2), NEVER)]
        new = ops.logsumexp(ops.stack(paths), axis=0) + seen[t]
        alpha = ops.where(ops.expand_dims(frames, 1) > t, new, alpha)
    behind = 2 * ops.expand_dims(labels, 1) - ops.arange(L, device=here)
    ends = (behind == 0) | (behind == 1)
    return -ops.logsumexp(ops.where(ends, alpha, NEVER), axis=1)


# -- the function --------------------------------------------------------------------------------


@function
def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """-log P(target | log_probs), summed over all alignments (Graves et al. 2006, eq. 8 and 12).

    An alignment names a class per frame; without repeats, then without blanks, it is the target.
    Called as in PyTorch.

    Shapes: log_probs (T, N, C), or (T, C) for one sequence; targets (N, S), or all labels one after
    the other, (Σ target_lengths,); the lengths (N,), or numbers. The result is a number, or (N,)
    with reduction="none".

    Args:
        log_probs: log probabilities, of `log_softmax`.
        targets: class ids, none of them `blank`; what is past the end may be anything.
        input_lengths: how many of the T frames exist.
        target_lengths: how many of the S labels exist.
        blank: the class that is no label.
        reduction: "mean": each loss over its target's length (1 at least), then the average over
            the batch; "sum"; "none".
        zero_infinity: a target too long for its frames costs 0, not infinity.

    The gradient is that of this function. PyTorch's is what is left of it after `log_softmax`:
    softmax minus the alignments' shares; through `log_softmax` both give the same. Where the loss
    is infinite, the gradient is 0, not NaN.

    Raises: ShapeError, DTypeError for arguments that do not fit; DeviceError for target_lengths on
    a device beside targets of one axis; on the CPU also IndexRangeError for a label that is no
    class, or the blank.

    >>> import minigrad as mg
    >>> even = mg.log_softmax(mg.zeros((2, 3)))  # 2 frames: "aa", "a-" and "-a" of 9 say "a"
    >>> mg.exp(-mg.ctc_loss(even, mg.tensor([1]), 2, 1)) * 9
    tensor(3...)
    """
    check_reduction("ctc_loss", reduction)
    if log_probs.dtype.kind not in "fV":
        raise DTypeError(f"ctc_loss: log_probs are {log_probs.dtype}; give log_softmax(scores)")
    if log_probs.ndim not in (2, 3):
        raise ShapeError(f"ctc_loss: log_probs are {log_probs.shape}, expected (T, N, C) or (T, C)")
    batched = log_probs.ndim == 3
    if not batched:
        log_probs = ops.expand_dims(log_probs, 1)
    T, N, C = log_probs.shape
    device = device_of(log_probs.data if isinstance(log_probs, Tensor) else log_probs)
    frames = _lengths("input_lengths", input_lengths, N, T, "frames", device)
    labels = _lengths("target_lengths", target_lengths, N, None, "labels", device)
    if not -C <= blank < C:
        raise IndexRangeError(f"ctc_loss: blank is {blank}, expected one of {C} classes")
    blank %= C
    if not hasattr(targets, "dtype"):
        targets = ops.asarray(np.asarray(targets, dtype=np.int64), device=device)
    if targets.dtype.kind not in "iu":
        raise DTypeError(f"ctc_loss: targets are {targets.dtype}; give integer class ids")
    targets = _padded(targets, labels, N, device)
    seen = host_visible(targets)
    if seen is not None and seen.size:
        examine(_check_labels, seen, labels, C, blank)
    losses = _ctc(log_probs, targets, device.asarray(frames), device.asarray(labels), blank=blank)
    if zero_infinity:
        losses = ops.where(losses == math.inf, 0, losses)
    if reduction == "none":
        return losses if batched else losses[0]
    if reduction == "sum":
        return losses.sum()
    return (
        losses / device.asarray(namespace(labels).maximum(labels, 1).astype(losses.dtype))
    ).mean()


def _lengths(name: str, given: Any, N: int, most: int | None, what: str, device: Device) -> Any:
    """(N,) integers, on the host or on the device."""
    data = given.data if isinstance(given, Tensor) else given
    lengths = data if type(data) in NAMESPACES else np.asarray(data)
    if (where := device_of(lengths)).kind != "cpu" and where is not device:
        raise DeviceError(f"ctc_loss: {name} are on {where}, log_probs on {device}")
    lengths = lengths.reshape(1) if lengths.ndim == 0 else lengths
    if lengths.shape != (N,) or (N and lengths.dtype.kind not in "iu"):
        raise ShapeError(
            f"ctc_loss: {name} are {lengths.dtype} {lengths.shape}, expected integers ({N},)"
        )
    if N and where.kind == "cpu":  # elsewhere one would wait
        examine(_check_lengths, name, lengths, most, what)
    return lengths.astype(np.int64)


def _check_lengths(name: str, lengths: Any, most: int | None, what: str) -> None:
    if lengths.min() < 0 or (most is not None and lengths.max() > most):
        raise ShapeError(f"ctc_loss: {name} {lengths.tolist()} of {most} {what}")


def _padded(targets: Any, labels: Any, N: int, device: Any) -> Any:
    """Targets as (N, S)."""
    on_host = device_of(labels).kind == "cpu"
    if targets.ndim == 2:
        if on_host:
            examine(_check_rows, targets.shape, labels)
        return targets
    if not on_host:
        raise DeviceError(
            f"ctc_loss: target_lengths are on {device}, so the host cannot tell whose the labels "
            f"{targets.shape} are; give targets of shape ({N}, S)"
        )
    if targets.ndim != 1 or len(targets) < labels.sum() or (N > 1 and len(targets) > labels.sum()):
        raise ShapeError(
            f"ctc_loss: targets are {targets.shape}, expected ({N}, S) or all of the "
            f"{labels.sum()} labels one after the other"
        )
    step = np.arange(labels.max(initial=0))
    starts = np.cumsum(labels) - labels
    place = np.where(step < labels[:, None], starts[:, None] + step, 0)
    if not place.size:
        return ops.zeros(place.shape, dtype=np.int64, device=device)
    return ops.take(targets, device.asarray(place), axis=0)


def _check_rows(shape: tuple[int, ...], labels: Any) -> None:
    if shape[0] != len(labels) or labels.max(initial=0) > shape[1]:
        raise ShapeError(
            f"ctc_loss: targets are {shape} for a batch of {len(labels)} with target_lengths "
            f"{labels.tolist()}"
        )


def _check_labels(targets: Any, labels: Any, C: int, blank: int) -> None:
    used = targets[np.arange(targets.shape[1]) < labels[:, None]]
    wrong = used[(used < 0) | (used >= C) | (used == blank)]
    if wrong.size:
        raise IndexRangeError(
            f"ctc_loss: target {int(wrong[0])} is no label; ids run from 0 to {C - 1}, and "
            f"{blank} is the blank"
        )
