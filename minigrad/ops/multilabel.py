"""Losses for several labels at once, and triplets with a distance of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..engine import examine, function, ops
from ..errors import ConfigError, DTypeError, IndexRangeError, ShapeError
from .classification import as_operand, check_reduction, host_visible
from .ranking import _reduce, _same, pairwise_distance

__all__ = [
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "triplet_margin_with_distance_loss",
]


@function
def multilabel_margin_loss(x: Any, target: Any, reduction: str = "mean") -> Any:
    """Σ_{i, j} max(0, 1 - (x[target i] - x[j])) / C over the labels i and the j that are none.

    Shapes: x (N, C) or (C,), target the same: the labels' ids, then -1; what follows a -1 does not
    count.

    Raises: ShapeError, DTypeError, IndexRangeError for targets that do not fit.
    """
    check_reduction("multilabel_margin_loss", reduction)
    target = as_operand(target, x)
    _same("multilabel_margin_loss", x=x, target=target)
    if x.ndim not in (1, 2):
        raise ShapeError(f"multilabel_margin_loss: x is {x.shape}, expected (N, C) or (C,)")
    if target.dtype.kind != "i":
        raise DTypeError(f"multilabel_margin_loss: target is {target.dtype}; give class ids")
    classes = x.shape[-1]
    seen = host_visible(target)
    if seen is not None:
        examine(_check_ids, seen, classes)
    ended = ops.cumulative_sum((target < 0).astype("int64"), axis=-1) > 0
    ids = ops.where(ended, 0, target)
    each = ops.arange(classes, device=getattr(x, "device", None))
    hits = (ops.expand_dims(ids, -1) == each) & ~ops.expand_dims(ended, -1)  # (…, label, class)
    other = ~ops.any(hits, axis=-2, keepdims=True)
    own = ops.expand_dims(ops.take_along_axis(x, ids, axis=-1), -1)
    z = ops.relu(1 - own + ops.expand_dims(x, -2))
    losses = ops.where(other & ~ops.expand_dims(ended, -1), z, 0).sum(axis=(-2, -1)) / classes
    return _reduce(losses, reduction)


def _check_ids(ids: Any, classes: int) -> None:
    if ids.size and not -1 <= ids.min() <= ids.max() < classes:
        raise IndexRangeError(
            f"multilabel_margin_loss: ids run from 0 to {classes - 1}, and -1 ends them; "
            f"got {ids.min()} … {ids.max()}"
        )


@function
def multilabel_soft_margin_loss(
    x: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Any:
    """-mean_c (target · log σ(x) + (1 - target) · log σ(-x)) · weight: one yes or no per class.

    Shapes: x and target (…, C), weight (C,); one loss per row.

    Raises: ShapeError unless the shapes are equal.
    """
    check_reduction("multilabel_soft_margin_loss", reduction)
    target, weight = as_operand(target, x), as_operand(weight, x)
    _same("multilabel_soft_margin_loss", x=x, target=target)
    losses = ops.softplus(x) - x * target
    losses = losses if weight is None else losses * weight
    return _reduce(losses.mean(axis=-1), reduction)


@function
def triplet_margin_with_distance_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    *,
    distance_function: Callable[[Any, Any], Any] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    """`triplet_margin_loss` with any distance; `pairwise_distance` by default.

    Raises: ShapeError unless the shapes are equal; ConfigError unless margin > 0.
    """
    what = "triplet_margin_with_distance_loss"
    check_reduction(what, reduction)
    if not margin > 0:
        raise ConfigError(f"{what}: margin is {margin}, expected a number > 0")
    _same(what, anchor=anchor, positive=positive, negative=negative)
    distance = pairwise_distance if distance_function is None else distance_function
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = ops.minimum(far, distance(positive, negative))
    return _reduce(ops.relu(near - far + margin), reduction)
