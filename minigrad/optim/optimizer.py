"""`Optimizer`: the state of parameters, and the step over the arenas that hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ..backend import Array, instead
from ..backend.threads import get_num_threads
from ..engine import Arena, RowSparse, Tensor, arenas, before_replay, fork, kernel, stamp
from ..engine.homes import tied
from ..engine.recording import guard, recording
from ..engine.sparse import raw
from ..errors import GradError
from .groups import Groups
from .ledger import Cohort, Ledger
from .rule import Numbers, Rule
from .saved import read_saved, written

BLOCK = 1 << 16  # elements per block: a few arrays of float32 fit a 1 MB cache
DEVICE_BLOCK = 1 << 22  # on a GPU, where a block bounds only the scratch memory
SHARE = 1 << 19  # elements that are worth a thread


Work = list[tuple[Ledger, Cohort]]


class Optimizer(Groups, Rule):
    """Base class. `params` are Tensors, or dicts {"params": […], "lr": …} with own options.

    The parameters move into arenas, one per group, device and dtype: hold the Tensor, not its
    array. A gradient that is a `RowSparse` updates its rows alone: the other rows of the parameter
    and of the state stay as they are, decay included, so a step costs the rows that were read.
    `maximize` climbs instead of descending.

    Subclasses write a `Rule`.

    Attributes:
        param_groups: the options and parameters of each group.
        state: for each parameter its step count and state arrays, which are views of arenas.
        grad_scale: gradients are read times this number: 1 / (loss scale), or 1 / (machines).
        skip: None, or an array of shape () on the device: a step with it above 0 leaves parameters
            and state as they are.
    """

    skip: Array = None

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        super().__init__(params, defaults)
        self.grad_scale = 1.0
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._ledgers: list[Ledger] = []
        self._scratch: dict[Any, Array] = {}
        self._chains = {}
        self._lay_out()

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Optimise more parameters, with options of their own."""
        self._add(group)
        self._lay_out()

    # -- memory --------------------------------------------------------------------------------

    @property
    def arenas(self) -> list[Arena]:
        """The memory of the parameters: `data`, `grad` and `gather()` of each.

        A parameter that shares memory with another one stays there, in an arena of its own.
        """
        return [ledger.arena for ledger in self._current()]

    def _current(self) -> list[Ledger]:
        """The ledgers, after the parameters: those that were moved since are laid out again."""
        for ledger in self._ledgers:
            if not ledger.current():
                with instead(None):  # the state outlives a recording
                    self._lay_out()
                break
        return self._ledgers

    def _lay_out(self) -> None:
        old = {(id(each.arena), id(each.group)): each for each in self._ledgers if each.current()}
        for ledger in self._ledgers:
            ledger.arena.settle()
            if not ledger.arena.intact():
                ledger.arena.dissolve()
        stay = tied(self._params())
        self._ledgers = [
            old.get((id(arena), id(group))) or Ledger(arena, group, self.state)
            for group in self.param_groups
            for arena in arenas(group["params"], stay=stay)
        ]

    def __getstate__(self) -> dict[str, Any]:
        """For copies: their parameters lie elsewhere."""
        return {**self.__dict__, "_ledgers": [], "_scratch": {}, "_chains": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lay_out()

    # -- stepping ------------------------------------------------------------------------------

    def step(self) -> None:
        """Update each parameter that has a gradient.

        Raises: GradError if a gradient does not have the shape of its parameter; then nothing is
        updated.
        """
        work: Work = []
        grads = []
        for ledger in self._current():
            given = self._gradients(ledger)
            for cohort in self._cohorts(ledger, given):
                work.append((ledger, cohort))
                grads.append(given)
        before_replay(partial(self._refresh, work))
        recorded = recording()
        if recorded:
            structure = [*map(self._structure, self.param_groups)]
            guard(object(), partial(self._holds, work, structure))
        for (ledger, cohort), given in zip(work, grads, strict=True):
            if not cohort.blocks:
                for i in cohort.indices:
                    self._step_one(ledger, cohort, i, given[i])
            elif not recorded:
                self._step_flat(ledger, cohort, given)
            else:
                places = ledger.arena.places  # something else will stand in for each
                pairs = zip(given, places, strict=True)
                self._step_flat(ledger, cohort, [None if g is at else g for g, at in pairs])
                for block in cohort.blocks:  # the program computes them where they are copied to
                    for i in block.copies:
                        ledger.arena.lend(i)
            stamp(cohort.params)

    def _gradients(self, ledger: Ledger) -> list[Any]:
        """The gradients of an arena's parameters, as arrays."""
        given: list[Any] = []
        ledger.arena.claim()
        for p, shape in zip(ledger.arena.params, ledger.arena.shapes, strict=True):
            g = p.grad
            if type(g) is Tensor:
                g = g.data
                if g.shape != shape:
                    raise GradError(f"step: a parameter {shape} has a gradient {g.shape}")
            elif g is None:
                ledger.together = None
            else:
                ledger.together = None
                g = self._unusual(g, shape)
            given.append(g)
        return given

    @staticmethod
    def _unusual(g: Any, shape: tuple[int, ...]) -> Any:
        """A gradient that is no plain Tensor, as arrays."""
        if getattr(g, "shape", None) != shape:
            given = getattr(g, "shape", type(g).__name__)
            raise GradError(f"step: a parameter {shape} has a gradient {given}")
        return raw(g) if isinstance(g, RowSparse | Tensor) else g

    def _cohorts(self, ledger: Ledger, given: list[Any]) -> list[Cohort]:
        """The parameters of an arena that have a gradient: those with equal numbers together."""
        if ledger.together is not None:
            return ledger.together
        kept = self._numbers(ledger.group)
        seen: dict[Any, int] = {}
        codes: list[int | None] = []
        for p, g in zip(ledger.arena.params, given, strict=True):
            if g is None:
                codes.append(None)
            elif type(g) is tuple:  # rows: by themselves
                codes.append(~seen.setdefault(("rows", len(codes)), len(seen)))
            else:
                own = self.state.get(p) or {"step": 0, **kept}
                label = (own["step"], *[own[name] for name in kept])
                codes.append(seen.setdefault(label, len(seen)))
        return ledger.sorted(tuple(codes), 0 if self.whole else self._block(ledger))

    def _refresh(self, work: Work) -> None:
        """One step on: counts, and the numbers that the arrays' code reads."""
        for ledger, cohort in work:
            group, state = cohort.group, self.state
            names, kept = self._names(group), self._numbers(group)
            own: list[Any] = [*map(state.get, cohort.params)]
            if names != cohort.names or not all(own):
                own = [self._complete(ledger, i, names) for i in cohort.indices]
                cohort.take(ledger, names)
                cohort.room = self._room(ledger, self._block(ledger))
            # Those who step together once will again, while all have a gradient.
            all_dense = len(own) == len(ledger.arena.params) and not cohort.rows
            ledger.together = [cohort] if all_dense else None
            step = own[0]["step"] + 1
            values = self._scalars(group, step, own[0])
            cohort.scaled = self._scaled(group)
            if cohort.scaled:
                values["gradient"] = -self.grad_scale if group.get("maximize") else self.grad_scale
            cohort.write(ledger.arena, values)
            for each in own:
                each["step"] = step
                if kept:
                    self._advance(each, group, step)

    def _complete(self, ledger: Ledger, i: int, names: tuple[str, ...]) -> dict[str, Any]:
        """The state of a parameter, with what it lacked."""
        state = self.state.setdefault(
            ledger.arena.params[i], {"step": 0, **self._numbers(ledger.group)}
        )
        for name in names:
            if name not in state:
                state[name] = ledger.store(i, name, self._init(name, ledger.group))
        return state

    def _holds(self, work: Work, structure: list[Any]) -> bool:
        """Whether a recorded step is still what a step would be, but for arrays and numbers.

        The program itself looks whether the parameters are still where they were.
        """
        for ledger, cohort in work:
            alike = ledger.together is not None and ledger.together[0] is cohort
            if ledger not in self._ledgers or not (alike or self._even(cohort)):
                return False
        return [*map(self._structure, self.param_groups)] == structure

    def _even(self, cohort: Cohort) -> bool:
        """Whether the parameters have still taken as many steps, with the same numbers."""
        start = {"step": 0, **self._numbers(cohort.group)}
        states = [self.state.get(p) or start for p in cohort.params]
        return all(state[name] == states[0][name] for state in states for name in start)

    def _step_flat(self, ledger: Ledger, cohort: Cohort, given: list[Any]) -> None:
        arena = ledger.arena
        places = arena.places
        arrays = (arena.data, arena.grad, places, given, cohort.flats, self._given(cohort))
        threads = cohort.size // SHARE
        if threads < 2 or not ledger.cpu or (threads := min(threads, get_num_threads())) < 2:
            kernel(self._sweep, *arrays, cohort.room, cohort=cohort, blocks=cohort.blocks)
            return
        rooms = [self._room(ledger, self._block(ledger), i) for i in range(threads)]
        branches = [
            partial(kernel, self._sweep, *arrays, room, cohort=cohort, blocks=share)
            for room, share in zip(rooms, cohort.shares(threads), strict=False)
        ]
        fork(*branches)

    def _given(self, cohort: Cohort) -> Numbers:
        """The numbers of a step, and whether it is to be skipped."""
        return cohort.scalars if self.skip is None else {**cohort.scalars, "skip": self.skip}

    def _step_one(self, ledger: Ledger, cohort: Cohort, i: int, g: Any) -> None:
        """A parameter by itself: row by row, or with a rule that needs all of it at once."""
        state = [ledger.views[name][i] for name in cohort.names or ()]
        p, n = ledger.arena.views[i], self._given(cohort)
        if cohort.rows and not self.whole:
            kernel(self._rows, p, g, state, n, cohort.room, cohort=cohort)
        else:
            room = self._room(ledger, p.size)
            kernel(self._each, p, g, state, n, room, cohort=cohort)

    def _room(self, ledger: Ledger, size: int, branch: int = 0) -> list[Array]:
        """Scratch arrays, shared by all calls: their contents are arbitrary."""
        size = min(size, ledger.arena.data.size)
        key = ledger.key, branch
        room = self._scratch.get(key)
        if room is None or room[0].size < size:
            dtype = ledger.arena.dtype
            if dtype.itemsize < 4:
                dtype = np.dtype("float32")  # ε would vanish
            with instead(None):  # it outlives a recording
                empty = ledger.arena.device.xp.empty
                room = [empty(size, dtype=dtype) for _ in range(self.buffers + 1)]
            self._scratch[key] = room
        return room

    @staticmethod
    def _block(ledger: Ledger) -> int:
        return BLOCK if ledger.cpu else DEVICE_BLOCK

    # -- state ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Options and state, with parameters by position: data only, safe to write to a file."""
        return written(self)

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`. Everything is checked before anything changes.

        Raises: CheckpointError if the saved state does not fit these parameters and this rule.
        """
        options, state = read_saved(self, saved)
        for group, new in zip(self.param_groups, options, strict=True):
            group.update(new)
        self.state = state
        self._ledgers = [Ledger(each.arena, each.group, state) for each in self._current()]
