"""`Optimizer`: parameter groups, state, and the step that each rule fills in.

A rule is written once, on arrays, with `out=` calls over scratch buffers: an update allocates
nothing. Parameters and state lie in arenas, and updates run over them block by block, so that a
block stays in cache between the passes over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from numbers import Real
from typing import Any, ClassVar

from ..backend import Array, namespace, on_cpu
from ..backend.threads import get_num_threads
from ..engine import Arena, RowSparse, Tensor, arenas, before_replay, fork, kernel, stamp
from ..engine.arena import dense, raw
from ..engine.recording import guard
from ..errors import ConfigError, GradError
from .blocks import Block
from .ledger import Cohort, Ledger, total
from .saved import read_saved

BLOCK = 1 << 16  # elements per block: a few arrays of float32 fit a 1 MB cache
DEVICE_BLOCK = 1 << 22  # on a GPU, where a block bounds only the scratch memory
SHARE = 1 << 19  # elements that are worth a thread


class Optimizer:
    """Base class. `params` are Tensors, or dicts {"params": […], "lr": …} with own options.

    The parameters move into arenas, one per group, device and dtype: hold the Tensor, not its
    array. A gradient that is a `RowSparse` updates its rows alone: the other rows of the parameter
    and of the state stay as they are, decay included, so a step costs the rows that were read.
    `maximize` climbs instead of descending.

    Subclasses name their state arrays in `slots`, their numbers in `_numbers`, the options that
    choose what is computed in `switches`, and write `_scalars` and `_update`.

    Attributes:
        param_groups: the options and parameters of each group.
        state: for each parameter its step count and state arrays, which are views of arenas.
        grad_scale: gradients are read times this number: 1 / (loss scale), or 1 / (machines).
    """

    slots: ClassVar[tuple[str, ...]] = ()
    switches: ClassVar[tuple[str, ...]] = ("maximize", "weight_decay")
    buffers: ClassVar[int] = 2  # scratch arrays that the rule takes
    whole: ClassVar[bool] = False  # the rule needs all of a parameter at once, not blocks or rows

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        entries = self._list(params)
        if not entries:
            raise ConfigError(f"{type(self).__name__}: got no parameters")
        if not isinstance(entries[0], Mapping):
            entries = [{"params": entries}]
        self.defaults = defaults
        self.grad_scale = 1.0
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        self._ledgers: list[Ledger] = []
        self._scratch: dict[Any, Array] = {}
        for entry in entries:
            self.add_param_group(entry)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Optimise more parameters, with options of their own."""
        name = type(self).__name__
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown or "params" not in group:
            known = ", ".join(["params", *self.defaults])
            raise ConfigError(f"{name}: a group has the keys {sorted(group)}; known are {known}")
        params = self._list(group["params"])
        taken = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor) or not p.is_leaf or p.dtype.kind not in "fV":
                raise ConfigError(f"{name}: parameters are leaf tensors of numbers, got {p!r}")
            if id(p) in taken:
                raise ConfigError(f"{name}: the parameter {p.name or p.shape} is given twice")
            taken.add(id(p))
        new = {**self.defaults, **group, "params": params}
        self._check(new)
        self.param_groups.append(new)
        self._ledgers += [Ledger(arena, new, self.state) for arena in arenas(params)]

    def _list(self, params: Any) -> list[Any]:
        if isinstance(params, Tensor):
            return [params]
        if isinstance(params, set | frozenset):
            raise ConfigError(f"{type(self).__name__}: a set has no order; give a list")
        return list(params)

    def _check(self, group: Mapping[str, Any]) -> None:
        """Raise ConfigError for options without a meaning."""
        name = type(self).__name__
        for key, value in group.items():
            if key in _NOT_NEGATIVE and not (isinstance(value, Real) and float(value) >= 0):
                raise ConfigError(f"{name}: {key} is {value!r}, expected a number ≥ 0")
        betas = group.get("betas", (0.0, 0.0))
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ConfigError(f"{name}: betas are two numbers in [0, 1), got {betas}")

    # -- memory --------------------------------------------------------------------------------

    @property
    def arenas(self) -> list[Arena]:
        """The memory of the parameters: `data`, `grad` and `gather()` of each.

        A parameter that shares memory with another of the same group has an arena of its own.
        """
        return [ledger.arena for ledger in self._current()]

    def _current(self) -> list[Ledger]:
        """The ledgers, after the parameters: those that were moved since are laid out again."""
        for ledger in self._ledgers:
            if not ledger.current():
                self._lay_out()
                break
        return self._ledgers

    def _lay_out(self) -> None:
        old = {(id(each.arena), id(each.group)): each for each in self._ledgers if each.current()}
        for ledger in self._ledgers:
            ledger.arena.settle()
            if not ledger.arena.intact():
                ledger.arena.dissolve()
        self._ledgers = [
            old.get((id(arena), id(group))) or Ledger(arena, group, self.state)
            for group in self.param_groups
            for arena in arenas(group["params"])
        ]

    def __getstate__(self) -> dict[str, Any]:
        """For copies: their parameters lie elsewhere."""
        return {**self.__dict__, "_ledgers": [], "_scratch": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lay_out()

    # -- stepping ------------------------------------------------------------------------------

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self) -> None:
        """Update each parameter that has a gradient.

        Raises: GradError if a gradient does not have the shape of its parameter; then nothing is
        updated.
        """
        work = [(each, cohort) for each in self._current() for cohort in self._cohorts(each)]
        before_replay(partial(self._refresh, work))
        guard(object(), partial(self._conditions, work))
        for ledger, cohort in work:
            if cohort.blocks:
                self._step_flat(ledger, cohort)
            else:
                for i in cohort.indices:
                    self._step_one(ledger, cohort, i)
        stamp([p for _, cohort in work for p in cohort.params])

    def _cohorts(self, ledger: Ledger) -> list[Cohort]:
        """The parameters of an arena that have a gradient: those with equal numbers together."""
        arena, state = ledger.arena, self.state
        kept = self._numbers(ledger.group)
        seen: dict[Any, int] = {}
        codes: list[int | None] = []
        for p, shape in zip(arena.params, arena.shapes, strict=True):
            g = p.grad
            if g is None:
                codes.append(None)
                continue
            if getattr(g, "shape", None) != shape:
                given = getattr(g, "shape", type(g).__name__)
                raise GradError(f"step: a parameter {shape} has a gradient {given}")
            own = state.get(p)
            label: Any = 0 if own is None else own["step"]
            if kept:
                label = (label, *((own or kept)[name] for name in kept))
            if isinstance(g, RowSparse):
                codes.append(~seen.setdefault(("rows", len(codes)), len(seen)))
            else:
                codes.append(seen.setdefault(label, len(seen)))
        return ledger.sorted(tuple(codes), 0 if self.whole else _block(arena))

    def _refresh(self, work: list[tuple[Ledger, Cohort]]) -> None:
        """One step on: counts, and the numbers that the arrays' code reads."""
        for ledger, cohort in work:
            group = cohort.group
            names, kept = self._names(group), self._numbers(group)
            states = [self.state.get(p) for p in cohort.params]
            if names != cohort.names or None in states:
                states = [self._state(ledger, i, names) for i in cohort.indices]
                cohort.names = names
            step = states[0]["step"] + 1
            scale = float(self.grad_scale)
            values = {"gradient": -scale if group.get("maximize") else scale}
            values |= self._scalars(group, step, states[0])
            cohort.write(ledger.arena, values)
            for state in states:
                state["step"] = step
                if kept:
                    self._advance(state, group, step)

    def _state(self, ledger: Ledger, i: int, names: tuple[str, ...]) -> dict[str, Any]:
        """The state of a parameter, completed."""
        state = self.state.setdefault(
            ledger.arena.params[i], {"step": 0, **self._numbers(ledger.group)}
        )
        for name in names:
            if name not in state:
                state[name] = ledger.store(i, name, self._init(name, ledger.group))
        return state

    def _conditions(self, work: list[tuple[Ledger, Cohort]]) -> Any:
        """What a recorded step depends on beside arrays and numbers."""
        self._current()
        even = [len({self._label(p, c.group) for p in c.params}) for _, c in work]
        where = [(ledger.arena.generation, id(ledger)) for ledger in self._ledgers]
        return even, where, [self._structure(group) for group in self.param_groups]

    def _label(self, p: Tensor, group: dict[str, Any]) -> Any:
        own = self.state.get(p) or {"step": 0, **self._numbers(group)}
        return (own["step"], *(own[name] for name in self._numbers(group)))

    def _structure(self, group: dict[str, Any]) -> Any:
        """Which calls an update consists of."""
        return self._scaled(group), [bool(group.get(name)) for name in self.switches]

    def _scaled(self, group: dict[str, Any]) -> bool:
        return bool(group.get("maximize")) or self.grad_scale != 1

    def _step_flat(self, ledger: Ledger, cohort: Cohort) -> None:
        arena = ledger.arena
        arena.claim()
        given: list[Any] = [None] * len(arena.params)
        for i, p in zip(cohort.indices, cohort.params, strict=True):
            g = p.grad.data
            given[i] = None if g is arena.places[i] else g  # it lies in its place already
        names = cohort.names or ()
        flats = [ledger.flats[name] for name in names]
        arrays = (arena.data, arena.grad, arena.places, given, flats, cohort.scalars)
        threads = 1
        if on_cpu(arena.device.xp) and arena.size >= 2 * SHARE:
            threads = min(get_num_threads(), total(cohort.blocks) // SHARE)
        if threads < 2:
            kernel(self._sweep, *arrays, self._room(arena), cohort=cohort, blocks=cohort.blocks)
            return
        branches = [
            partial(kernel, self._sweep, *arrays, self._room(arena, i), cohort=cohort, blocks=share)
            for i, share in enumerate(cohort.shares(threads))
        ]
        fork(*branches)

    def _sweep(
        self,
        data: Array,
        grad: Array,
        places: list[Array],
        given: list[Any],
        flats: list[Array],
        scalars: tuple[Array, ...],
        room: Array,
        *,
        cohort: Cohort,
        blocks: tuple[Block, ...],
    ) -> None:
        """The update of some blocks of an arena; small gradients are copied side by side first."""
        xp, group = namespace(data), cohort.group
        n = dict(zip(cohort.numbers, scalars, strict=True))
        scaled, last, flat = self._scaled(group), -1, grad
        for start, stop, copies, source, offset in blocks:
            for i in copies:
                if given[i] is not None:
                    places[i][...] = given[i]
            if source < 0 or given[source] is None:
                g = grad[start:stop]
            else:
                if source != last:
                    last, flat = source, given[source].reshape(-1)
                g = flat[start - offset : stop - offset]
            scratch = [row[: stop - start] for row in room]
            if scaled:
                g = xp.multiply(g, n["gradient"], out=scratch[-1])
            state = [a[start:stop] for a in flats]
            self._update(xp, data[start:stop], g, state, n, scratch, group)

    def _step_one(self, ledger: Ledger, cohort: Cohort, i: int) -> None:
        """A parameter by itself: row by row, or with a rule that needs all of it at once."""
        arena = ledger.arena
        p = arena.params[i]
        state = [ledger.views[name][i] for name in cohort.names or ()]
        function = self._rows if cohort.rows and not self.whole else self._each
        room = self._room(arena, size=arena.size if function == self._each else BLOCK)
        kernel(function, arena.views[i], raw(p.grad), state, cohort.scalars, room, cohort=cohort)

    def _each(
        self,
        p: Array,
        g: Any,
        state: list[Array],
        scalars: tuple[Array, ...],
        room: Array,
        *,
        cohort: Cohort,
    ) -> None:
        xp, g = namespace(p), dense(g)
        n = dict(zip(cohort.numbers, scalars, strict=True))
        scratch = [row[: p.size].reshape(p.shape) for row in room]
        if self._scaled(cohort.group):
            g = xp.multiply(g, n["gradient"], out=scratch[-1])
        self._update(xp, p, g, state, n, scratch, cohort.group)

    def _rows(
        self,
        p: Array,
        g: Any,
        state: list[Array],
        scalars: tuple[Array, ...],
        room: Array,
        *,
        cohort: Cohort,
    ) -> None:
        """The same update on the rows that have a gradient; the others are untouched."""
        g = RowSparse(*g).coalesce()
        rows = [a[g.indices] for a in (p, *state)]
        flats = [a.reshape(-1) for a in (*rows, g.values)]
        for start in range(0, flats[0].size, room.shape[1]):
            part = [a[start : start + room.shape[1]] for a in flats]
            self._each(part[0], part[-1], part[1:-1], scalars, room, cohort=cohort)
        for a, new in zip((p, *state), rows, strict=True):
            a[g.indices] = new

    def _room(self, arena: Arena, branch: int = 0, *, size: int = 0) -> Array:
        """Scratch arrays, as rows: shared by all calls, their contents are arbitrary."""
        size = min(arena.size, max(size, _block(arena)))
        key = arena.device, arena.dtype, branch
        room = self._scratch.get(key)
        if room is None or room.shape[1] < size:
            room = arena.device.xp.empty((self.buffers + 1, size), dtype=arena.dtype)
            self._scratch[key] = room
        return room

    # -- what a rule says ----------------------------------------------------------------------

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Those of `slots` that are used under these options."""
        return self.slots

    def _numbers(self, group: Mapping[str, Any]) -> dict[str, float]:
        """The numbers kept for each parameter beside its arrays, as they start."""
        return {}

    def _advance(self, numbers: dict[str, Any], group: Mapping[str, Any], step: int) -> None:
        """Set the numbers for the next step; `_scalars` finds the present ones in its `state`."""

    def _init(self, name: str, group: Mapping[str, Any]) -> float:
        """What a fresh state array is full of."""
        return 0.0

    def _scalars(
        self, group: Mapping[str, Any], step: int, state: Mapping[str, Any]
    ) -> dict[str, float]:
        """The numbers of step `step`, by name: what `_update` finds in `n`."""
        raise NotImplementedError

    def _update(
        self,
        xp: Any,
        p: Array,
        g: Array,
        state: list[Array],
        n: dict[str, Array],
        scratch: list[Array],
        group: Mapping[str, Any],
    ) -> None:
        """Write the new values into p and the state arrays; all arrays have one shape.

        Of `group`, only what `switches` names may be looked at: all else is in `n`, as 0-d arrays.
        """
        raise NotImplementedError

    # -- state ---------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Options and state, with parameters by position: data only, safe to write to a file."""
        index = {id(p): i for i, p in enumerate(self._params())}
        return {
            "param_groups": [
                {
                    **{k: v for k, v in g.items() if k != "params"},
                    "params": [index[id(p)] for p in g["params"]],
                }
                for g in self.param_groups
            ],
            "state": {
                str(index[id(p)]): {
                    k: v if isinstance(v, int | float) else Tensor(v.copy()) for k, v in s.items()
                }
                for p, s in self.state.items()
            },
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`. Everything is checked before anything changes.

        Raises: CheckpointError if the saved state does not fit these parameters and this rule.
        """
        options, state = read_saved(self, saved)
        for group, new in zip(self.param_groups, options, strict=True):
            group.update(new)
        self.state = state
        self._ledgers = [Ledger(each.arena, each.group, state) for each in self._current()]

    def _params(self) -> list[Tensor]:
        return [p for g in self.param_groups for p in g["params"]]

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v}" for k, v in self.param_groups[0].items() if k != "params")
        return f"{type(self).__name__}({sum(p.size for p in self._params()):,} numbers, {options})"


def _block(arena: Arena) -> int:
    return BLOCK if on_cpu(arena.device.xp) else DEVICE_BLOCK


_NOT_NEGATIVE = {
    *("alpha", "eps", "initial_accumulator_value", "lambd", "lr", "lr_decay", "momentum"),
    *("momentum_decay", "t0", "weight_decay"),
}
