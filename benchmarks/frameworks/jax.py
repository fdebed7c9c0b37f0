"""JAX: pure functions of a dictionary of weights, the whole step under one jit."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.workloads import Batch, Weights, Workload

from . import RATE


def linear(p: Any, name: str, x: Any) -> Any:
    """x Wᵀ + b."""
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def cross_entropy(logits: Any, ids: Any, weights: Any = None) -> Any:
    """The mean over all, or over those with weight 1."""
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), jnp.maximum(ids, 0)[..., None], -1)
    if weights is None:
        return -chosen.mean()
    return -(chosen[..., 0] * weights).sum() / weights.sum()


def lstm_step(x: Any, h: Any, c: Any, weight: Any, bias: Any) -> Any:
    """The next h and c; x has been multiplied by its weights already."""
    i, f, g, o = jnp.split(x + h @ weight.T + bias, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def lstm(p: Any, name: str, x: Any, end: str, inside: Any = None) -> Any:
    """(T, B, H); backwards if the weights end in _reverse, from the last step inside."""
    weight, bias = p[f"{name}.weight_hh{end}"], p[f"{name}.bias_hh{end}"]
    projected = x @ p[f"{name}.weight_ih{end}"].T + p[f"{name}.bias_ih{end}"]
    keep = jnp.ones(x.shape[:2], bool) if inside is None else inside

    def step(state: Any, now: Any) -> Any:
        h, c = lstm_step(now[0], *state, weight, bias)
        h, c = h * now[1][:, None], c * now[1][:, None]
        return (h, c), h

    zeros = jnp.zeros((x.shape[1], weight.shape[1]), x.dtype)
    reverse = end.endswith("_reverse")
    return jax.lax.scan(step, (zeros, zeros), (projected, keep), reverse=reverse)[1]


def gru(p: Any, name: str, x: Any, end: str) -> Any:
    """(T, B, H)."""
    weight, bias = p[f"{name}.weight_hh{end}"], p[f"{name}.bias_hh{end}"]
    projected = x @ p[f"{name}.weight_ih{end}"].T + p[f"{name}.bias_ih{end}"]

    def step(h: Any, now: Any) -> Any:
        rx, zx, nx = jnp.split(now, 3, -1)
        rh, zh, nh = jnp.split(h @ weight.T + bias, 3, -1)
        z = jax.nn.sigmoid(zx + zh)
        n = jnp.tanh(nx + jax.nn.sigmoid(rx + rh) * nh)
        h = (1 - z) * n + z * h
        return h, h

    return jax.lax.scan(step, jnp.zeros((x.shape[1], weight.shape[1])), projected)[1]


def adam(p: Any, g: Any, m: Any, v: Any, t: Any) -> Any:
    """New weight and moments."""
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    p = p - RATE * (m / (1 - 0.9**t)) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p, m, v


class Work:
    """A step from weights and state to weights and state, in donated buffers."""

    def __init__(self, workload: Workload, weights: Weights, options: dict[str, Any]) -> None:
        self.workload, self.options = workload, options
        if not hasattr(workload.module, "in_jax"):
            return
        self.slope = jax.jit(jax.value_and_grad(workload.module.in_jax(workload.s)))
        self.run = jax.jit(self.train, donate_argnums=(0, 1))
        self.load(weights)

    def load(self, weights: Weights) -> None:
        self.p = {name: jnp.array(w) for name, w in weights.items()}
        self.state = (jnp.zeros(()), *({n: 0 * w for n, w in self.p.items()} for _ in range(2)))

    def place(self, batch: Batch) -> Batch:
        return tuple(jnp.asarray(a.astype(np.int32) if a.dtype.kind == "i" else a) for a in batch)

    def train(self, p: Any, state: Any, *batch: Any) -> Any:
        """The traced step."""
        loss, g = jax.value_and_grad(self.workload.module.in_jax(self.workload.s))(p, *batch)
        t, m, v = state[0] + 1, *state[1:]
        if self.workload.optimizer == "SGD":
            return loss, {name: p[name] - RATE * g[name] for name in p}, (t, m, v)
        new = {name: adam(p[name], g[name], m[name], v[name], t) for name in p}
        p, m, v = ({name: three[i] for name, three in new.items()} for i in range(3))
        return loss, p, (t, m, v)

    def step(self, *batch: Any) -> float:
        self.last = batch
        loss, self.p, self.state = self.run(self.p, self.state, *batch)
        return float(loss)

    def gradients(self) -> Weights:
        """By the same function; the jitted step keeps none. Call it before the weights change."""
        return {name: np.array(g) for name, g in self.slope(self.p, *self.last)[1].items()}

    def parts(self) -> Any:
        return self.workload.module.jax_parts(self.workload.s, self.options)
