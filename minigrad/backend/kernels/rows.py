"""A block per row: cross entropy and layer normalisation; see `rows.cu`."""

from __future__ import annotations

import numpy as np

from minigrad.backend.device import Array, namespace
from minigrad.backend.kernels.gates import wide
from minigrad.backend.kernels.kernel import Kernel, per_row


def _cross_entropy(
    x: Array, ids: Array, scale: Array, divisor: Array, loss: Array, surprise: Array, slope: Array,
    want_slope: int, C: int,
) -> None:  # fmt: skip
    rows = np.arange(len(ids))
    most = x.max(axis=1, keepdims=True)
    e = np.exp(x - most)
    total = e.sum(axis=1, keepdims=True)
    surprise[...] = (np.log(total) + most)[:, 0]
    loss[...] = np.where(scale != 0, scale * (surprise - np.where(scale != 0, x[rows, ids], 0)), 0)
    if want_slope:
        e /= total
        e[rows, ids] -= 1
        slope[...] = e * (scale / divisor[0])[:, None]


def _layer_norm_forward(
    x: Array, weight: Array, has_weight: int, bias: Array, has_bias: int, y: Array, normal: Array,
    scale: Array, eps: float, D: int,
) -> None:  # fmt: skip
    centred = wide(x) - wide(x).mean(axis=1, keepdims=True)
    scale[...] = 1 / np.sqrt((centred * centred).mean(axis=1) + eps)
    normal[...] = centred * scale[:, None]
    value = normal * wide(weight) if has_weight else normal
    y[...] = value + wide(bias) if has_bias else value


def _layer_norm_backward(
    g: Array, normal: Array, scale: Array, weight: Array, has_weight: int, dx: Array,
    product: Array, D: int,
) -> None:  # fmt: skip
    up = wide(g)
    product[...] = up * normal
    if has_weight:
        up = up * wide(weight)
    along = (up * normal).mean(axis=1, keepdims=True)
    dx[...] = (up - up.mean(axis=1, keepdims=True) - normal * along) * scale.reshape(-1, 1)


CROSS_ENTROPY = Kernel("rows.cu", "cross_entropy", _cross_entropy)
LAYER_NORM_FORWARD = Kernel("rows.cu", "layer_norm_forward", _layer_norm_forward)
LAYER_NORM_BACKWARD = Kernel("rows.cu", "layer_norm_backward", _layer_norm_backward)


def cross_entropy(
    x: Array, ids: Array, scale: Array, divisor: Array, *, keep: bool
) -> tuple[Array, Array, Array | None]:
    """(loss (N,), log Σ exp (N, 1), slope (N, C) or None) of logits x (N, C).

    ids (N,), scale (N,) what each row counts, divisor of the slope (1,).
    """
    xp, (N, C) = namespace(x), x.shape
    x, ids = xp.ascontiguousarray(x), ids.astype(np.int64, copy=False)
    loss, surprise = xp.empty(N, dtype=x.dtype), xp.empty(N, dtype=x.dtype)
    slope = xp.empty_like(x) if keep else None
    CROSS_ENTROPY(
        per_row(N, C, x.itemsize), x, ids, scale, divisor, loss, surprise,
        loss if slope is None else slope, int(keep), C,
    )  # fmt: skip
    return loss, surprise.reshape(N, 1), slope


def layer_norm_forward(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """(y, normal, scale (N, 1)) of rows x (N, D); the last two float32 at least."""
    xp, (N, D) = namespace(x), x.shape
    x = xp.ascontiguousarray(x)
    compute = np.promote_types(x.dtype, np.float32) if x.dtype.kind == "f" else np.float32
    y, normal = xp.empty_like(x), xp.empty(x.shape, dtype=compute)
    scale = xp.empty(N, dtype=compute)
    LAYER_NORM_FORWARD(
        per_row(N, D, x.itemsize), x, x if weight is None else weight, int(weight is not None),
        x if bias is None else bias, int(bias is not None), y, normal, scale, eps, D,
    )  # fmt: skip
    return y, normal, scale.reshape(N, 1)


def layer_norm_backward(
    g: Array, normal: Array, scale: Array, weight: Array | None
) -> tuple[Array, Array]:
    """(dx, g ∘ normal), both (N, D)."""
    xp, (N, D) = namespace(g), g.shape
    g = xp.ascontiguousarray(g)
    dx, product = xp.empty_like(g), xp.empty_like(normal)
    LAYER_NORM_BACKWARD(
        per_row(N, D, g.itemsize), g, normal, scale, g if weight is None else weight,
        int(weight is not None), dx, product, D,
    )  # fmt: skip
    return dx, product
