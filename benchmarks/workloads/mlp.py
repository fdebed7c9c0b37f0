"""A tiny multilayer perceptron, which costs nothing but calls (W6)."""

from __future__ import annotations

from collections import OrderedDict
from types import SimpleNamespace as Size
from typing import Any

import numpy as np

from benchmarks.frameworks import RATE

from . import Batch, linear

axes = (0, 0)


def shapes(s: Size) -> dict[str, tuple[int, ...]]:
    """The weights."""
    return dict([*linear("0", s.I, s.H), *linear("1", s.H, s.H), *linear("2", s.H, s.O)])


def batch(s: Size, rng: Any) -> Batch:
    """Points (B, I), values (B, O)."""
    return tuple(rng.standard_normal((s.B, n), np.float32) for n in (s.I, s.O))


def in_minigrad(s: Size) -> Any:
    """Layer after layer."""
    from minigrad import nn

    inner = (nn.Linear(s.I, s.H, activation="tanh"), nn.Linear(s.H, s.H, activation="tanh"))
    model = nn.Sequential(*inner, nn.Linear(s.H, s.O))
    return model, lambda model, x, y: nn.functional.mse_loss(model(x), y)


def in_torch(s: Size) -> Any:
    """The same; there an activation is a layer of its own."""
    from torch import nn

    layers = {"0": nn.Linear(s.I, s.H), "tanh 0": nn.Tanh(), "1": nn.Linear(s.H, s.H)}
    model = nn.Sequential(OrderedDict(layers | {"tanh 1": nn.Tanh(), "2": nn.Linear(s.H, s.O)}))
    return model, lambda model, x, y: nn.functional.mse_loss(model(x), y)


def in_jax(s: Size) -> Any:
    """The same in JAX."""
    import jax.numpy as jnp

    from benchmarks.frameworks.jax import linear

    def loss(p: Any, x: Any, y: Any) -> Any:
        h = jnp.tanh(linear(p, "1", jnp.tanh(linear(p, "0", x))))
        return ((linear(p, "2", h) - y) ** 2).mean()

    return loss


def in_plain(F: Any, s: Size) -> Any:
    """The same op by op."""

    def loss(p: Any, x: Any, y: Any) -> Any:
        h = F.tanh(F.linear(p, "1", F.tanh(F.linear(p, "0", F.leaf(x)))))
        return F.mse(F.linear(p, "2", h), y)

    return loss


def in_numpy(s: Size) -> Any:
    """The whole step by hand: each call of NumPy makes a new array, and there is nothing else."""

    def step(p: Any, x: Any, y: Any) -> tuple[Any, dict[str, Any]]:
        h = np.tanh(x.dot(p["0.weight"].T) + p["0.bias"])
        k = np.tanh(h.dot(p["1.weight"].T) + p["1.bias"])
        error = k.dot(p["2.weight"].T) + p["2.bias"] - y
        loss = np.vdot(error, error) / error.size
        g = error * np.float32(2 / error.size)
        grads = {"2.weight": g.T.dot(k), "2.bias": np.add.reduce(g)}
        g = g.dot(p["2.weight"]) * (1 - k * k)
        grads |= {"1.weight": g.T.dot(h), "1.bias": np.add.reduce(g)}
        g = g.dot(p["1.weight"]) * (1 - h * h)
        grads |= {"0.weight": g.T.dot(x), "0.bias": np.add.reduce(g)}
        for name, grad in grads.items():
            p[name] -= RATE * grad
        return loss, grads

    return step
