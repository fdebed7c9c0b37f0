"""Convolution layers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError, ShapeError
from ..ops.convolution import margins, sizes
from . import init
from .module import Module, Parameter, new_parameter

__all__ = ["Conv1d", "Conv2d"]

_MODES: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


class Convolution(Module):
    """What convolutions share with their transposes: channels, sizes and parameters.

    Init: U(±1/√fan), fan the size of weight[0].
    """

    bias: Parameter | None
    _dims = 1

    def __init__(
        self,
        channels: tuple[int, int],
        kernel_size: Any,
        stride: Any,
        dilation: Any,
        groups: int,
        *,
        bias: bool,
        transposed: bool = False,
        dtype: Any,
        device: Any,
    ) -> None:
        super().__init__()
        name, n = type(self).__name__, self._dims
        self.in_channels, self.out_channels = channels
        if groups < 1 or any(c % groups for c in channels):
            raise ConfigError(
                f"{name}: {self.in_channels} input and {self.out_channels} output channels do not "
                f"divide into {groups} groups"
            )
        self.groups = groups
        self.kernel_size = sizes(name, "kernel_size", kernel_size, n)
        self.stride = sizes(name, "stride", stride, n)
        self.dilation = sizes(name, "dilation", dilation, n)
        first, second = channels if transposed else channels[::-1]
        shape = first, second // groups, *self.kernel_size
        self.weight = new_parameter(*shape, dtype=dtype, device=device)
        self.bias = new_parameter(self.out_channels, dtype=dtype, device=device) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        fan = math.prod(self.weight.shape[1:])
        bound = 1 / math.sqrt(fan) if fan else 0.0
        for p in self.parameters():
            init.uniform_(p, -bound, bound)


class _Conv(Convolution):
    """`Conv1d` and `Conv2d`: with a margin, of zeros or of x's own elements."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__(
            (in_channels, out_channels), kernel_size, stride, dilation, groups,
            bias=bias, dtype=dtype, device=device,
        )  # fmt: skip
        name = type(self).__name__
        if padding_mode != "zeros" and padding_mode not in _MODES:
            known = ", ".join(map(repr, ("zeros", *_MODES)))
            raise ConfigError(f"{name}: padding_mode is {padding_mode!r}; give {known}")
        self.padding, self.padding_mode = padding, padding_mode
        self._around = margins(name, padding, self.kernel_size, self.stride, self.dilation)

    def forward(self, x: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = self._padded(x), 0
        convolve = ops.conv1d if self._dims == 1 else ops.conv2d
        return convolve(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _padded(self, x: Tensor) -> Tensor:
        """x with a margin of its own elements, axis by axis."""
        for axis, (before, after) in enumerate(self._around, start=-self._dims):
            n = x.shape[axis]
            if max(before, after) > n - (self.padding_mode == "reflect"):
                raise ShapeError(
                    f"{type(self).__name__}: an axis of length {n} is too short for "
                    f"{self.padding_mode!r} padding of {max(before, after)}"
                )
            if before or after:
                source = np.pad(np.arange(n), (before, after), _MODES[self.padding_mode])
                x = ops.take(x, Tensor(x.device.asarray(source)), axis=axis)
        return x

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"]
        ones = (1,) * self._dims
        parts += [f"stride={self.stride}"] * (self.stride != ones)
        parts += [f"padding={self.padding!r}"] * (self.padding != 0)
        parts += [f"dilation={self.dilation}"] * (self.dilation != ones)
        parts += [f"groups={self.groups}"] * (self.groups != 1)
        parts += ["bias=False"] * (self.bias is None)
        return ", ".join(parts)


class Conv1d(_Conv):
    """y[o, t] = b[o] + Σ_c Σ_k weight[o, c, k] · x[c, t · stride + k · dilation - padding].

    Shapes: x (N, in_channels, L) or (in_channels, L) → (N, out_channels, L') or (out_channels, L'),
    L' = ⌊(L + 2 padding - dilation (K - 1) - 1) / stride⌋ + 1; weight
    (out_channels, in_channels / groups, K), bias (out_channels,).
    Init: weight and bias U(±1/√(in_channels / groups · K)), as in PyTorch.
    Raises: ConfigError for bad options; ShapeError, DTypeError for an x that does not fit.
    Paper: Waibel et al. 1989, time-delay networks; LeCun et al. 1989.

    Args:
        kernel_size: K.
        stride: the step from place to place.
        padding: how much on both sides, or "same" (keeps L) or "valid" (none).
        dilation: the step within the kernel.
        groups: the channels in that many groups, each seen by its own outputs.
        padding_mode: "zeros", "reflect", "replicate" or "circular".

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Conv1d(3, 8, 5, padding="same")(mg.zeros((2, 3, 20))).shape
    (2, 8, 20)
    """


class Conv2d(_Conv):
    """`Conv1d` over two axes.

    Shapes: x (N, in_channels, H, W) or (in_channels, H, W) → (N, out_channels, H', W') or
    (out_channels, H', W'); weight (out_channels, in_channels / groups, K₁, K₂). kernel_size,
    stride, padding and dilation are one number, or one per axis.
    Init, Raises: as `Conv1d`. Paper: LeCun et al. 1998.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Conv2d(1, 4, 3, stride=2, padding=1)(mg.zeros((2, 1, 28, 28))).shape
    (2, 4, 14, 14)
    """

    _dims = 2
