"""Layers of two inputs: distances, similarities, a bilinear form."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..engine import Tensor
from ..errors import ShapeError
from . import init
from .module import Module, Parameter, new_parameter

__all__ = ["Bilinear", "CosineSimilarity", "PairwiseDistance"]


class CosineSimilarity(Module):
    """x · y / (max(‖x‖, ε) · max(‖y‖, ε)) along `axis` (PyTorch's `dim`)."""

    def __init__(self, axis: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.axis, self.eps = axis, eps

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.cosine_similarity(x, y, self.axis, self.eps)

    def extra_repr(self) -> str:
        return f"axis={self.axis}, eps={self.eps}"


class PairwiseDistance(Module):
    """‖x - y + ε‖ₚ along the last axis."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdims: bool = False) -> None:
        super().__init__()
        self.p, self.eps, self.keepdims = p, eps, keepdims

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return ops.pairwise_distance(x, y, self.p, self.eps, self.keepdims)

    def extra_repr(self) -> str:
        return f"p={self.p}, eps={self.eps}, keepdims={self.keepdims}"


class Bilinear(Module):
    """yₖ = x₁ᵀ Wₖ x₂ + bₖ.

    Shapes: x₁ (…, in1_features), x₂ (…, in2_features) → (…, out_features); weight (out_features,
    in1_features, in2_features).
    Init: U(±1/√in1_features), as in PyTorch.
    Raises: ShapeError for arguments that do not fit.
    """

    bias: Parameter | None

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        self.in1_features, self.in2_features = in1_features, in2_features
        self.out_features = out_features
        shape = out_features, in1_features, in2_features
        self.weight = new_parameter(*shape, dtype=dtype, device=device)
        self.bias = new_parameter(out_features, dtype=dtype, device=device) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        bound = 1 / math.sqrt(self.in1_features)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        expected = self.in1_features, self.in2_features
        if not x1.ndim or x1.shape[:-1] != x2.shape[:-1] or (
            (x1.shape[-1], x2.shape[-1]) != expected
        ):  # fmt: skip
            raise ShapeError(
                f"Bilinear: x1 is {x1.shape}, x2 {x2.shape}; expected (…, {expected[0]}) and "
                f"(…, {expected[1]})"
            )
        y = ops.einsum("...i,kij,...j->...k", x1, self.weight, x2)
        return y if self.bias is None else y + self.bias

    def extra_repr(self) -> str:
        return f"{self.in1_features}, {self.in2_features}, {self.out_features}"
