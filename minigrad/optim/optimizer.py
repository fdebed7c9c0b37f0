"""`Optimizer`: parameter groups, state, and the step that each rule fills in.

A rule is written once, on arrays, with `out=` calls over a scratch buffer: an update allocates
nothing. Updates run block by block, so that a block stays in cache between the passes over it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from ..backend import Array, device_of
from ..engine import RowSparse, Tensor
from ..errors import CheckpointError, ConfigError, GradError

BLOCK = 1 << 16  # elements per block: a few arrays of float32 fit a 1 MB cache


class Optimizer:
    """Base class. `params` are Tensors, or dicts {"params": […], "lr": …} with own options.

    Subclasses name their state in `slots` and write `_update`.
    """

    slots: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]) -> None:
        entries = list(params)
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
        unknown = set(group) - set(self.defaults) - {"params"}
        if unknown:
            raise ConfigError(f"{type(self).__name__}: unknown option {sorted(unknown)}")
        params = group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        taken = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Tensor) or not p.is_leaf:
                raise ConfigError(f"{type(self).__name__}: parameters are leaf tensors, got {p!r}")
            if id(p) in taken:
                raise ConfigError(f"{type(self).__name__}: a parameter is given twice")
            taken.add(id(p))
        new = {**self.defaults, **group, "params": params}
        self._check(new)
        self.param_groups.append(new)

    def _check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay", "momentum"):
            if group.get(name, 0) < 0:
                raise ConfigError(f"{type(self).__name__}: {name} is {group[name]}, expected ≥ 0")
        for beta in group.get("betas", ()):
            if not 0 <= beta < 1:
                raise ConfigError(f"{type(self).__name__}: betas are in [0, 1), got {beta}")

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self) -> None:
        """Update each parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state.get(p)
                if state is None:
                    state = self.state[p] = {"step": 0, **self._init(p, group)}
                state["step"] += 1
                if isinstance(p.grad, RowSparse):
                    self._step_rows(p, p.grad.coalesce(), group, state)
                else:
                    self._step_dense(p, p.grad.data, group, state)

    def _init(self, p: Tensor, group: dict[str, Any]) -> dict[str, Array]:
        """Fresh state arrays."""
        xp = device_of(p.data).xp
        return {name: xp.zeros(p.shape, dtype=p.dtype) for name in self.slots}

    def _step_dense(
        self, p: Tensor, g: Array, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        if g.shape != p.shape:
            raise GradError(f"step: parameter {p.shape} has a gradient of shape {g.shape}")
        arrays = [state[name] for name in self._state_names(state)]
        size = p.size
        xp = device_of(p.data).xp
        contiguous = p.data.flags.c_contiguous and g.flags.c_contiguous
        if not contiguous or size <= BLOCK or xp is not np:
            self._update(xp, p.data, g, arrays, group, state["step"])
        else:
            flat = [a.reshape(-1) for a in (p.data, g, *arrays)]
            for start in range(0, size, BLOCK):
                block = [a[start : start + BLOCK] for a in flat]
                self._update(xp, block[0], block[1], block[2:], group, state["step"])
        p.assign_(p.data)  # stamps the write

    def _step_rows(
        self, p: Tensor, g: RowSparse, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        """The same update on the rows that have a gradient; the others are untouched."""
        names = self._state_names(state)
        rows = g.indices
        xp = device_of(p.data).xp
        parts = [p.data[rows], *(state[name][rows] for name in names)]
        self._update(xp, parts[0], g.values, parts[1:], group, state["step"])
        for name, part in zip(names, parts[1:], strict=True):
            state[name][rows] = part
        p.data[rows] = parts[0]
        p.assign_(p.data)

    def _state_names(self, state: dict[str, Any]) -> list[str]:
        return [name for name in state if name != "step"]

    def _update(
        self, xp: Any, p: Array, g: Array, state: list[Array], group: dict[str, Any], step: int
    ) -> None:
        """Write the new values into p and the state arrays (all of one shape)."""
        raise NotImplementedError

    def scratch(self, xp: Any, like: Array, n: int = 1) -> Array:
        """A buffer with the shape of `like`, kept for the next call: contents are arbitrary."""
        key = (id(xp), like.shape, str(like.dtype), n)
        buffer = self._scratch.get(key)
        if buffer is None:
            buffer = self._scratch[key] = xp.empty(like.shape, dtype=like.dtype)
        return buffer

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
                    k: v if isinstance(v, int) else Tensor(v.copy()) for k, v in s.items()
                }
                for p, s in self.state.items()
            },
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Continue from `state_dict()`. Everything is checked before anything changes."""
        groups = saved["param_groups"]
        mine = [len(g["params"]) for g in self.param_groups]
        theirs = [len(g["params"]) for g in groups]
        if mine != theirs:
            raise CheckpointError(
                f"{type(self).__name__}.load_state_dict: the groups have {theirs} parameters, "
                f"expected {mine}"
            )
        params = self._params()
        state: dict[Tensor, dict[str, Any]] = {}
        for key, values in saved["state"].items():
            p = params[int(key)]
            state[p] = {}
            for name, value in values.items():
                if name == "step":
                    state[p][name] = int(value)
                    continue
                data = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
                if data.shape != p.shape:
                    raise CheckpointError(
                        f"{type(self).__name__}.load_state_dict: {name} of parameter {key} has "
                        f"shape {data.shape}, expected {p.shape}"
                    )
                state[p][name] = p.device.asarray(data.astype(p.dtype).copy())
        for group, options in zip(self.param_groups, groups, strict=True):
            for k, v in options.items():
                if k != "params":
                    group[k] = tuple(v) if isinstance(v, list) else v
        self.state = state

    def _params(self) -> list[Tensor]:
        return [p for g in self.param_groups for p in g["params"]]

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v}" for k, v in self.param_groups[0].items() if k != "params")
        return f"{type(self).__name__}({sum(p.size for p in self._params()):,} numbers, {options})"
