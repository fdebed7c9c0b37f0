"""Gradient clipping. Gradients are replaced, never written into, so sharing an array is safe."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from ..backend import Array, device_of, matmul
from ..engine import RowSparse, Tensor
from ..errors import ConfigError


def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float) -> float:
    """Scale all gradients by one factor so that their joint 2-norm is at most `max_norm`.

    Returns the norm before clipping (Pascanu et al. 2013).
    """
    if not max_norm >= 0:
        raise ConfigError(f"clip_grad_norm_: max_norm is ≥ 0, got {max_norm}")
    params = _with_grad(parameters)
    if not params:
        return 0.0
    total: Any = 0.0
    for p in params:
        flat = _values(p.grad).reshape(-1)
        total = total + matmul(flat, flat)
    norm = math.sqrt(float(total))
    factor = float(max_norm) / (norm + 1e-6)  # a NumPy scalar would promote float32
    if factor < 1 or not math.isfinite(norm):
        for p in params:
            _replace(p, lambda g: g * factor)
    return norm


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip each element of the gradients to [-clip_value, clip_value]."""
    if not clip_value >= 0:
        raise ConfigError(f"clip_grad_value_: clip_value is ≥ 0, got {clip_value}")
    limit = float(clip_value)
    for p in _with_grad(parameters):
        xp = device_of(p.data).xp
        _replace(p, lambda g, xp=xp: xp.clip(g, -limit, limit))


def _with_grad(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    params = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for p in params:
        if isinstance(p.grad, RowSparse):
            p.grad = p.grad.coalesce()
    return [p for p in params if p.grad is not None]


def _values(g: Any) -> Array:
    return g.values if isinstance(g, RowSparse) else g.data


def _replace(p: Tensor, f: Any) -> None:
    g = p.grad
    if isinstance(g, RowSparse):
        p.grad = RowSparse(g.indices, f(g.values), g.shape)
    else:
        p.grad = Tensor(f(g.data))
