"""Pooling into a given number of parts, and power means."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..engine import Tensor, function, ops
from ..errors import ConfigError, ShapeError
from .convolution import sizes
from .pooling import avg_pool1d, avg_pool2d, beside

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "lp_pool1d",
    "lp_pool2d",
]

Host = np.ndarray[Any, Any]


def _parts(length: int, count: int) -> tuple[Host, Host]:
    """Where each of `count` parts of an axis starts and stops: ⌊iL/n⌋ and ⌈(i + 1)L/n⌉."""
    i = np.arange(count)
    return i * length // count, -(-(i + 1) * length // count)


def _counts(what: str, x: Any, output_size: Any, n: int) -> tuple[int, ...]:
    given = output_size if isinstance(output_size, tuple | list) else (output_size,) * n
    axes = "L" if n == 1 else "H, W"
    if x.ndim not in (n + 1, n + 2) or 0 in x.shape[-n:]:
        raise ShapeError(f"{what}: x is {x.shape}, expected (N, C, {axes}) or (C, {axes})")
    if len(given) != n or any(v is not None and v < 1 for v in given):
        raise ConfigError(f"{what}: output_size is {output_size}; give 1 or more per axis")
    return tuple(s if v is None else int(v) for v, s in zip(given, x.shape[-n:], strict=True))


def _adaptive_avg(what: str, x: Any, output_size: Any, n: int) -> Any:
    for axis, count in zip(range(-n, 0), _counts(what, x, output_size, n), strict=True):
        start, stop = _parts(x.shape[axis], count)
        step = np.arange(x.shape[axis])[:, None]
        inside = (step >= start) & (step < stop)
        mean = beside(x, (inside / inside.sum(axis=0)).astype(x.dtype))  # (L, count)
        x = ops.matmul(x, mean) if axis == -1 else ops.matmul(ops.matrix_transpose(mean), x)
    return x


@function
def adaptive_avg_pool1d(x: Any, output_size: int) -> Any:
    """The mean over `output_size` parts of the last axis: part i is ⌊iL/n⌋ … ⌈(i + 1)L/n⌉.

    Shapes: x (N, C, L) or (C, L) → (N, C, n) or (C, n).

    Raises: ShapeError if L is 0; ConfigError if n < 1.
    """
    return _adaptive_avg("adaptive_avg_pool1d", x, output_size, 1)


@function
def adaptive_avg_pool2d(x: Any, output_size: Any) -> Any:
    """`adaptive_avg_pool1d` over two axes; None keeps an axis.

    Shapes: x (N, C, H, W) or (C, H, W) → (N, C, n, m) or (C, n, m).
    """
    return _adaptive_avg("adaptive_avg_pool2d", x, output_size, 2)


def _adaptive_max(what: str, x: Any, output_size: Any, return_indices: bool, n: int) -> Any:
    counts = _counts(what, x, output_size, n)
    lead, size = x.shape[: x.ndim - n], x.shape[-n:]
    tables = []  # per axis (count, longest): the places of each part, the last one repeated
    for length, count in zip(size, counts, strict=True):
        start, stop = _parts(length, count)
        longest = int((stop - start).max())
        tables.append(np.minimum(start[:, None] + np.arange(longest), stop[:, None] - 1))
    places: Any = tables[0]
    if n == 2:
        rows, columns = tables
        places = rows[:, None, :, None] * size[1] + columns[None, :, None, :]
    places = places.reshape(math.prod(counts), -1)  # flat places of all parts
    seen = ops.take(ops.reshape(x, (*lead, math.prod(size))), beside(x, places), axis=-1)
    first = ops.argmax(seen, axis=-1, keepdims=True)  # of equal ones the first, as in PyTorch
    y = ops.reshape(ops.take_along_axis(seen, first, axis=-1), (*lead, *counts))
    if not return_indices:
        return y
    table = ops.broadcast_to(beside(x, places), seen.shape)
    found = ops.take_along_axis(table, first.data if isinstance(first, Tensor) else first, axis=-1)
    found = ops.reshape(found, (*lead, *counts))
    return y, Tensor(found) if isinstance(x, Tensor) else found


@function
def adaptive_max_pool1d(x: Any, output_size: Any, return_indices: bool = False) -> Any:
    """The largest in each of `output_size` parts of the last axis; see `adaptive_avg_pool1d`.

    Shapes: x (N, C, L) or (C, L) → (N, C, n) or (C, n); with `return_indices` also where in L.

    Raises: ShapeError if L is 0; ConfigError if n < 1.
    """
    return _adaptive_max("adaptive_max_pool1d", x, output_size, return_indices, 1)


@function
def adaptive_max_pool2d(x: Any, output_size: Any, return_indices: bool = False) -> Any:
    """`adaptive_max_pool1d` over two axes, indices into the flat H · W; None keeps an axis."""
    return _adaptive_max("adaptive_max_pool2d", x, output_size, return_indices, 2)


def _lp(x: Any, p: float, kernel: Any, stride: Any, ceil_mode: bool, n: int) -> Any:
    kernel = sizes(f"lp_pool{n}d", "kernel_size", kernel, n)
    mean = (avg_pool1d if n == 1 else avg_pool2d)(x**p, kernel, stride, 0, ceil_mode)
    return (ops.sign(mean) * ops.relu(ops.abs(mean)) * math.prod(kernel)) ** (1 / p)


@function
def lp_pool1d(
    x: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """(Σ xᵖ)^(1/p) of `kernel_size` neighbours, p = norm_type; infinite derivatives where it is 0.

    Called as in PyTorch: a window that hangs over the end (`ceil_mode`) counts as if it were full.
    """
    return _lp(x, norm_type, kernel_size, stride, ceil_mode, 1)


@function
def lp_pool2d(
    x: Any, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Any:
    """`lp_pool1d` over two axes."""
    return _lp(x, norm_type, kernel_size, stride, ceil_mode, 2)
