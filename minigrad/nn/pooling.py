"""Pooling as modules; the formulas stand with the functions of `ops.pooling`."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..engine import Tensor
from .module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "LPPool1d",
    "LPPool2d",
    "MaxPool1d",
    "MaxPool2d",
]


class MaxPool1d(Module):
    """The largest of `kernel_size` neighbours, every `stride` steps (`ops.max_pool1d`).

    Shapes: x (N, C, L) or (C, L) → (N, C, L') or (C, L'), and with `return_indices` where in L.
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding, self.dilation = kernel_size, padding, dilation
        self.stride = kernel_size if stride is None else stride
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, x: Tensor) -> Any:
        return ops.max_pool1d(x, *self._options)

    @property
    def _options(self) -> tuple[Any, ...]:
        return (
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool2d(MaxPool1d):
    """`MaxPool1d` over two axes: x (N, C, H, W) or (C, H, W); options are one number, or two."""

    def forward(self, x: Tensor) -> Any:
        return ops.max_pool2d(x, *self._options)


class AvgPool1d(Module):
    """The mean of `kernel_size` neighbours, every `stride` steps (`ops.avg_pool1d`).

    Shapes: x (N, C, L) or (C, L) → (N, C, L') or (C, L').
    """

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size, self.padding = kernel_size, padding
        self.stride = kernel_size if stride is None else stride
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool1d(x, *self._options)

    @property
    def _options(self) -> tuple[Any, Any, Any, bool, bool]:
        return (
            self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(AvgPool1d):
    """`AvgPool1d` over two axes; `divisor_override` divides in place of the count."""

    def __init__(
        self,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(kernel_size, stride, padding, ceil_mode, count_include_pad)
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        return ops.avg_pool2d(x, *self._options, divisor_override=self.divisor_override)


class AdaptiveAvgPool1d(Module):
    """The mean over `output_size` parts of the last axis (`ops.adaptive_avg_pool1d`).

    Shapes: x (N, C, L) or (C, L) → (N, C, output_size) or (C, output_size).
    """

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        return ops.adaptive_avg_pool1d(x, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool2d(AdaptiveAvgPool1d):
    """`AdaptiveAvgPool1d` over two axes; output_size: one number, or two, None keeps an axis."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.adaptive_avg_pool2d(x, self.output_size)


class AdaptiveMaxPool1d(AdaptiveAvgPool1d):
    """The largest of each of `output_size` parts of the last axis (`ops.adaptive_max_pool1d`).

    Shapes: x (N, C, L) or (C, L) → (N, C, output_size) or (C, output_size), and with
    `return_indices` where in L.
    """

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, x: Tensor) -> Any:
        return ops.adaptive_max_pool1d(x, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(AdaptiveMaxPool1d):
    """`AdaptiveMaxPool1d` over two axes; output_size: one number, or two, None keeps an axis."""

    def forward(self, x: Tensor) -> Any:
        return ops.adaptive_max_pool2d(x, self.output_size, self.return_indices)


class LPPool1d(Module):
    """(Σ xᵖ)^(1/p) of `kernel_size` neighbours, p = norm_type (`ops.lp_pool1d`)."""

    def __init__(
        self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, x: Tensor) -> Tensor:
        return ops.lp_pool1d(x, *self._options)

    @property
    def _options(self) -> tuple[Any, ...]:
        return self.norm_type, self.kernel_size, self.stride, self.ceil_mode

    def extra_repr(self) -> str:
        return f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}"


class LPPool2d(LPPool1d):
    """`LPPool1d` over two axes."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.lp_pool2d(x, *self._options)
