"""CTC, and losses of similarity, order and likelihood, as modules.

The formulas, shapes and errors stand with the functions of the same names; the arguments are those
of `torch.nn`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import ops
from ..engine import Tensor
from .loss import _Loss, _tensor

__all__ = [
    "CTCLoss",
    "CosineEmbeddingLoss",
    "GaussianNLLLoss",
    "HingeEmbeddingLoss",
    "MarginRankingLoss",
    "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss",
    "MultiMarginLoss",
    "PoissonNLLLoss",
    "SoftMarginLoss",
    "TripletMarginLoss",
    "TripletMarginWithDistanceLoss",
]


class CTCLoss(_Loss):
    """`ops.ctc_loss`: the target's probability over all its alignments (Graves et al. 2006)."""

    def __init__(
        self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
    ) -> None:
        super().__init__(reduction)
        self.blank, self.zero_infinity = blank, zero_infinity

    def forward(
        self, log_probs: Tensor, targets: Any, input_lengths: Any, target_lengths: Any
    ) -> Tensor:
        return ops.ctc_loss(
            log_probs,
            targets,
            input_lengths,
            target_lengths,
            self.blank,
            self.reduction,
            self.zero_infinity,
        )


class CosineEmbeddingLoss(_Loss):
    """1 - cos(x, y) where target = 1, max(0, cos(x, y) - margin) where target = -1."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x: Tensor, y: Tensor, target: Any) -> Tensor:
        return ops.cosine_embedding_loss(x, y, target, self.margin, self.reduction)


class MarginRankingLoss(_Loss):
    """max(0, -target · (x - y) + margin)."""

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x: Tensor, y: Tensor, target: Any) -> Tensor:
        return ops.margin_ranking_loss(x, y, target, self.margin, self.reduction)


class HingeEmbeddingLoss(_Loss):
    """x where target = 1, max(0, margin - x) where target = -1."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = margin

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.hinge_embedding_loss(x, target, self.margin, self.reduction)


class SoftMarginLoss(_Loss):
    """log(1 + exp(-target · x))."""

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.soft_margin_loss(x, target, self.reduction)


class MultiMarginLoss(_Loss):
    """Σ_{c ≠ target} max(0, margin - x[target] + x[c])ᵖ / C (Crammer & Singer 2001)."""

    weight: Tensor | None

    def __init__(
        self, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        self.p, self.margin = p, margin
        self.register_buffer("weight", None if weight is None else _tensor(weight))

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.multi_margin_loss(x, target, self.p, self.margin, self.weight, self.reduction)


class TripletMarginLoss(_Loss):
    """max(0, ‖anchor - positive‖ₚ - ‖anchor - negative‖ₚ + margin) (Balntas et al. 2016)."""

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin, self.p, self.eps, self.swap = margin, p, eps, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        options = self.margin, self.p, self.eps, self.swap
        return ops.triplet_margin_loss(
            anchor, positive, negative, *options, reduction=self.reduction
        )


class GaussianNLLLoss(_Loss):
    """½ (log var + (x - target)² / var) (Nix & Weigend 1994)."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full, self.eps = full, eps

    def forward(self, x: Tensor, target: Any, var: Any) -> Tensor:
        return ops.gaussian_nll_loss(x, target, var, self.full, self.eps, self.reduction)


class PoissonNLLLoss(_Loss):
    """exp(x) - target · x."""

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        eps: float = 1e-8,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.log_input, self.full, self.eps = log_input, full, eps

    def forward(self, x: Tensor, target: Any) -> Tensor:
        options = self.log_input, self.full, self.eps
        return ops.poisson_nll_loss(x, target, *options, reduction=self.reduction)


class TripletMarginWithDistanceLoss(_Loss):
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with any distance d."""

    def __init__(
        self,
        *,
        distance_function: Callable[[Any, Any], Any] | None = None,
        margin: float = 1.0,
        swap: bool = False,
        reduction: str = "mean",
    ) -> None:
        super().__init__(reduction)
        self.distance_function, self.margin, self.swap = distance_function, margin, swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        return ops.triplet_margin_with_distance_loss(
            anchor,
            positive,
            negative,
            distance_function=self.distance_function,
            margin=self.margin,
            swap=self.swap,
            reduction=self.reduction,
        )


class MultiLabelMarginLoss(_Loss):
    """Σ max(0, 1 - (x[label] - x[other])) / C over the labels and the classes that are none."""

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.multilabel_margin_loss(x, target, self.reduction)


class MultiLabelSoftMarginLoss(_Loss):
    """One yes or no per class, by the mean of their cross entropies."""

    weight: Tensor | None

    def __init__(self, weight: Any = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", None if weight is None else _tensor(weight))

    def forward(self, x: Tensor, target: Any) -> Tensor:
        return ops.multilabel_soft_margin_loss(x, target, self.weight, self.reduction)
