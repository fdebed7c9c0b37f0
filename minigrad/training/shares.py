"""`Shares`: a batch on several processes and threads, for the Trainer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..engine import Tensor
from ..errors import ConfigError, ParallelError, ShapeError
from ..nn.module import Module
from ..optim import Optimizer
from ..parallel import Group, backward
from ..parallel.pieces import batch_size, bounds, cut, join
from .carry import detach
from .interrupt import Interrupt
from .protocols import Loader, Step


class Shares:
    """How the work of a step is divided, and what belongs to all is put together.

    Args:
        group: the processes.
        weight: `weight(batch)`, how much a batch's loss counts; None: as many as it has examples.
        workers: threads of each process.
        batch_axes, carry_axis: the batch axes of a batch and of what is carried on.
    """

    def __init__(
        self,
        group: Group | None,
        weight: Callable[[Any], float] | None,
        workers: int,
        batch_axes: Any,
        carry_axis: Any,
        data: Loader,
    ) -> None:
        self.group = Group() if group is None else group
        self.weight, self.workers, self.data = weight, workers, data
        self.batch_axes, self.carry_axis = batch_axes, carry_axis
        problem = ""
        if workers < 1:
            problem = f"workers is at least 1, got {workers}"
        elif workers > 1 and batch_axes is None:
            problem = "workers > 1 needs batch_axes, the batch axis of each part of a batch"
        elif (
            self.group.size > 1
            and not getattr(data, "single", False)
            and getattr(data, "shard", None) != self.group.shard
        ):
            problem = (
                f"{self.group.size} processes need a share of the data each: "
                "DataLoader(…, shard=group.shard)"
            )
        if problem:
            raise ConfigError(f"Trainer: {problem}")

    def start(self, model: Module) -> None:
        """Begin alike."""
        self.group.synchronize([*model.parameters(), *(b for _, b in model.named_buffers())])

    def gradients(self, step: Step, model: Module, batch: Any, carry: Any) -> tuple[Tensor, Any]:
        """The loss, of this process's share, and what is carried on; gradients go to `.grad`."""

        def call(batch: Any, carry: Any) -> tuple[Tensor, Any]:
            result = step(model, batch, carry)
            loss, carry = result if isinstance(result, tuple) else (result, None)
            if not isinstance(loss, Tensor) or loss.size != 1:
                given = f"shape {loss.shape}" if isinstance(loss, Tensor) else type(loss).__name__
                raise ShapeError(
                    f"Trainer: step gave a loss of {given}, expected a Tensor of shape ()"
                )
            return loss, carry

        with self.group.streams():
            if self.workers == 1:
                loss, carry = call(batch, carry)
                loss.backward()
                return loss.detach(), detach(carry)
            weight = self.weight
            loss, carry = backward(
                call,
                (batch, carry),
                axes=(self.batch_axes, self.carry_axis),
                params=model.parameters(),
                workers=self.workers,
                weights=None if weight is None else lambda batch, _: weight(batch),
                out_axes=(self.carry_axis,),
            )
            if isinstance(carry, list) and all(part is None for part in carry):
                carry = None
            return loss, detach(carry)

    def mean(self, value: float, batch: Any) -> float:
        """The loss of the whole batch. Remembers which part of it is this process's."""
        self.part = 1.0
        if self.group.size == 1:
            return value
        share = float(getattr(self.data, "share", 1))
        weight = share if self.weight is None or not share else float(self.weight(batch))
        total, weighted = self.group.sums(weight, value * weight if weight else 0.0)
        self.part = self.group.part(weight, total)
        return weighted / total

    def average(self, optimizer: Optimizer) -> None:
        """Bring the gradient of the whole batch into `.grad`, in all processes."""
        self.group.average(optimizer, part=self.part)

    def agree(self, interrupt: Interrupt) -> None:
        """A signal that one process received is one that all did."""
        if self.group.size > 1:
            received = self.group.gather(interrupt.received)
            interrupt.received = next((number for number in received if number is not None), None)

    def by_main(self, what: str, function: Callable[[], Any]) -> Any:
        """The result of `function`, which rank 0 alone calls; where it raises, all do."""
        if self.group.size == 1:
            return function()
        result, error = None, None
        if self.group.main:
            try:
                result = function()
            except Exception as problem:  # noqa: BLE001  raised below, when the others know
                error = problem
        result, failed = self.group.share((result, None if error is None else repr(error)))
        if error is not None:
            raise error
        if failed is not None:
            raise ParallelError(f"Trainer: rank 0 failed in {what}: {failed}")
        return result

    def whole(self, carry: Any) -> Any:
        """What all processes carry on, side by side: as one process would."""
        if self.group.size == 1 or carry is None:
            return carry
        if self.carry_axis is None:
            raise ConfigError(
                "Trainer: several processes carry a state on; carry_axis says which axis of it is "
                "the batch, so that a checkpoint holds all of it"
            )
        return join("Trainer", self.group.gather(carry), self.carry_axis)

    def mine(self, carry: Any) -> Any:
        """This process's part of what `whole` put together."""
        if self.group.size == 1 or carry is None:
            return carry
        size = batch_size("Trainer", carry, self.carry_axis)
        return cut(
            "Trainer", carry, self.carry_axis, *bounds(size, self.group.size)[self.group.rank]
        )
