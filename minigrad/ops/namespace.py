"""minigrad as an array namespace: what code written against the Python Array API asks of it."""

from __future__ import annotations

import importlib
from typing import Any

from ..backend import Device
from ..backend import device as get_device
from ..engine import function
from ..errors import ConfigError
from . import dtypes

__all__ = ["__array_api_version__", "__array_namespace_info__"]

__array_api_version__ = "2024.12"

_KINDS = {
    "bool": ("bool",),
    "signed integer": ("int8", "int16", "int32", "int64"),
    "unsigned integer": ("uint8", "uint16", "uint32", "uint64"),
    "real floating": ("float32", "float64"),
    "complex floating": (),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"]


class _Info:
    """Answers to the standard's inspection questions; `device=None` is the default device."""

    def capabilities(self) -> dict[str, Any]:
        """Boolean masks and data-dependent shapes work, but wait for a GPU."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> Device:
        return get_device()

    def devices(self) -> list[Device]:
        """The CPU, and each GPU there is."""
        cuda = importlib.import_module("minigrad.backend.cuda")
        return [get_device("cpu")] + [get_device(f"cuda:{i}") for i in range(cuda.device_count())]

    def default_dtypes(self, *, device: Any = None) -> dict[str, Any]:
        floating = dtypes.get_default_dtype()
        return {"real floating": floating, "integral": dtypes.int64, "indexing": dtypes.int64}

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, Any]:
        kinds = ("bool", "numeric") if kind is None else (kind,) if isinstance(kind, str) else kind
        unknown = [k for k in kinds if k not in _KINDS]
        if unknown:
            raise ConfigError(f"dtypes: no kind {unknown[0]!r}; kinds are {', '.join(_KINDS)}")
        return {name: getattr(dtypes, name) for k in kinds for name in _KINDS[k]}


def __array_namespace_info__() -> _Info:  # noqa: N807 (the standard's name)
    """The standard's inspection API: devices, dtypes and capabilities."""
    return _Info()


@function
def array_namespace(api_version: str | None = None) -> Any:
    """The module with the Python Array API's functions: minigrad itself.

    Raises: ConfigError for a version of the standard that it does not follow.
    """
    if api_version is not None and api_version > __array_api_version__:
        raise ConfigError(
            f"__array_namespace__: version {api_version} of the array API was asked for; "
            f"minigrad follows {__array_api_version__}"
        )
    return importlib.import_module(__name__.partition(".")[0])
