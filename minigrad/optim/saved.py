"""The state of an optimiser as data; reading it checks everything before anything changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import Array
from ..engine import Tensor
from ..errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from .optimizer import Optimizer

State = dict[Tensor, dict[str, Any]]


def written(optimizer: Optimizer) -> dict[str, Any]:
    """Options and state, with parameters by position."""
    index = {id(p): i for i, p in enumerate(optimizer._params())}
    return {
        "param_groups": [
            {
                **{k: v for k, v in g.items() if k != "params"},
                "params": [index[id(p)] for p in g["params"]],
            }
            for g in optimizer.param_groups
        ],
        "state": {
            str(index[id(p)]): {
                k: v if isinstance(v, int | float) else Tensor(v.copy()) for k, v in s.items()
            }
            for p, s in optimizer.state.items()
        },
    }


def read_saved(
    optimizer: Optimizer, saved: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], State]:
    """The options of each group and the state of each parameter, from a `state_dict()`.

    Raises: CheckpointError if they do not fit these parameters and this rule.
    """
    name = f"{type(optimizer).__name__}.load_state_dict"
    try:
        options = _options(optimizer, saved["param_groups"])
        return options, _state(optimizer, saved["state"], options)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: nothing is changed: {error}") from error
    except (AttributeError, ConfigError, KeyError, TypeError, ValueError) as error:
        text = f"{name}: nothing is changed, the saved state is malformed: {error!r}"
        raise CheckpointError(text) from error


def _options(optimizer: Optimizer, groups: Any) -> list[dict[str, Any]]:
    mine = [len(g["params"]) for g in optimizer.param_groups]
    theirs = [len(g["params"]) for g in groups]
    if mine != theirs:
        raise CheckpointError(f"the groups have {theirs} parameters, expected {mine}")
    options = []
    for group, given in zip(optimizer.param_groups, groups, strict=True):
        new = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items()}
        del new["params"]
        if unknown := set(new) - set(optimizer.defaults):
            raise CheckpointError(f"unknown options {sorted(unknown)}")
        optimizer._check({**group, **new})
        options.append(new)
    return options


def _state(optimizer: Optimizer, saved: Mapping[str, Any], options: list[dict[str, Any]]) -> State:
    owners = [
        (p, optimizer._names({**group, **new}), {**group, **new})
        for group, new in zip(optimizer.param_groups, options, strict=True)
        for p in group["params"]
    ]
    state: State = {}
    for key, values in saved.items():
        if not 0 <= int(key) < len(owners):
            raise CheckpointError(f"there is no parameter {key}")
        p, names, group = owners[int(key)]
        numbers = optimizer._numbers(group)
        state[p] = {"step": int(values["step"])}
        needed = {*names, *numbers}
        wrong = (needed - set(values)) | (set(values) - {"step", *numbers, *optimizer.slots})
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


def read_array(p: Tensor, value: Any, what: str) -> Array:
    """A saved state array, for the parameter p. Raises: CheckpointError that says `what`."""
    data = value.numpy() if isinstance(value, Tensor) else np.asarray(value)
    if data.shape != p.shape or data.dtype.kind not in "fV":
        raise CheckpointError(f"{what} is {data.dtype}{data.shape}, expected {p.dtype}{p.shape}")
    return p.device.asarray(data.astype(p.dtype))
