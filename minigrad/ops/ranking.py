"""Losses of similarity and order, and likelihoods of numbers: margins, triplets, Gauss, Poisson.

Each takes `reduction`: "mean" (a number), "sum" (a number), "none" (one loss per element).
"""

from __future__ import annotations

import math
from typing import Any

from ..engine import Tensor, examine, function, ops
from ..errors import ConfigError, DataError, DTypeError, ShapeError
from .classification import as_operand, check_classes, check_reduction, host_visible

__all__ = [
    "cosine_embedding_loss",
    "cosine_similarity",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "pairwise_distance",
    "poisson_nll_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
]


def _reduce(losses: Any, reduction: str) -> Any:
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def _same(what: str, **arguments: Any) -> None:
    shapes = {a.shape for a in arguments.values()}
    if len(shapes) > 1:
        given = ", ".join(f"{name} {a.shape}" for name, a in arguments.items())
        raise ShapeError(f"{what}: {given}; the shapes must be equal")


# -- similarity ----------------------------------------------------------------------------------


@function
def cosine_similarity(x: Any, y: Any, axis: int = 1, eps: float = 1e-8) -> Any:
    """x · y / (max(‖x‖, ε) · max(‖y‖, ε)) along `axis` (PyTorch's `dim`); x and y broadcast."""
    dot = (x * y).sum(axis=axis)
    norms = [ops.maximum(ops.vector_norm(v, axis=axis), eps) for v in (x, y)]
    return dot / (norms[0] * norms[1])


@function
def pairwise_distance(
    x: Any, y: Any, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False
) -> Any:
    """‖x - y + ε‖ₚ along the last axis; x and y broadcast. ε keeps the derivative at 0 finite."""
    return ops.norm(x - y + eps, ord=p, axis=-1, keepdims=keepdims)


