"""Convolution in one and two dimensions: the windows of x times the kernels, one matrix product.

`windows` copies what a kernel sees at each of its places; its transpose adds it back. Each is the
derivative of the other, so a convolution has derivatives of every order.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from ..backend import Array
from ..engine import Tensor, function, op, ops
from ..errors import ConfigError, DTypeError, ShapeError

__all__ = ["conv1d", "conv2d"]

Size = tuple[int, ...]


# -- windows -------------------------------------------------------------------------------------


def places(size: Size, kernel: Size, stride: Size, dilation: Size) -> Size:
    """How many places a kernel has along each axis."""
    return tuple(
        max(0, (n - d * (k - 1) - 1) // s + 1)
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True)
    )


def _seen(offset: Size, out: Size, stride: Size, dilation: Size) -> tuple[slice, ...]:
    """Which elements of x the kernel's element at `offset` meets."""
    starts = [o * d for o, d in zip(offset, dilation, strict=True)]
    return (slice(None), slice(None)) + tuple(
        slice(a, a + n * s, s) for a, n, s in zip(starts, out, stride, strict=True)
    )


@op
def _windows(xp: Any, x: Array, /, *, kernel: Size, stride: Size, dilation: Size) -> Array:
    """(N, C, *size) → (N, C, *kernel, *places): what a kernel sees at each of its places."""
    out = places(x.shape[2:], kernel, stride, dilation)
    y = xp.empty((*x.shape[:2], *kernel, *out), dtype=x.dtype)
    for offset in itertools.product(*map(range, kernel)):
        y[(slice(None), slice(None), *offset)] = x[_seen(offset, out, stride, dilation)]
    return y


@op
def _add_windows(
    xp: Any, y: Array, /, *, size: Size, kernel: Size, stride: Size, dilation: Size
) -> Array:
    """(N, C, *kernel, *places) → (N, C, *size): each element added to where it was seen."""
    x = xp.zeros((*y.shape[:2], *size), dtype=y.dtype)
    out = y.shape[2 + len(size) :]
    for offset in itertools.product(*map(range, kernel)):
        x[_seen(offset, out, stride, dilation)] += y[(slice(None), slice(None), *offset)]
    return x


_windows.defvjp(lambda g, _y, _x, **params: _add_windows(g, size=_x.shape[2:], **params))
_add_windows.defvjp(lambda g, _x, _y, *, size, **params: _windows(g, **params))


def windows(x: Any, kernel: Size, stride: Size, dilation: Size, what: str) -> Any:
    """`_windows`, after checking that the kernel fits into x."""
    if 0 in places(x.shape[2:], kernel, stride, dilation):
        raise ShapeError(
            f"{what}: a kernel of {kernel} (dilation {dilation}) does not fit into {x.shape[2:]}, "
            "padding included"
        )
    return _windows(x, kernel=kernel, stride=stride, dilation=dilation)


def sizes(what: str, name: str, value: Any, n: int, least: int = 1) -> Size:
    """An option given as one integer, or as one per axis."""
    given = (value,) * n if isinstance(value, int | np.integer) else tuple(value)
    if len(given) == 1:
        given *= n
    if len(given) != n or any(not isinstance(v, int | np.integer) or v < least for v in given):
        raise ConfigError(f"{what}: {name} is {value!r}; give an integer ≥ {least}, or {n} of them")
    return tuple(int(v) for v in given)


# -- convolution ---------------------------------------------------------------------------------


