"""`Trainer`: the loop around a step, with validation, early stopping, checkpoints and exact resume.

The loop owns nothing it cannot write down. Its whole state (parameters, optimiser, schedule, random
streams, position in the data, running sums, what the step carries on) is one tree of arrays and
numbers, so a run that was killed goes on as if nothing had happened, bit for bit on a CPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from ..backend import device, get_rng_state, set_rng_state
from ..engine import Tensor, no_grad
from ..errors import ConfigError, MinigradError
from ..nn.module import Module
from ..optim import Optimizer, ReduceLROnPlateau, Schedule, clip_grad_norm_
from .history import History
from .progress import bar, line


class Loader(Protocol):
    """An iterable of batches that can say and restore its position."""

    def __iter__(self) -> Any: ...
    def __len__(self) -> int: ...
    def state_dict(self) -> Mapping[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Store(Protocol):
    """Where checkpoints and the history go; `minigrad.io.Folder` is one."""

    def save(self, name: str, state: Mapping[str, Any]) -> Any: ...
    def load(self, name: str) -> dict[str, Any]: ...
    def exists(self, name: str) -> bool: ...
    def write_text(self, name: str, text: str) -> Any: ...


Step = Callable[[Any, Any, Any], tuple[Tensor, Any]]


class Trainer:
    """Trains `model` by calling `step` on each batch.

    Args:
        model: the module whose parameters the optimiser updates.
        optimizer: makes the update.
        step: `step(model, batch, carry) -> (loss, carry)`. The carry (a recurrent state, say) is
            handed to the next step of the epoch, detached; it starts as None.
        data: a DataLoader; each epoch goes through it once.
        evaluate: `evaluate(model) -> {"valid_loss": …}`, called after each epoch in eval mode and
            without recording.
        schedule: stepped after each epoch, or after each batch with `schedule_every="batch"`.
        clip_norm: the largest joint gradient norm.
        monitor, mode: the number whose best value is kept, and whether less ("min") is better.
        patience: stop after this many epochs without improvement.
        store: where the checkpoints "last" and "best", history.csv and history.jsonl go.
        save_every: also write "last" every so many batches.
        progress: show a bar (with tqdm) and a line per epoch.
        stop_on_nan: raise when the loss is not finite, before it spoils the parameters.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        step: Step,
        data: Loader,
        *,
        evaluate: Callable[[Any], Mapping[str, float]] | None = None,
        schedule: Schedule | ReduceLROnPlateau | None = None,
        schedule_every: str = "epoch",
        clip_norm: float | None = None,
        monitor: str | None = None,
        mode: str = "min",
        patience: int | None = None,
        store: Store | None = None,
        save_every: int | None = None,
        progress: bool = True,
        stop_on_nan: bool = True,
    ) -> None:
        if mode not in ("min", "max"):
            raise ConfigError(f"Trainer: mode is 'min' or 'max', got {mode!r}")
        if schedule_every not in ("epoch", "batch"):
            raise ConfigError(
                f"Trainer: schedule_every is 'epoch' or 'batch', got {schedule_every!r}"
            )
        if save_every is not None and store is None:
            raise ConfigError("Trainer: save_every needs a store, e.g. minigrad.io.Folder(path)")
        self.model, self.optimizer, self.take_step, self.data = model, optimizer, step, data
        self.evaluate, self.schedule, self.schedule_every = evaluate, schedule, schedule_every
        self.clip_norm, self.mode, self.patience = clip_norm, mode, patience
        self.monitor = monitor or ("valid_loss" if evaluate else "train_loss")
        self.store, self.save_every = store, save_every
        self.progress, self.stop_on_nan = progress, stop_on_nan
        self.history = History(None if store is None else store.write_text)
        self.epoch = 0  # finished epochs
        self.batch = 0  # finished batches of the present epoch
        self.best: float | None = None
        self.best_epoch = 0
        self._carry: Any = None
        self._loss_sum = 0.0
        self._seconds = 0.0

    # -- the loop --------------------------------------------------------------------------------

    def fit(self, epochs: int) -> History:
        """Train until `epochs` are done in all, or patience runs out; returns the history."""
        while self.epoch < epochs and not self.out_of_patience():
            self._run_epoch(epochs)
        return self.history

    def out_of_patience(self) -> bool:
        """Whether `patience` epochs have passed since the best one."""
        return (
            self.patience is not None
            and self.best is not None
            and self.epoch - self.best_epoch >= self.patience
        )

    def _run_epoch(self, epochs: int) -> None:
        began = time.perf_counter()
        before = self._seconds
        self.model.train()
        label = f"epoch {self.epoch + 1}/{epochs}"
        steps = bar(
            self.data, total=len(self.data), start=self.batch, label=label, show=self.progress
        )
        for batch in steps:
            loss = self._step(batch)
            self._loss_sum += loss
            self.batch += 1
            steps.set_postfix_str(f"loss {self._loss_sum / self.batch:.4f}", refresh=False)
            self._seconds = before + time.perf_counter() - began
            if self.save_every and self.batch % self.save_every == 0:
                self.save("last")
        steps.close()
        if self.batch == 0:
            raise ConfigError("Trainer: the data gave no batch")
        row: dict[str, Any] = {
            "epoch": self.epoch + 1,
            "train_loss": self._loss_sum / self.batch,
            **self._validate(),
            "lr": self.optimizer.param_groups[0]["lr"],
        }
        if self.monitor not in row:
            raise ConfigError(f"Trainer: monitor {self.monitor!r} is not among {list(row)}")
        improved = self._improved(float(row[self.monitor]))
        if self.schedule is not None and self.schedule_every == "epoch":
            if isinstance(self.schedule, ReduceLROnPlateau):
                self.schedule.step(float(row[self.monitor]))
            else:
                self.schedule.step()
        row["seconds"] = round(before + time.perf_counter() - began, 3)
        self.epoch += 1
        self.batch, self._carry, self._loss_sum, self._seconds = 0, None, 0.0, 0.0
        self.history.append(row)
        if self.progress:
            print(line(row, epochs=epochs, best=improved), flush=True)  # noqa: T201 (its purpose)
        if improved:
            self.best, self.best_epoch = float(row[self.monitor]), self.epoch
            self.save("best")
        self.save("last")

    def _step(self, batch: Any) -> float:
        self.optimizer.zero_grad()
        loss, carry = self.take_step(self.model, batch, self._carry)
        value = float(loss.item())
        if self.stop_on_nan and not math.isfinite(value):
            raise MinigradError(
                f"Trainer: the loss is {value} in epoch {self.epoch + 1}, batch {self.batch + 1}; "
                "the parameters are unchanged since the last batch. Lower the rate, clip the "
                "gradient, or look for its origin with minigrad.detect_anomaly()"
            )
        loss.backward()
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        if self.schedule is not None and self.schedule_every == "batch":
            self.schedule.step()  # type: ignore[call-arg]
        self._carry = _detach(carry)
        return value

    def _validate(self) -> dict[str, float]:
        if self.evaluate is None:
            return {}
        self.model.eval()
        try:
            with no_grad():
                return {name: float(value) for name, value in self.evaluate(self.model).items()}
        finally:
            self.model.train()

    def _improved(self, value: float) -> bool:
        if math.isnan(value):
            return False
        if self.best is None:
            return True
        return value < self.best if self.mode == "min" else value > self.best

    # -- state -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything the run needs to go on: data only."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "rng": get_rng_state(),
            "data": dict(self.data.state_dict()),
            "carry": self._carry,
            "history": list(self.history.rows),
            "epoch": self.epoch,
            "batch": self.batch,
            "loss_sum": self._loss_sum,
            "seconds": self._seconds,
            "best": self.best,
            "best_epoch": self.best_epoch,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None and state["schedule"] is not None:
            self.schedule.load_state_dict(state["schedule"])
        set_rng_state(state["rng"])
        self.data.load_state_dict(state["data"])
        self._carry = _revive(state["carry"])
        self.history.rows = list(state["history"])
        self.history.write()
        self.epoch, self.batch = int(state["epoch"]), int(state["batch"])
        self._loss_sum, self._seconds = float(state["loss_sum"]), float(state["seconds"])
        self.best = None if state["best"] is None else float(state["best"])
        self.best_epoch = int(state["best_epoch"])

    def save(self, name: str) -> None:
        """Write a checkpoint into the store, if there is one."""
        if self.store is not None:
            self.store.save(name, self.state_dict())

    def resume(self, name: str = "last") -> bool:
        """Go on from a checkpoint in the store; False if there is none."""
        if self.store is None or not self.store.exists(name):
            return False
        self.load_state_dict(self.store.load(name))
        return True

    def load_best(self) -> bool:
        """Give the model the parameters of its best epoch; False if none was saved."""
        if self.store is None or not self.store.exists("best"):
            return False
        self.model.load_state_dict(self.store.load("best")["model"])
        return True


def _detach(carry: Any) -> Any:
    """The carry without history."""
    return _map(carry, lambda c: c.detach() if isinstance(c, Tensor) else c)


def _revive(carry: Any) -> Any:
    """The carry from a checkpoint: its arrays as Tensors of the default device."""
    upload = device(None).asarray
    return _map(carry, lambda c: Tensor(upload(c)) if isinstance(c, np.ndarray) else c)


def _map(tree: Any, f: Callable[[Any], Any]) -> Any:
    if isinstance(tree, tuple):
        return tuple(_map(item, f) for item in tree)
    if isinstance(tree, list):
        return [_map(item, f) for item in tree]
    if isinstance(tree, dict):
        return {key: _map(item, f) for key, item in tree.items()}
    return f(tree)
