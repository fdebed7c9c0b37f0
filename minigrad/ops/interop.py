"""Copies, casts, moves between devices, and what NumPy's functions do with a tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..backend import Array, Device, device_of
from ..backend import device as get_device
from ..engine import Tensor, function, op, ops

__all__ = ["astype", "copy", "to_device"]


@op
def copy(xp: Any, x: Array) -> Array:
    """The same values in memory of their own."""
    return x.copy()


copy.defvjp(lambda g, _y, _x: g)


@op
def _astype(xp: Any, x: Array, /, dtype: Any) -> Array:
    """x in another dtype; the gradient comes back in x's."""
    return x.astype(dtype)


_astype.defvjp(lambda g, _y, _x, *, dtype: g)


@function
def astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    """x in another dtype, and on `device` if one is given. The gradient comes back in x's dtype.

    With `copy=False`, x itself when it has that dtype already.

    >>> import minigrad as mg
    >>> mg.astype(mg.tensor([1.5, -1.5]), mg.int32)
    tensor([ 1, -1], dtype=int32)
    """
    dtype = np.dtype(dtype)
    if device is not None:
        x = to_device(x, device)
    if not copy and x.dtype == dtype:
        return x
    return _astype(x, dtype=dtype)


@op
def _to_device(xp: Any, x: Array, /, device: Device, source: Device) -> Array:
    """x copied to another device; the gradient comes back."""
    return device.asarray(x)


_to_device.defvjp(lambda g, _y, _x, *, device, source: _to_device(g, device=source, source=device))


@function
def to_device(x: Any, device: Device | str) -> Any:
    """x on another device, or x itself if it is there. The gradient comes back to where x was."""
    target = get_device(device)
    source = x.device if isinstance(x, Tensor) else device_of(x)
    return x if source == target else _to_device(x, device=target, source=source)


# -- NumPy's protocols -------------------------------------------------------------------------

_NAMES = {  # a ufunc's name where ours, the Array API's, is another
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "fabs": "abs",
    "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift",
    "power": "pow",
    "right_shift": "bitwise_right_shift",
    "true_divide": "divide",
}
_REDUCTIONS = {
    "add": "sum",
    "logical_and": "all",
    "logical_or": "any",
    "maximum": "max",
    "minimum": "min",
    "multiply": "prod",
}


@function
def numpy_ufunc(
    ufunc: np.ufunc, method: str, inputs: Sequence[Any], kwargs: Mapping[str, Any]
) -> Any:
    """What `np.sin(tensor)`, `np.add(array, tensor)` and `array + tensor` do: minigrad's own op.

    Raises: TypeError for a ufunc, a method or a keyword without a differentiable counterpart.
    """
    name = _NAMES.get(ufunc.__name__, ufunc.__name__)
    given = {k: v for k, v in kwargs.items() if v is not None}
    if method == "__call__" and not given and hasattr(ops, name):
        return getattr(ops, name)(*inputs)
    reduction = _REDUCTIONS.get(ufunc.__name__)
    if method == "reduce" and reduction and set(given) <= {"axis", "keepdims"}:
        chosen = {k: v for k, v in kwargs.items() if k in ("axis", "keepdims")}
        return getattr(ops, reduction)(inputs[0], **{"axis": 0, **chosen})
    call = f"np.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
    if "out" in given:
        hint = f"a tensor is never written into; use the result of mg.{name}, or t.assign_(...)"
    elif method == "reduce" and reduction:
        hint = f"use mg.{reduction}"
    elif hasattr(ops, name):
        hint = f"use mg.{name} without {', '.join(given) or method}"
    else:
        hint = "minigrad has no such function; call it on t.detach().numpy()"
    raise TypeError(f"{call}: not defined for tensors; {hint}")
