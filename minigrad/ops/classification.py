"""Cross entropy: one op, whose gradient takes one pass over the logits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..backend import Array, device_of, on_cpu
from ..backend import fused as fused_kernel
from ..engine import Tensor, examine, function, fused, ops
from ..errors import ConfigError, DataError, DTypeError, IndexRangeError, ShapeError
from . import rows

__all__ = ["cross_entropy"]

# -- the fused op ------------------------------------------------------------------------------


@fused
def _cross_entropy(
    xp: Any,
    logits: Array,
    target: Array,
    weight: Array | None,
    /,
    *,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
    axis: int,
    keep: bool,
) -> Any:
    """-Σ q log softmax(logits): softmax, logarithm and choice of class in one."""
    x = _rows(xp, logits, axis)
    n, classes = x.shape
    soft = target.dtype.kind in "fV"
    eps = label_smoothing
    each, even = xp.arange(n), 1.0 if weight is None else weight
    if soft:
        target, divisor = _rows(xp, target, axis), max(1, n)
    else:
        counts = target.reshape(-1) != ignore_index
        ids = xp.where(counts, target.reshape(-1), 0)
        counts = counts.astype(x.dtype)[:, None]
        scale = counts[:, 0] if weight is None else counts[:, 0] * weight[ids]
        divisor = scale.sum()
        divisor = xp.where(divisor == 0, 1, divisor)
        scale = scale * (1 - eps)
    if reduction != "mean":
        divisor = 1
    rowwise: Any = fused_kernel(xp, "cross_entropy", x.dtype)
    if rowwise is None and on_cpu(xp):
        rowwise = partial(rows.cross_entropy, xp)
    if rowwise is not None and not (soft or eps):
        unit = xp.ones(1, dtype=x.dtype) * divisor
        loss, *rest = rowwise(x, ids, scale, unit, keep=keep)
        loss = loss.reshape(_without(logits, axis)) if reduction == "none" else loss.sum() / divisor
        return loss.astype(logits.dtype), (rest[1], rest[0], divisor)
    # Row blocks that stay in the L2 cache. The gradient for g = 1 is made while they are there.
    slope: Any = xp.empty_like(x) if keep else None
    surprise = xp.empty((n, 1), dtype=x.dtype)  # -log softmax is this less x
    loss = xp.zeros(n, dtype=x.dtype)
    for block in rows.blocks(xp, n, classes):
        e, top = rows.shifted_exp(xp, x[block], -1, None if slope is None else slope[block])
        s = rows.row_sums(xp, e)
        surprise[block] = xp.log(s) + top
        q = None  # what the classes weigh, but for a hard target's own
        if soft:
            q = (target[block] * (1 - eps) + eps / classes if eps else target[block]) * even
        elif eps:
            q = counts[block] * even * xp.full(classes, eps / classes, dtype=x.dtype)
        total = 0 if soft else scale[block]
        if q is not None:
            total = total + q.sum(axis=1)
            loss[block] = (q * (surprise[block] - x[block])).sum(axis=1)
        if keep:
            e *= (total / divisor)[:, None] / s
            if q is not None:
                e -= q / divisor
    if not soft:
        chosen = xp.where(counts[:, 0] > 0, x[each, ids], 0)  # an ignored row's may be -inf
        loss += scale * (surprise[:, 0] - chosen)
        if keep:
            slope[each, ids] -= scale / divisor
    loss = loss.reshape(_without(logits, axis)) if reduction == "none" else loss.sum() / divisor
    return loss.astype(logits.dtype), (slope, surprise, divisor)


@_cross_entropy.backward
def _dcross_entropy(
    xp: Any,
    g: Array,
    y: Array,
    inputs: tuple[Array, ...],
    residual: Any,
    needs: tuple[bool, ...],
    *,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
    axis: int,
) -> tuple[Array | None, ...]:
    """softmax · Σ q - q, by rows; to soft targets, -log softmax."""
    logits, target, weight = inputs
    slope, surprise, divisor = residual
    one = reduction != "none" and device_of(g).kind == "cpu" and float(g) == 1
    if reduction == "none":
        g = g.reshape(-1, 1)
    dlogits = dtarget = None
    if needs[0]:
        dlogits = _unrows(xp, slope if one else slope * g, logits, axis)
    if needs[1]:
        dtarget = (surprise - _rows(xp, logits, axis)) * (g * (1 - label_smoothing) / divisor)
        dtarget = _unrows(xp, dtarget if weight is None else dtarget * weight, target, axis)
    return dlogits, dtarget, None


@_cross_entropy.composite
def _plain_cross_entropy(
    logits: Any,
    target: Any,
    weight: Any,
    *,
    ignore_index: int,
    label_smoothing: float,
    reduction: str,
    axis: int,
) -> Any:
    classes = logits.shape[axis]
    along = tuple([classes if i == axis else 1 for i in range(logits.ndim)])
    w = 1.0 if weight is None else ops.reshape(weight, along)
    divisor: Any
    if target.dtype.kind in "fV":
        q = (target * (1 - label_smoothing) + label_smoothing / classes) * w
        divisor = max(1, logits.size // max(1, classes))
    else:
        ids = ops.expand_dims(target, axis)
        chosen = ids == ops.arange(classes, device=target.device).reshape(along)
        q = chosen.astype(logits.dtype) * w
        divisor = ops.where(ids == ignore_index, 0, q).sum()
        divisor = ops.where(divisor == 0, 1, divisor)
        q = q * (1 - label_smoothing) + w * (label_smoothing / classes)
        q = ops.where(ids == ignore_index, 0, q)
    surprise = -ops.log_softmax(logits, axis=axis)
    loss = ops.where(q == 0, 0, q * surprise).sum(axis=axis)
    if reduction == "none":
        return loss
    return loss.sum() / divisor if reduction == "mean" else loss.sum()


def _rows(xp: Any, x: Array, axis: int) -> Array:
    """x as (n, C), in single precision at least."""
    if axis != x.ndim - 1:
        x = xp.moveaxis(x, axis, -1)
    n = x.size // max(1, x.shape[-1])
    x = x.reshape(n, x.shape[-1])
    return x if x.dtype.itemsize >= 4 else x.astype("float32")


def _unrows(xp: Any, data: Array, like: Array, axis: int) -> Array:
    """(n, C) in the shape of `like`."""
    data = data.reshape((*_without(like, axis), data.shape[1]))
    return data if axis == like.ndim - 1 else xp.moveaxis(data, -1, axis)


def _without(x: Array, axis: int) -> tuple[int, ...]:
    return tuple(x.shape[:axis] + x.shape[axis + 1 :])


# -- the function --------------------------------------------------------------------------------


@function
def cross_entropy(
    logits: Any,
    target: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
    axis: int = -1,
) -> Any:
    """-Σ_c q_c log softmax(logits)_c: how surprising the target classes are, in nats.

    For class ids q is (1 - ε) at the target and ε/C more everywhere, ε = `label_smoothing`; for
    target probabilities t it is (1 - ε) t + ε/C. `weight` multiplies the terms of its class.

    Shapes: logits (..., C), or C at `axis`: **PyTorch's layout (N, C, d1, …) is axis=1**. target:
    integer ids with the shape of logits without that axis, or probabilities with the shape of
    logits. weight (C,).

    Args:
        logits: scores, any real numbers.
        target: class ids, or a probability per class.
        weight: a factor per class; a constant, no gradient flows to it.
        ignore_index: ids of this value count for nothing.
        label_smoothing: ε, from 0 to 1.
        reduction: "mean": over ids, Σ loss / Σ weight[target] of those that count, and 0 if none
            does (PyTorch: NaN); over probabilities, the average. "sum". "none": one loss each.
        axis: where the classes are.

    Raises: ShapeError, DTypeError or ConfigError for arguments that do not fit; on the CPU also
        IndexRangeError for an id that is no class, and DataError for NaN in target probabilities.

    >>> import minigrad as mg
    >>> mg.cross_entropy(mg.tensor([[2.0, 0.0, 0.0]]), mg.tensor([0]))
    tensor(0.23954...)
    """
    target, weight = as_operand(target, logits), as_operand(weight, logits)
    if logits.dtype.kind not in "fV":
        raise DTypeError(f"cross_entropy: logits have dtype {logits.dtype}; give floating scores")
    if not logits.ndim or not -logits.ndim <= axis < logits.ndim:
        raise ShapeError(f"cross_entropy: logits of shape {logits.shape} have no axis {axis}")
    axis %= logits.ndim
    check_reduction("cross_entropy", reduction)
    if not 0 <= label_smoothing <= 1:
        raise ConfigError(f"cross_entropy: label_smoothing is {label_smoothing}, expected 0 to 1")
    check_classes("cross_entropy", logits, target, weight, ignore_index, axis, soft=True)
    if isinstance(weight, Tensor):
        weight = weight.detach()
    return _cross_entropy(
        logits,
        target,
        weight,
        ignore_index=ignore_index,
        label_smoothing=label_smoothing,
        reduction=reduction,
        axis=axis,
    )


# -- checks ------------------------------------------------------------------------------------


def as_operand(x: Any, beside: Any) -> Any:
    """Data of the host, also NumPy's, as a tensor on the device of `beside`; all else as it is."""
    if isinstance(x, Tensor) or x is None or (hasattr(x, "dtype") and type(x) is not np.ndarray):
        return x
    where = beside.device if isinstance(beside, Tensor) else device_of(beside)
    if type(x) is np.ndarray and where.kind == "cpu":
        return x
    return ops.asarray(x, device=where)


