"""Element types and constants by their Array API names, and the default floating type."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import backend
from ..engine import Tensor, function
from ..errors import DTypeError

__all__ = [
    "bool",
    "can_cast",
    "e",
    "finfo",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "iinfo",
    "inf",
    "int8",
    "int16",
    "int32",
    "int64",
    "isdtype",
    "nan",
    "newaxis",
    "pi",
    "result_type",
    "set_default_dtype",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
]

bool = np.dtype("bool")
float16 = np.dtype("float16")
float32 = np.dtype("float32")
float64 = np.dtype("float64")
int8 = np.dtype("int8")
int16 = np.dtype("int16")
int32 = np.dtype("int32")
int64 = np.dtype("int64")
uint8 = np.dtype("uint8")
uint16 = np.dtype("uint16")
uint32 = np.dtype("uint32")
uint64 = np.dtype("uint64")

e = math.e
inf = math.inf
nan = math.nan
newaxis = None
pi = math.pi

_DEFAULT: dict[str, np.dtype[Any]] = {"floating": float32}


@function
def set_default_dtype(dtype: Any) -> None:
    """The dtype of tensors made from Python floats, and of new parameters; float32 at first.

    Raises: DTypeError unless it is a floating dtype.
    """
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise DTypeError(f"set_default_dtype: {dtype} is not a floating dtype")
    _DEFAULT["floating"] = dtype


@function
def get_default_dtype() -> np.dtype[Any]:
    """The dtype of tensors made from Python floats.

    >>> import minigrad as mg
    >>> mg.get_default_dtype()
    dtype('float32')
    """
    return _DEFAULT["floating"]


def _dtype(x: Any) -> Any:
    return x.dtype if isinstance(x, Tensor) else x


class _FloatLimits:
    """NumPy's `finfo` with Python floats, which the standard asks for."""

    def __init__(self, limits: Any) -> None:
        self._limits = limits

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._limits, name)
        return value.item() if isinstance(value, np.generic) else value

    def __repr__(self) -> str:
        return repr(self._limits)


@function
def finfo(dtype: Any) -> Any:
    """Limits of a floating dtype (or of a tensor's): `.bits .eps .max .min .smallest_normal`."""
    return _FloatLimits(backend.finfo(_dtype(dtype)))


@function
def iinfo(dtype: Any) -> Any:
    """Limits of an integer dtype (or of a tensor's): `.bits .max .min`."""
    return np.iinfo(_dtype(dtype))


@function
def isdtype(dtype: Any, kind: Any) -> Any:
    """Whether `dtype` is of a kind: "bool", "integral", "real floating", "numeric", …, or a dtype.

    >>> import minigrad as mg
    >>> mg.isdtype(mg.float32, "real floating")
    True
    """
    return np.isdtype(dtype, kind)


@function
def can_cast(source: Any, target: Any) -> Any:
    """Whether a dtype (or a tensor's) casts to `target` without loss, by NumPy's rules."""
    return np.can_cast(_dtype(source), target)


@function
def result_type(*operands: Any) -> Any:
    """The dtype of an operation on these tensors, arrays, dtypes and Python numbers.

    >>> import minigrad as mg
    >>> mg.result_type(mg.float32, mg.int64), mg.result_type(mg.zeros(2), 1.0)
    (dtype('float64'), dtype('float32'))
    """
    return np.result_type(*[_dtype(x) for x in operands])
