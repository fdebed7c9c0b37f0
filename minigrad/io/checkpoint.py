"""Checkpoints: the whole state of a run in one safetensors file.

A state is what `state_dict()` methods return, nested as one likes: dicts, lists, tuples, numbers,
strings, None and arrays. The arrays become the file's tensors, named by their place
("model.lstm.weight_ih_l0"), and the rest becomes JSON in its metadata. Every bit comes back, so a
run that is resumed goes on as if it had never stopped; and as the file holds no code, one from a
stranger is safe to load.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from minigrad.backend import NAMESPACES
from minigrad.errors import CheckpointError, DTypeError
from minigrad.io.arrays import Host, PathLike, host_array, read, save_safetensors

__all__ = ["load_checkpoint", "save_checkpoint"]

_KEY = "minigrad.state"
_FORMAT = 1

# JSON knows lists, and dicts with string keys; the rest is said by a dict with one key of these:
# {"$array": name}, {"$scalar": name}, {"$tuple": [...]}, {"$dict": [[key, value], ...]}


def save_checkpoint(path: PathLike, state: Any) -> None:
    """Write a nested state to `path`, in one step: the file is the old one or the new one, whole.

    Raises: DTypeError that names the place of a value that cannot be stored; nothing is written
    then.

    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "last.safetensors")
    >>> save_checkpoint(path, {"model": {"w": np.ones(2)}, "epoch": 3, "rates": (0.1, None)})
    >>> load_checkpoint(path)
    {'model': {'w': array([1., 1.])}, 'epoch': 3, 'rates': (0.1, None)}
    """
    arrays: dict[str, Host] = {}
    try:
        tree = _encode(state, "", arrays)
    except RecursionError as error:
        raise DTypeError("save_checkpoint: the state is nested too deep, or in itself") from error
    text = json.dumps({"format": _FORMAT, "state": tree}, separators=(",", ":"))
    save_safetensors(path, arrays, {_KEY: text})


def load_checkpoint(path: PathLike) -> Any:
    """The state that `save_checkpoint` wrote, with NumPy arrays for arrays and Tensors.

    Raises: CheckpointError, with the file's name, if it is absent, truncated, damaged, or not a
    checkpoint.
    """
    arrays, metadata = read(path)
    if _KEY not in metadata:
        raise CheckpointError(
            f"{path}: holds {len(arrays)} arrays but no state of save_checkpoint; "
            "load_safetensors reads it"
        )
    try:
        content = json.loads(metadata[_KEY])
        version = content["format"]
        state = _decode(content["state"], arrays) if version == _FORMAT else None
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its state is damaged: {error!r}") from error
    if version != _FORMAT:
        raise CheckpointError(
            f"{path}: is of format {version!r}, this minigrad reads {_FORMAT}; update minigrad"
        )
    return state


def _encode(value: Any, place: str, arrays: dict[str, Host]) -> Any:
    if _is_array(value):
        name = _free(place or "array", arrays)
        arrays[name] = host_array(value, place or "state")
        return {"$scalar" if isinstance(value, np.generic) else "$array": name}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        inner = {key: _encode(v, _join(place, key), arrays) for key, v in value.items()}
        if all(isinstance(key, str) and not key.startswith("$") for key in inner):
            return inner
        return {"$dict": [[_encode(key, place, arrays), v] for key, v in inner.items()]}
    if isinstance(value, (list, tuple)):
        items = [_encode(v, _join(place, i), arrays) for i, v in enumerate(value)]
        return items if isinstance(value, list) else {"$tuple": items}
    raise DTypeError(
        f"save_checkpoint: {place or 'the state'} is a {type(value).__qualname__}; a state holds "
        "dicts, lists, tuples, numbers, strings, None and arrays"
    )


def _is_array(value: Any) -> bool:
    if isinstance(value, (np.ndarray, np.generic)):
        return not isinstance(value, str)  # np.str_ is a string
    return type(value) in NAMESPACES or callable(getattr(value, "numpy", None))


def _join(place: str, key: Any) -> str:
    return f"{place}.{key}" if place else str(key)


def _free(name: str, taken: dict[str, Host]) -> str:
    """`name`, or with a number: the key "a.b" and the key "b" in "a" would have the same."""
    candidate, number = name, 2
    while candidate in taken or candidate == "__metadata__":
        candidate, number = f"{name}#{number}", number + 1
    return candidate


def _decode(tree: Any, arrays: dict[str, Host]) -> Any:
    if isinstance(tree, list):
        return [_decode(item, arrays) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if not any(key.startswith("$") for key in tree):
        return {key: _decode(value, arrays) for key, value in tree.items()}
    ((kind, content),) = tree.items()
    match kind:
        case "$array":
            return arrays[content]
        case "$scalar":
            return arrays[content][()]
        case "$tuple":
            return tuple(_decode(item, arrays) for item in content)
        case "$dict":
            return {_decode(key, arrays): _decode(value, arrays) for key, value in content}
    raise ValueError(f"unknown kind {kind!r}")
