"""`Monitor`: the best epoch so far, and when it has been too long ago."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError


class Monitor:
    """Watches one number of the history.

    Args:
        name: its column.
        mode: "min" if less is better, "max" if more is.
        min_delta: by how much it must improve to count.
        patience: how many epochs may pass without improvement; None for any number.

    >>> watch = Monitor("valid_loss", patience=2)
    >>> [watch.update(loss, epoch) for epoch, loss in enumerate([3.0, 2.0, 2.5, 2.5], start=1)]
    [True, True, False, False]
    >>> watch.best, watch.epoch, watch.exhausted(epoch=4)
    (2.0, 2, True)
    """

    def __init__(
        self,
        name: str,
        mode: str = "min",
        min_delta: float = 0.0,
        patience: int | None = None,
    ) -> None:
        if mode not in ("min", "max"):
            raise ConfigError(f"Trainer: mode is 'min' or 'max', got {mode!r}")
        if not min_delta >= 0:
            raise ConfigError(f"Trainer: min_delta is ≥ 0, got {min_delta}")
        if patience is not None and patience < 1:
            raise ConfigError(f"Trainer: patience is at least 1, got {patience}")
        self.name, self.mode, self.min_delta, self.patience = name, mode, min_delta, patience
        self.best: float | None = None
        self.epoch = 0  # of the best value

    def update(self, value: float, epoch: int) -> bool:
        """Take note of an epoch's value; whether it is the best so far. NaN never is."""
        if math.isnan(value):
            return False
        if self.best is not None:
            gain = self.best - value if self.mode == "min" else value - self.best
            if not gain > self.min_delta:
                return False
        self.best, self.epoch = value, epoch
        return True

    def exhausted(self, epoch: int) -> bool:
        """Whether, after `epoch`, patience has run out."""
        return self.patience is not None and epoch - self.epoch >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """The best value and its epoch."""
        return {"best": self.best, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.best = None if state["best"] is None else float(state["best"])
        self.epoch = int(state["epoch"])
