"""Layer normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
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
    mean = xp.full(D, 1 / max(D, 1), dtype=rows.dtype)  # sums as products are several times faster
    normal = rows - backend.matmul(rows, mean)[:, None]
    scale = 1 / xp.sqrt(backend.matmul(normal * normal, mean)[:, None] + eps)
    normal *= scale
    y = normal.copy() if weight is None else normal * weight.reshape(D)
    if bias is not None:
        y += bias.reshape(D)
    return y.astype(x.dtype, copy=False).reshape(x.shape), (normal, scale) if keep else None


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
    N, D = normal.shape
    g = g.reshape(N, D).astype(normal.dtype, copy=False)
    product = g * normal
    dx = dweight = dbias = None
    ones = xp.ones(N, dtype=g.dtype)
    if needs[1]:
        dweight = backend.matmul(ones, product).reshape(weight.shape)
    if needs[2]:
        dbias = backend.matmul(ones, g).reshape(bias.shape)
    if needs[0]:
        w = xp.ones(D, dtype=g.dtype) if weight is None else weight.reshape(D)
        along = backend.matmul(product, w)[:, None] / max(D, 1)
        dx = g * w
        dx -= backend.matmul(g, w)[:, None] / max(D, 1)
        dx -= xp.multiply(normal, along, out=product)
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
