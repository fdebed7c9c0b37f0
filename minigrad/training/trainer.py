"""`Trainer`: the loop around a step, with validation, early stopping, checkpoints and exact resume.

The loop owns nothing it cannot write down. Its whole state (parameters, optimiser, schedule, random
streams, position in the data, running sums, what the step carries on) is one tree of arrays and
numbers, so a run that was killed goes on as if nothing had happened, bit for bit on a CPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

from .. import engine
from ..backend import device, device_of, get_rng_state, set_rng_state
from ..engine import Tensor, no_grad
from ..errors import CheckpointError, ConfigError, MinigradError
from ..nn.module import Module
from ..optim import Optimizer, ReduceLROnPlateau, Schedule, clip_grad_norm_
from ..parallel import Group
from .carry import arrays, pack, unpack
from .check import check, numbers
from .history import History, Row
from .interrupt import Interrupt
from .monitor import Monitor
from .progress import say, summary, track
from .protocols import Loader, Step, Store
from .shares import Shares


class Trainer:
    """Trains `model` by calling `step` on each batch.

    Args:
        model: the module whose parameters the optimiser updates.
        optimizer: makes the update.
        step: `step(model, batch, carry) -> loss`, or `(loss, carry)`. The carry (a recurrent state,
            say) is handed to the next step of the epoch, detached; it starts as None.
        data: a DataLoader; each epoch goes through it once.
        evaluate: `evaluate(model) -> {"valid_loss": …}`, called after each epoch in eval mode and
            without recording.
        schedule: stepped after each epoch, or after each batch with `schedule_every="batch"`.
        clip_norm: the largest joint gradient norm.
        monitor, mode: the number whose best value is kept, and whether less ("min") is better.
        min_delta: by how much it must improve to count.
        patience: stop after this many epochs without improvement.
        store: where the checkpoints "last" and "best", history.csv and history.jsonl go.
        save_every: also write "last" every so many batches.
        callbacks: called as `callback(trainer, row)` after each epoch, with its row of the history.
        progress: show a bar (with tqdm on a terminal) and a line per epoch.
        group: processes that train together (see `parallel.run`). `data` hands out this one's
            share of each batch; rank 0 alone evaluates, prints, calls the callbacks and writes.
        workers: threads that divide the batch (see `parallel.backward`).
        batch_axes: the batch axis of each part of a batch: for `workers` > 1.
        carry_axis: the batch axis of the carry, for `workers` > 1 and for a group: a checkpoint
            then holds the carry of all, and any number of processes goes on from it.
        weight: `weight(batch)`, what the mean loss of a batch counts in processes and threads: its
            tokens, say. By default its examples.
        compile: record the step's forward and backward pass as a program (see `mg.compile`): the
            same numbers, faster. Batches are then made of arrays, of few shapes.
        stop_on_nan: raise when the loss, or the norm that is clipped, is not finite, before it
            spoils the parameters.

    Ctrl-C and SIGTERM take effect after the batch, and with a store "last" is saved first; a second
    one acts at once. Then, as after any other exception, `fit` may be called again and goes on.

    >>> from minigrad import data, nn, optim
    >>> x = np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
    >>> model = nn.Linear(1, 1)
    >>> trainer = mg.training.Trainer(
    ...     model,
    ...     optim.Adam(model.parameters(), lr=0.1),
    ...     lambda model, batch, _: mg.mse_loss(model(batch[0]), batch[1]),
    ...     data.DataLoader(data.ArrayDataset(x, 3 * x), batch_size=8, shuffle=True, seed=0),
    ...     progress=False,
    ... )
    >>> trainer.fit(epochs=40)["train_loss"][-1] < 0.01
    True
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
        min_delta: float = 0.0,
        patience: int | None = None,
        store: Store | None = None,
        save_every: int | None = None,
        callbacks: Sequence[Callable[[Trainer, Row], Any]] = (),
        progress: bool = True,
        stop_on_nan: bool = True,
        group: Group | None = None,
        workers: int = 1,
        batch_axes: Any = None,
        carry_axis: Any = None,
        weight: Callable[[Any], float] | None = None,
        compile: bool = False,
    ) -> None:
        self.model, self.optimizer, self.take_step, self.data = model, optimizer, step, data
        self.evaluate, self.schedule, self.schedule_every = evaluate, schedule, schedule_every
        watched = monitor or ("valid_loss" if evaluate else "train_loss")
        self.monitor = Monitor(watched, mode, min_delta, patience)
        self.clip_norm, self.store, self.save_every = clip_norm, store, save_every
        self.callbacks = tuple(callbacks)
        self.progress, self.stop_on_nan = progress, stop_on_nan
        check(self)
        self.shares = Shares(group, weight, workers, batch_axes, carry_axis, data)
        self.group = self.shares.group
        self.history = History(store.write_text if store and self.group.main else None)
        self.epoch = 0  # finished epochs
        self.batch = 0  # finished batches of the present epoch
        self._position = dict(data.state_dict())  # of the first batch that is not done
        self._carry: Any = None
        self._compiled = compile
        self._gradients = engine.compile(self._differentiate) if compile else self._differentiate
        self._loss_sum = 0.0
        self._seconds = 0.0
        self._stop = False

    # -- the loop --------------------------------------------------------------------------------

    def fit(self, epochs: int) -> History:
        """Train until `epochs` are done in all, or patience runs out; returns the history."""
        self._stop = False
        self.shares.start(self.model)
        if self.epoch == self.batch == 0:  # from here on the store holds this run and no other
            self.history.write()
            self.save("last")
        with Interrupt() as interrupt:
            while self.epoch < epochs and not self._stop and not self.monitor.exhausted(self.epoch):
                self._run_epoch(epochs, interrupt)
                interrupt.check()
        return self.history

    def stop(self) -> None:
        """Let `fit` end after this epoch: for callbacks."""
        self._stop = True

    def _run_epoch(self, epochs: int, interrupt: Interrupt) -> None:
        began = time.perf_counter() - self._seconds
        self.data.load_state_dict(self._position)
        self.model.train()
        label = f"epoch {self.epoch + 1:>{len(str(epochs))}}/{epochs}"
        batches = track(self.data, start=self.batch, label=label, show=self._shows)
        with closing(batches):
            for batch in batches:
                self._loss_sum += self._step(batch)
                self.batch += 1
                self._position = dict(self.data.state_dict())
                self._seconds = time.perf_counter() - began
                batches.show(self.batch, f"loss {self._loss_sum / self.batch:.4f}")
                self.shares.agree(interrupt)
                if interrupt.received or (self.save_every and self.batch % self.save_every == 0):
                    self.save("last")
                interrupt.check()
        try:
            row = self._row()
        except BaseException:
            self.save("last")  # the epoch's work is done: keep it
            raise
        value = float(row[self.monitor.name])
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(value)
        elif self.schedule is not None and self.schedule_every == "epoch":
            self.schedule.step()
        row["seconds"] = self.group.share(round(time.perf_counter() - began, 3))
        self.epoch += 1
        self.batch, self._carry, self._loss_sum, self._seconds = 0, None, 0.0, 0.0
        self._position = dict(self.data.state_dict())
        improved = self.monitor.update(value, self.epoch)
        self.history.append(row)
        if self._shows:
            say(summary(row, epochs=epochs, best=improved))
        self.shares.by_main("a callback", lambda: self._call_back(row))
        self._stop = self.group.share(self._stop)
        self.shares.start(self.model)  # what rank 0 drew, all have drawn
        if improved:
            self.save("best")
        self.save("last")

    def _step(self, batch: Any) -> float:
        if self._compiled:
            batch = arrays(batch)
        loss, self._carry = self._gradients(batch, self._carry)
        value = self.shares.mean(float(loss.item()), batch)
        self._check_finite("loss", value)
        self.shares.average(self.optimizer)
        if self.clip_norm is not None:
            norm = clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self._check_finite("gradient's norm", norm)
        self.optimizer.step()
        if self.schedule is not None and self.schedule_every == "batch":
            self.schedule.step()  # type: ignore[call-arg]  # not the plateau: that is checked
        return value

    def _differentiate(self, batch: Any, carry: Any) -> tuple[Tensor, Any]:
        self.optimizer.zero_grad()
        return self.shares.gradients(self.take_step, self.model, batch, carry)

    def _call_back(self, row: Row) -> None:
        for callback in self.callbacks:
            callback(self, row)

    def _check_finite(self, what: str, value: float) -> None:
        if self.stop_on_nan and not math.isfinite(value):
            raise MinigradError(
                f"Trainer: the {what} is {value} in epoch {self.epoch + 1}, batch "
                f"{self.batch + 1}; the parameters are those after the batch before. Lower the "
                "rate, clip the gradient, or look for the origin with minigrad.detect_anomaly()"
            )

    def _row(self) -> Row:
        """The numbers of an epoch whose batches are done."""
        if self.batch == 0:
            raise ConfigError("Trainer: the data gave no batch")
        own = {"epoch": self.epoch + 1, "train_loss": self._loss_sum / self.batch}
        lr = {"lr": self.optimizer.param_groups[0]["lr"]}
        valid = self.shares.by_main("evaluate", self._validate)
        if taken := {*own, *lr, "seconds"} & set(valid):
            raise ConfigError(f"Trainer: evaluate may not give {sorted(taken)}: the Trainer does")
        row = own | valid | lr
        if self.monitor.name not in row:
            raise ConfigError(f"Trainer: monitor {self.monitor.name!r} is not among {list(row)}")
        return row

    def _validate(self) -> dict[str, float]:
        if self.evaluate is None:
            return {}
        self.model.eval()
        try:
            with no_grad():
                return numbers(self.evaluate(self.model))
        finally:
            self.model.train()

    # -- state -----------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything the run needs to go on: data only."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "rng": get_rng_state(),
            "data": dict(self._position),
            "carry": pack(self.shares.whole(self._carry)),
            "history": [dict(row) for row in self.history.rows],
            "epoch": self.epoch,
            "batch": self.batch,
            "loss_sum": self._loss_sum,
            "seconds": self._seconds,
            "monitor": self.monitor.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict()`.

        Raises: CheckpointError if a part does not fit; then everything is as it was.
        """
        before = self.state_dict()
        missing = sorted(set(before) - set(state if isinstance(state, Mapping) else ()))
        if missing:
            raise CheckpointError(f"Trainer: not the state of a training run: it lacks {missing}")
        if (state["schedule"] is None) != (self.schedule is None):
            saved, own = ("has no", "has one") if self.schedule else ("has a", "has none")
            raise CheckpointError(f"Trainer: the saved run {saved} schedule, this one {own}")
        try:
            self._load(state)
        except Exception as error:
            self._load(before)
            if isinstance(error, MinigradError):
                raise
            raise CheckpointError(f"Trainer: the state is malformed: {error!r}") from error
        self.history.write()

    def _load(self, state: Mapping[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        set_rng_state(state["rng"])
        self.data.load_state_dict(state["data"])
        self._position = dict(state["data"])
        parameter = next(self.model.parameters(), None)
        place = device(None) if parameter is None else device_of(parameter.data)
        self._carry = self.shares.mine(unpack(state["carry"], place))
        self.history.rows = [dict(row) for row in state["history"]]
        self.epoch, self.batch = int(state["epoch"]), int(state["batch"])
        self._loss_sum, self._seconds = float(state["loss_sum"]), float(state["seconds"])
        self.monitor.load_state_dict(state["monitor"])

    def save(self, name: str) -> None:
        """Write a checkpoint into the store, if there is one."""
        if self.store is not None:
            state, store = self.state_dict(), self.store
            self.shares.by_main("save", lambda: store.save(name, state) and None)

    def resume(self, name: str = "last") -> bool:
        """Go on from a checkpoint in the store; False if there is none."""
        state = self._stored(name)
        if state is not None:
            self.load_state_dict(state)
        return state is not None

    def load_best(self) -> bool:
        """Give the model the parameters of its best epoch; False if none was saved."""
        state = self._stored("best")
        if state is not None:
            self.model.load_state_dict(state["model"])
        return state is not None

    def _stored(self, name: str) -> Any:
        """A checkpoint that rank 0 reads for all; None if there is none."""
        store = self.store
        if store is None:
            return None
        return self.shares.by_main(
            "resume", lambda: store.load(name) if store.exists(name) else None
        )

    @property
    def _shows(self) -> bool:
        return self.progress and self.group.main
