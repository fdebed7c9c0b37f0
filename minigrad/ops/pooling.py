"""Pooling: the largest, or the mean, of what a window sees at each of its places."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import device_of
from ..engine import Tensor, function, ops
from ..errors import ConfigError, ShapeError
from .convolution import Size, sizes, windows

__all__ = ["avg_pool1d", "avg_pool2d", "max_pool1d", "max_pool2d"]


def _out(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> int:
    """Places of the window; with `ceil_mode` the last one may hang over the end."""
    room = n + 2 * p - d * (k - 1) - 1
    if not ceil_mode:
        return room // s + 1
    out = -(-room // s) + 1
    return out - 1 if (out - 1) * s >= n + p else out  # it must start inside


def _seen(
    what: str,
    x: Any,
    kernel: Size,
    stride: Size,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
    fill: float,
) -> Any:
    """(N, C, *kernel, *places) of x with a margin of `fill`."""
    n = len(kernel)
    if x.ndim != n + 2:
        axes = "L" if n == 1 else "H, W"
        raise ShapeError(f"{what}: x is {x.shape}, expected (N, C, {axes}) or (C, {axes})")
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise ConfigError(f"{what}: padding {padding} is more than half the kernel {kernel}")
    around = []
    options = zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    for size, k, s, p, d in options:
        last = (_out(size, k, s, p, d, ceil_mode) - 1) * s + d * (k - 1) + 1
        around.append((p, max(p, last - size - p)))
    if any(map(any, around)):
        x = ops.pad(x, ((0, 0), (0, 0), *around), constant_values=fill)
    return windows(x, kernel, stride, dilation, what)


def _options(what: str, n: int, kernel: Any, stride: Any, padding: Any) -> tuple[Size, Size, Size]:
    kernel = sizes(what, "kernel_size", kernel, n)
    stride = kernel if stride is None else sizes(what, "stride", stride, n)
    return kernel, stride, sizes(what, "padding", padding, n, 0)


def _max_pool(
    what: str,
    x: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
    n: int,
) -> Any:
    kernel, stride, padding = _options(what, n, kernel, stride, padding)
    dilation = sizes(what, "dilation", dilation, n)
    if x.ndim == n + 1:
        y = _max_pool(
            what, x[None], kernel, stride, padding, dilation, ceil_mode, return_indices, n
        )
        return tuple(part[0] for part in y) if return_indices else y[0]
    seen = _seen(what, x, kernel, stride, padding, dilation, ceil_mode, -math.inf)
    out = seen.shape[2 + n :]
    seen = ops.reshape(seen, (*x.shape[:2], math.prod(kernel), *out))
    first = ops.argmax(seen, axis=2, keepdims=True)  # of equal ones the first, as in PyTorch
    y = ops.squeeze(ops.take_along_axis(seen, first, axis=2), 2)
    if not return_indices:
        return y
    inside, flat = ops.squeeze(first, 2), 0
    for a in range(n):
        offset = inside // math.prod(kernel[a + 1 :]) % kernel[a]
        start = np.arange(out[a]) * stride[a] - padding[a]
        start = beside(x, start.reshape((-1,) + (1,) * (n - 1 - a)))
        flat = flat * x.shape[2 + a] + (start + offset * dilation[a])
    return y, flat


def _avg_pool(
    what: str,
    x: Any,
    kernel: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor: int | None,
    n: int,
) -> Any:
    kernel, stride, padding = _options(what, n, kernel, stride, padding)
    if x.ndim == n + 1:
        return _avg_pool(
            what, x[None], kernel, stride, padding, ceil_mode, count_include_pad, divisor, n
        )[0]
    seen = _seen(what, x, kernel, stride, padding, (1,) * n, ceil_mode, 0.0)
    total = seen.sum(axis=tuple(range(2, 2 + n)))
    if divisor is not None:
        return total / divisor
    counts: Any = 1
    options = zip(x.shape[2:], kernel, stride, padding, total.shape[2:], strict=True)
    for a, (size, k, s, p, out) in enumerate(options):
        start = np.arange(out) * s - p
        stop = np.minimum(start + k, size + p)
        if not count_include_pad:
            start, stop = np.maximum(start, 0), np.minimum(stop, size)
        counts = counts * (stop - start).reshape((-1,) + (1,) * (n - 1 - a))
    return total * beside(x, (1 / counts).astype(x.dtype))


def beside(x: Any, array: Any) -> Any:
    """A host array on x's device."""
    return device_of(x.data if isinstance(x, Tensor) else x).asarray(array)


@function
def max_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest of `kernel_size` neighbours, every `stride` (by default `kernel_size`) steps.

    Called as in PyTorch; the gradient goes to the first of equal ones. Shapes: x (N, C, L) or
    (C, L) → (N, C, L') or (C, L'); with `return_indices` also where in L each was found.
    ceil_mode: a last window that hangs over the end counts, too.

    Raises: ShapeError, ConfigError for arguments that do not fit.

    >>> import minigrad as mg
    >>> mg.max_pool1d(mg.tensor([[1.0, 3.0, 2.0, 0.0]]), 2)
    tensor([[3., 2.]])
    """
    return _max_pool(
        "max_pool1d", x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 1
    )


@function
def max_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """`max_pool1d` over two axes: (N, C, H, W) → (N, C, H', W'), indices into the flat H · W."""
    return _max_pool(
        "max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode, return_indices, 2
    )


@function
def avg_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    """The mean of `kernel_size` neighbours, every `stride` (by default `kernel_size`) steps.

    Called as in PyTorch. Shapes: x (N, C, L) or (C, L) → (N, C, L') or (C, L').
    count_include_pad: the margin of zeros counts as neighbours.

    Raises: ShapeError, ConfigError for arguments that do not fit.
    """
    return _avg_pool(
        "avg_pool1d", x, kernel_size, stride, padding, ceil_mode, count_include_pad, None, 1
    )


@function
def avg_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """`avg_pool1d` over two axes; `divisor_override` divides in place of the count."""
    return _avg_pool(
        "avg_pool2d",
        x,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
        2,
    )
