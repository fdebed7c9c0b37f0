"""Linear maps."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..engine import Tensor
from ..errors import ShapeError
from . import init
from .module import Module, Parameter, new_parameter


class Identity(Module):
    """y = x. Takes and ignores any arguments, so it can stand in for another layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Linear(Module):
    """y = x Wᵀ + b.

    Shapes: x (..., in_features) → y (..., out_features); weight (out_features, in_features).
    Init: weight and bias U(±1/√in_features), as in PyTorch.
    Raises: ShapeError if x.shape[-1] != in_features.

    >>> from minigrad import nn
    >>> nn.Linear(3, 2)
    Linear(3, 2)  # 8 parameters
    """

    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        self.in_features = in_features
        self.out_features = out_features
        self.weight = new_parameter(out_features, in_features, dtype=dtype, device=device)
        self.bias = new_parameter(out_features, dtype=dtype, device=device) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        bound = 1 / math.sqrt(self.in_features) if self.in_features else 0.0
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[-1:] != (self.in_features,):
            raise ShapeError(
                f"Linear: x has shape {x.shape}, expected (..., {self.in_features}): "
                f"weight is {self.weight.shape}"
            )
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        no_bias = "" if self.bias is not None else ", bias=False"
        return f"{self.in_features}, {self.out_features}{no_bias}"
