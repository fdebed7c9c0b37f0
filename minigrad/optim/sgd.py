"""Gradient descent, plain and averaged. g is the gradient, θ the parameter, η the rate.

Scratch buffers hold the intermediate results; p and the state arrays are written in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..backend import Array
from ..errors import ConfigError
from .formulas import average, decay, decayed, descend
from .optimizer import Optimizer
from .rule import Arrays, Group, Numbers


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum μ.

    b ← μ b + (1 - dampening) g;  θ ← θ - η b, or θ - η (g + μ b) with Nesterov's look-ahead
    (Sutskever et al. 2013). The first b is g. Weight decay adds λ θ to g.
    """

    slots = ("momentum_buffer",)
    switches = ("maximize", "weight_decay", "momentum", "nesterov")

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

    def _check(self, group: Group) -> None:
        super()._check(group)
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ConfigError("SGD: Nesterov needs momentum > 0 and dampening = 0")

    def _names(self, group: Group) -> tuple[str, ...]:
        return self.slots if group["momentum"] else ()

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        first = step == 1  # the buffer is zero
        return {
            "momentum": group["momentum"],
            "take": 1 - (0 if first else group["dampening"]),
            "rate": group["lr"],
            "decay": decay(group),
        }

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        t, u = scratch
        g = decayed(xp, p, g, n, group, t)
        if group["momentum"]:
            (b,) = state
            average(xp, b, g, n["momentum"], n["take"], u)
            if group["nesterov"]:
                xp.multiply(b, n["momentum"], out=u)
                g = xp.add(g, u, out=u)
            else:
                g = b
        descend(xp, p, g, n["rate"], u)


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

    def _numbers(self, group: Group) -> dict[str, float]:
        return {"eta": float(group["lr"]), "mu": 1.0}

    def _advance(self, numbers: dict[str, Any], group: Group, step: int) -> None:
        lr = float(group["lr"])
        numbers["eta"] = lr / (1 + group["lambd"] * lr * step) ** group["alpha"]
        numbers["mu"] = 1 / max(1.0, step - group["t0"])

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        keep = 1 - group["lambd"] * state["eta"]
        blend = {"old": 1 - state["mu"], "new": state["mu"]}
        return {"rate": state["eta"], "keep": keep, **blend, "decay": decay(group)}

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        (mean,) = state
        t = scratch[0]
        g = decayed(xp, p, g, n, group, t)
        xp.multiply(p, n["keep"], out=p)
        descend(xp, p, g, n["rate"], t)
        average(xp, mean, p, n["old"], n["new"], t)
