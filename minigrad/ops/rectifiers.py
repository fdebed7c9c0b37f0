"""More activation functions: the kin of relu and hardtanh, gates, and random slopes.

All under PyTorch's names and meaning, its `dim=` being `axis=`. Where PyTorch takes one side at a
kink, so do the derivatives here.
"""

from __future__ import annotations

from typing import Any

from ..backend import Array, device_of
from ..engine import Tensor, elementwise, function, op
from ..errors import ConfigError, ShapeError
from .activation import along, hardtanh, leaky_relu, sigmoid, softened, softmax
from .elementwise import abs, minimum, square, where
from .joining import split
from .shape import normalize_axis, reshape
from .transcendental import exp, tanh

__all__ = [
    "celu",
    "glu",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "logsigmoid",
    "mish",
    "prelu",
    "relu6",
    "rrelu",
    "selu",
    "softmin",
    "softshrink",
    "softsign",
    "tanhshrink",
    "threshold",
]

# -- straight lines --------------------------------------------------------------------------------


@function
def relu6(x: Any, /) -> Any:
    """min(max(x, 0), 6) (Krizhevsky 2010)."""
    return hardtanh(x, 0.0, 6.0)


@function
def hardsigmoid(x: Any, /) -> Any:
    """min(max(x + 3, 0), 6) / 6: a sigmoid of straight lines (Courbariaux et al. 2015).

    Its slope is 1/6 in the dtype of x; PyTorch's is float32's 1/6 also in float64.
    """
    return hardtanh(x + 3, 0.0, 6.0) / 6


@elementwise
def hardswish(xp: Any, x: Array) -> Array:
    """x · min(max(x + 3, 0), 6) / 6 (Howard et al. 2019)."""
    y = xp.minimum(xp.maximum(x + 3, along(xp, x, 0)), along(xp, x, 6))
    y *= x
    y /= 6
    return y


hardswish.defvjp(lambda g, _y, x: g * where(x <= -3, 0, where(x < 3, x / 3 + 0.5, 1)))


@op
def hardshrink(xp: Any, x: Array, /, lambd: float = 0.5) -> Array:
    """x where |x| > lambd, else 0."""
    return x * (xp.abs(x) > lambd)


@op
def softshrink(xp: Any, x: Array, /, lambd: float = 0.5) -> Array:
    """x moved towards 0 by lambd, and not past it."""
    limit = along(xp, x, lambd)
    return x - xp.minimum(xp.maximum(x, -limit), limit)


for _shrink in (hardshrink, softshrink):
    _shrink.defvjp(lambda g, _y, x, *, lambd: g * (abs(x) > lambd))


@op
def threshold(xp: Any, x: Array, /, threshold: float, value: float) -> Array:
    """x where x > threshold, else value."""
    return xp.where(x > threshold, x, value).astype(x.dtype)


threshold.defvjp(lambda g, _y, x, *, threshold, value: g * (x > threshold))

# -- exponentials ----------------------------------------------------------------------------------

_ALPHA, _SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946


@elementwise
def selu(xp: Any, x: Array) -> Array:
    """1.0507 · (x for x > 0, else 1.6733 · (eˣ - 1)): keeps mean 0 and variance 1.

    Klambauer et al. 2017.
    """
    zero = along(xp, x, 0)
    y = xp.expm1(xp.minimum(x, zero))
    y *= _ALPHA
    y += xp.maximum(x, zero)
    y *= _SCALE
    return y


selu.defvjp(
    lambda g, y, _x: (
        g * (minimum(y, 0) + _SCALE * _ALPHA) + g * (y > 0) * (_SCALE - _SCALE * _ALPHA)
    )
)


@op
def celu(xp: Any, x: Array, /, alpha: float = 1.0) -> Array:
    """x for x > 0, else alpha · (exp(x / alpha) - 1): smooth for any alpha (Barron 2017).

    The gradient has 1/alpha in the dtype of x, where PyTorch has float32's also in float64.
    """
    zero = along(xp, x, 0)
    y = xp.expm1(xp.minimum(x, zero) / alpha)
    y *= alpha
    y += xp.maximum(x, zero)
    return y


celu.defvjp(lambda g, y, _x, *, alpha: g * (minimum(y, 0) / alpha + 1))


@elementwise
def mish(xp: Any, x: Array) -> Array:
    """x · tanh(log(1 + eˣ)) (Misra 2019)."""
    e = xp.exp(xp.minimum(x, along(xp, x, _saturated(x))))
    n = e * (e + 2)  # tanh log(1 + e) = (e² + 2e) / (e² + 2e + 2)
    n /= n + 2
    n *= x
    return n


def _saturated(x: Any) -> float:
    """From here on mish(x) is x: e² still fits into the dtype."""
    return {2: 5.0, 4: 20.0}.get(x.dtype.itemsize, 40.0)


