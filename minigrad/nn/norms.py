"""Normalisation layers beside `LayerNorm` that keep no statistics: RMS and group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError, ShapeError
from .normalization import Norm

__all__ = ["GroupNorm", "RMSNorm"]


class RMSNorm(Norm):
    """y = x / √(E[x²] + ε) · γ, over the last axes.

    Shapes: x (..., *normalized_shape) → the same; weight γ has `normalized_shape`.
    Init: γ = 1. ε is the machine epsilon of x's dtype by default, as in PyTorch.
    Raises: ShapeError if the last axes of x are not `normalized_shape`.
    Paper: Zhang & Sennrich 2019.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.RMSNorm(2, elementwise_affine=False)(mg.tensor([[1.0, 7.0]]))
    tensor([[0.2..., 1.4...]])
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        super().__init__(*shape, weight=elementwise_affine, bias=False, dtype=dtype, device=device)
        self.normalized_shape, self.eps = tuple(shape), eps
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        return ops.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class GroupNorm(Norm):
    """y = (x - E[x]) / √(Var[x] + ε) · γ + β, over each group of channels and all places.

    Shapes: x (N, C, …) → the same; weight γ and bias β (C,), one entry per channel.
    Init: γ = 1, β = 0; `bias=False`: no β, `affine=False`: neither.
    Raises: ConfigError if num_groups does not divide num_channels; ShapeError for another x.
    Paper: Wu & He 2018.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__(num_channels, weight=affine, bias=bias, dtype=dtype, device=device)
        if num_groups < 1 or num_channels % num_groups:
            raise ConfigError(
                f"GroupNorm: {num_channels} channels do not divide into {num_groups} groups"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ShapeError(f"GroupNorm: x is {x.shape}, expected (N, {self.num_channels}, …)")
        return ops.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"
