"""Adam and its kin: moving averages of the gradient and of its size.

g is the gradient, θ the parameter, η the rate. Scratch buffers hold the intermediate results; p and
the state arrays are written in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ..backend import Array, fused, on_cpu
from .formulas import average, decay, decayed, descend, normalized, shares
from .optimizer import Optimizer
from .rule import Arrays, Group, Numbers


class Adam(Optimizer):
    """Adaptive moments (Kingma & Ba 2015).

    m ← β₁ m + (1 - β₁) g;  v ← β₂ v + (1 - β₂) g²;
    θ ← θ - η m̂ / (√v̂ + ε), with m̂ = m / (1 - β₁ᵗ) and v̂ = v / (1 - β₂ᵗ).

    Weight decay adds λ θ to g; see `AdamW` for the decoupled form. `amsgrad` divides by the largest
    v̂ so far (Reddi et al. 2018).
    """

    slots = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    switches = ("maximize", "weight_decay", "amsgrad")
    decoupled: ClassVar[bool] = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "amsgrad": amsgrad, "maximize": maximize})

    def _names(self, group: Group) -> tuple[str, ...]:
        return self.slots if group["amsgrad"] else self.slots[:2]

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        beta1, beta2 = group["betas"]
        correction = math.sqrt(1 - beta2**step)
        return {
            **shares(group),
            "eps": group["eps"] * correction,  # √v̂ + ε = (√v + ε c) / c
            "rate": group["lr"] * correction / (1 - beta1**step),
            "decay": decay(group, decoupled=self.decoupled),
        }

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        fast = fused(xp, "adam", p.dtype) if on_cpu(xp) else None
        if fast is not None and fast(p, g, state, n, group, self.decoupled):
            return
        m, v = state[:2]
        t, u = scratch
        g = decayed(xp, p, g, n, group, u, decoupled=self.decoupled)
        _moments(xp, g, m, v, t, n)
        if group["amsgrad"]:
            v = xp.maximum(state[2], v, out=state[2])
        descend(xp, p, normalized(xp, m, v, n["eps"], t), n["rate"], t)


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
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016).

    μ_t = β₁ (1 - ½ · 0.96^(t ψ)), m and v as in Adam, v̂ = v / (1 - β₂ᵗ);
    θ ← θ - η [ (1 - μ_t) / (1 - Π_{i≤t} μ_i) g + μ_{t+1} / (1 - Π_{i≤t+1} μ_i) m ] / (√v̂ + ε).

    ψ is `momentum_decay`. Weight decay adds λ θ to g, or with `decoupled_weight_decay` shrinks θ by
    1 - η λ first.
    """

    slots = ("exp_avg", "exp_avg_sq")
    switches = ("maximize", "weight_decay", "decoupled_weight_decay")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        more = {
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
        }
        super().__init__(params, {**options, **more})

    def _numbers(self, group: Group) -> dict[str, float]:
        return {"mu_product": 1.0}

    def _advance(self, numbers: dict[str, Any], group: Group, step: int) -> None:
        numbers["mu_product"] *= self._mu(group, step)

    @staticmethod
    def _mu(group: Group, step: int) -> float:
        return float(group["betas"][0] * (1 - 0.5 * 0.96 ** (step * group["momentum_decay"])))

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        correction = math.sqrt(1 - group["betas"][1] ** step)
        mu, next_mu = self._mu(group, step), self._mu(group, step + 1)
        product, rate = state["mu_product"] * mu, group["lr"] * correction
        return {
            **shares(group),
            "eps": group["eps"] * correction,
            "gradient_rate": rate * (1 - mu) / (1 - product),
            "rate": rate * next_mu / (1 - product * next_mu),
            "decay": decay(group, decoupled=group["decoupled_weight_decay"]),
        }

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        m, v = state
        t, u = scratch
        g = decayed(xp, p, g, n, group, u, decoupled=group["decoupled_weight_decay"])
        _moments(xp, g, m, v, t, n)
        xp.multiply(g, n["gradient_rate"], out=u)
        xp.multiply(m, n["rate"], out=t)
        xp.add(u, t, out=u)
        xp.subtract(p, normalized(xp, u, v, n["eps"], t), out=p)


class RAdam(Optimizer):
    """Adam whose adaptive rate waits until its variance can be estimated (Liu et al. 2020).

    m, v and the corrections as in Adam; ρ_∞ = 2 / (1 - β₂) - 1, ρ_t = ρ_∞ - 2 t β₂ᵗ / (1 - β₂ᵗ).
    Where ρ_t > 5: θ ← θ - η r_t m̂ √(1 - β₂ᵗ) / (√v + ε), with
    r_t = √( (ρ_t - 4) (ρ_t - 2) ρ_∞ / ((ρ_∞ - 4) (ρ_∞ - 2) ρ_t) ); before that θ ← θ - η m̂.

    Weight decay adds λ θ to g, or with `decoupled_weight_decay` shrinks θ by 1 - η λ first.
    """

    slots = ("exp_avg", "exp_avg_sq")
    switches = ("maximize", "weight_decay", "decoupled_weight_decay")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        more = {"decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize}
        super().__init__(params, {**options, **more})

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        beta1, beta2 = group["betas"]
        rate = group["lr"] / (1 - beta1**step)
        own = {**shares(group), "decay": decay(group, decoupled=group["decoupled_weight_decay"])}
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / (1 - beta2**step)
        if length <= 5:  # divide by 0 √v + 1
            return {**own, "adapt": 0.0, "eps": 1.0, "rate": rate}
        rate *= math.sqrt((length - 4) * (length - 2) * longest)
        rate /= math.sqrt((longest - 4) * (longest - 2) * length)
        rate *= math.sqrt(1 - beta2**step)
        return {**own, "adapt": 1.0, "eps": group["eps"], "rate": rate}

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        m, v = state
        t, u = scratch
        g = decayed(xp, p, g, n, group, u, decoupled=group["decoupled_weight_decay"])
        _moments(xp, g, m, v, t, n)
        xp.sqrt(v, out=t)
        xp.multiply(t, n["adapt"], out=t)
        xp.add(t, n["eps"], out=t)
        xp.divide(m, t, out=t)
        descend(xp, p, t, n["rate"], t)


class Adamax(Optimizer):
    """Adam in the infinity norm (Kingma & Ba 2015, section 7.1).

    m ← β₁ m + (1 - β₁) g;  u ← max(β₂ u, |g| + ε);  θ ← θ - η / (1 - β₁ᵗ) · m / u.
    """

    slots = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**options, "maximize": maximize})

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        rate = group["lr"] / (1 - group["betas"][0] ** step)
        own = {"eps": group["eps"], "rate": rate, "decay": decay(group)}
        return {**shares(group), **own}

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        m, largest = state
        t, u = scratch
        g = decayed(xp, p, g, n, group, u)
        average(xp, m, g, n["keep1"], n["take1"], t)
        xp.multiply(largest, n["keep2"], out=largest)
        xp.abs(g, out=t)
        xp.add(t, n["eps"], out=t)
        xp.maximum(largest, t, out=largest)
        xp.divide(m, largest, out=t)
        descend(xp, p, t, n["rate"], t)


def _moments(xp: Any, g: Array, m: Array, v: Array, t: Array, n: Numbers) -> None:
    """m ← β₁ m + (1 - β₁) g;  v ← β₂ v + (1 - β₂) g²."""
    average(xp, m, g, n["keep1"], n["take1"], t)
    average(xp, v, xp.multiply(g, g, out=t), n["keep2"], n["take2"], t)
