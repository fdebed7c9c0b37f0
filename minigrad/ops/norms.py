"""Normalisation by the root mean square, in groups of channels, and over the batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..engine import function, ops
from ..errors import ConfigError, ShapeError

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
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(f"rms_norm: x is {x.shape}, its last axes should be {shape}")
    if weight is not None and weight.shape != shape:
        raise ShapeError(f"rms_norm: weight is {weight.shape}, normalized_shape is {shape}")
    kept = x.dtype
    if kept.itemsize < 4:
        x = x.astype(np.float32)  # half precision overflows in the squares
    eps = float(np.finfo(kept).eps) if eps is None else eps
    axes = tuple(range(-len(shape), 0))
    y = x / ops.sqrt(ops.square(x).mean(axis=axes, keepdims=True) + eps)
    y = y if y.dtype == kept else y.astype(kept)
    return y if weight is None else y * weight


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
    axes = tuple(a for a in range(x.ndim) if a != 1)
    along = (-1,) + (1,) * (x.ndim - 2)
    centred = x - (x.mean(axis=axes, keepdims=True) if mean is None else mean.reshape(along))
    if var is None:
        var = ops.square(centred).mean(axis=axes)
    return _affine(centred / ops.sqrt(var.reshape(along) + eps), weight, bias)


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
