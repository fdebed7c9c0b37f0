"""Weights of PyTorch models, both ways: names and layouts are the same, the file is safetensors.

In PyTorch, `safetensors.torch.save_file(model.state_dict(), path)` writes what `load_torch` reads,
and `model.load_state_dict(safetensors.torch.load_file(path))` reads what `save_torch` writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigrad.errors import CheckpointError
from minigrad.io.arrays import Host, PathLike, load_safetensors, save_safetensors

__all__ = ["load_torch", "save_torch"]

_INDEX = "model.safetensors.index.json"


def load_torch(path: PathLike, *, prefix: str = "") -> dict[str, Host]:
    """The weights of a PyTorch model, by name, for `Module.load_state_dict`.

    Args:
        path: a safetensors file; or a folder with `model.safetensors`, or with several files and
            their index, as Hugging Face's hub has them.
        prefix: only the names that begin with it, without it: one part of a larger model.

    Raises: CheckpointError if the file is absent, damaged or a pickle, or no name has the prefix.

    >>> import tempfile
    >>> from minigrad import nn
    >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> save_torch(path, nn.LSTM(3, 4))
    >>> nn.LSTM(3, 4).load_state_dict(load_torch(path))
    """
    where = Path(path)
    if where.is_dir() and not (where / "model.safetensors").exists():
        arrays = _shards(where)
    else:
        arrays = load_safetensors(where / "model.safetensors" if where.is_dir() else where)
    if not prefix:
        return arrays
    found = {name[len(prefix) :]: a for name, a in arrays.items() if name.startswith(prefix)}
    if not found:
        raise CheckpointError(f"{path}: no name begins with {prefix!r}; there is {sorted(arrays)}")
    return found


def save_torch(path: PathLike, model: Any) -> None:
    """Write a module's state dict, or any mapping of names to arrays, for PyTorch to load."""
    state = model if isinstance(model, Mapping) else model.state_dict()
    save_safetensors(path, state, {"format": "pt"})


def _shards(folder: Path) -> dict[str, Host]:
    index = folder / _INDEX
    try:
        places: dict[str, str] = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except FileNotFoundError as error:
        raise CheckpointError(f"{folder}: has no model.safetensors and no {_INDEX}") from error
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{index}: is damaged: {error!r}") from error
    arrays: dict[str, Host] = {}
    for file in sorted(set(places.values())):
        if Path(file).name != file:
            raise CheckpointError(f"{index}: {file!r} is not a file of this folder")
        arrays.update(load_safetensors(folder / file))
    if missing := set(places) - set(arrays):
        raise CheckpointError(f"{folder}: its files lack {sorted(missing)}")
    return arrays
