"""Learning-rate schedules: call `step()` after each epoch (or each batch, if you count in batches).

A schedule is a factor of the base rate as a function of the step count, so it can be restored from
one number. `ReduceLROnPlateau` alone, in a file of its own, looks at a metric.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..errors import CheckpointError, ConfigError
from .optimizer import Optimizer


class Schedule:
    """Base class: sets each group's rate to base_lr · factor(step)."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lrs = [group["lr"] for group in optimizer.param_groups]
        self.last_step = 0
        self._apply()

    def factor(self, step: int) -> float:
        """What the base rate is multiplied by after `step` steps."""
        raise NotImplementedError

    def rate(self, base: float, step: int) -> float:
        """The rate of a group whose base rate is `base`, after `step` steps."""
        return base * self.factor(step)

    def rates(self, bases: list[float], step: int) -> list[float]:
        """The rates of all groups, from their base rates."""
        return [self.rate(base, step) for base in bases]

    def rebase(self, bases: list[float]) -> None:
        """Take other base rates: those of the schedule that this one becomes a part of."""
        self.base_lrs = list(bases)

    def step(self) -> None:
        """Go on by one."""
        self.last_step += 1
        self._apply()

    def _apply(self) -> None:
        rates = self.rates(self.base_lrs, self.last_step)
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr

    @property
    def lrs(self) -> list[float]:
        """The present rates, one per group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What is needed to continue: data only."""
        return {"last_step": self.last_step, "base_lrs": list(self.base_lrs)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`."""
        step, rates = read_state(self, state, "last_step", "base_lrs")
        self.last_step, self.base_lrs = int(step), rates
        self._apply()


class LambdaLR(Schedule):
    """factor(step) = f(step)."""

    def __init__(self, optimizer: Optimizer, f: Callable[[int], float]) -> None:
        self.f = f
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        return self.f(step)


class MultiplicativeLR(Schedule):
    """factor(step) = f(1) · f(2) · … · f(step)."""

    def __init__(self, optimizer: Optimizer, f: Callable[[int], float]) -> None:
        self.f, self._products = f, [1.0]
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        while len(self._products) <= step:
            self._products.append(self._products[-1] * self.f(len(self._products)))
        return self._products[step]


class StepLR(Schedule):
    """factor = gamma^⌊step / step_size⌋."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        if step_size < 1:
            raise ConfigError(f"StepLR: step_size is at least 1, got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        return self.gamma ** (step // self.step_size)


class ExponentialLR(Schedule):
    """factor = gamma^step."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        return self.gamma**step


class CosineAnnealingLR(Schedule):
    """rate = η_min + ½ (base - η_min) (1 + cos(π step / T_max)) (Loshchilov & Hutter 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        if T_max < 1:
            raise ConfigError(f"CosineAnnealingLR: T_max is at least 1, got {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def rate(self, base: float, step: int) -> float:
        cosine = math.cos(math.pi * step / self.T_max)
        return self.eta_min + (base - self.eta_min) * (1 + cosine) / 2


class LinearLR(Schedule):
    """Warm-up: the factor goes linearly from start_factor to end_factor in total_iters steps."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        if total_iters < 1:
            raise ConfigError(f"LinearLR: total_iters is at least 1, got {total_iters}")
        self.start, self.end, self.total = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        return self.start + (self.end - self.start) * min(step / self.total, 1.0)


class ConstantLR(Schedule):
    """`factor` for the first `total_iters` steps, then 1."""

    def __init__(self, optimizer: Optimizer, factor: float = 1 / 3, total_iters: int = 5) -> None:
        if not 0 <= factor <= 1:
            raise ConfigError(f"ConstantLR: factor is in [0, 1], got {factor}")
        self.value, self.total = factor, total_iters
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        return self.value if step < self.total else 1.0


class MultiStepLR(Schedule):
    """factor = gamma^n, with n the milestones that have been reached."""

    def __init__(self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        return self.gamma ** bisect_right(self.milestones, step)


class PolynomialLR(Schedule):
    """factor = (1 - step / total_iters)^power, and 0 from `total_iters` on."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0) -> None:
        if total_iters < 1:
            raise ConfigError(f"PolynomialLR: total_iters is at least 1, got {total_iters}")
        self.total, self.power = total_iters, power
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        return (1 - min(step, self.total) / self.total) ** self.power


class WarmupCosine(Schedule):
    """Linear from 0 to the base rate in `warmup` steps, then cosine down to `final` · base.

    The usual schedule of language models, counted in batches.
    """

    def __init__(
        self, optimizer: Optimizer, *, warmup: int, total: int, final: float = 0.0
    ) -> None:
        if not 0 <= warmup < total:
            raise ConfigError(f"WarmupCosine: needs 0 ≤ warmup < total, got {warmup} and {total}")
        self.warmup, self.total, self.final = warmup, total, final
        super().__init__(optimizer)

    def factor(self, step: int) -> float:
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        done = min((step - self.warmup) / (self.total - self.warmup), 1.0)
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * done)) / 2


def read_state(schedule: Any, state: Mapping[str, Any], *names: str) -> list[Any]:
    """The entries of a saved state, the last of which are rates, one per group."""
    what = f"{type(schedule).__name__}.load_state_dict"
    try:
        *values, rates = (state[name] for name in names)
        rates = [float(rate) for rate in rates]
        values = [None if value is None else float(value) for value in values]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{what}: the saved state is malformed: {error!r}") from error
    groups = len(schedule.optimizer.param_groups)
    if len(rates) != groups or None in values[1:]:
        raise CheckpointError(f"{what}: got {len(rates)} rates, there are {groups} groups")
    return [*values, rates]
