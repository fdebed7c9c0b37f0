"""Named arrays in safetensors files: one header in JSON, then the bytes; nothing in them can run.

The format is the one of PyTorch's ecosystem, so a `state_dict` goes both ways.
Source: https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend import device_of
from minigrad.errors import CheckpointError, DeviceError, DTypeError
from minigrad.io.atomic import atomic_write

__all__ = ["load_safetensors", "read_metadata", "save_safetensors"]

Host = np.ndarray[Any, Any]
PathLike = str | os.PathLike[str]

_STORED = {"float16", "float32", "float64", "bfloat16", "bool"} | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


def save_safetensors(
    path: PathLike, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write arrays and Tensors by name, from whichever device, with any strings in `metadata`.

    The file is replaced in one step: a crash leaves the old one or the new one. Arrays are stored
    in C order and little-endian, with shape and dtype, 0-d and empty ones included.

    Raises: DTypeError for a value or a dtype that the format cannot hold; nothing is written then.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> save_safetensors(path, {"weight": np.eye(2, dtype=np.float32)}, {"epoch": "3"})
    >>> load_safetensors(path)["weight"], read_metadata(path)
    (array([[1., 0.],
           [0., 1.]], dtype=float32), {'epoch': '3'})
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    if not isinstance(tensors, Mapping):
        raise DTypeError(
            f"save_safetensors: expected a path, then arrays by name, such as model.state_dict(); "
            f"got {type(path).__name__}, {type(tensors).__name__}"
        )
    arrays = {
        _name(name): host_array(value, f"tensors[{name!r}]") for name, value in tensors.items()
    }
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise DTypeError(f"save_safetensors: metadata holds strings, got {key!r}: {text!r}")
    with atomic_write(path) as temporary:
        try:
            save_file(arrays, temporary, metadata=dict(metadata) if metadata else None)
        except SafetensorError as error:
            raise CheckpointError(f"save_safetensors: {path} cannot be written: {error}") from error


def load_safetensors(path: PathLike) -> dict[str, Host]:
    """The arrays of a safetensors file by name, in NumPy, each with memory of its own.

    bfloat16 comes as `ml_dtypes.bfloat16` where that package is installed, else as float32, which
    holds the same values.

    Raises: CheckpointError, with the file's name, if it is absent, truncated or not a safetensors
    file. Pickles (PyTorch's .pt and .pth) are never opened, for loading one can run its author's
    code.
    """
    return read(path)[0]


def read_metadata(path: PathLike) -> dict[str, str]:
    """The strings stored beside the arrays, which are not read. Raises: as `load_safetensors`."""
    return read(path, arrays=False)[1]


def read(path: PathLike, *, arrays: bool = True) -> tuple[dict[str, Host], dict[str, str]]:
    """The arrays and the metadata of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    start = b""
    try:
        with Path(path).open("rb") as file:
            start = file.read(8)
        with safe_open(path, framework="np") as content:
            metadata = dict(content.metadata() or {})
            names = list(content.keys()) if arrays else []
            half = {name for name in names if content.get_slice(name).get_dtype() == "BF16"}
            wide = _widened(path, half)
            found = {n: wide[n] if n in wide else _own(content.get_tensor(n)) for n in names}
            return found, metadata
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path}: {_diagnosis(start)}: {error}") from error
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as a safetensors file: {error!r}") from error


def host_array(value: Any, name: str) -> Host:
    """`value` as a NumPy array in C order and native bytes. Raises: DTypeError that says `name`."""
    if callable(getattr(value, "numpy", None)):  # a Tensor, PyTorch's too
        value = value.detach().numpy() if hasattr(value, "detach") else value.numpy()
    elif not isinstance(value, (np.ndarray, np.generic)):
        try:
            value = device_of(value).to_host(value)
        except DeviceError as error:
            raise DTypeError(f"{name}: expected an array or a Tensor, got {type(value)}") from error
    if value.dtype.name not in _STORED:
        raise DTypeError(
            f"{name}: dtype {value.dtype} cannot be stored; safetensors holds {sorted(_STORED)}"
        )
    return np.asarray(value, dtype=value.dtype.newbyteorder("="), order="C")


def _name(name: Any) -> str:
    if not isinstance(name, str) or name == "__metadata__":
        raise DTypeError(f"save_safetensors: {name!r} cannot name an array; use another string")
    return name


def _own(array: Host) -> Host:
    return array if array.flags.writeable else array.copy()


def _widened(path: PathLike, names: set[str]) -> dict[str, Host]:
    """The bfloat16 arrays `names` as float32; none of them where ml_dtypes knows bfloat16."""
    if not names:
        return {}
    try:
        import ml_dtypes  # noqa: F401  # makes "bfloat16" a dtype of NumPy
    except ImportError:
        from safetensors import deserialize

        return {
            name: (np.frombuffer(view["data"], "<u2").astype(np.uint32) << 16)
            .view(np.float32)
            .reshape(view["shape"])
            for name, view in deserialize(Path(path).read_bytes())
            if name in names
        }
    return {}


def _diagnosis(start: bytes) -> str:
    if start[:2] == b"PK" or start[:1] == b"\x80":
        return (
            "looks like a pickle of torch.save or a zip file; minigrad never unpickles, "
            "so convert it with safetensors.torch.save_file"
        )
    return "is truncated, damaged or not a safetensors file"
