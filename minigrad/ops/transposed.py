"""Transposed convolution, and sliding blocks of images as columns: what adds windows up."""

from __future__ import annotations

import math
from typing import Any

from ..engine import OPS, function, ops
from ..errors import ConfigError, ShapeError
from .convolution import check, places, sizes, windows

__all__ = ["col2im", "conv_transpose1d", "conv_transpose2d", "im2col"]


def _transpose(
    what: str,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
    n: int,
) -> Any:
    check(what, x, weight, bias, groups, n, transposed=True)
    channels, kernel = weight.shape[1] * groups, tuple(weight.shape[2:])
    stride, dilation = sizes(what, "stride", stride, n), sizes(what, "dilation", dilation, n)
    padding = sizes(what, "padding", padding, n, 0)
    extra = sizes(what, "output_padding", output_padding, n, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ConfigError(f"{what}: output_padding {extra} must be less than stride or dilation")
    batched = x.ndim == n + 2
    x = x if batched else ops.expand_dims(x, 0)
    N, C, out = len(x), weight.shape[0], x.shape[2:]
    options = list(zip(out, kernel, stride, dilation, extra, padding, strict=True))
    full = tuple((L - 1) * s + d * (k - 1) + 1 for L, k, s, d, _, _ in options)
    if any(f + e - 2 * p < 1 for f, (*_, e, p) in zip(full, options, strict=True)):
        raise ShapeError(f"{what}: padding {padding} leaves nothing of {full}")
    kernels = ops.reshape(weight, (groups, C // groups, weight.shape[1] * math.prod(kernel)))
    rows = ops.reshape(x, (N, groups, C // groups, math.prod(out)))
    seen = ops.matmul(ops.matrix_transpose(kernels), rows)
    seen = ops.reshape(seen, (N, channels, *kernel, *out))
    y = OPS["add_windows"](seen, size=full, kernel=kernel, stride=stride, dilation=dilation)
    if any(extra):
        y = ops.pad(y, ((0, 0), (0, 0), *((0, e) for e in extra)))
    if any(padding):
        crop = [slice(p, n - p) for p, n in zip(padding, y.shape[2:], strict=True)]
        y = y[(slice(None), slice(None), *crop)]
    if bias is not None:
        y = y + ops.reshape(bias, (channels,) + (1,) * n)
    return y if batched else y[0]


@function
def conv_transpose1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """The transpose of `conv1d`: each x is spread by the kernel, `stride` apart, and summed.

    Called as in PyTorch. Shapes: x (N, C, L) or (C, L), weight (C, O / groups, K), bias (O,) →
    (N, O, L') or (O, L') with L' = (L - 1) stride - 2 padding + dilation (K - 1) + 1 +
    output_padding.

    Raises: ShapeError, DTypeError, ConfigError for arguments that do not fit.

    >>> import minigrad as mg
    >>> mg.conv_transpose1d(mg.tensor([[1.0, 2.0]]), mg.tensor([[[1.0, 10.0]]]), stride=2)
    tensor([[ 1., 10.,  2., 20.]])
    """
    return _transpose(
        "conv_transpose1d", x, weight, bias, stride, padding, output_padding, groups, dilation, 1
    )


@function
def conv_transpose2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """`conv_transpose1d` over two axes."""
    return _transpose(
        "conv_transpose2d", x, weight, bias, stride, padding, output_padding, groups, dilation, 2
    )


# -- images as columns -----------------------------------------------------------------------------


@function
def im2col(x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Sliding blocks of images as columns: `torch.nn.functional.unfold`.

    Shapes: x (N, C, H, W) or (C, H, W) → (N, C · K₁ · K₂, blocks).

    Raises: ShapeError if no block fits; ConfigError for options that are none.
    """
    kernel, stride, dilation, padding = _options("im2col", kernel_size, stride, dilation, padding)
    if x.ndim not in (3, 4):
        raise ShapeError(f"im2col: x is {x.shape}, expected (N, C, H, W) or (C, H, W)")
    if x.ndim == 3:
        return im2col(x[None], kernel, dilation, padding, stride)[0]
    if any(padding):
        x = ops.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    seen = windows(x, kernel, stride, dilation, "im2col")
    columns = (len(x), x.shape[1] * math.prod(kernel), math.prod(seen.shape[4:]))
    return ops.reshape(seen, columns)


@function
def col2im(
    x: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    """Columns added up into images where they overlap: the transpose of `im2col`.

    It is `torch.nn.functional.fold`. Shapes: x (N, C · K₁ · K₂, blocks), or without N →
    (N, C, H, W), output_size (H, W).

    Raises: ShapeError if the blocks are not those of such an image.
    """
    kernel, stride, dilation, padding = _options("col2im", kernel_size, stride, dilation, padding)
    size = sizes("col2im", "output_size", output_size, 2)
    if x.ndim == 2:
        return col2im(x[None], size, kernel, dilation, padding, stride)[0]
    full = tuple(n + 2 * p for n, p in zip(size, padding, strict=True))
    out = places(full, kernel, stride, dilation)
    if x.ndim != 3 or x.shape[1] % math.prod(kernel) or x.shape[2] != math.prod(out):
        raise ShapeError(
            f"col2im: x is {x.shape}, expected (N, C · {math.prod(kernel)}, {math.prod(out)})"
        )
    seen = ops.reshape(x, (len(x), x.shape[1] // math.prod(kernel), *kernel, *out))
    y = OPS["add_windows"](seen, size=full, kernel=kernel, stride=stride, dilation=dilation)
    crop = [slice(p, p + n) for p, n in zip(padding, size, strict=True)]
    return y[(slice(None), slice(None), *crop)]


def _options(what: str, kernel: Any, stride: Any, dilation: Any, padding: Any) -> Any:
    return (
        sizes(what, "kernel_size", kernel, 2),
        sizes(what, "stride", stride, 2),
        sizes(what, "dilation", dilation, 2),
        sizes(what, "padding", padding, 2, 0),
    )
