"""Tensors from data: Python numbers and lists, NumPy arrays, other libraries' tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import NAMESPACES, Array, Device, device_of
from ..backend import device as get_device
from ..engine import Tensor, function, ops, wrap
from ..errors import ConfigError, DTypeError, ShapeError
from .dtypes import get_default_dtype

__all__ = ["asarray", "from_dlpack", "from_numpy", "tensor"]

Spec = str | Device | None


@function
def tensor(
    obj: Any,
    dtype: Any = None,
    device: Spec = None,
    requires_grad: bool = False,
    *,
    name: str | None = None,
) -> Tensor:
    """A new tensor with a copy of `obj`: numbers, nested lists, an array or a tensor.

    Python floats get the default dtype (float32), integers int64; arrays keep their dtype. Host
    data go to the default device, a GPU's array or a tensor stays where it is, unless `device`
    says otherwise. The result is a leaf: no gradient flows back to `obj`.

    Raises: DTypeError if `obj` does not hold numbers or booleans; ShapeError if lists are ragged.

    >>> import minigrad as mg
    >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    tensor([[1., 2.],
            [3., 4.]], requires_grad=True)
    >>> mg.tensor([1, 2]).dtype
    dtype('int64')
    """
    data = _array_of(obj, dtype, device, "tensor")
    if not isinstance(obj, list | tuple | int | float):
        data = data.copy()
    return Tensor(data, requires_grad=requires_grad, name=name)


@function
def asarray(
    obj: Any, *, dtype: Any = None, device: Spec = None, copy: bool | None = None
) -> Tensor:
    """`obj` as a tensor that shares its memory where it can; a tensor itself, with its history.

    copy: True always copies, False raises where sharing is impossible.

    Raises: as `tensor`, and ConfigError if `copy=False` and a copy is needed.
    """
    if isinstance(obj, Tensor):
        x: Tensor = obj
        if device is not None:
            x = ops.to_device(x, device=device)
        if dtype is not None:
            x = ops.astype(x, dtype, copy=False)
        same, result = x is obj, x
    else:
        data = _array_of(obj, dtype, device, "asarray")
        same = data is obj or (
            isinstance(data, np.ndarray)
            and not isinstance(obj, list | tuple | int | float)
            and np.shares_memory(data, np.asarray(obj))
        )
        result = Tensor(data)
    if copy is False and not same:
        raise ConfigError("asarray: copy=False, but this dtype, device or type needs a copy")
    return ops.copy(result) if copy and same else result


@function
def from_numpy(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor on the CPU that shares the memory of a NumPy array.

    Raises: DTypeError unless it is a NumPy array of numbers or booleans.
    """
    if not isinstance(array, np.ndarray):
        raise DTypeError(f"from_numpy: got {type(array).__name__}, expected a NumPy array")
    return asarray(array, device="cpu")


@function
def from_dlpack(x: Any, /, *, device: Spec = None, copy: bool | None = None) -> Tensor:
    """A tensor that shares the memory of another library's (PyTorch, CuPy, JAX, …) by DLPack.

    Raises: DTypeError if `x` does not speak DLPack.

    >>> import minigrad as mg
    >>> mg.from_dlpack(np.arange(3))
    tensor([0, 1, 2])
    """
    if not hasattr(x, "__dlpack__"):
        raise DTypeError(f"from_dlpack: {type(x).__name__} has no __dlpack__; try mg.asarray")
    kind, index = x.__dlpack_device__()
    home = get_device("cpu" if kind == 1 else f"cuda:{index}")  # kDLCPU = 1
    with home.activate():
        return asarray(wrap(home.xp.from_dlpack(x)), device=device, copy=copy)


def _array_of(obj: Any, dtype: Any, device: Spec, what: str) -> Array:
    """`obj` as an array of the right dtype on the right device."""
    if isinstance(obj, Tensor):
        obj, device = obj.data, device or obj.device
    elif type(obj) not in NAMESPACES:
        try:
            made = np.asarray(obj)
        except ValueError as error:
            raise ShapeError(
                f"{what}: {error} minigrad.data.pad makes one array of sequences of unequal length"
            ) from error
        if dtype is None and made.dtype == np.float64 and _is_python(obj):
            dtype = get_default_dtype()
        obj = made
    if obj.dtype.kind not in "biuf" and obj.dtype.name != "bfloat16":
        raise DTypeError(f"{what}: cannot hold dtype {obj.dtype}; give numbers or booleans")
    if device is None and not isinstance(obj, np.ndarray | np.generic):
        device = device_of(obj)
    return get_device(device).asarray(obj, None if dtype is None else np.dtype(dtype))


def _is_python(obj: Any) -> bool:
    """Whether nested lists hold Python numbers, judged by the first."""
    while isinstance(obj, list | tuple) and obj:
        obj = obj[0]
    return isinstance(obj, int | float | list | tuple) and not isinstance(obj, np.generic)
