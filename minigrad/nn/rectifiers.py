"""More activations as modules; each is the function of the same name.

`inplace` is PyTorch's and changes nothing: an activation never writes into its input here.
"""

from __future__ import annotations

from typing import Any

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError
from . import init
from .activation import Softmax
from .module import Module, new_parameter

__all__ = [
    "CELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LogSigmoid",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU6",
    "Softmin",
    "Softshrink",
    "Softsign",
    "Tanhshrink",
    "Threshold",
]


class Hardtanh(Module):
    """x limited to [min_val, max_val].

    Raises: ConfigError unless min_val < max_val.
    """

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ConfigError(f"Hardtanh: min_val is {min_val}, max_val {max_val}; give min < max")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, x: Tensor) -> Tensor:
        return ops.hardtanh(x, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class ReLU6(Hardtanh):
    """min(max(x, 0), 6)."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(0.0, 6.0)


class _InPlace(Module):
    """An activation without options but PyTorch's."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()


class Hardsigmoid(_InPlace):
    """min(max(x + 3, 0), 6) / 6."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.hardsigmoid(x)


class Hardswish(_InPlace):
    """x · min(max(x + 3, 0), 6) / 6."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.hardswish(x)


class SELU(_InPlace):
    """1.0507 · (x for x > 0, else 1.6733 · (eˣ - 1)) (Klambauer et al. 2017)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.selu(x)


class Mish(_InPlace):
    """x · tanh(log(1 + eˣ))."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.mish(x)


class LogSigmoid(Module):
    """log(sigmoid(x))."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.logsigmoid(x)


class Softsign(Module):
    """x / (1 + |x|)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.softsign(x)


class Tanhshrink(Module):
    """x - tanh(x)."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.tanhshrink(x)


class CELU(Module):
    """x for x > 0, else alpha · (exp(x / alpha) - 1).

    Raises: ConfigError for alpha = 0.
    """

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not alpha:
            raise ConfigError("CELU: alpha is 0, and divides; give another number")
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return ops.celu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Softshrink(Module):
    """x moved towards 0 by lambd, and not past it.

    Raises: ConfigError unless lambd ≥ 0.
    """

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        if not lambd >= 0:
            raise ConfigError(f"Softshrink: lambd is {lambd}, expected a number >= 0")
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        return ops.softshrink(x, self.lambd)

    def extra_repr(self) -> str:
        return f"lambd={self.lambd}"


class Hardshrink(Module):
    """x where |x| > lambd, else 0."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, x: Tensor) -> Tensor:
        return ops.hardshrink(x, self.lambd)

    def extra_repr(self) -> str:
        return f"lambd={self.lambd}"


class Threshold(Module):
    """x where x > threshold, else value."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold, self.value = threshold, value

    def forward(self, x: Tensor) -> Tensor:
        return ops.threshold(x, self.threshold, self.value)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}"


class GLU(Module):
    """a · sigmoid(b), x = [a, b] cut in halves along `axis` (PyTorch's `dim`)."""

    def __init__(self, axis: int = -1) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, x: Tensor) -> Tensor:
        return ops.glu(x, self.axis)

    def extra_repr(self) -> str:
        return f"axis={self.axis}"


class Softmin(Softmax):
    """exp(-x) / Σ exp(-x) along `axis`."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.softmin(x, axis=self.axis)


class PReLU(Module):
    """x for x > 0, else weight · x, with one slope, or one per channel in axis 1 (He et al. 2015).

    Shapes: x (…) → the same, (N, num_parameters, …) if that is not 1; weight (num_parameters,).
    Init: init.
    """

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        self._count, self._slope = num_parameters, init
        self.weight = new_parameter(num_parameters, dtype=dtype, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The slope to begin with."""
        init.constant_(self.weight, self._slope)

    def forward(self, x: Tensor) -> Tensor:
        return ops.prelu(x, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self._count}"


class RReLU(Module):
    """x for x ≥ 0, else a · x: a of U[lower, upper) per element in training, else its mean."""

    def __init__(self, lower: float = 1 / 8, upper: float = 1 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower, self.upper = lower, upper

    def forward(self, x: Tensor) -> Tensor:
        return ops.rrelu(x, self.lower, self.upper, self.training)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"
