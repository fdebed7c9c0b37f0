"""What an optimiser keeps of an arena: state arrays of the same layout, and the numbers of a step.

Rates, corrections of biases, decays and the like are 0-d arrays, which the host writes before each
step. So a recorded step has no number of the host in it, and NumPy takes a 0-d array in half the
time of a Python number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..backend import Array, on_cpu
from ..engine import Arena, Tensor
from ..errors import ConfigError
from .blocks import Block, blocks


class Cohort:
    """Leaves of one arena that are updated alike: as many steps so far, gradients of one kind.

    Attributes:
        group: their options.
        indices: their places in the arena.
        params: the leaves.
        rows: the gradient is a RowSparse.
        blocks: the stretches of the arena that the update goes over; none: leaf by leaf.
        size: elements in them.
        names: of the state arrays that are in use.
        flats: those arrays.
        scaled: gradients are multiplied as they are read.
        room: scratch arrays as long as a block.
        values: the numbers of the present step by name.
        scalars: the same as 0-d arrays.
    """

    __slots__ = (
        *("_numbers", "blocks", "flats", "group", "indices", "names", "params", "room", "rows"),
        *("scalars", "scaled", "size", "values"),
    )

    def __init__(
        self, group: dict[str, Any], arena: Arena, indices: list[int], rows: bool, block: int
    ) -> None:
        self.group, self.indices, self.rows = group, indices, rows
        self.params = [arena.params[i] for i in indices]
        self.blocks: tuple[Block, ...] = ()
        if arena.flat and block and not rows:
            # Between two leaves are zeros, which are harmless but for 0 / (√0 + 0).
            self.blocks = blocks(arena, indices, block, apart=not group.get("eps", 1))
        self.size = sum(b.stop - b.start for b in self.blocks)
        self.names: tuple[str, ...] | None = None
        self.flats: list[Array] = []
        self.scaled = False
        self.scalars: dict[str, Array] = {}
        self.values: Mapping[str, float] = {}
        self.room: list[Array] = []
        self._numbers: Array = None

    def take(self, ledger: Ledger, names: tuple[str, ...]) -> None:
        """Use the state arrays of these names."""
        self.names, self.flats = names, [ledger.flats[name] for name in names]

    def write(self, arena: Arena, values: Mapping[str, float]) -> None:
        """Set the numbers of the next step."""
        if values == self.values:
            return
        self.values = values
        if self.scalars.keys() != values.keys():
            dtype = "float64" if arena.dtype == "float64" else "float32"
            self._numbers = arena.device.xp.zeros(len(values), dtype=dtype)
            self.scalars = {name: self._numbers[i, ...] for i, name in enumerate(values)}
        given: Any = [*values.values()]
        if type(self._numbers) is not np.ndarray:
            given = arena.device.asarray(given, dtype=self._numbers.dtype)
        self._numbers[...] = given

    def shares(self, n: int) -> list[tuple[Block, ...]]:
        """The blocks in n shares of about the same size."""
        share = math.ceil(self.size / n)
        found: list[list[Block]] = [[]]
        size = 0
        for block in self.blocks:
            if size >= share * len(found):
                found.append([])
            found[-1].append(block)
            size += block.stop - block.start
        return [tuple(each) for each in found]


class Ledger:
    """The state of the leaves of one arena.

    Attributes:
        arena: the leaves.
        generation: the layout of the arena that this ledger is for.
        group: their options.
        flats: the state arrays by name, each of the arena's layout.
        views: the part of each leaf, by name.
        cohorts: how the leaves fall into cohorts, by what tells them apart.
        together: the one cohort of all of them, if the last step was taken together.
        cpu: whether they are on the CPU.
        key: their device and dtype.
    """

    __slots__ = (
        "arena",
        "cohorts",
        "cpu",
        "flats",
        "generation",
        "group",
        "key",
        "together",
        "views",
    )

    def __init__(
        self, arena: Arena, group: dict[str, Any], state: Mapping[Tensor, dict[str, Any]]
    ) -> None:
        self.arena, self.group, self.generation = arena, group, arena.generation
        self.cpu, self.key = on_cpu(arena.device.xp), (arena.device, arena.dtype)
        self.flats: dict[str, Array] = {}
        self.views: dict[str, list[Array]] = {}
        self.together: list[Cohort] | None = None
        self.cohorts: dict[tuple[int | None, ...], list[Cohort]] = {}
        for i, p in enumerate(arena.params):
            for name, value in state.get(p, {}).items():
                if not isinstance(value, int | float):
                    state[p][name] = self.store(i, name, value)

    def store(self, i: int, name: str, value: Any) -> Array:
        """Write state `name` of leaf `i`: an array from anywhere, or one number; returns it."""
        if name not in self.flats:
            self.flats[name] = self.arena.like()
            self.views[name] = self.arena.cut(self.flats[name])
        view = self.views[name][i]
        if not isinstance(value, int | float):
            if value.shape != view.shape:
                raise ConfigError(
                    f"step: a parameter has shape {view.shape}, and its state {value.shape}; it "
                    "was replaced by another: make a new optimiser"
                )
            value = self.arena.device.asarray(value).astype(self.arena.dtype)
        view[...] = value
        return view

    def current(self) -> bool:
        """Whether the leaves lie as they did."""
        return self.arena.intact() and self.generation == self.arena.generation

    def sorted(self, codes: tuple[int | None, ...], block: int) -> list[Cohort]:
        """The leaves with equal codes; None: not updated; below 0: by rows."""
        found = self.cohorts.get(codes)
        if found is None:
            if len(self.cohorts) >= KEPT:
                self.cohorts.clear()
            members: dict[int, list[int]] = {}
            for i, code in enumerate(codes):
                if code is not None:
                    members.setdefault(code, []).append(i)
            found = self.cohorts[codes] = [
                Cohort(self.group, self.arena, indices, code < 0, block)
                for code, indices in members.items()
            ]
        return found


KEPT = 16  # ways to fall into cohorts that are remembered
