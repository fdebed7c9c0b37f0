"""Linear maps."""

from __future__ import annotations

import math
from typing import Any

from ..engine import Tensor
from ..ops.dense import _dense, _linear, check_activation
from . import init
from .module import Module, Parameter, new_parameter


class Identity(Module):
    """y = x. Takes and ignores any arguments, so it can stand in for another layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Linear(Module):
    """y = φ(x Wᵀ + b).

    Shapes: x (..., in_features) → y (..., out_features); weight (out_features, in_features).
    Init: weight and bias U(±1/√in_features), as in PyTorch.
    Raises: ShapeError if x.shape[-1] != in_features; ConfigError for another activation.

    Args:
        activation: φ: "gelu", "relu", "sigmoid", "silu", "tanh", or None for no function at all. It
            is computed with the product, as one op: less memory and time than a layer after it.

    >>> from minigrad import nn
    >>> nn.Linear(3, 2)
    Linear(3, 2)  # 8 parameters
    >>> nn.Linear(3, 2, activation="tanh")
    Linear(3, 2, activation='tanh')  # 8 parameters
    """

    bias: Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        activation: str | None = None,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        check_activation("Linear", activation)
        self.activation = activation
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

    def forward(self, x: Tensor) -> Any:
        if self.activation is None:
            return _linear(x, self.weight, self.bias)
        return _dense(x, self.weight, self.bias, activation=self.activation)

    def extra_repr(self) -> str:
        text = f"{self.in_features}, {self.out_features}"
        if self.bias is None:
            text += ", bias=False"
        return text if self.activation is None else f"{text}, activation={self.activation!r}"
