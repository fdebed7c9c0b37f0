"""What a Trainer is given, checked before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConfigError
from ..optim import ReduceLROnPlateau

if TYPE_CHECKING:
    from .trainer import Trainer


def check(trainer: Trainer) -> None:
    """Raise ConfigError for options that do not go together."""
    every, plateau = trainer.schedule_every, isinstance(trainer.schedule, ReduceLROnPlateau)
    problem = ""
    if not (hasattr(trainer.data, "load_state_dict") and hasattr(trainer.data, "__len__")):
        problem = (
            f"data is a {type(trainer.data).__name__}, expected a DataLoader; "
            "DataLoader(batches, batch_size=None) makes one of a list of batches"
        )
    elif every not in ("epoch", "batch"):
        problem = f"schedule_every is 'epoch' or 'batch', got {every!r}"
    elif plateau and every == "batch":
        problem = "ReduceLROnPlateau looks at the monitor, once per epoch"
    elif plateau and trainer.schedule.mode != trainer.monitor.mode:  # type: ignore[union-attr]
        problem = f"ReduceLROnPlateau has another mode than monitor's {trainer.monitor.mode!r}"
    elif trainer.save_every is not None and trainer.save_every < 1:
        problem = f"save_every is at least 1, got {trainer.save_every}"
    elif trainer.save_every is not None and trainer.store is None:
        problem = "save_every needs a store, e.g. minigrad.io.Folder(path)"
    if problem:
        raise ConfigError(f"Trainer: {problem}")
