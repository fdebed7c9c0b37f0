"""Dropout."""

from __future__ import annotations

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError
from .module import Module


class Dropout(Module):
    """In training, zero each element with probability p and scale the rest by 1 / (1 - p).

    The identity after `eval()` (Srivastava et al. 2014). The mask comes from the random stream of
    x's device: `mg.manual_seed` repeats it. `inplace` is PyTorch's and changes nothing.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ConfigError(f"Dropout: p is a probability, got {p}")
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return ops.dropout(x, self.p, training=self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}"
