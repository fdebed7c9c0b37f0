"""Losses as modules; the formulas stand with the functions of the same names."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..engine import Tensor
from .module import Module


class _Loss(Module):
    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


class CrossEntropyLoss(_Loss):
    """`ops.cross_entropy`: softmax and negative log likelihood in one.

    Args:
        weight: a factor per class.
        ignore_index: positions with this target count for nothing.
        label_smoothing: mix the target with the uniform distribution by this much.
        reduction: "mean" (over what counts), "sum" or "none".
        axis: that of the classes; PyTorch's layout (N, C, d₁, …) is axis=1.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        *,
        axis: int = -1,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", None if weight is None else _tensor(weight))
        self.ignore_index = ignore_index
        self.label_smoothing, self.axis = label_smoothing, axis

    def forward(self, logits: Tensor, target: Any) -> Tensor:
        return ops.cross_entropy(
            logits,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
            axis=self.axis,
        )


class NLLLoss(_Loss):
    """`ops.nll_loss`: negative log likelihood of given log probabilities.

    axis: that of the classes; PyTorch's layout (N, C, d₁, …) is axis=1.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Any = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        *,
        axis: int = -1,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", None if weight is None else _tensor(weight))
        self.ignore_index, self.axis = ignore_index, axis

    def forward(self, log_probabilities: Tensor, target: Any) -> Tensor:
        return ops.nll_loss(
            log_probabilities,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            axis=self.axis,
        )


class BCELoss(_Loss):
    """`ops.binary_cross_entropy` of probabilities; `weight` is a factor per loss, broadcast."""

    weight: Tensor | None

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", None if weight is None else _tensor(weight))

    def forward(self, p: Tensor, target: Any) -> Tensor:
        return ops.binary_cross_entropy(p, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """`ops.binary_cross_entropy_with_logits`; `pos_weight` is a factor for positive targets.

    `weight` is a factor per loss; both broadcast.
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(self, weight: Any = None, reduction: str = "mean", pos_weight: Any = None) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", None if weight is None else _tensor(weight))
        self.register_buffer("pos_weight", None if pos_weight is None else _tensor(pos_weight))

    def forward(self, logits: Tensor, target: Any) -> Tensor:
        return ops.binary_cross_entropy_with_logits(
            logits,
            target,
            weight=self.weight,
            pos_weight=self.pos_weight,
            reduction=self.reduction,
        )


class MSELoss(_Loss):
    """(x - y)²."""

    def forward(self, x: Tensor, y: Any) -> Tensor:
        return ops.mse_loss(x, y, reduction=self.reduction)


class L1Loss(_Loss):
    """|x - y|."""

    def forward(self, x: Tensor, y: Any) -> Tensor:
        return ops.l1_loss(x, y, reduction=self.reduction)


class HuberLoss(_Loss):
    """½(x - y)² where |x - y| ≤ delta, else delta · (|x - y| - ½ delta) (Huber 1964)."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = delta

    def forward(self, x: Tensor, y: Any) -> Tensor:
        return ops.huber_loss(x, y, delta=self.delta, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """½(x - y)² / beta where |x - y| < beta, else |x - y| - ½ beta (Girshick 2015)."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = beta

    def forward(self, x: Tensor, y: Any) -> Tensor:
        return ops.smooth_l1_loss(x, y, beta=self.beta, reduction=self.reduction)


class KLDivLoss(_Loss):
    """Σ y (log y - x), x log probabilities (Kullback & Leibler 1951).

    `log_target`: y is given as log probabilities, too.
    """

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, x: Tensor, y: Any) -> Tensor:
        return ops.kl_div(x, y, reduction=self.reduction, log_target=self.log_target)


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(value)
