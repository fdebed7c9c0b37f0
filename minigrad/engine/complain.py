"""The errors of an op call: each names the op, what was given, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import NAMESPACES
from ..errors import AnomalyError, AxisError, DeviceError, DTypeError, IndexRangeError, ShapeError
from .calls import no_array, wrong_arguments
from .modes import show, user_place
from .operators import ops
from .tensor import Tensor

if TYPE_CHECKING:
    from .op import Op


def operands(op: Op, values: list[Any], args: tuple[Any, ...], kind: type) -> list[Any]:
    """Operands beside Tensors: numbers, None, or arrays of the same device; else an error."""
    return [_operand(op, v, args, kind) for v in values]


def _operand(op: Op, value: Any, args: tuple[Any, ...], kind: type) -> Any:
    if type(value) is kind or value is None or type(value) in (int, float, bool):
        return value
    if isinstance(value, np.generic):
        return value.item()  # NumPy scalars do not promote either
    if type(value) in NAMESPACES:
        if hasattr(kind, "lift"):
            return kind.lift(value)
        raise mixed_devices(op, args)
    if isinstance(value, int | float):
        return value
    raise DTypeError(
        f"{op.name}: cannot use {type(value).__name__} beside a tensor; "
        "wrap it with mg.asarray, or give a number"
    )


def together(op: Op, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments of several kinds as one: what the examples of a vmap share, for all of them.

    Raises: DeviceError if they live on different devices.
    """
    lifted = ops.together(args)
    if lifted is None:
        raise mixed_devices(op, args)
    return tuple(lifted)


def mixed_devices(op: Op, args: tuple[Any, ...]) -> DeviceError:
    """The error for arguments that do not live on one device."""
    where = [
        str(a.device) if isinstance(a, Tensor) else type(a).__name__
        for a in args
        if not isinstance(a, int | float)
    ]
    return DeviceError(
        f"{op.name}: arguments on different devices ({', '.join(where)}); "
        "move one with .to(device): nothing is moved silently"
    )


def explain(op: Op, error: Exception, values: list[Any], params: dict[str, Any]) -> Exception:
    """A NumPy error as one that says which op, with what."""
    known = op.__signature__.parameters
    unknown = [name for name in params if name not in known]
    missing = [name for name in op.static if name not in params]
    if unknown or missing:
        why = (
            f"no argument {unknown[0]!r}" if unknown else f"the argument {missing[0]!r} is missing"
        )
        return wrong_arguments(op.name, op.__signature__, unknown, why)
    for value in values:
        if not isinstance(value, int | float | None) and not hasattr(value, "dtype"):
            return no_array(op.name, value)
    if isinstance(error, AttributeError):
        return error
    given = [f"{v.dtype}{v.shape}" if hasattr(v, "dtype") else repr(v) for v in values[:8]]
    given += ["…"] * (len(values) > 8)
    given += [f"{k}={v!r}" for k, v in params.items()]
    text = f"{op.name}({', '.join(given)}): {str(error).strip()}"
    if isinstance(error, TypeError):
        return DTypeError(text)
    if isinstance(error, ValueError):  # NumPy's error of an axis is an IndexError as well
        return (AxisError if isinstance(error, IndexError) else ShapeError)(text)
    return IndexRangeError(text)


def check_nan(op: Op, out: Any, values: list[Any]) -> None:
    """Raise if the result has a NaN (`detect_anomaly`)."""
    for o in out if isinstance(out, tuple) else (out,):
        if getattr(o, "dtype", np.dtype(bool)).kind in "fV" and bool((o != o).any()):
            given = ", ".join(str(getattr(v, "shape", v)) for v in values)
            raise AnomalyError(
                f"{op.name} made the first NaN from arguments ({given}), at {show(user_place())}"
            )
