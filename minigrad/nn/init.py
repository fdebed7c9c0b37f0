"""Initialisation of parameters, in place; drawn on the host, so the same on each device."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import Array, device
from ..engine import Tensor
from ..errors import ShapeError

__all__ = [
    "constant_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _put(t: Tensor, values: Array) -> Tensor:
    return t.assign_(t.device.asarray(values))


def uniform_(t: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """U(low, high)."""
    return _put(t, device("cpu").rng.uniform(low, high, t.shape, t.dtype))


def normal_(t: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """N(mean, std²)."""
    return _put(t, device("cpu").rng.normal(mean, std, t.shape, t.dtype))


def constant_(t: Tensor, value: float) -> Tensor:
    """One value everywhere."""
    return t.assign_(value)


def zeros_(t: Tensor) -> Tensor:
    """0 everywhere."""
    return t.assign_(0)


def ones_(t: Tensor) -> Tensor:
    """1 everywhere."""
    return t.assign_(1)


def xavier_uniform_(t: Tensor, gain: float = 1.0) -> Tensor:
    """U(-a, a) with a = gain · √(6 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    fan_in, fan_out = _fans(t)
    a = gain * math.sqrt(6 / (fan_in + fan_out))
    return uniform_(t, -a, a)


def xavier_normal_(t: Tensor, gain: float = 1.0) -> Tensor:
    """N(0, std²) with std = gain · √(2 / (fan_in + fan_out)) (Glorot & Bengio 2010)."""
    fan_in, fan_out = _fans(t)
    return normal_(t, 0.0, gain * math.sqrt(2 / (fan_in + fan_out)))


def kaiming_uniform_(t: Tensor, a: float = 0.0) -> Tensor:
    """U(-b, b) with b = √(6 / ((1 + a²) fan_in)), a the leaky ReLU's slope (He et al. 2015)."""
    b = math.sqrt(6 / ((1 + a * a) * _fans(t)[0]))
    return uniform_(t, -b, b)


def kaiming_normal_(t: Tensor, a: float = 0.0) -> Tensor:
    """N(0, std²) with std = √(2 / ((1 + a²) fan_in)) (He et al. 2015)."""
    return normal_(t, 0.0, math.sqrt(2 / ((1 + a * a) * _fans(t)[0])))


def orthogonal_(t: Tensor, gain: float = 1.0) -> Tensor:
    """gain times a random matrix with orthonormal rows or columns (Saxe et al. 2014)."""
    if t.ndim < 2:
        raise ShapeError(f"orthogonal_: needs at least two axes, got shape {t.shape}")
    rows, columns = t.shape[0], t.size // t.shape[0]
    tall = (max(rows, columns), min(rows, columns))
    flat: Any = device("cpu").rng.normal(0.0, 1.0, tall, np.float64)
    q, r = np.linalg.qr(flat)
    q = q * np.sign(np.diag(r))  # makes the distribution uniform
    return _put(t, (gain * (q if rows >= columns else q.T)).reshape(t.shape).astype(t.dtype))


def _fans(t: Tensor) -> tuple[int, int]:
    """fan_in and fan_out of a weight (out, in, *kernel)."""
    if t.ndim < 2:
        raise ShapeError(f"init: fan-in needs at least two axes, got shape {t.shape}")
    kernel = math.prod(t.shape[2:])
    return t.shape[1] * kernel, t.shape[0] * kernel
