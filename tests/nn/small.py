"""Small sizes and arrays for the tests of attention layers."""

from __future__ import annotations

import numpy as np

from minigrad import nn

B, L, S, E, H = 3, 4, 5, 8, 2
LENGTHS = [5, 0, 2]
RNG = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def double(module: nn.Module) -> nn.Module:
    return module.to("float64")


def grads(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: p.grad.numpy() for name, p in module.named_parameters() if p.grad is not None}