@function
def cosine_embedding_loss(
    x: Any, y: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """1 - cos(x, y) where target = 1, max(0, cos(x, y) - margin) where target = -1.

    Shapes: x and y (N, D) or (D,), target (N,) or (). As in PyTorch, ε = 1e-12 is added to the
    squared norms.

    Raises: ShapeError for arguments that do not fit.
    """
    check_reduction("cosine_embedding_loss", reduction)
    target = as_operand(target, x)
    _same("cosine_embedding_loss", x=x, y=y)
    if x.ndim not in (1, 2) or target.shape != x.shape[:-1]:
        raise ShapeError(
            f"cosine_embedding_loss: x {x.shape}, target {target.shape}; expected (N, D) and (N,), "
            "or (D,) and ()"
        )
    squares = [(v * v).sum(axis=-1) + 1e-12 for v in (x, y)]
    cos = (x * y).sum(axis=-1) / ops.sqrt(squares[0] * squares[1])
    apart = ops.where(target == -1, ops.relu(cos - margin), 0)
    return _reduce(ops.where(target == 1, 1 - cos, apart), reduction)


@function
def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d = `pairwise_distance`.

    Shapes: three times (N, D) or (D,). swap: d(positive, negative) counts if it is smaller than
    d(anchor, negative) (Balntas et al. 2016).

    Raises: ShapeError unless the shapes are equal; ConfigError unless margin > 0.
    """
    check_reduction("triplet_margin_loss", reduction)
    if not margin > 0:
        raise ConfigError(f"triplet_margin_loss: margin is {margin}, expected a number > 0")
    _same("triplet_margin_loss", anchor=anchor, positive=positive, negative=negative)
    near = pairwise_distance(anchor, positive, p, eps)
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = ops.minimum(far, pairwise_distance(positive, negative, p, eps))
    return _reduce(ops.relu(near - far + margin), reduction)


# -- order ---------------------------------------------------------------------------------------


@function
def margin_ranking_loss(
    x: Any, y: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    """max(0, -target · (x - y) + margin): x should be the larger where target = 1, y where -1.

    Raises: ShapeError unless the shapes are equal.
    """
    check_reduction("margin_ranking_loss", reduction)
    target = as_operand(target, x)
    _same("margin_ranking_loss", x=x, y=y, target=target)
    return _reduce(ops.relu(margin - target * (x - y)), reduction)


@function
def hinge_embedding_loss(x: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    """x where target = 1, max(0, margin - x) where target = -1; x a distance.

    Raises: ShapeError unless the shapes are equal.
    """
    check_reduction("hinge_embedding_loss", reduction)
    target = as_operand(target, x)
    _same("hinge_embedding_loss", x=x, target=target)
    losses = ops.where(target == 1, 0, ops.relu(margin - x)) + ops.where(target == -1, 0, x)
    return _reduce(losses, reduction)


@function
def soft_margin_loss(x: Any, target: Any, reduction: str = "mean") -> Any:
    """log(1 + exp(-target · x)), target 1 or -1; without overflow.

    Raises: ShapeError unless the shapes are equal.
    """
    check_reduction("soft_margin_loss", reduction)
    target = as_operand(target, x)
    _same("soft_margin_loss", x=x, target=target)
    return _reduce(ops.softplus(-target * x), reduction)


@function
def multi_margin_loss(
    x: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    reduction: str = "mean",
) -> Any:
    """Σ_{c ≠ target} max(0, margin - x[target] + x[c])ᵖ · weight[target] / C: a hinge per class.

    Shapes: x (N, C) or (C,), target (N,) or () of class ids, weight (C,). Crammer & Singer 2001.

    Raises: ConfigError unless p is 1 or 2; ShapeError, DTypeError, IndexRangeError for arguments
    that do not fit.
    """
    check_reduction("multi_margin_loss", reduction)
    if p not in (1, 2):
        raise ConfigError(f"multi_margin_loss: p is {p}, expected 1 or 2")
    target, weight = as_operand(target, x), as_operand(weight, x)
    if x.ndim not in (1, 2):
        raise ShapeError(f"multi_margin_loss: x is {x.shape}, expected (N, C) or (C,)")
    if target.dtype.kind not in "iu":
        raise DTypeError(f"multi_margin_loss: target is {target.dtype}; give class ids")
    nobody = -(1 << 63)  # no id is ignored
    check_classes("multi_margin_loss", x, target, weight, nobody, x.ndim - 1, soft=False)
    ids = ops.expand_dims(target, -1)
    own = ops.take_along_axis(x, ids, axis=-1)
    z = ops.relu(margin - own + x)
    z = ops.square(z) if p == 2 else z
    if weight is not None:
        z = z * ops.take(weight.detach() if isinstance(weight, Tensor) else weight, ids)
    device = x.device if isinstance(x, Tensor) else None
    others = ids != ops.arange(x.shape[-1], device=device)
    return _reduce(ops.where(others, z, 0).mean(axis=-1), reduction)


# -- likelihoods ---------------------------------------------------------------------------------


@function
def gaussian_nll_loss(
    x: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    """½ (log max(var, ε) + (x - target)² / max(var, ε)), and with `full` ½ log 2π.

    x the mean and var the variance that a model predicts (Nix & Weigend 1994). var has the shape of
    x, or 1 as its last axis, or lacks it. As in PyTorch, the limit ε stops no gradient.

    Raises: ShapeError for arguments that do not fit; DataError for a negative var, on the CPU.
    """
    check_reduction("gaussian_nll_loss", reduction)
    target, var = as_operand(target, x), as_operand(var, x)
    if isinstance(var, int | float):
        var = ops.zeros_like(x) + var
    if target.shape != x.shape:
        raise ShapeError(f"gaussian_nll_loss: x {x.shape}, target {target.shape}; give equal ones")
    if var.shape != x.shape:
        if var.shape == x.shape[:-1]:
            var = ops.expand_dims(var, -1)
        elif var.shape != (*x.shape[:-1], 1):
            raise ShapeError(
                f"gaussian_nll_loss: var is {var.shape}, expected {x.shape} or {x.shape[:-1]}"
            )
    seen = host_visible(var)
    if seen is not None:
        examine(_check_variance, seen)
    plain = var.detach() if isinstance(var, Tensor) else var
    var = var + (ops.maximum(plain, eps) - plain)
    losses = 0.5 * (ops.log(var) + ops.square(x - target) / var)
    return _reduce(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def _check_variance(var: Any) -> None:
    if (var < 0).any():
        raise DataError("gaussian_nll_loss: var is negative; predict its logarithm, or softplus")


@function
def poisson_nll_loss(
    x: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:
    """exp(x) - target · x, or x - target · log(x + ε) unless `log_input`: counts at the rate x.

    full: Stirling's approximation of log target!, target log target - target + ½ log 2π target,
    is added where target > 1.

    Raises: ShapeError unless the shapes are equal.
    """
    check_reduction("poisson_nll_loss", reduction)
    target = as_operand(target, x)
    _same("poisson_nll_loss", x=x, target=target)
    losses = ops.exp(x) - target * x if log_input else x - target * ops.log(x + eps)
    if full:
        many = ops.where(target > 1, target, 1)
        stirling = many * ops.log(many) - many + 0.5 * ops.log(2 * math.pi * many)
        losses = losses + ops.where(target > 1, stirling, 0)
    return _reduce(losses, reduction)
