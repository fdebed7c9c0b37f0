"""Layer normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import Array
from ..engine import function, fused
from ..errors import ShapeError
from .elementwise import sqrt

__all__ = ["layer_norm"]


@fused
def _layer_norm(
    xp: Any,
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    /,
    *,
    normalized_shape: tuple[int, ...],
    eps: float,
    keep: bool,
) -> Any:
    """(x - E[x]) / √(Var[x] + ε) · γ + β over the last axes."""
    D = math.prod(normalized_shape)
    rows = x.reshape(x.size // D if D else 0, D)
    if x.dtype.itemsize < 4:
        rows = rows.astype(np.float32)  # half precision overflows in the squares
    centred = rows - rows.mean(axis=1, keepdims=True)
    scale = 1 / xp.sqrt((centred * centred).mean(axis=1, keepdims=True) + eps)
    centred *= scale
    y = centred if weight is None else centred * weight.reshape(D)
    if bias is not None:
        y = y + bias.reshape(D)
    if y is centred:
        y = centred.copy()  # the backward pass reads it
    return y.astype(x.dtype, copy=False).reshape(x.shape), (centred, scale) if keep else None


@_layer_norm.backward
def _layer_norm_backward(
    xp: Any,
    g: Array,
    y: Array,
    inputs: Any,
    residual: Any,
    needs: tuple[bool, ...],
    *,
    normalized_shape: tuple[int, ...],
    eps: float,
) -> tuple[Array | None, ...]:
    x, weight, bias = inputs
    normal, scale = residual  # (N, D), (N, 1)
    g = g.reshape(normal.shape).astype(normal.dtype, copy=False)
    dx = dweight = dbias = None
    if needs[1]:
        dweight = (g * normal).sum(axis=0).reshape(weight.shape)
    if needs[2]:
        dbias = g.sum(axis=0).reshape(bias.shape)
    if needs[0]:
        if weight is not None:
            g = g * weight.reshape(-1)
        along = (g * normal).mean(axis=1, keepdims=True)
        dx = g - g.mean(axis=1, keepdims=True)
        dx -= normal * along
        dx *= scale
        dx = dx.reshape(x.shape)
    return dx, dweight, dbias


@_layer_norm.composite
def _plain_layer_norm(
    x: Any, weight: Any, bias: Any, *, normalized_shape: tuple[int, ...], eps: float
) -> Any:
    axes = tuple(range(-len(normalized_shape), 0))
    centred = x - x.mean(axis=axes, keepdims=True)
    y = centred / sqrt((centred * centred).mean(axis=axes, keepdims=True) + eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


@function
def layer_norm(
    x: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    """y = (x - E[x]) / √(Var[x] + ε) · γ + β over the last axes (Ba, Kiros & Hinton 2016, eq. 4).

    Shapes: x (…, *normalized_shape) → the same; weight γ and bias β have `normalized_shape`. The
    variance is the biased one.

    Raises: ShapeError if the last axes of x, or γ or β, do not have `normalized_shape`.
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(f"layer_norm: x is {x.shape}, its last axes should be {shape}")
    for name, p in (("weight", weight), ("bias", bias)):
        if p is not None and p.shape != shape:
            raise ShapeError(f"layer_norm: {name} is {p.shape}, normalized_shape is {shape}")
    return _layer_norm(x, weight, bias, normalized_shape=shape, eps=eps)
