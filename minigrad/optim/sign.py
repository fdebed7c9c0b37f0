"""Rules that move by the sign of the gradient, not by its size: Rprop and Lion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..backend import Array
from ..errors import ConfigError
from .formulas import average, decay, decayed, descend, shares
from .optimizer import Optimizer
from .rule import Arrays, Group, Numbers


class Rprop(Optimizer):
    """Resilient backpropagation, for gradients of the whole data set (Riedmiller & Braun 1993).

    Each number has a step size s, which starts at η. s grows by η₊ where g keeps its sign and
    shrinks by η₋ where it changes, within `step_sizes`; θ ← θ - s sign(g), but where the sign has
    changed θ stays, and g counts as 0 in the next step.
    """

    slots = ("prev", "step_size")
    switches = ("maximize",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "etas": etas, "step_sizes": step_sizes}
        super().__init__(params, {**options, "maximize": maximize})

    def _check(self, group: Group) -> None:
        super()._check(group)
        minus, plus = group["etas"]
        if not 0 < minus < 1 < plus:
            raise ConfigError(f"Rprop: etas are in (0, 1) and above 1, got {group['etas']}")
        low, high = group["step_sizes"]
        if not 0 <= low <= high:
            raise ConfigError(f"Rprop: step_sizes are a range, got {group['step_sizes']}")

    def _init(self, name: str, group: Group) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        (minus, plus), (low, high) = group["etas"], group["step_sizes"]
        return {"minus": minus, "plus": plus, "low": low, "high": high}

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        prev, size = state
        t, u = scratch
        xp.multiply(g, prev, out=t)
        u[...] = 1
        u[...] = xp.where(t > 0, n["plus"], u)
        u[...] = xp.where(t < 0, n["minus"], u)
        xp.multiply(size, u, out=size)
        xp.maximum(size, n["low"], out=size)
        xp.minimum(size, n["high"], out=size)
        prev[...] = xp.where(t < 0, 0.0, g)
        xp.sign(prev, out=t)
        descend(xp, p, t, size, t)


class Lion(Optimizer):
    """Evolved sign momentum: half the state of Adam (Chen et al. 2023, algorithm 2).

    θ ← θ - η (sign(β₁ m + (1 - β₁) g) + λ θ);  m ← β₂ m + (1 - β₂) g.

    Each number moves by exactly η, so rates are 3 to 10 times smaller than Adam's, and decays as
    much larger.
    """

    slots = ("exp_avg",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "weight_decay": weight_decay}
        super().__init__(params, {**options, "maximize": maximize})

    def _scalars(self, group: Group, step: int, state: Mapping[str, Any]) -> dict[str, float]:
        return {**shares(group), "rate": group["lr"], "decay": decay(group, decoupled=True)}

    def _update(
        self, xp: Any, p: Array, g: Array, state: Arrays, n: Numbers, scratch: Arrays, group: Group
    ) -> None:
        (m,) = state
        t, u = scratch
        g = decayed(xp, p, g, n, group, u, decoupled=True)
        xp.multiply(m, n["keep1"], out=t)
        xp.multiply(g, n["take1"], out=u)
        xp.add(t, u, out=t)
        descend(xp, p, xp.sign(t, out=t), n["rate"], t)
        average(xp, m, g, n["keep2"], n["take2"], u)
