"""An LSTM reads an image of a digit row by row and names it (W5)."""

from __future__ import annotations

from types import SimpleNamespace as Size
from typing import Any

import numpy as np

from . import Batch, linear, recurrent

axes = (1, 0)


def shapes(s: Size) -> dict[str, tuple[int, ...]]:
    """The weights."""
    return dict([*recurrent("lstm", 4, s.I, s.H, "_l0"), *linear("head", s.H, s.C)])


def batch(s: Size, rng: Any) -> Batch:
    """Rows (T, B, I), classes (B,)."""
    return rng.random((s.T, s.B, s.I), np.float32), rng.integers(0, s.C, s.B)


def in_minigrad(s: Size) -> Any:
    """As one writes it with layers."""
    from minigrad import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(s.I, s.H)
            self.head = nn.Linear(s.H, s.C)

        def forward(self, x: Any) -> Any:
            _, (h, _) = self.lstm(x)
            return self.head(h[0])

    return Model(), lambda model, x, y: nn.functional.cross_entropy(model(x), y)


def in_torch(s: Size) -> Any:
    """The same in PyTorch."""
    from torch import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(s.I, s.H)
            self.head = nn.Linear(s.H, s.C)

        def forward(self, x: Any) -> Any:
            _, (h, _) = self.lstm(x)
            return self.head(h[0])

    return Model(), lambda model, x, y: nn.functional.cross_entropy(model(x), y)


def in_jax(s: Size) -> Any:
    """The same in JAX."""
    from benchmarks.frameworks.jax import cross_entropy, linear, lstm

    def loss(p: Any, x: Any, y: Any) -> Any:
        return cross_entropy(linear(p, "head", lstm(p, "lstm", x, "_l0")[-1]), y)

    return loss


def in_plain(F: Any, s: Size) -> Any:
    """The same op by op."""

    def loss(p: Any, x: Any, y: Any) -> Any:
        h = F.lstm(p, "lstm", "_l0", [F.leaf(row) for row in x])[-1]
        return F.cross_entropy(F.linear(p, "head", h), y)

    return loss
