"""Activation functions, softmax and its relatives, dropout."""

from __future__ import annotations

import math
from typing import Any

from .. import backend
from ..backend import Array, device_of
from ..engine import Tensor, elementwise, function, fused, op
from ..errors import ConfigError
from . import rows
from .elementwise import minimum, multiply, where
from .reduction import kept_shape, reduced_shape
from .special import erf
from .transcendental import exp, tanh

__all__ = [
    "dropout",
    "elu",
    "gelu",
    "hardtanh",
    "leaky_relu",
    "log_softmax",
    "logsumexp",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
]


def along(xp: Any, x: Array, value: float) -> Array:
    """`value` in a row as long as those of x: NumPy's extrema of an array and a number are slow."""
    return xp.full(x.shape[-1:], value, dtype=x.dtype)


def saturation(xp: Any, x: Array) -> Array:
    """From here on the sigmoid is 1, and eˣ still fits into the dtype."""
    return along(xp, x, 11.0 if x.dtype.itemsize < 4 else 40.0)


@elementwise
def sigmoid(xp: Any, x: Array) -> Array:
    """1 / (1 + e⁻ˣ), without overflow and with full relative precision for negative x."""
    e = xp.exp(xp.minimum(x, saturation(xp, x)))
    return e / (e + 1)


sigmoid.defvjp(lambda g, y, _x: g * (y * (1 - y)))


@elementwise
def relu(xp: Any, x: Array) -> Array:
    """max(x, 0); its derivative at 0 is 0."""
    return xp.maximum(x, along(xp, x, 0))


relu.defvjp(lambda g, y, _x: g * (y > 0))


@op
def leaky_relu(xp: Any, x: Array, /, negative_slope: float = 0.01) -> Array:
    """x for x > 0, else negative_slope · x (Maas, Hannun & Ng 2013)."""
    zero = along(xp, x, 0)
    y = xp.minimum(x, zero)  # no `where`: it is slow where signs change from element to element
    y *= negative_slope
    y += xp.maximum(x, zero)
    return y


leaky_relu.defvjp(
    lambda g, _y, x, *, negative_slope: g * (x > 0) * (1 - negative_slope) + g * negative_slope,
)


@op
def elu(xp: Any, x: Array, /, alpha: float = 1.0) -> Array:
    """x for x > 0, else alpha · (eˣ - 1) (Clevert, Unterthiner & Hochreiter 2016, eq. 15)."""
    zero = along(xp, x, 0)
    y = xp.expm1(xp.minimum(x, zero))
    y *= alpha
    y += xp.maximum(x, zero)
    return y


def _delu(g: Any, _y: Any, x: Any, *, alpha: float) -> Any:
    slope = g * exp(minimum(x, 0))
    return slope if alpha == 1 else slope * alpha + g * (x > 0) * (1 - alpha)


elu.defvjp(_delu)


@elementwise
def silu(xp: Any, x: Array) -> Array:
    """x · sigmoid(x), also called swish (Elfwing, Uchibe & Doya 2018)."""
    return x * sigmoid(x)


def _dsilu(g: Any, _y: Any, x: Any) -> Any:
    s = sigmoid(x)
    return g * (s * (1 + x * (1 - s)))


silu.defvjp(_dsilu)


