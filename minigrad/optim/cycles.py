"""Schedules that rise and fall: one cycle, and cosines with restarts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ConfigError
from .optimizer import Optimizer
from .schedules import Schedule


class CosineAnnealingWarmRestarts(Schedule):
    """A cosine from the base rate to η_min in T_0 steps, then again and again (SGDR).

    rate = η_min + ½ (base - η_min) (1 + cos(π t / T)), with t the steps since the last restart and
    T = T_0, T_0 T_mult, T_0 T_mult², … (Loshchilov & Hutter 2017, equation 5).
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0
    ) -> None:
        if T_0 < 1 or T_mult < 1:
            raise ConfigError(
                f"CosineAnnealingWarmRestarts: T_0 and T_mult are at least 1, got {T_0}, {T_mult}"
            )
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def rate(self, base: float, step: int) -> float:
        if self.T_mult == 1:
            length, step = self.T_0, step % self.T_0
        else:
            length = self.T_0
            while step >= length:
                step, length = step - length, length * self.T_mult
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * step / length)) / 2


class CyclicLR(Schedule):
    """Up and down between `base_lr` and `max_lr`, in triangles (Smith 2017).

    rate = base_lr + (max_lr - base_lr) h s, with h rising from 0 to 1 in `step_size_up` steps and
    falling to 0 in `step_size_down`. The scale s is 1 ("triangular"), halves with each cycle
    ("triangular2"), is gamma^step ("exp_range"), or is `scale_fn` of the cycle's number (from 1) or
    of the step, as `scale_mode` says. The momentum (or β₁) goes the other way, from `max_momentum`
    to `base_momentum`.

    Raises: ConfigError for options without a meaning, or an optimiser without momentum (then give
    `cycle_momentum=False`).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[int], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
    ) -> None:
        down = step_size_up if step_size_down is None else step_size_down
        if step_size_up < 1 or down < 1:
            raise ConfigError(f"CyclicLR: step sizes are at least 1, got {step_size_up} and {down}")
        if mode not in ("triangular", "triangular2", "exp_range") or scale_mode not in _SCALES:
            raise ConfigError(
                "CyclicLR: mode is 'triangular', 'triangular2' or 'exp_range' and scale_mode "
                f"'cycle' or 'iterations', got {mode!r} and {scale_mode!r}"
            )
        self.up, self.period = step_size_up, step_size_up + down
        self.scale_fn, self.by_cycle = scale_fn, scale_mode == "cycle"
        self.mode, self.gamma = mode, gamma
        self.momentum = _momentum(optimizer, cycle_momentum, "CyclicLR")
        low, high = (_each(optimizer, n, v) for n, v in (("base_lr", base_lr), ("max_lr", max_lr)))
        self.max_lrs = high
        self.momenta = list(
            zip(
                _each(optimizer, "max_momentum", max_momentum),
                _each(optimizer, "base_momentum", base_momentum),
                strict=True,
            )
        )
        for group, lr in zip(optimizer.param_groups, low, strict=True):
            group["lr"] = lr
        super().__init__(optimizer)

    def rebase(self, bases: list[float]) -> None:
        """Nothing: the base rates are `base_lr`."""

    def rates(self, bases: list[float], step: int) -> list[float]:
        height = self._height(step)
        pairs = zip(self.base_lrs, self.max_lrs, strict=True)
        return [low + (high - low) * height for low, high in pairs]

    def _height(self, step: int) -> float:
        """h s at this step."""
        cycle, local = divmod(step, self.period)
        height = (
            local / self.up if local <= self.up else (self.period - local) / (self.period - self.up)
        )
        if self.scale_fn is not None:
            return height * self.scale_fn(cycle + 1 if self.by_cycle else step)
        if self.mode == "triangular2":
            return height / 2.0**cycle
        return height * self.gamma**step if self.mode == "exp_range" else height

    def _apply(self) -> None:
        super()._apply()
        height = self._height(self.last_step)
        for group, (high, low) in zip(self.optimizer.param_groups, self.momenta, strict=True):
            _set_momentum(group, self.momentum, high - (high - low) * height)


class OneCycleLR(Schedule):
    """Up to `max_lr` and down to almost nothing, with the momentum going the other way.

    From max_lr / div_factor up to max_lr in the first `pct_start` of `total_steps`, then down to
    max_lr / (div_factor · final_div_factor); `three_phase` comes down in as many steps as it went
    up, and then further. The momentum (or β₁) falls from max_momentum to base_momentum while the
    rate rises, and comes back (Smith & Topin 2019). One step per batch.

    Raises: ConfigError for options without a meaning, an optimiser without momentum (then give
    `cycle_momentum=False`), and a step after the last.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        if total_steps is None and epochs is not None and steps_per_epoch is not None:
            total_steps = epochs * steps_per_epoch
        if total_steps is None or total_steps < 1:
            raise ConfigError("OneCycleLR: needs total_steps, or epochs and steps_per_epoch")
        if not 0 <= pct_start <= 1:
            raise ConfigError(f"OneCycleLR: pct_start is in [0, 1], got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ConfigError(
                f"OneCycleLR: anneal_strategy is 'cos' or 'linear', got {anneal_strategy!r}"
            )
        self.total, self.cosine = total_steps, anneal_strategy == "cos"
        start, end = 1 / div_factor, 1 / div_factor / final_div_factor
        turn = pct_start * total_steps - 1  # the last step of the rise
        # (last step, factor of max_lr there, how far the momentum has come down there)
        self.phases = [(0.0, start, 0.0), (turn, 1.0, 1.0)]
        if three_phase:
            self.phases.append((2 * turn, start, 0.0))
        self.phases.append((total_steps - 1.0, end, 0.0))
        self.momentum = _momentum(optimizer, cycle_momentum, "OneCycleLR")
        self.momenta = list(
            zip(
                _each(optimizer, "max_momentum", max_momentum),
                _each(optimizer, "base_momentum", base_momentum),
                strict=True,
            )
        )
        for group, lr in zip(
            optimizer.param_groups, _each(optimizer, "max_lr", max_lr), strict=True
        ):
            group["lr"] = lr  # the base rate of this schedule
        super().__init__(optimizer)

    def rebase(self, bases: list[float]) -> None:
        """Nothing: the base rates are `max_lr`."""

    def rate(self, base: float, step: int) -> float:
        (first, second), done = self._place(step)
        return self._between(base * first[1], base * second[1], done)

    def _place(self, step: int) -> tuple[tuple[Any, Any], float]:
        """The two phase ends that `step` lies between, and how far it is from one to the other."""
        if step > self.total:
            raise ConfigError(f"OneCycleLR: step {step} of {self.total}; give more total_steps")
        i = next(
            (i for i, phase in enumerate(self.phases[1:-1]) if step <= phase[0]),
            len(self.phases) - 2,
        )
        first, second = self.phases[i : i + 2]
        length = second[0] - first[0]
        return (first, second), (step - first[0]) / length if length else 1.0

    def _between(self, start: float, end: float, done: float) -> float:
        if self.cosine:
            return end + (start - end) / 2 * (math.cos(math.pi * done) + 1)
        return start + (end - start) * done

    def _apply(self) -> None:
        super()._apply()
        if self.momentum is None:
            return
        (first, second), done = self._place(self.last_step)
        for group, (high, low) in zip(self.optimizer.param_groups, self.momenta, strict=True):
            start, end = (high + (low - high) * phase[2] for phase in (first, second))
            value = self._between(start, end, done)
            _set_momentum(group, self.momentum, value)


_SCALES = ("cycle", "iterations")


def _momentum(optimizer: Optimizer, wanted: bool, name: str) -> str | None:
    """The option that holds the momentum; None if it is not to be changed."""
    if not wanted:
        return None
    for key in ("betas", "momentum"):
        if key in optimizer.defaults:
            return key
    raise ConfigError(
        f"{name}: {type(optimizer).__name__} has no momentum; give cycle_momentum=False"
    )


def _set_momentum(group: dict[str, Any], key: str | None, value: float) -> None:
    if key == "betas":
        group["betas"] = (value, *group["betas"][1:])
    elif key == "momentum":
        group["momentum"] = value


def _each(optimizer: Optimizer, name: str, value: float | Sequence[float]) -> list[float]:
    """One value per group."""
    groups = len(optimizer.param_groups)
    values = [value] * groups if isinstance(value, int | float) else list(value)
    if len(values) != groups:
        raise ConfigError(f"schedule: {len(values)} values of {name} for {groups} groups")
    return values
