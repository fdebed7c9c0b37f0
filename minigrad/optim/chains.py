"""Schedules made of schedules: one after the other, or one upon the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import CheckpointError, ConfigError
from .optimizer import Optimizer
from .schedules import Schedule, read_state


class _Chain(Schedule):
    """Parts that share one optimiser and its base rates: those it had before the first part."""

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[Schedule]) -> None:
        name = type(self).__name__
        self.parts = list(schedulers)
        if not self.parts:
            raise ConfigError(f"{name}: got no schedules")
        for part in self.parts:
            if not isinstance(part, Schedule) or part.optimizer is not optimizer:
                raise ConfigError(f"{name}: {part!r} is no schedule of this optimiser")
        self.optimizer, self.last_step = optimizer, 0
        self.base_lrs = list(self.parts[0].base_lrs)
        self.rebase(self.base_lrs)
        self._apply()

    def rebase(self, bases: list[float]) -> None:
        super().rebase(bases)
        for part in self.parts:
            part.rebase(bases)

    def state_dict(self) -> dict[str, Any]:
        parts = [part.state_dict() for part in self.parts]
        return {**super().state_dict(), "schedulers": parts}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        saved = state.get("schedulers", ())
        if len(saved) != len(self.parts):
            raise CheckpointError(
                f"{type(self).__name__}.load_state_dict: got the states of {len(saved)} schedules, "
                f"there are {len(self.parts)}"
            )
        for part, own in zip(self.parts, saved, strict=True):  # all are read before one is changed
            read_state(part, own, "last_step", "base_lrs")
        for part, own in zip(self.parts, saved, strict=True):
            part.load_state_dict(own)
        super().load_state_dict(state)


class SequentialLR(_Chain):
    """The first schedule until the first milestone, then the second, and so on.

    Each counts its steps from its own start. Make the schedules in the order in which they run: the
    base rates of all are those that the optimiser had before the first.

    >>> import minigrad as mg
    >>> from minigrad import optim
    >>> opt = optim.SGD([mg.tensor([1.0], requires_grad=True)], lr=1.0)
    >>> warmup = optim.LinearLR(opt, start_factor=0.5, total_iters=2)
    >>> schedule = optim.SequentialLR(opt, [warmup, optim.ExponentialLR(opt, 0.5)], [2])
    >>> for _ in range(5):
    ...     print(opt.param_groups[0]["lr"], end=" ")
    ...     schedule.step()
    0.5 0.75 1.0 0.5 0.25
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[Schedule], milestones: Sequence[int]
    ) -> None:
        if len(milestones) != len(schedulers) - 1 or list(milestones) != sorted(milestones):
            raise ConfigError(
                f"SequentialLR: {len(schedulers)} schedules need {len(schedulers) - 1} ascending "
                f"milestones, got {list(milestones)}"
            )
        self.milestones = list(milestones)
        super().__init__(optimizer, schedulers)

    def rates(self, bases: list[float], step: int) -> list[float]:
        part, local = self._part(step)
        return part.rates(bases, local)

    def _part(self, step: int) -> tuple[Schedule, int]:
        """The schedule in force, and its own step."""
        i = bisect_right(self.milestones, step)
        return self.parts[i], step - (self.milestones[i - 1] if i else 0)

    def _apply(self) -> None:
        part, local = self._part(self.last_step)
        part.last_step = local
        part._apply()


class ChainedScheduler(_Chain):
    """All schedules at once: each takes as its base rate what the one before it gives.

    So factors multiply, as in PyTorch. (A cosine with η_min > 0 is not a factor: it ends at η_min
    for whatever rate comes in, where PyTorch's result depends on the path.)
    """

    def __init__(self, schedulers: Sequence[Schedule], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ConfigError("ChainedScheduler: got no schedules")
        super().__init__(optimizer or schedulers[0].optimizer, schedulers)

    def rates(self, bases: list[float], step: int) -> list[float]:
        for part in self.parts:
            bases = part.rates(bases, step)
        return bases

    def _apply(self) -> None:
        for part in self.parts:
            part.last_step = self.last_step
        super()._apply()
