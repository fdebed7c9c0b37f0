"""The update rules, as PyTorch writes them. g is the gradient, θ the parameter, η the rate.

Scratch buffers hold the intermediate results; p and the state arrays are written in place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ..backend import Array
from ..engine import Tensor
from ..errors import ConfigError
from .optimizer import Optimizer


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum μ.

    b ← μ b + (1 - dampening) g;  θ ← θ - η b, or θ - η (g + μ b) with Nesterov's look-ahead
    (Sutskever et al. 2013). The first b is g. Weight decay adds λ θ to g.
    """

    slots = ("momentum_buffer",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "dampening": dampening}
        super().__init__(params, {**options, "weight_decay": weight_decay, "nesterov": nesterov})

    def _check(self, group: Mapping[str, Any]) -> None:
        super()._check(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ConfigError("SGD: Nesterov needs momentum > 0 and dampening = 0")

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return self.slots if group["momentum"] else ()

    def _update(
        self, xp: Any, p: Array, g: Array, state: list[Array], group: dict[str, Any], step: int
    ) -> None:
        t, u = self.scratch(xp, p), self.scratch(xp, p, 2)
        if group["weight_decay"]:
            xp.multiply(p, group["weight_decay"], out=t)
            g = xp.add(g, t, out=t)
        momentum = group["momentum"]
        if momentum:
            (b,) = state
            if step == 1:
                b[...] = g
            else:
                xp.multiply(b, momentum, out=b)
                xp.multiply(g, 1 - group["dampening"], out=u)
                xp.add(b, u, out=b)
            if group["nesterov"]:
                xp.multiply(b, momentum, out=u)
                g = xp.add(g, u, out=u)
            else:
                g = b
        xp.multiply(g, group["lr"], out=u)
        xp.subtract(p, u, out=p)


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015).

    m ← β₁ m + (1 - β₁) g;  v ← β₂ v + (1 - β₂) g²;
    θ ← θ - η m̂ / (√v̂ + ε), with m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ).

    Weight decay adds λ θ to g; see `AdamW` for the decoupled form. `amsgrad` divides by the largest
    v̂ so far (Reddi et al. 2018).
    """

    slots = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    decoupled: ClassVar[bool] = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps}
        super().__init__(params, {**options, "weight_decay": weight_decay, "amsgrad": amsgrad})

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return self.slots if group["amsgrad"] else self.slots[:2]

    def _update(
        self, xp: Any, p: Array, g: Array, state: list[Array], group: dict[str, Any], step: int
    ) -> None:
        m, v = state[:2]
        t, u = self.scratch(xp, p), self.scratch(xp, p, 2)
        beta1, beta2 = group["betas"]
        if group["weight_decay"]:
            if self.decoupled:
                xp.multiply(p, 1 - group["lr"] * group["weight_decay"], out=p)
            else:
                xp.multiply(p, group["weight_decay"], out=u)
                g = xp.add(g, u, out=u)
        xp.multiply(m, beta1, out=m)
        xp.multiply(g, 1 - beta1, out=t)
        xp.add(m, t, out=m)
        xp.multiply(v, beta2, out=v)
        xp.multiply(g, g, out=t)
        xp.multiply(t, 1 - beta2, out=t)
        xp.add(v, t, out=v)
        if group["amsgrad"]:
            xp.maximum(state[2], v, out=state[2])
            v = state[2]
        xp.sqrt(v, out=t)
        xp.multiply(t, 1 / math.sqrt(1 - beta2**step), out=t)
        xp.add(t, group["eps"], out=t)
        xp.divide(m, t, out=t)
        xp.multiply(t, group["lr"] / (1 - beta1**step), out=t)
        xp.subtract(p, t, out=p)


class AdamW(Adam):
    """Adam with decoupled weight decay: θ ← (1 - η λ) θ first (Loshchilov & Hutter 2019)."""

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)


class RMSprop(Optimizer):
    """v ← α v + (1 - α) g²;  θ ← θ - η g / (√v + ε) (Tieleman & Hinton 2012).

    `centered` subtracts the squared mean gradient from v; `momentum` μ accumulates the quotient in
    b and moves by η b.
    """

    slots = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "momentum": momentum, "centered": centered})

    def _check(self, group: Mapping[str, Any]) -> None:
        super()._check(group)
        if not 0 <= group["alpha"] <= 1:
            raise ConfigError(f"RMSprop: alpha is in [0, 1], got {group['alpha']}")

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        used = (True, bool(group["momentum"]), group["centered"])
        return tuple(itertools.compress(self.slots, used))

    def _update(
        self, xp: Any, p: Array, g: Array, state: list[Array], group: dict[str, Any], step: int
    ) -> None:
        v, alpha = state[0], group["alpha"]
        t, u = self.scratch(xp, p), self.scratch(xp, p, 2)
        if group["weight_decay"]:
            xp.multiply(p, group["weight_decay"], out=u)
            g = xp.add(g, u, out=u)
        xp.multiply(v, alpha, out=v)
        xp.multiply(g, g, out=t)
        xp.multiply(t, 1 - alpha, out=t)
        xp.add(v, t, out=v)
        if group["centered"]:
            mean = state[-1]
            xp.multiply(mean, alpha, out=mean)
            xp.multiply(g, 1 - alpha, out=t)
            xp.add(mean, t, out=mean)
            xp.multiply(mean, mean, out=t)
            xp.subtract(v, t, out=t)
            xp.sqrt(t, out=t)
        else:
            xp.sqrt(v, out=t)
        xp.add(t, group["eps"], out=t)
        xp.divide(g, t, out=t)
        if group["momentum"]:
            b = state[1]
            xp.multiply(b, group["momentum"], out=b)
            t = xp.add(b, t, out=b)
        xp.multiply(t, group["lr"], out=u)
        xp.subtract(p, u, out=p)


class Adagrad(Optimizer):
    """s ← s + g²;  θ ← θ - η / (1 + (t - 1) decay) · g / (√s + ε) (Duchi et al. 2011)."""

    slots = ("sum",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
    ) -> None:
        options = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        start = {"initial_accumulator_value": initial_accumulator_value}
        super().__init__(params, {**options, **start})

    def _init(self, p: Tensor, name: str, group: dict[str, Any]) -> Array:
        return p.device.xp.full(p.shape, group["initial_accumulator_value"], dtype=p.dtype)

    def _update(
        self, xp: Any, p: Array, g: Array, state: list[Array], group: dict[str, Any], step: int
    ) -> None:
        (s,) = state
        t, u = self.scratch(xp, p), self.scratch(xp, p, 2)
        if group["weight_decay"]:
            xp.multiply(p, group["weight_decay"], out=u)
            g = xp.add(g, u, out=u)
        xp.multiply(g, g, out=t)
        xp.add(s, t, out=s)
        xp.sqrt(s, out=t)
        xp.add(t, group["eps"], out=t)
        xp.divide(g, t, out=t)
        xp.multiply(t, group["lr"] / (1 + (step - 1) * group["lr_decay"]), out=t)
        xp.subtract(p, t, out=p)
