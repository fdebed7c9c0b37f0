"""Losses of numbers: how far predictions are from targets, by the differences.

Each is one op. Its kernel keeps the slope of the losses, up to a factor. `reduction` is as in
`loss.py`.
"""

from __future__ import annotations

from typing import Any

from ..backend import Array
from ..engine import function, fused, ops
from ..errors import ConfigError, ShapeError
from .classification import as_operand, check_labels, check_reduction
from .elementwise import abs, clip, square
from .reduction import mean

__all__ = ["huber_loss", "l1_loss", "mse_loss", "smooth_l1_loss"]


def pair(name: str, x: Any, target: Any, reduction: str) -> Any:
    """The target, after checking that it fits x and has no NaN."""
    check_reduction(name, reduction)
    target = as_operand(target, x)
    if x.shape != target.shape:
        raise ShapeError(
            f"{name}: the input has shape {x.shape}, the target {target.shape}; they must be equal"
        )
    check_labels(name, target)
    return target


def reduced(losses: Any, reduction: str) -> Any:
    """The losses themselves, their mean or their sum."""
    if reduction == "none":
        return losses
    return ops.mean(losses) if reduction == "mean" else ops.sum(losses)


def _total(xp: Any, losses: Array, reduction: str) -> Array:
    if reduction == "none":
        return losses
    return mean.forward(xp, losses) if reduction == "mean" else losses.sum()


def _pulled(g: Array, slope: Array, needs: Any, reduction: str, factor: float = 1.0) -> Any:
    """The gradients of x and of the target; `factor` times `slope` is the slope of the losses."""
    dx = slope * (g * (factor / max(1, slope.size) if reduction == "mean" else factor))
    return dx, (-dx if needs[1] else None)


@fused
def _mse_loss(xp: Any, x: Array, target: Array, /, *, reduction: str, keep: bool) -> Any:
    """(x - target)²."""
    d = x - target
    return _total(xp, d * d, reduction), d


@_mse_loss.backward
def _dmse_loss(
    xp: Any, g: Array, y: Array, inputs: Any, d: Any, needs: Any, *, reduction: str
) -> Any:
    return _pulled(g, d, needs, reduction, 2.0)


@_mse_loss.composite
def _plain_mse_loss(x: Any, target: Any, *, reduction: str) -> Any:
    return reduced(square(x - target), reduction)


@function
def mse_loss(x: Any, target: Any, *, reduction: str = "mean") -> Any:
    """(x - target)²."""
    return _mse_loss(x, pair("mse_loss", x, target, reduction), reduction=reduction)


@fused
def _l1_loss(xp: Any, x: Array, target: Array, /, *, reduction: str, keep: bool) -> Any:
    """|x - target|."""
    d = x - target
    return _total(xp, xp.abs(d), reduction), (xp.sign(d) if keep else None)


@_l1_loss.backward
def _dl1_loss(
    xp: Any, g: Array, y: Array, inputs: Any, sign: Any, needs: Any, *, reduction: str
) -> Any:
    return _pulled(g, sign, needs, reduction)


@_l1_loss.composite
def _plain_l1_loss(x: Any, target: Any, *, reduction: str) -> Any:
    return reduced(abs(x - target), reduction)


@function
def l1_loss(x: Any, target: Any, *, reduction: str = "mean") -> Any:
    """|x - target|."""
    return _l1_loss(x, pair("l1_loss", x, target, reduction), reduction=reduction)


@fused
def _huber_loss(
    xp: Any, x: Array, target: Array, /, *, delta: float, reduction: str, keep: bool
) -> Any:
    """½ d² where |d| ≤ delta, else delta · (|d| - ½ delta), d being x - target."""
    d = x - target
    near = xp.clip(d, -delta, delta)
    d -= near * 0.5
    d *= near
    return _total(xp, d, reduction), near


@_huber_loss.backward
def _dhuber_loss(
    xp: Any,
    g: Array,
    y: Array,
    inputs: Any,
    near: Any,
    needs: Any,
    *,
    delta: float,
    reduction: str,
) -> Any:
    return _pulled(g, near, needs, reduction)


@_huber_loss.composite
def _plain_huber_loss(x: Any, target: Any, *, delta: float, reduction: str) -> Any:
    d = x - target
    near = clip(d, -delta, delta)
    return reduced(near * (d - near * 0.5), reduction)


@function
def huber_loss(x: Any, target: Any, *, delta: float = 1.0, reduction: str = "mean") -> Any:
    """½ (x - target)² where |x - target| ≤ delta, else delta · (|x - target| - ½ delta).

    P. Huber, "Robust estimation of a location parameter" (1964).

    Raises: ConfigError unless delta > 0.
    """
    if not delta > 0:
        raise ConfigError(f"huber_loss: delta is {delta}, expected a number > 0")
    target = pair("huber_loss", x, target, reduction)
    return _huber_loss(x, target, delta=delta, reduction=reduction)


@function
def smooth_l1_loss(x: Any, target: Any, *, beta: float = 1.0, reduction: str = "mean") -> Any:
    """½ (x - target)² / beta where |x - target| < beta, else |x - target| - ½ beta.

    Raises: ConfigError unless beta ≥ 0 (0: `l1_loss`).
    """
    if not beta >= 0:
        raise ConfigError(f"smooth_l1_loss: beta is {beta}, expected a number >= 0")
    if beta == 0:
        return l1_loss(x, target, reduction=reduction)
    return huber_loss(x, target, delta=beta, reduction=reduction) / beta
