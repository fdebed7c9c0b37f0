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
from . import rows
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
    centred: bool = True,
    keep: bool,
) -> Any:
    """(x - E[x]) / √(Var[x] + ε) · γ + β over the last axes; unless `centred`, E[x] counts as 0."""
    D = math.prod(normalized_shape)
    data = x.reshape(x.size // D if D else 0, D)
    if x.dtype.itemsize < 4:
        data = data.astype(np.float32)  # half precision overflows in the squares
    fast = backend.fused(xp, "layer_norm_forward", data.dtype) if centred else None
    if fast is not None:
        affine = (None if a is None else a.reshape(D).astype(data.dtype) for a in (weight, bias))
        y, normal, scale = fast(data, *affine, eps)
        return y.astype(x.dtype, copy=False).reshape(x.shape), (normal, scale)
    mean = xp.full((D, 1), 1 / max(D, 1), dtype=data.dtype)
    normal, y = xp.empty_like(data), xp.empty_like(data)
    scale = xp.empty((len(data), 1), dtype=data.dtype)
    for block in rows.blocks(xp, *data.shape):
        part, n, out = data[block], normal[block], y[block]
        if centred:
            part = xp.subtract(part, backend.matmul(part, mean), out=n)
        square = xp.multiply(part, part, out=out)
        scale[block] = 1 / xp.sqrt(backend.matmul(square, mean) + eps)
        xp.multiply(part, scale[block], out=n)
        xp.multiply(n, 1 if weight is None else weight.reshape(D), out=out)
        if bias is not None:
            out += bias.reshape(D)
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
    centred: bool,
) -> tuple[Array | None, ...]:
    x, weight, bias = inputs
    normal, scale = residual  # (N, D), (N, 1)
    N, D = normal.shape
    g = g.reshape(N, D).astype(normal.dtype, copy=False)
    w = xp.ones(D, dtype=g.dtype) if weight is None else weight.reshape(D).astype(g.dtype)
    mean = (w / max(D, 1))[:, None]
    dx, dweight = xp.empty_like(g), xp.zeros(D, dtype=g.dtype)
    fast = backend.fused(xp, "layer_norm_backward", g.dtype) if centred else None
    if fast is not None:
        dx, product = fast(g, normal, scale, w)
        dweight = rows.column_sums(xp, product)
    for block in rows.blocks(xp, N, D) if fast is None else ():
        cotangent, n, out = g[block], normal[block], dx[block]
        product = cotangent * n
        if needs[1]:
            dweight += rows.column_sums(xp, product)
        xp.multiply(cotangent, w, out=out)
        if centred:
            out -= backend.matmul(cotangent, mean)
        out -= xp.multiply(n, backend.matmul(product, mean), out=product)
        out *= scale[block]
    return (
        dx.reshape(x.shape) if needs[0] else None,
        dweight.reshape(weight.shape) if needs[1] else None,
        rows.column_sums(xp, g).reshape(bias.shape) if needs[2] else None,
    )


@_layer_norm.composite
def _plain_layer_norm(
    x: Any, weight: Any, bias: Any, *, normalized_shape: tuple[int, ...], eps: float, centred: bool
) -> Any:
    axes = tuple(range(-len(normalized_shape), 0))
    if centred:
        x = x - x.mean(axis=axes, keepdims=True)
    y = x / sqrt((x * x).mean(axis=axes, keepdims=True) + eps)
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
    shape = normalized("layer_norm", x, normalized_shape, weight=weight, bias=bias)
    return _layer_norm(x, weight, bias, normalized_shape=shape, eps=eps)


def normalized(what: str, x: Any, shape: int | Sequence[int], **parameters: Any) -> tuple[int, ...]:
    """`shape` as a tuple, after checking that the last axes of x and the parameters have it."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ShapeError(f"{what}: x is {x.shape}, its last axes should be {shape}")
    for name, p in parameters.items():
        if p is not None and p.shape != shape:
            raise ShapeError(f"{what}: {name} is {p.shape}, normalized_shape is {shape}")
    return shape
