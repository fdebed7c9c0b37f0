"""Values into the parameters and buffers of a module: all of them fit, or none changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..backend import NAMESPACES, device_of
from ..engine import Tensor
from ..errors import CheckpointError, DTypeError

_LOADABLE = {"f": "fV", "V": "fV", "i": "iu", "u": "iu"}  # kinds that may be cast into a kind


def load(name: str, own: Mapping[str, Tensor], state: Mapping[str, Any], *, strict: bool) -> None:
    """Copy the values of `state` into the Tensors of `own` by path; `name` is the module's."""
    problems = []
    if strict:
        problems += [f"{path} is missing" for path in own if path not in state]
        problems += [f"{path} is unknown" for path in state if path not in own]
    values: dict[str, Any] = {}
    for path, t in own.items():
        if path not in state:
            continue
        values[path] = value = _host(state[path])
        if value.shape != t.shape:
            problems.append(f"{path} has shape {value.shape}, expected {t.shape}")
        elif value.dtype.kind not in _LOADABLE.get(t.dtype.kind, t.dtype.kind):
            problems.append(f"{path} has dtype {value.dtype}, expected {t.dtype}")
    if problems:
        raise CheckpointError(
            f"load_state_dict: {name} is unchanged, the state does not fit: " + "; ".join(problems)
        )
    for path, value in values.items():
        own[path].assign_(device_of(own[path].data).asarray(value.astype(own[path].dtype)))


def _host(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, Tensor):
        return value.numpy()
    if type(value) in NAMESPACES:
        return device_of(value).to_host(value)
    if hasattr(value, "detach"):  # a PyTorch tensor
        value = value.detach().cpu()
        value = value.float() if "bfloat16" in str(value.dtype) else value
    try:
        return np.asarray(value)
    except Exception as error:
        raise DTypeError(f"load_state_dict: cannot read a {type(value).__name__}") from error