def check_reduction(name: str, reduction: str) -> None:
    """Raise ConfigError for a reduction that is none."""
    if reduction not in ("mean", "sum", "none"):
        raise ConfigError(f"{name}: reduction is {reduction!r}; give 'mean', 'sum' or 'none'")


def check_classes(
    name: str, x: Any, target: Any, weight: Any, ignore_index: int, axis: int, *, soft: bool
) -> None:
    """Raise for targets that are no classes of x, or a weight that has not one factor per class."""
    classes = x.shape[axis]
    expected = x.shape[:axis] + x.shape[axis + 1 :]
    if target.dtype.kind in "iu":
        if target.shape != expected:
            raise ShapeError(
                f"{name}: scores of shape {x.shape} with {classes} classes along axis {axis} "
                f"need ids of shape {expected}, got {target.shape}; for the layout (N, C, d1, …) "
                "pass axis=1"
            )
        ids = host_visible(target)
        if ids is not None:
            examine(_check_range, name, ids, classes, ignore_index)
    elif not soft or target.dtype.kind not in "fV":
        raise DTypeError(f"{name}: target has dtype {target.dtype}; give integer class ids")
    elif target.shape != x.shape:
        raise ShapeError(
            f"{name}: target is {target.dtype}{target.shape}; give integer ids of shape {expected} "
            f"or probabilities of shape {x.shape}"
        )
    else:
        check_labels(name, target)
    if weight is not None and weight.shape != (classes,):
        raise ShapeError(f"{name}: weight has shape {weight.shape}, expected ({classes},)")


def check_labels(name: str, target: Any) -> None:
    """Raise DataError if a constant target on the CPU has a NaN."""
    if isinstance(target, Tensor) and target.requires_grad:
        return
    labels = host_visible(target)
    if labels is not None and labels.dtype.kind in "fV":
        examine(_check_nan, name, labels)


def _check_range(name: str, ids: Any, classes: int, ignore_index: int) -> None:
    if ids.size and not 0 <= ids.min() <= ids.max() < classes:
        wrong = ids[((ids < 0) | (ids >= classes)) & (ids != ignore_index)]
        if wrong.size:
            raise IndexRangeError(
                f"{name}: target {int(wrong[0])} is no class; ids run from 0 to {classes - 1}, "
                f"and {ignore_index} is ignored"
            )


def _check_nan(name: str, labels: Any) -> None:
    squares = np.vdot(labels, labels)  # a NaN if one is there, and only then: half the time
    if squares != squares:
        raise DataError(f"{name}: target has NaN; clean the data or mask those positions out")


def host_visible(x: Any) -> Any:
    """The array of x if it can be looked at without waiting for a device, else None."""
    data = x.data if isinstance(x, Tensor) else x
    return data if type(data) is np.ndarray or device_of(data).kind == "cpu" else None
