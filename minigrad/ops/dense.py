"""x Wᵀ + b, alone or with an activation: then both are one op, in the memory of the product."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import backend
from ..backend import NAMESPACES, Array
from ..engine import function, fused, op, ops
from ..errors import ConfigError, ShapeError
from . import rows
from .activation import along, gelu, saturation, sigmoid
from .linalg import matmul, rows_of

__all__ = ["linear"]


@op
def _linear(xp: Any, x: Array, weight: Array, bias: Array | None = None, /) -> Array:
    """y = x Wᵀ + b."""
    if weight.ndim != 2 or not x.ndim or x.shape[-1] != weight.shape[1]:
        expected = f"x (…, {weight.shape[1]})" if weight.ndim == 2 else "x (…, I), weight (O, I)"
        raise ShapeError(f"linear: x {x.shape} and weight {weight.shape}; expected {expected}")
    y = backend.matmul(x, weight.T)
    if bias is None:
        return y
    if bias.shape != weight.shape[:1]:
        raise ShapeError(f"linear: bias {bias.shape} beside weight {weight.shape}; expected (O,)")
    if y.dtype == bias.dtype:
        y += bias
        return y
    return y + bias


def _by_bias(g: Any) -> Any:
    xp = NAMESPACES.get(type(g))
    return g.sum(axis=0) if xp is None else rows.column_sums(xp, g)


_linear.defvjp(
    lambda g, _y, _x, weight, _bias: matmul(g, weight),
    lambda g, _y, x, _weight, _bias: matmul(rows_of(g).T, rows_of(x)),
    lambda g, _y, _x, _weight, _bias: _by_bias(rows_of(g)),
)

# -- with an activation ------------------------------------------------------------------------
#
# Forward: (xp, z, keep) → y, in the memory of z if it can be, and the slope dy/dz where y does not
# tell it. Backward: (xp, g, y) → g dy/dz, where it does.


def _tanh(xp: Any, z: Array, keep: bool) -> Any:
    return xp.tanh(z, out=z), None


def _dtanh(xp: Any, g: Array, y: Array) -> Array:
    dz = y * y
    xp.subtract(1, dz, out=dz)
    dz *= g
    return dz


def _sigmoid(xp: Any, z: Array, keep: bool) -> Any:
    xp.minimum(z, saturation(xp, z), out=z)
    xp.exp(z, out=z)
    z /= z + 1
    return z, None


def _dsigmoid(xp: Any, g: Array, y: Array) -> Array:
    dz = 1 - y
    dz *= y
    dz *= g
    return dz


def _relu(xp: Any, z: Array, keep: bool) -> Any:
    return xp.maximum(z, along(xp, z, 0), out=z), None


def _drelu(xp: Any, g: Array, y: Array) -> Array:
    return g * (y > 0)


def _gelu(xp: Any, z: Array, keep: bool) -> Any:
    return gelu.forward(xp, z, "none", keep=keep)


def _silu(xp: Any, z: Array, keep: bool) -> Any:
    share = sigmoid.forward(xp, z)
    z *= share
    if not keep:
        return z, None
    slope = 1 - share  # of z σ(z): σ + y (1 - σ)
    slope *= z
    slope += share
    return z, slope


FORWARD: dict[str, Callable[..., Any]] = {
    "gelu": _gelu,
    "relu": _relu,
    "sigmoid": _sigmoid,
    "silu": _silu,
    "tanh": _tanh,
}
BACKWARD = {"relu": _drelu, "sigmoid": _dsigmoid, "tanh": _dtanh}


def check_activation(what: str, activation: Any) -> None:
    """Raise ConfigError unless `activation` is None or the name of one that `linear` knows."""
    if activation is not None and not (isinstance(activation, str) and activation in FORWARD):
        known = ", ".join(map(repr, FORWARD))
        raise ConfigError(f"{what}: activation is {activation!r}; give {known} or None")


@fused
def _dense(
    xp: Any,
    x: Array,
    weight: Array,
    bias: Array | None,
    /,
    *,
    activation: str,
    keep: bool,
) -> Any:
    """φ(x Wᵀ + b): linear and an activation."""
    return FORWARD[activation](xp, _linear.forward(xp, x, weight, bias), keep)


@_dense.backward
def _ddense(
    xp: Any, g: Array, y: Array, inputs: Any, slope: Any, needs: Any, *, activation: str
) -> Any:
    x, weight, _ = inputs
    dz = BACKWARD[activation](xp, g, y) if slope is None else g * slope
    flat = rows_of(dz)
    return (
        backend.matmul(dz, weight) if needs[0] else None,
        backend.matmul(flat.T, rows_of(x)) if needs[1] else None,
        rows.column_sums(xp, flat) if needs[2] else None,
    )


@_dense.composite
def _plain_dense(x: Any, weight: Any, bias: Any, *, activation: str) -> Any:
    return getattr(ops, activation)(_linear(x, weight, bias))


@function
def linear(x: Any, weight: Any, bias: Any = None, /, activation: str | None = None) -> Any:
    """y = φ(x Wᵀ + b). With an activation φ it is still one op, which keeps no x Wᵀ + b.

    Shapes: x (…, I), weight (O, I), bias (O,) → (…, O).
    activation: "gelu", "relu", "sigmoid", "silu", "tanh", or None: y is x Wᵀ + b.

    Raises: ShapeError for shapes that do not fit; ConfigError for another activation.

    >>> import minigrad as mg
    >>> mg.linear(mg.ones((1, 2)), mg.eye(2), mg.tensor([0.0, -3.0]), activation="relu")
    tensor([[1., 0.]])
    """
    if activation is None:
        return _linear(x, weight, bias)
    check_activation("linear", activation)
    return _dense(x, weight, bias, activation=activation)
