"""`Optimizer`: parameter groups, state, and the step that each rule fills in.

A rule is written once, on arrays, with `out=` calls over a scratch buffer: an update allocates
nothing. Updates run block by block, so that a block stays in cache between the passes over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from ..backend import Array, device_of, on_cpu
from ..engine import RowSparse, Tensor
from ..errors import CheckpointError, ConfigError, GradError

BLOCK = 1 << 16  # elements per block: a few arrays of float32 fit a 1 MB cache


class Optimizer:
    """Base class. `params` are Tensors, or dicts {"params": […], "lr": …} with own options.

    A gradient that is a `RowSparse` updates its rows alone: the other rows of the parameter and of
    the state stay as they are, decay included, so a step costs the rows that were read. `maximize`
    climbs instead of descending.

    Subclasses name their state arrays in `slots`, their numbers in `_numbers`, and write `_update`.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    whole: ClassVar[bool] = False  # the rule needs all of a parameter at once, not blocks or rows

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        entries = self._list(params)
        if not entries:
            raise ConfigError(f"{type(self).__name__}: got no parameters")
        if not isinstance(entries[0], Mapping):
            entries = [{"params": entries}]
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
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

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self._params():
            p.grad = None

    def step(self) -> None:
        """Update each parameter that has a gradient.

        Raises: GradError if a gradient does not have the shape of its parameter; then nothing is
        updated.
        """
        for p in self._params():
            if p.grad is not None and getattr(p.grad, "shape", None) != p.shape:
                given = getattr(p.grad, "shape", type(p.grad).__name__)
                raise GradError(f"step: a parameter {p.shape} has a gradient {given}")
        for group in self.param_groups:
            names = self._names(group)
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state.setdefault(p, {"step": 0})
                numbers = self._numbers(group)
                for name, number in numbers.items():
                    numbers[name] = state.setdefault(name, number)
                for name in names:
                    if name not in state:
                        state[name] = self._init(p, name, group)
                state["step"] += 1
                arrays = [state[name] for name in names]
                data, g = p.writable(), p.grad
                if group.get("maximize"):
                    g = (g if isinstance(g, RowSparse) else g.detach()) * -1.0
                options = {**group, **numbers} if numbers else group
                if not isinstance(g, RowSparse):
                    self._step_dense(data, g.data, arrays, options, state["step"])
                elif self.whole:
                    self._step_dense(data, g.to_dense(), arrays, options, state["step"])
                else:
                    self._step_rows(data, g.coalesce(), arrays, options, state["step"])
                self._advance(state, group, state["step"])
                p.assign_(data)  # stamps the write

    def _names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Those of `slots` that are used under these options."""
        return self.slots

    def _numbers(self, group: Mapping[str, Any]) -> dict[str, float]:
        """The numbers kept for each parameter beside its arrays, as they start."""
        return {}

    def _advance(self, numbers: dict[str, Any], group: Mapping[str, Any], step: int) -> None:
        """Set the numbers for the next step; `_update` finds the present ones in `group`."""

    def _init(self, p: Tensor, name: str, group: dict[str, Any]) -> Array:
        """A fresh state array."""
        return p.device.xp.zeros(p.shape, dtype=p.dtype)

    def _step_dense(
        self, p: Array, g: Array, state: list[Array], group: dict[str, Any], step: int
    ) -> None:
        xp = device_of(p).xp
        if self.whole or not on_cpu(xp) or p.size <= BLOCK or not p.flags.c_contiguous:
            self._update(xp, p, g, state, group, step)
            return
        flat = [a.reshape(-1) for a in (p, g, *state)]
        for start in range(0, p.size, BLOCK):
            block = [a[start : start + BLOCK] for a in flat]
            self._update(xp, block[0], block[1], block[2:], group, step)

    def _step_rows(
        self, p: Array, g: RowSparse, state: list[Array], group: dict[str, Any], step: int
    ) -> None:
        """The same update on the rows that have a gradient; the others are untouched."""
        rows = [a[g.indices] for a in (p, *state)]
        self._step_dense(rows[0], g.values, rows[1:], group, step)
        for a, part in zip((p, *state), rows, strict=True):
            a[g.indices] = part

    def _update(
        self, xp: Any, p: Array, g: Array, state: list[Array], group: dict[str, Any], step: int
    ) -> None:
        """Write the new values into p and the state arrays (all of one shape)."""
        raise NotImplementedError

    def scratch(self, xp: Any, like: Array, n: int = 1) -> Array:
        """A buffer with the shape of `like`, shared by all calls: its contents are arbitrary."""
        key = (device_of(like), like.dtype, n)
        buffer = self._scratch.get(key)
        if buffer is None or buffer.size < like.size:
            buffer = self._scratch[key] = xp.empty(like.size, dtype=like.dtype)
        return buffer[: like.size].reshape(like.shape)

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
        name = f"{type(self).__name__}.load_state_dict"
        try:
            options = self._read_options(saved["param_groups"])
            state = self._read_state(saved["state"], options)
        except CheckpointError as error:
            raise CheckpointError(f"{name}: nothing is changed: {error}") from error
        except (AttributeError, ConfigError, KeyError, TypeError, ValueError) as error:
            text = f"{name}: nothing is changed, the saved state is malformed: {error!r}"
            raise CheckpointError(text) from error
        for group, new in zip(self.param_groups, options, strict=True):
            group.update(new)
        self.state = state

    def _read_options(self, groups: Any) -> list[dict[str, Any]]:
        mine = [len(g["params"]) for g in self.param_groups]
        theirs = [len(g["params"]) for g in groups]
        if mine != theirs:
            raise CheckpointError(f"the groups have {theirs} parameters, expected {mine}")
        options = []
        for group, given in zip(self.param_groups, groups, strict=True):
            new = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
            del new["params"]
            if unknown := set(new) - set(self.defaults):
                raise CheckpointError(f"unknown options {sorted(unknown)}")
            self._check({**group, **new})
            options.append(new)
        return options

    def _read_state(
        self, saved: Mapping[str, Any], options: list[dict[str, Any]]
    ) -> dict[Tensor, dict[str, Any]]:
        owners = [
            (p, self._names({**group, **new}), {**group, **new})
            for group, new in zip(self.param_groups, options, strict=True)
            for p in group["params"]
        ]
        state: dict[Tensor, dict[str, Any]] = {}
        for key, values in saved.items():
            if not 0 <= int(key) < len(owners):
                raise CheckpointError(f"there is no parameter {key}")
            p, names, group = owners[int(key)]
            numbers = self._numbers(group)
            state[p] = {"step": int(values["step"])}
            needed = {*names, *numbers}
            wrong = (needed - set(values)) | (set(values) - {"step", *numbers, *self.slots})
            if wrong:
                raise CheckpointError(
                    f"parameter {key} has the state {sorted(values)}, expected {sorted(needed)}"
                )
            for name in values:
                if name in numbers:
                    state[p][name] = float(values[name])
                elif name != "step":
                    state[p][name] = read_array(p, values[name], f"{name} of parameter {key}")
        return state

    def _params(self) -> list[Tensor]:
        return [p for g in self.param_groups for p in g["params"]]

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v}" for k, v in self.param_groups[0].items() if k != "params")
        return f"{type(self).__name__}({sum(p.size for p in self._params()):,} numbers, {options})"


_NOT_NEGATIVE = {
    *("alpha", "eps", "initial_accumulator_value", "lambd", "lr", "lr_decay", "momentum"),
    *("momentum_decay", "t0", "weight_decay"),
}


def decayed(
    xp: Any,
    p: Array,
    g: Array,
    group: Mapping[str, Any],
    buffer: Array,
    *,
    decoupled: bool = False,
) -> Array:
    """g + λ θ, in `buffer`; or g, after θ ← (1 - η λ) θ where the decay is decoupled from g."""
    if not group["weight_decay"]:
        return g
    if decoupled:
        xp.multiply(p, 1 - group["lr"] * group["weight_decay"], out=p)
        return g
    xp.multiply(p, group["weight_decay"], out=buffer)
    return xp.add(g, buffer, out=buffer)


def read_array(p: Tensor, value: Any, what: str) -> Array:
    """A saved state array, for the parameter p. Raises: CheckpointError that says `what`."""
    data = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    if data.shape != p.shape or data.dtype.kind not in "fV":
        raise CheckpointError(f"{what} is {data.dtype}{data.shape}, expected {p.dtype}{p.shape}")
    return p.device.asarray(data.astype(p.dtype))