@op
def hardtanh(xp: Any, x: Array, /, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """x limited to [min_val, max_val]; its derivative on the limits is 0."""
    return xp.minimum(xp.maximum(x, min_val), max_val)


hardtanh.defvjp(lambda g, _y, x, *, min_val, max_val: g * ((x > min_val) & (x < max_val)))


@op
def softplus(xp: Any, x: Array, /, beta: float = 1.0) -> Array:
    """log(1 + exp(beta · x)) / beta, without overflow: a smooth relu."""
    z = x if beta == 1 else x * float(beta)
    y = softened(xp, z)
    y += xp.maximum(z, along(xp, z, 0))
    return y if beta == 1 else y / float(beta)


def softened(xp: Any, x: Array) -> Array:
    """log(1 + exp(-|x|)): what softplus has above its two straight lines."""
    return xp.log1p(xp.exp(-xp.abs(x)))


softplus.defvjp(lambda g, _y, x, *, beta: g * sigmoid(x if beta == 1 else x * beta))

_TANH_SLOPE, _TANH_CUBIC = math.sqrt(2 / math.pi), 0.044715


@fused
def gelu(xp: Any, x: Array, /, approximate: str = "none", *, keep: bool) -> Any:
    """x · Φ(x), Φ the normal distribution function (Hendrycks & Gimpel 2016).

    approximate="tanh": Φ(x) ≈ (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2, as in GPT-2.
    """
    if approximate not in ("none", "tanh"):
        raise ConfigError(f"gelu: approximate is {approximate!r}; give 'none' or 'tanh'")
    fast = backend.fused(xp, "gelu", x.dtype)
    if fast is not None:
        return fast(x, approximate=approximate, keep=keep)
    square = x * x
    if approximate == "tanh":
        share = square * (_TANH_SLOPE * _TANH_CUBIC)
        share += _TANH_SLOPE
        share *= x
        share = xp.tanh(share, out=share)
    else:
        share = erf(x * math.sqrt(0.5))
    share += 1
    share *= 0.5
    if not keep:
        return x * share, None
    if approximate == "tanh":  # φ = 2 Φ (1 - Φ) · √(2/π) (1 + 3 · 0.044715 x²)
        slope = square
        slope *= 6 * _TANH_SLOPE * _TANH_CUBIC
        slope += 2 * _TANH_SLOPE
        slope *= share - share * share
    else:  # φ = exp(-x²/2) / √(2π)
        square *= -0.5
        slope = xp.exp(square, out=square)
        slope *= 1 / math.sqrt(2 * math.pi)
    slope *= x
    slope += share
    return x * share, slope


@gelu.backward
def _dgelu(
    xp: Any, g: Array, y: Array, inputs: Any, slope: Any, needs: Any, *, approximate: str
) -> Any:
    return (g * slope,)


@gelu.composite
def _plain_gelu(x: Any, *, approximate: str) -> Any:
    if approximate == "tanh":
        return x * (0.5 * (1 + tanh(_TANH_SLOPE * (x + _TANH_CUBIC * x * x * x))))
    return x * (0.5 * (1 + erf(x * math.sqrt(0.5))))


# -- along an axis -----------------------------------------------------------------------------


@op
def _softmax_grad(xp: Any, g: Array, y: Array, /, *, axis: int) -> Array:
    """y ∘ (g - Σ g ∘ y): linear in g, by a matrix that is its own transpose."""
    return rows.rowwise(xp, rows.softmax_grad, (g, y), axis)


_softmax_grad.defvjp(
    lambda h, _r, _g, y, *, axis: _softmax_grad(h, y, axis=axis),
    lambda h, _r, g, y, *, axis: (
        h * (g - (g * y).sum(axis=axis, keepdims=True)) - g * (h * y).sum(axis=axis, keepdims=True)
    ),
)


@op
def softmax(xp: Any, x: Array, /, *, axis: int = -1) -> Array:
    """exp(x) / Σ exp(x) along `axis`. NaN where all x are -inf; `masked_softmax` gives 0 there."""
    return rows.rowwise(xp, rows.softmax, (x,), axis)


softmax.defvjp(lambda g, y, _x, *, axis: _softmax_grad(g, y, axis=axis))


@op
def _log_softmax_grad(xp: Any, g: Array, y: Array, /, *, axis: int) -> Array:
    """g - eʸ Σ g."""
    return rows.rowwise(xp, rows.log_softmax_grad, (g, y), axis)


_log_softmax_grad.defvjp(
    lambda h, _r, _g, y, *, axis: h - (h * exp(y)).sum(axis=axis, keepdims=True),
    lambda h, _r, g, y, *, axis: -h * exp(y) * g.sum(axis=axis, keepdims=True),
)


@op
def log_softmax(xp: Any, x: Array, /, *, axis: int = -1) -> Array:
    """log(softmax(x)) along `axis`, without underflow."""
    return rows.rowwise(xp, rows.log_softmax, (x,), axis)


log_softmax.defvjp(lambda g, y, _x, *, axis: _log_softmax_grad(g, y, axis=axis))


@op
def logsumexp(xp: Any, x: Array, /, *, axis: Any = None, keepdims: bool = False) -> Array:
    """log Σ exp(x) along `axis`, without overflow.

    Where all x are -inf the result is -inf and the gradient 0.
    """
    top = x.max(axis=axis, keepdims=True)
    shift = xp.where(xp.isfinite(top), top, 0)
    total = xp.exp(x - shift).sum(axis=axis, keepdims=True)
    y = xp.log(xp.where(total == 0, 1, total)) + top
    return y if keepdims else y.reshape(reduced_shape(x.shape, axis))


def _dlogsumexp(g: Any, y: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    shape = kept_shape(x.shape, axis)
    y = where(y == -math.inf, 0, y).reshape(shape)
    return g.reshape(shape) * exp(x - y)


logsumexp.defvjp(_dlogsumexp)


# -- dropout -----------------------------------------------------------------------------------


@function
def dropout(x: Any, p: float = 0.5, training: bool = True) -> Any:
    """x with each element zeroed with probability p and the others scaled by 1 / (1 - p).

    The expectation stays that of x (inverted dropout; Srivastava et al. 2014). The mask is drawn
    from the random stream of x's device: `manual_seed` repeats it. Returns x itself if not
    `training`.

    Raises: ConfigError unless 0 ≤ p ≤ 1.
    """
    if not 0 <= p <= 1:
        raise ConfigError(f"dropout: p is {p}, expected a probability between 0 and 1")
    if not training or p == 0:
        return x
    device = x.device if isinstance(x, Tensor) else device_of(x)
    return multiply(x, device.rng.mask(1 - p, x.shape, x.dtype))
