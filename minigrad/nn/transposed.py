"""Transposed convolution layers."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError
from ..ops.convolution import sizes
from .convolution import Convolution

__all__ = ["ConvTranspose1d", "ConvTranspose2d"]


class ConvTranspose1d(Convolution):
    """Each x is spread by the kernel, `stride` apart, and summed (`ops.conv_transpose1d`).

    Shapes: x (N, C, L) or (C, L) → (N, O, L') or (O, L'), L' = (L - 1) stride - 2 padding +
    dilation (K - 1) + 1 + output_padding; weight (C, O / groups, K), bias (O,).
    Init: U(±1/√(O / groups · K)), as in PyTorch.
    Raises: ConfigError if the channels do not divide into groups; ShapeError for another x.
    """

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
        super().__init__(
            (in_channels, out_channels), kernel_size, stride, dilation, groups,
            bias=bias, transposed=True, dtype=dtype, device=device,
        )  # fmt: skip
        name, n = type(self).__name__, self._dims
        if padding_mode != "zeros":
            raise ConfigError(f"{name}: padding_mode is {padding_mode!r}; only 'zeros' has meaning")
        self.padding = sizes(name, "padding", padding, n, 0)
        self.output_padding = sizes(name, "output_padding", output_padding, n, 0)

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
