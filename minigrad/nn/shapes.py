"""Layers that only rearrange: flatten and back, margins, sliding blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError, ShapeError
from ..ops.shape import normalize_axis
from .module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "ConstantPad1d",
    "ConstantPad2d",
    "Flatten",
    "Fold",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "Unflatten",
    "Unfold",
    "ZeroPad1d",
    "ZeroPad2d",
]


class Flatten(Module):
    """The axes start_axis … end_axis (PyTorch's `start_dim`, `end_dim`) joined into one.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Flatten()(mg.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_axis: int = 1, end_axis: int = -1) -> None:
        super().__init__()
        self.start_axis, self.end_axis = start_axis, end_axis

    def forward(self, x: Tensor) -> Tensor:
        first = normalize_axis(self.start_axis, x.ndim, what="Flatten")
        last = normalize_axis(self.end_axis, x.ndim, what="Flatten")
        if first > last:
            raise ShapeError(f"Flatten: axes {first} … {last} of {x.shape} are none")
        joined = math.prod(x.shape[first : last + 1])
        return ops.reshape(x, (*x.shape[:first], joined, *x.shape[last + 1 :]))

    def extra_repr(self) -> str:
        return f"start_axis={self.start_axis}, end_axis={self.end_axis}"


class Unflatten(Module):
    """One axis cut into several of the lengths `unflattened_size`; one of them may be -1.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.Unflatten(1, (3, -1))(mg.zeros((2, 12))).shape
    (2, 3, 4)
    """

    def __init__(self, axis: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.axis, self.unflattened_size = axis, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        axis = normalize_axis(self.axis, x.ndim, what="Unflatten")
        known = math.prod(n for n in self.unflattened_size if n != -1)
        n = x.shape[axis]
        if self.unflattened_size.count(-1) > 1 or (
            known != n if -1 not in self.unflattened_size else not known or n % known
        ):
            raise ShapeError(
                f"Unflatten: axis {axis} of {x.shape} cannot become {self.unflattened_size}"
            )
        sizes = [n // known if s == -1 else s for s in self.unflattened_size]
        return ops.reshape(x, (*x.shape[:axis], *sizes, *x.shape[axis + 1 :]))

    def extra_repr(self) -> str:
        return f"axis={self.axis}, unflattened_size={self.unflattened_size}"


# -- margins ---------------------------------------------------------------------------------------


class _Pad(Module):
    """A margin around the last axes: (before, after) of the last one, then of the one before it."""

    _axes = 1
    _mode = "constant"
    _value = 0.0

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        n = 2 * self._axes
        widths = (padding,) * n if isinstance(padding, int) else tuple(padding)
        if len(widths) != n:
            raise ConfigError(
                f"{type(self).__name__}: padding is {padding!r}; give an integer, or {n} of them"
            )
        self.padding = widths

    def forward(self, x: Tensor) -> Tensor:
        n = self._axes
        if x.ndim < n:
            raise ShapeError(f"{type(self).__name__}: x is {x.shape}, expected {n} axes or more")
        pairs = [self.padding[2 * i : 2 * i + 2] for i in reversed(range(n))]
        lengths = x.shape[x.ndim - n :]
        crop = [slice(max(0, -a), n + min(0, b)) for (a, b), n in zip(pairs, lengths, strict=True)]
        x = x[(..., *crop)]  # negative widths cut, as in PyTorch
        widths = [(max(0, a), max(0, b)) for a, b in pairs]
        self._check(x.shape[x.ndim - n :], widths)
        return ops.pad(x, [(0, 0)] * (x.ndim - n) + widths, self._mode, constant_values=self._value)

    def _check(self, lengths: tuple[int, ...], widths: list[tuple[int, int]]) -> None:
        room = {"reflect": 1, "wrap": 0}.get(self._mode)
        if room is None:
            return
        for n, pair in zip(lengths, widths, strict=True):
            if max(pair) > n - room:
                raise ShapeError(
                    f"{type(self).__name__}: a margin of {max(pair)} of an axis of length {n}"
                )

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad1d(_Pad):
    """Zeros before and after the last axis: padding (before, after), or one number for both."""


class ZeroPad2d(_Pad):
    """Zeros around the last two axes: padding (left, right, top, bottom), or one number."""

    _axes = 2


class ConstantPad1d(_Pad):
    """`value` before and after the last axis."""

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self._value = self.value = value


class ConstantPad2d(ConstantPad1d):
    """`value` around the last two axes."""

    _axes = 2


class ReflectionPad1d(_Pad):
    """The last axis reflected about its outermost elements."""

    _mode = "reflect"


class ReflectionPad2d(ReflectionPad1d):
    """`ReflectionPad1d` over the last two axes."""

    _axes = 2


class ReplicationPad1d(_Pad):
    """The outermost elements of the last axis repeated."""

    _mode = "edge"


class ReplicationPad2d(ReplicationPad1d):
    """`ReplicationPad1d` over the last two axes."""

    _axes = 2


class CircularPad1d(_Pad):
    """The last axis continued by its other end."""

    _mode = "wrap"


class CircularPad2d(CircularPad1d):
    """`CircularPad1d` over the last two axes."""

    _axes = 2


# -- sliding blocks --------------------------------------------------------------------------------


class Unfold(Module):
    """Sliding blocks of images as columns (`ops.im2col`): (N, C, H, W) → (N, C · K₁ · K₂, L)."""

    def __init__(
        self, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
    ) -> None:
        super().__init__()
        self.kernel_size, self.dilation = kernel_size, dilation
        self.padding, self.stride = padding, stride

    def forward(self, x: Tensor) -> Tensor:
        return ops.im2col(x, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}"


class Fold(Module):
    """Columns added up into images (`ops.col2im`): (N, C · K₁ · K₂, L) → (N, C, *output_size)."""

    def __init__(
        self,
        output_size: Any,
        kernel_size: Any,
        dilation: Any = 1,
        padding: Any = 0,
        stride: Any = 1,
    ) -> None:
        super().__init__()
        self.output_size, self.kernel_size = output_size, kernel_size
        self.dilation, self.padding, self.stride = dilation, padding, stride

    def forward(self, x: Tensor) -> Tensor:
        return ops.col2im(
            x, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride
        )

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, kernel_size={self.kernel_size}"