def margins(
    what: str, padding: Any, kernel: Size, stride: Size, dilation: Size
) -> tuple[tuple[int, int], ...]:
    """(before, after) per axis; "same" keeps the length, "valid" is none."""
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        if set(stride) != {1}:
            raise ConfigError(f"{what}: padding='same' needs stride 1, got {stride}")
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((n // 2, n - n // 2) for n in total)
    if isinstance(padding, str):
        raise ConfigError(f"{what}: padding is {padding!r}; give 'same', 'valid' or integers")
    return tuple((p, p) for p in sizes(what, "padding", padding, len(kernel), 0))


def _convolve(
    what: str,
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    n: int,
) -> Any:
    check(what, x, weight, bias, groups, n)
    kernel = tuple(weight.shape[2:])
    stride = sizes(what, "stride", stride, n)
    dilation = sizes(what, "dilation", dilation, n)
    around = margins(what, padding, kernel, stride, dilation)
    batched = x.ndim == n + 2
    x = x if batched else ops.expand_dims(x, 0)
    if any(map(any, around)):
        x = ops.pad(x, ((0, 0), (0, 0), *around))
    seen = windows(x, kernel, stride, dilation, what)
    out, width = seen.shape[2 + n :], weight.shape[1] * math.prod(kernel)
    columns = ops.reshape(seen, (len(x), groups, width, math.prod(out)))
    kernels = ops.reshape(weight, (groups, weight.shape[0] // groups, width))
    y = ops.reshape(ops.matmul(kernels, columns), (len(x), weight.shape[0], *out))
    if bias is not None:
        y = y + ops.reshape(bias, (bias.shape[0],) + (1,) * n)
    return y if batched else y[0]


def check(
    what: str, x: Any, weight: Any, bias: Any, groups: int, n: int, *, transposed: bool = False
) -> None:
    """Raise an error if the arguments of a convolution, or of its transpose, do not fit."""
    axes, (first, second) = ("L" if n == 1 else "H, W"), ("output", "input")
    if transposed:
        first, second = second, first
    if weight.ndim != n + 2:
        expected = f"({first}, {second} / groups, *kernel)"
        raise ShapeError(f"{what}: weight is {weight.shape}, expected {expected}")
    if groups < 1 or weight.shape[0] % groups:
        raise ConfigError(f"{what}: {weight.shape[0]} {first} channels in {groups} groups")
    out, channels = weight.shape[0], weight.shape[1] * groups
    if transposed:
        out, channels = channels, out
    if x.ndim not in (n + 1, n + 2) or x.shape[-n - 1] != channels:
        raise ShapeError(
            f"{what}: x is {x.shape}, expected (N, {channels}, {axes}) or ({channels}, {axes}): "
            f"weight is {weight.shape} in {groups} groups"
        )
    if bias is not None and bias.shape != (out,):
        raise ShapeError(f"{what}: bias is {bias.shape}, expected ({out},)")
    if isinstance(x, Tensor) and x.dtype != weight.dtype:
        raise DTypeError(f"{what}: x is {x.dtype}, weight {weight.dtype}; cast with .astype")


@function
def conv1d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """y[o, t] = b[o] + Σ_c Σ_k weight[o, c, k] · x[c, t · stride + k · dilation - padding].

    Called as in PyTorch. Shapes: x (N, C, L) or (C, L), weight (O, C / groups, K), bias (O,) →
    (N, O, L') or (O, L') with L' = ⌊(L + 2 padding - dilation (K - 1) - 1) / stride⌋ + 1.

    padding: zeros on both sides; "same" keeps the length, "valid" is 0. groups: the channels in
    that many groups, each seen by its own outputs.

    Raises: ShapeError, DTypeError, ConfigError for arguments that do not fit.

    >>> import minigrad as mg
    >>> mg.conv1d(mg.tensor([[1.0, 2.0, 4.0]]), mg.tensor([[[-1.0, 1.0]]]))
    tensor([[1., 2.]])
    """
    return _convolve("conv1d", x, weight, bias, stride, padding, dilation, groups, 1)


@function
def conv2d(
    x: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    """`conv1d` over two axes.

    Shapes: x (N, C, H, W) or (C, H, W), weight (O, C / groups, K₁, K₂), bias (O,) →
    (N, O, H', W') or (O, H', W'). stride, padding and dilation: one number, or one per axis.

    Raises: ShapeError, DTypeError, ConfigError for arguments that do not fit.
    """
    return _convolve("conv2d", x, weight, bias, stride, padding, dilation, groups, 2)
