"""Losses of probabilities, but for cross entropy (`classification.py`).

Those of numbers are in `regression.py`.
Each takes `reduction`: "mean" (a number), "sum" (a number), "none" (one loss per element).
Prediction and target must have the same shape: broadcasting them is a mistake far more often than
a wish.
"""

from __future__ import annotations

from typing import Any

from ..backend import Array
from ..engine import Tensor, elementwise, examine, function, ops
from ..errors import DataError, ShapeError
from .classification import (
    as_operand,
    check_classes,
    check_reduction,
    host_visible,
)
from .elementwise import maximum, where
from .regression import pair, reduced
from .transcendental import exp, log

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "kl_div",
    "nll_loss",
]


@function
def nll_loss(
    log_probs: Any,
    target: Any,
    *,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    axis: int = -1,
) -> Any:
    """-log_probs[target]: `cross_entropy` for scores that are log probabilities already.

    Shapes, `weight`, `ignore_index`, `reduction` and `axis` as in `cross_entropy` with ids.
    """
    check_reduction("nll_loss", reduction)
    target, weight = as_operand(target, log_probs), as_operand(weight, log_probs)
    if not -log_probs.ndim <= axis < log_probs.ndim:
        raise ShapeError(f"nll_loss: scores of shape {log_probs.shape} have no axis {axis}")
    axis %= log_probs.ndim
    check_classes("nll_loss", log_probs, target, weight, ignore_index, axis, soft=False)
    counts = target != ignore_index
    ids = where(counts, target, 0)
    chosen = ops.squeeze(
        ops.take_along_axis(log_probs, ops.expand_dims(ids, axis), axis=axis), axis
    )
    scale = counts.astype(log_probs.dtype)
    if weight is not None:
        scale = scale * ops.take(weight.detach() if isinstance(weight, Tensor) else weight, ids)
    losses = where(counts, -chosen * scale, 0)
    if reduction != "mean":
        return losses if reduction == "none" else losses.sum()
    divisor = scale.sum()
    return losses.sum() / where(divisor == 0, 1, divisor)


@function
def binary_cross_entropy_with_logits(
    x: Any,
    target: Any,
    *,
    weight: Any = None,
    pos_weight: Any = None,
    reduction: str = "mean",
) -> Any:
    """-target · log σ(x) - (1 - target) · log(1 - σ(x)), without overflow; x any real numbers.

    `weight` multiplies each loss, `pos_weight` the term of the positive class; both broadcast.
    """
    name = "binary_cross_entropy_with_logits"
    target = pair(name, x, target, reduction)
    weight, pos_weight = as_operand(weight, x), as_operand(pos_weight, x)
    if pos_weight is None:
        losses = ops.softplus(x) - x * target
    else:
        losses = (1 - target) * x + (1 + (pos_weight - 1) * target) * ops.softplus(-x)
    return reduced(losses if weight is None else losses * weight, reduction)


@elementwise
def _binary_cross_entropy(xp: Any, p: Array, target: Array) -> Array:
    """-target · log p - (1 - target) · log(1 - p), each logarithm at least -100."""
    yes = xp.where(p <= 0, -100.0, xp.log(xp.where(p <= 0, 1.0, p)))
    no = xp.where(p >= 1, -100.0, xp.log1p(-xp.where(p >= 1, 0.0, p)))
    return -(target * xp.maximum(yes, -100.0) + (1 - target) * xp.maximum(no, -100.0))


_binary_cross_entropy.defvjp(
    lambda g, _y, p, target: g * (p - target) / maximum(p * (1 - p), 1e-12),
    lambda g, _y, p, _target: (
        g * (maximum(log(maximum(1 - p, 1e-44)), -100.0) - maximum(log(maximum(p, 1e-44)), -100.0))
    ),
)


@function
def binary_cross_entropy(
    p: Any, target: Any, *, weight: Any = None, reduction: str = "mean"
) -> Any:
    """-target · log p - (1 - target) · log(1 - p); a logarithm is taken as -100 at least.

    From scores, `binary_cross_entropy_with_logits` is more exact.

    Raises: DataError if a p on the CPU is outside [0, 1].
    """
    target = pair("binary_cross_entropy", p, target, reduction)
    seen = host_visible(p)
    if seen is not None:
        examine(_check_probabilities, seen)
    losses = _binary_cross_entropy(p, target)
    weight = as_operand(weight, p)
    return reduced(losses if weight is None else losses * weight, reduction)


def _check_probabilities(p: Any) -> None:
    if p.size and (p.min() < 0 or p.max() > 1):
        raise DataError(
            "binary_cross_entropy: expected probabilities, got numbers outside [0, 1]; "
            "for scores use binary_cross_entropy_with_logits"
        )


@function
def kl_div(x: Any, target: Any, *, reduction: str = "mean", log_target: bool = False) -> Any:
    """target · (log target - x) with x log probabilities: the divergence of x from the target.

    S. Kullback and R. Leibler, "On information and sufficiency" (1951). "mean" averages over all
    elements, as in PyTorch; the divergence proper, averaged over the first axis, is "batchmean".
    With `log_target` the target holds log probabilities, too.
    """
    target = pair("kl_div", x, target, "sum" if reduction == "batchmean" else reduction)
    if log_target:
        losses = exp(target) * (target - x)
    else:
        losses = where(target == 0, 0, target * (log(where(target == 0, 1, target)) - x))
    if reduction == "batchmean":
        return losses.sum() / (len(x) or 1)
    return reduced(losses, reduction)