def _dmish(g: Any, _y: Any, x: Any) -> Any:
    x = minimum(x, _saturated(x))
    e = exp(x)
    n = e * (e + 2)
    share = 1 / (n + 2)
    return g * (n * share + x * (e * share) * ((e + 1) * share) * 4)


mish.defvjp(_dmish)


@elementwise
def logsigmoid(xp: Any, x: Array) -> Array:
    """log(sigmoid(x)), without underflow."""
    return xp.minimum(x, along(xp, x, 0)) - softened(xp, x)


logsigmoid.defvjp(lambda g, _y, x: g * sigmoid(-x))


@elementwise
def softsign(xp: Any, x: Array) -> Array:
    """x / (1 + |x|) (Turian, Bergstra & Bengio 2009)."""
    return x / (xp.abs(x) + 1)


softsign.defvjp(lambda g, _y, x: g / square(abs(x) + 1))


@elementwise
def tanhshrink(xp: Any, x: Array) -> Array:
    """x - tanh(x)."""
    return x - xp.tanh(x)


tanhshrink.defvjp(lambda g, _y, x: g * square(tanh(x)))


# -- with slopes, gates and noise ------------------------------------------------------------------


@function
def prelu(x: Any, weight: Any, /) -> Any:
    """x for x > 0, else weight · x: a learned leaky_relu (He et al. 2015).

    Shapes: weight (1,) for all of x, or (C,) for the channels in axis 1 of x (N, C, …).

    Raises: ShapeError for another shape of weight.

    >>> import minigrad as mg
    >>> mg.prelu(mg.tensor([[-2.0, 3.0]]), mg.tensor([0.5, 0.1]))
    tensor([[-1.,  3.]])
    """
    channels = x.shape[1] if x.ndim > 1 else 1
    if weight.shape not in ((), (1,), (channels,)):
        raise ShapeError(f"prelu: weight is {weight.shape}; expected (1,) or ({channels},)")
    if weight.shape == (channels,) and x.ndim > 1:
        weight = reshape(weight, (channels,) + (1,) * (x.ndim - 2))
    elif not x.ndim:
        weight = reshape(weight, ())
    return where(x > 0, x, x * weight)


@function
def rrelu(
    x: Any, /, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
) -> Any:  # fmt: skip
    """x for x ≥ 0, else a · x: a of U[lower, upper) per element in training, else its mean.

    Xu et al. 2015. Drawn from the random stream of x's device.

    Raises: ConfigError unless lower ≤ upper.
    """
    if not lower <= upper:
        raise ConfigError(f"rrelu: lower is {lower}, upper {upper}; expected lower <= upper")
    if not training:
        return leaky_relu(x, (lower + upper) / 2)
    device = x.device if isinstance(x, Tensor) else device_of(x)
    return where(x >= 0, x, x * device.rng.uniform(lower, upper, x.shape, x.dtype))


@function
def glu(x: Any, /, axis: int = -1) -> Any:
    """a · sigmoid(b), x = [a, b] cut in halves along `axis`: a gated linear unit.

    Dauphin et al. 2017.

    Raises: ShapeError for an axis of odd length.
    """
    axis = normalize_axis(axis, x.ndim, what="glu")
    if x.shape[axis] % 2:
        raise ShapeError(f"glu: axis {axis} of {x.shape} cannot be halved")
    a, b = split(x, 2, axis=axis)
    return a * sigmoid(b)


@function
def softmin(x: Any, /, *, axis: int = -1) -> Any:
    """exp(-x) / Σ exp(-x) along `axis`."""
    return softmax(-x, axis=axis)


@function
def gumbel_softmax(logits: Any, /, tau: float = 1.0, hard: bool = False, *, axis: int = -1) -> Any:
    """softmax((logits + Gumbel noise) / tau): a differentiable sample of a category.

    hard: the one-hot vector of the largest, with the gradient of the softmax (straight through).
    Drawn from the random stream of the logits' device.

    Raises: ConfigError unless tau > 0.
    Papers: Jang, Gu & Poole 2017; Maddison, Mnih & Teh 2017.
    """
    if not tau > 0:
        raise ConfigError(f"gumbel_softmax: tau is {tau}, expected a number > 0")
    device = logits.device if isinstance(logits, Tensor) else device_of(logits)
    u = device.rng.uniform(0.0, 1.0, logits.shape, logits.dtype)
    xp, tiny = device.xp, 1e-20 if logits.dtype.itemsize > 2 else 1e-7
    noise = -xp.log(-xp.log(xp.maximum(u, tiny)) + tiny)
    y = softmax((logits + noise) / tau, axis=axis)
    if not hard:
        return y
    values = y.detach() if isinstance(y, Tensor) else y
    chosen = values == values.max(axis=axis, keepdims=True)
    return y + (chosen.astype(values.dtype) - values)
