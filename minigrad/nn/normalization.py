"""Layer normalisation, and what all norms share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..engine import Tensor
from ..errors import ShapeError
from . import init
from .module import Module, Parameter, new_parameter


class Norm(Module):
    """What norms share: γ and β of one shape, where they are learnt."""

    weight: Parameter | None
    bias: Parameter | None

    def __init__(self, *shape: int, weight: bool, bias: bool, dtype: Any, device: Any) -> None:
        super().__init__()
        self.weight = new_parameter(*shape, dtype=dtype, device=device) if weight else None
        self.bias = new_parameter(*shape, dtype=dtype, device=device) if weight and bias else None

    def reset_parameters(self) -> None:
        """γ = 1, β = 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class LayerNorm(Norm):
    """y = (x - E[x]) / √(Var[x] + ε) · γ + β, over the last axes (Ba et al. 2016).

    Shapes: x (..., *normalized_shape) → the same; weight γ and bias β have `normalized_shape`.
    Init: γ = 1, β = 0. The variance is the biased one, as in PyTorch.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        super().__init__(*shape, weight=elementwise_affine, bias=bias, dtype=dtype, device=device)
        self.normalized_shape, self.eps = tuple(shape), eps
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        n = len(self.normalized_shape)
        if x.shape[-n:] != self.normalized_shape:
            raise ShapeError(
                f"LayerNorm: x has shape {x.shape}, expected the last axes to be "
                f"{self.normalized_shape}"
            )
        return ops.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"
