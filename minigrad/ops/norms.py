"""Normalisation by the root mean square, in groups of channels, and over the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import Array, finfo
from ..engine import function, fused, ops
from ..errors import ConfigError, ShapeError
from . import rows
from .normalization import _layer_norm, normalized

__all__ = ["batch_norm", "group_norm", "rms_norm"]


@function
def rms_norm(
    x: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    eps: float | None = None,
) -> Any:
    """y = x / √(E[x²] + ε) · γ over the last axes (Zhang & Sennrich 2019, eq. 4).

    Shapes: x (…, *normalized_shape) → the same; weight γ has `normalized_shape`. ε is the dtype's
    machine epsilon by default, as in PyTorch.

    Raises: ShapeError if the last axes of x, or γ, do not have `normalized_shape`.
    """
    shape = normalized("rms_norm", x, normalized_shape, weight=weight)
    eps = float(finfo(x.dtype).eps) if eps is None else eps
    return _layer_norm(x, weight, None, normalized_shape=shape, eps=eps, centred=False)


@function
def group_norm(
    x: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """`layer_norm` over each of `num_groups` groups of channels (Wu & He 2018, eq. 7).

    Shapes: x (N, C, …) → the same; weight γ and bias β (C,).

    Raises: ShapeError if x has no channels, or γ or β not one entry per channel; ConfigError if
    the channels do not divide into groups.
    """
    if x.ndim < 2:
        raise ShapeError(f"group_norm: x is {x.shape}, expected (N, C, …)")
    N, C = x.shape[:2]
    if num_groups < 1 or C % num_groups:
        raise ConfigError(f"group_norm: {C} channels do not divide into {num_groups} groups")
    _check_channels("group_norm", C, weight=weight, bias=bias)
    rows = ops.reshape(x, (N, num_groups, x.size // (N * num_groups) if x.size else 0))
    y = ops.reshape(ops.layer_norm(rows, rows.shape[-1:], eps=eps), x.shape)
    return _affine(y, weight, bias)


def _plain_batch_norm(
    x: Any, weight: Any, bias: Any, mean: Any = None, var: Any = None, *, eps: float
) -> Any:
    axes, along = _places(x)
    centred = x - (x.mean(axis=axes, keepdims=True) if mean is None else mean.reshape(along))
    if var is None:
        var = ops.square(centred).mean(axis=axes)
    return _affine(centred / ops.sqrt(var.reshape(along) + eps), weight, bias)


def _places(x: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes of x without the channels, and the shape in which (C,) broadcasts to x."""
    return tuple(a for a in range(x.ndim) if a != 1), (-1,) + (1,) * (x.ndim - 2)


def _channel_sums(xp: Any, x: Array) -> Array:
    """Σ x per channel, in the shape that broadcasts to x."""
    axes, along = _places(x)
    return (rows.column_sums(xp, x) if x.ndim == 2 else x.sum(axis=axes)).reshape(along)


@fused
def _batch_norm(
    xp: Any,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    /,
    *,
    eps: float,
    keep: bool,
) -> Any:
    """(x - μ) / √(σ² + ε) · γ + β with the mean and variance of each channel."""
    kept, count = x.dtype, x.size // x.shape[1]
    if kept.itemsize < 4:
        x = x.astype(np.float32)  # half precision overflows in the squares
    normal = x - _channel_sums(xp, x) / count
    y = normal * normal
    scale = 1 / xp.sqrt(_channel_sums(xp, y) / count + eps)
    normal *= scale
    along = _places(x)[1]
    xp.multiply(normal, 1 if weight is None else weight.reshape(along), out=y)
    if bias is not None:
        y += bias.reshape(along)
    return y.astype(kept, copy=False), (normal, scale) if keep else None


@_batch_norm.backward
def _batch_norm_backward(
    xp: Any, g: Array, y: Array, inputs: Any, residual: Any, needs: Any, *, eps: float
) -> tuple[Array | None, ...]:
    x, weight, bias = inputs
    normal, scale = residual
    g = g.astype(normal.dtype, copy=False)
    count = x.size // x.shape[1]
    product = g * normal
    dbias, dweight = _channel_sums(xp, g), _channel_sums(xp, product)
    dx = None
    if needs[0]:
        dx = xp.multiply(normal, dweight / -count, out=product)
        dx += g
        dx -= dbias / count
        dx *= scale if weight is None else scale * weight.reshape(_places(x)[1])
    return (
        dx,
        dweight.reshape(weight.shape) if needs[1] else None,
        dbias.reshape(bias.shape) if needs[2] else None,
    )


@_batch_norm.composite
def _(x: Any, weight: Any, bias: Any, *, eps: float) -> Any:
    return _plain_batch_norm(x, weight, bias, eps=eps)


@function
def batch_norm(
    x: Any,
    mean: Any,
    var: Any,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    """y = (x - mean) / √(var + ε) · γ + β per channel (Ioffe & Szegedy 2015, alg. 1).

    Shapes: x (N, C, …) → the same; mean, var, weight γ and bias β (C,). With mean and var None
    they are those of the batch, var the biased one; the running ones are kept by `nn.BatchNorm1d`.

    Raises: ShapeError if x has no channels, or an argument not one entry per channel.
    """
    if x.ndim < 2:
        raise ShapeError(f"batch_norm: x is {x.shape}, expected (N, C, …)")
    _check_channels("batch_norm", x.shape[1], mean=mean, var=var, weight=weight, bias=bias)
    if mean is None and var is None and x.size:
        return _batch_norm(x, weight, bias, eps=eps)
    return _plain_batch_norm(x, weight, bias, mean, var, eps=eps)


def _affine(y: Any, weight: Any, bias: Any) -> Any:
    """y · γ + β per channel."""
    along = (-1,) + (1,) * (y.ndim - 2)
    if weight is not None:
        y = y * weight.reshape(along)
    return y if bias is None else y + bias.reshape(along)


def _check_channels(what: str, C: int, **arguments: Any) -> None:
    for name, a in arguments.items():
        if a is not None and a.shape != (C,):
            raise ShapeError(f"{what}: {name} is {a.shape}, expected ({C},): one per channel")
