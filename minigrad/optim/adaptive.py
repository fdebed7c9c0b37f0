"""A rate for each number from the gradients it has seen: RMSprop, Adagrad, Adadelta.

g is the gradient, θ the parameter, η the rate. Scratch buffers hold the intermediate results; p and
the state arrays are written in place.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

from ..backend import Array
from ..errors import ConfigError
from .formulas import average, decay, decayed, descend, normalized
from .optimizer import Optimizer
from .rule import Arrays, Group, Numbers


class RMSprop(Optimizer):
    """v ← α v + (1 - α) g²;  θ ← θ - η g / (√v + ε) (Tieleman & Hinton 2012).

    `centered` subtracts the squared mean gradient from v; `momentum` μ accumulates the quotient in
    b and moves by η b.
    """

    slots = ("square_avg", "momentum_buffer", "grad_avg")
    switches = ("maximize", "weight_decay", "momentum", "centered")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        more = {"momentum": momentum, "centered": centered, "maximize": maximize}
        super().__init__(params, {**options, **more})

    def _check(self, group: Group) -> None:
        super()._check(group)
        if not 0 <= group["alpha"] <= 1:
            raise ConfigError(f"RMSprop: alpha is in [0, 1], got {group['alpha']}")

    def _names(self, group: Group) -> tuple[str, ...]:
        used = (True, bool(group["momentum"]), group["centered"])
        return tuple(itertools.compress(self.slots, used))

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        alpha = group["alpha"]
        own = {"keep": alpha, "take": 1 - alpha, "eps": group["eps"], "rate": group["lr"]}
        return {**own, "momentum": group["momentum"], "decay": decay(group)}

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        v, (t, u) = state[0], scratch
        g = decayed(xp, p, g, n, group, u)
        average(xp, v, xp.multiply(g, g, out=t), n["keep"], n["take"], t)
        if group["centered"]:
            mean = state[-1]
            average(xp, mean, g, n["keep"], n["take"], t)
            xp.multiply(mean, mean, out=t)
            v = xp.subtract(v, t, out=t)
        t = normalized(xp, g, v, n["eps"], t)
        if group["momentum"]:
            b = state[1]
            xp.multiply(b, n["momentum"], out=b)
            t = xp.add(b, t, out=b)
        descend(xp, p, t, n["rate"], u)


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
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        start = {"initial_accumulator_value": initial_accumulator_value}
        super().__init__(params, {**options, **start, "maximize": maximize})

    def _init(self, name: str, group: Group) -> float:
        return float(group["initial_accumulator_value"])

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        rate = group["lr"] / (1 + (step - 1) * group["lr_decay"])
        return {"eps": group["eps"], "rate": rate, "decay": decay(group)}

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        (s,) = state
        t, u = scratch
        g = decayed(xp, p, g, n, group, u)
        xp.multiply(g, g, out=t)
        xp.add(s, t, out=s)
        descend(xp, p, normalized(xp, g, s, n["eps"], t), n["rate"], t)


class Adadelta(Optimizer):
    """Steps in the unit of the parameter, without a rate to choose (Zeiler 2012).

    v ← ρ v + (1 - ρ) g²;  δ = √(a + ε) / √(v + ε) · g;  a ← ρ a + (1 - ρ) δ²;  θ ← θ - η δ.
    """

    slots = ("square_avg", "acc_delta")
    buffers = 3

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "maximize": maximize})

    def _check(self, group: Group) -> None:
        super()._check(group)
        if not 0 <= group["rho"] <= 1:
            raise ConfigError(f"Adadelta: rho is in [0, 1], got {group['rho']}")

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        rho = group["rho"]
        own = {"keep": rho, "take": 1 - rho, "eps": group["eps"], "rate": group["lr"]}
        return {**own, "decay": decay(group)}

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        v, a = state
        t, u, w = scratch
        g = decayed(xp, p, g, n, group, u)
        average(xp, v, xp.multiply(g, g, out=t), n["keep"], n["take"], t)
        xp.add(v, n["eps"], out=t)
        xp.sqrt(t, out=t)
        xp.add(a, n["eps"], out=w)
        xp.sqrt(w, out=w)
        xp.divide(w, t, out=w)
        xp.multiply(w, g, out=w)
        average(xp, a, xp.multiply(w, w, out=t), n["keep"], n["take"], t)
        descend(xp, p, w, n["rate"], w)
