"""Averages of the weights along the way, to evaluate or to ship instead of the last ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..backend import Array
from ..engine import Tensor
from ..errors import CheckpointError, ConfigError
from .saved import read_array


class SWA:
    """The mean of the weights at each `update()` (Polyak & Juditsky 1992; Izmailov et al. 2018).

    θ̄ ← θ̄ + (θ - θ̄) / (n + 1), with n the updates before.

    Args:
        params: a module, or its parameters.
    """

    def __init__(self, params: Any) -> None:
        given: Iterable[Any] = params.parameters() if hasattr(params, "parameters") else params
        self.params: list[Tensor] = [given] if isinstance(given, Tensor) else list(given)
        if not self.params or not all(isinstance(p, Tensor) for p in self.params):
            raise ConfigError(f"{type(self).__name__}: expected a module or a list of parameters")
        self.averages: list[Array] = [p.data.copy() for p in self.params]
        self.num_updates = 0

    def weight(self) -> float:
        """The share of the present weights in the next average."""
        return 1 / (self.num_updates + 1)

    def update(self) -> None:
        """Take the present weights into the average; the first time, as they are."""
        share = self.weight() if self.num_updates else 1.0
        for p, mean in zip(self.params, self.averages, strict=True):
            if share == 1:
                mean[...] = p.data
            else:
                mean += (p.data - mean) * share
        self.num_updates += 1

    def copy_to(self) -> None:
        """Write the averages into the parameters."""
        for p, mean in zip(self.params, self.averages, strict=True):
            p.assign_(mean.copy())

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The averages in the parameters inside the block, the trained weights again after it."""
        trained = [p.data.copy() for p in self.params]
        self.copy_to()
        try:
            yield
        finally:
            for p, values in zip(self.params, trained, strict=True):
                p.assign_(values)

    def state_dict(self) -> dict[str, Any]:
        """What is needed to continue: data only."""
        averages = [Tensor(mean.copy()) for mean in self.averages]
        return {"num_updates": self.num_updates, "averages": averages}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`. Raises: CheckpointError if it does not fit."""
        name = f"{type(self).__name__}.load_state_dict"
        try:
            number, given = int(state["num_updates"]), list(state["averages"])
            if len(given) != len(self.params):
                raise CheckpointError(f"{len(given)} averages, expected {len(self.params)}")
            averages = [
                read_array(p, value, f"average {i}")
                for i, (p, value) in enumerate(zip(self.params, given, strict=True))
            ]
        except (CheckpointError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{name}: nothing is changed: {error}") from error
        self.num_updates, self.averages = number, averages


class EMA(SWA):
    """The exponential moving average of the weights: θ̄ ← d θ̄ + (1 - d) θ.

    Args:
        params: a module, or its parameters.
        decay: d.
        warmup: smaller d at first, min(d, (1 + n) / (10 + n)), for averages that start far off.

    >>> import minigrad as mg
    >>> from minigrad import nn, optim
    >>> model = nn.Linear(3, 1)
    >>> ema = optim.EMA(model, decay=0.99)
    >>> ema.update()  # after each optimiser step
    >>> with ema.applied():
    ...     y = model(mg.zeros((2, 3)))  # evaluated with the averages
    """

    def __init__(self, params: Any, decay: float = 0.999, *, warmup: bool = False) -> None:
        if not 0 <= decay <= 1:
            raise ConfigError(f"EMA: decay is in [0, 1], got {decay}")
        super().__init__(params)
        self.decay, self.warmup = float(decay), warmup

    def weight(self) -> float:
        n = self.num_updates
        return 1 - (min(self.decay, (1 + n) / (10 + n)) if self.warmup else self.decay)
