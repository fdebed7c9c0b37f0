"""The schedule that looks at a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from .optimizer import Optimizer
from .schedules import read_state


class ReduceLROnPlateau:
    """Multiply the rate by `factor` when `patience` steps have passed without improvement.

    An improvement is a metric below best · (1 - threshold) (mode "min"), or above
    best · (1 + threshold) (mode "max").
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        if mode not in ("min", "max"):
            raise ConfigError(f"ReduceLROnPlateau: mode is 'min' or 'max', got {mode!r}")
        if not 0 <= factor < 1:
            raise ConfigError(f"ReduceLROnPlateau: factor is in [0, 1), got {factor}")
        self.optimizer, self.mode, self.factor = optimizer, mode, factor
        self.patience, self.threshold = patience, threshold
        self.cooldown, self.min_lr = cooldown, min_lr
        self.best = math.inf if mode == "min" else -math.inf
        self.bad_steps = self.cooldown_left = 0

    def step(self, metric: float) -> None:
        """Take note of the metric; lower the rate if it has stopped improving."""
        metric = float(metric)
        sign = 1 - self.threshold if self.mode == "min" else 1 + self.threshold
        better = metric < self.best * sign if self.mode == "min" else metric > self.best * sign
        if better:
            self.best, self.bad_steps = metric, 0
        else:
            self.bad_steps += 1
        if self.cooldown_left > 0:
            self.cooldown_left, self.bad_steps = self.cooldown_left - 1, 0
        if self.bad_steps > self.patience:
            for group in self.optimizer.param_groups:
                new = max(group["lr"] * self.factor, self.min_lr)
                if group["lr"] - new > 1e-8:
                    group["lr"] = new
            self.cooldown_left, self.bad_steps = self.cooldown, 0

    @property
    def lrs(self) -> list[float]:
        """The present rates, one per group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What is needed to continue: data only."""
        best = self.best if math.isfinite(self.best) else None
        return {
            "best": best,
            "bad_steps": self.bad_steps,
            "cooldown_left": self.cooldown_left,
            "lrs": self.lrs,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`."""
        best, bad, left, rates = read_state(
            self, state, "best", "bad_steps", "cooldown_left", "lrs"
        )
        unset = math.inf if self.mode == "min" else -math.inf
        self.best = unset if best is None else float(best)
        self.bad_steps, self.cooldown_left = int(bad), int(left)
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
