"""Transposed convolution layers."""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError
from ..ops.convolution import sizes
from . import init
from .module import Module, Parameter, new_parameter

__all__ = ["ConvTranspose1d", "ConvTranspose2d"]


class ConvTranspose1d(Module):
    """Each x is spread by the kernel, `stride` apart, and summed (`ops.conv_transpose1d`).

    Shapes: x (N, C, L) or (C, L) → (N, O, L') or (O, L'), L' = (L - 1) stride - 2 padding +
    dilation (K - 1) + 1 + output_padding; weight (C, O / groups, K), bias (O,).
    Init: U(±1/√(O / groups · K)), as in PyTorch.
    Raises: ConfigError if the channels do not divide into groups; ShapeError for another x.
    """

    bias: Parameter | None
    _dims = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        padding_mode: str = "zeros",
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        name, n = type(self).__name__, self._dims
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ConfigError(
                f"{name}: {in_channels} input and {out_channels} output channels do not divide "
                f"into {groups} groups"
            )
        if padding_mode != "zeros":
            raise ConfigError(f"{name}: padding_mode is {padding_mode!r}; only 'zeros' has meaning")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = sizes(name, "kernel_size", kernel_size, n)
        self.stride = sizes(name, "stride", stride, n)
        self.padding = sizes(name, "padding", padding, n, 0)
        self.output_padding = sizes(name, "output_padding", output_padding, n, 0)
        self.dilation = sizes(name, "dilation", dilation, n)
        shape = in_channels, out_channels // groups, *self.kernel_size
        self.weight = new_parameter(*shape, dtype=dtype, device=device)
        self.bias = new_parameter(out_channels, dtype=dtype, device=device) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        fan = math.prod(self.weight.shape[1:])
        bound = 1 / math.sqrt(fan) if fan else 0.0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return ops.conv_transpose1d(x, self.weight, self.bias, *self._options)

    @property
    def _options(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.output_padding, self.groups, self.dilation

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )


class ConvTranspose2d(ConvTranspose1d):
    """`ConvTranspose1d` over two axes: x (N, C, H, W) or (C, H, W)."""

    _dims = 2

    def forward(self, x: Tensor) -> Tensor:
        return ops.conv_transpose2d(x, self.weight, self.bias, *self._options)
