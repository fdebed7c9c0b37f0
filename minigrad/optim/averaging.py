"""Averages of the weights along the way, to evaluate or to ship instead of the last ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..backend import Array, instead, namespace, on_cpu
from ..engine import Arena, Tensor, arenas, before_replay, kernel
from ..engine.recording import guard, recording
from ..errors import CheckpointError, ConfigError
from .saved import read_array

BLOCK = 1 << 16  # elements that are worked on together


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
        self.num_updates = 0
        self._parts: list[_Part] = []
        self._lay_out([p.data for p in self.params])

    @property
    def averages(self) -> list[Array]:
        """The averages, in the order of the parameters."""
        return [part.views[i] for part, i in self._where]

    def _lay_out(self, values: list[Array]) -> None:
        """Keep averages in the layout of the parameters, which begin as `values`."""
        with instead(None):  # the averages outlive a recording
            self._place(values)

    def _place(self, values: list[Array]) -> None:
        self._parts = [_Part(arena) for arena in arenas(self.params, move=False)]
        places = {id(p): (part, i) for part in self._parts for i, p in enumerate(part.arena.params)}
        self._where = [places[id(p)] for p in self.params]
        for (part, i), p, value in zip(self._where, self.params, values, strict=True):
            part.views[i][...] = p.device.asarray(value).astype(p.dtype)

    def weight(self) -> float:
        """The share of the present weights in the next average."""
        return 1 / (self.num_updates + 1)

    def update(self) -> None:
        """Take the present weights into the average; the first time, as they are."""
        if not all(part.current() for part in self._parts):
            self._lay_out(self.averages)
        before_replay(self._refresh)
        guard(object(), self._condition)
        for part in self._parts:
            kernel(_blend, part.mean, part.arena.data, part.scalars, part.room)

    def _refresh(self) -> None:
        share = self.weight() if self.num_updates else 1.0
        for part in self._parts:
            part.write(share)
        self.num_updates += 1

    def _condition(self) -> list[int]:
        if not recording() and not all(part.current() for part in self._parts):
            self._lay_out(self.averages)
        return [id(part) for part in self._parts]

    def __getstate__(self) -> dict[str, Any]:
        """For copies: their parameters lie elsewhere."""
        return {**self.__dict__, "_parts": self.averages, "_where": []}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lay_out(state["_parts"])

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
        self.num_updates = number
        self._lay_out(averages)


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


class _Part:
    """The averages of the parameters of one arena, in its layout."""

    def __init__(self, arena: Arena) -> None:
        xp = arena.device.xp
        self.arena, self.generation = arena, arena.generation
        self.mean = arena.like()
        self.views = arena.cut(self.mean)
        size = min(arena.size, BLOCK) if on_cpu(xp) and arena.flat else arena.size
        self.room = xp.empty(size, dtype=arena.dtype)
        self._numbers = xp.zeros(2, dtype="float64" if arena.dtype == "float64" else "float32")
        self.scalars = [self._numbers[i, ...] for i in range(2)]

    def current(self) -> bool:
        return self.arena.intact() and self.generation == self.arena.generation

    def write(self, share: float) -> None:
        given: Any = [1 - share, share]
        if type(self._numbers) is not np.ndarray:
            given = self.arena.device.asarray(given, dtype=self._numbers.dtype)
        self._numbers[...] = given


def _blend(mean: Array, data: Array, scalars: list[Array], room: Array) -> None:
    """mean ← (1 - share) mean + share data."""
    xp, (rest, share) = namespace(mean), scalars
    if mean.ndim != 1:
        room = room.reshape(mean.shape)
    for start in range(0, len(mean), len(room)) if mean.size else ():
        m, p = mean[start : start + len(room)], data[start : start + len(room)]
        part = room[: len(m)]
        xp.multiply(m, rest, out=m)
        xp.multiply(p, share, out=part)
        xp.add(m, part, out=m)
