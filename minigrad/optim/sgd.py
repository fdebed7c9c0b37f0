"""Gradient descent, plain and averaged. g is the gradient, θ the parameter, η the rate.

Scratch buffers hold the intermediate results; p and the state arrays are written in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..backend import Array
from ..errors import ConfigError
from .optimizer import Optimizer, decayed


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
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "momentum": momentum, "dampening": dampening}
        more = {"weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize}
        super().__init__(params, {**options, **more})

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
        g = decayed(xp, p, g, group, t)
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


class ASGD(Optimizer):
    """Averaged stochastic gradient descent (Polyak & Juditsky 1992; Bottou 2010).

    θ ← (1 - λ η_t) θ - η_t g;  θ̄ ← θ̄ + μ_t (θ - θ̄), with
    η_{t+1} = η / (1 + λ η t)^α and μ_{t+1} = 1 / max(1, t - t₀): η_1 = η and μ_1 = 1.

    The average is kept as the state array `ax`; until step t₀ it is a copy of θ. `lambd` is λ,
    the decay of Bottou's rate, which is applied to θ too; `weight_decay` adds to g besides.
    """

    slots = ("ax",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0}
        super().__init__(params, {**options, "weight_decay": weight_decay, "maximize": maximize})

    def _numbers(self, group: Mapping[str, Any]) -> dict[str, float]:
        return {"eta": float(group["lr"]), "mu": 1.0}

    def _advance(self, numbers: dict[str, Any], group: Mapping[str, Any], step: int) -> None:
        lr = float(group["lr"])
        numbers["eta"] = lr / (1 + group["lambd"] * lr * step) ** group["alpha"]
        numbers["mu"] = 1 / max(1.0, step - group["t0"])

    def _update(
        self, xp: Any, p: Array, g: Array, state: list[Array], group: dict[str, Any], step: int
    ) -> None:
        (mean,) = state
        t = self.scratch(xp, p)
        g = decayed(xp, p, g, group, t)
        xp.multiply(g, group["eta"], out=t)
        xp.multiply(p, 1 - group["lambd"] * group["eta"], out=p)
        xp.subtract(p, t, out=p)
        if group["mu"] == 1:
            mean[...] = p
        else:
            xp.subtract(p, mean, out=t)
            xp.multiply(t, group["mu"], out=t)
            xp.add(mean, t, out=mean)
