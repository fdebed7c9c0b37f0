"""What a Trainer is given, checked: its options before it begins, and what `evaluate` returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..optim import ReduceLROnPlateau

if TYPE_CHECKING:
    from .trainer import Trainer


def check(trainer: Trainer) -> None:
    """Raise ConfigError for options that do not go together."""
    trained = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    every, plateau = trainer.schedule_every, isinstance(trainer.schedule, ReduceLROnPlateau)
    problem = ""
    if not (hasattr(trainer.data, "load_state_dict") and hasattr(trainer.data, "__len__")):
        problem = (
            f"data is a {type(trainer.data).__name__}, expected a DataLoader; "
            "DataLoader(batches, batch_size=None) makes one of a list of batches"
        )
    elif trained.isdisjoint(map(id, trainer.model.parameters())):
        problem = "the optimiser has no parameter of the model; make it of model.parameters()"
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


def numbers(found: Any) -> dict[str, float]:
    """What `evaluate` gave, as Python numbers.

    Raises: ConfigError if it has no names.
    """
    if not isinstance(found, Mapping):
        raise ConfigError(
            f"Trainer: evaluate gave {type(found).__name__}, expected numbers by name: "
            '{"valid_loss": …}'
        )
    return {name: float(value) for name, value in found.items()}
