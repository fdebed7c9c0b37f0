"""The short way through an op, for speed: one straight line of code for what most calls are.

An op of one or two arrays and no static parameters is mostly called with Tensors that require grad
(the second perhaps a number), or with arrays, inside a derivative rule. `Op.general` asks a dozen
questions to find that out; the functions here ask few, and hand everything else to it: constants,
views, other devices, anomaly detection, errors, and calls that record nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import NAMESPACES
from .modes import MODES
from .tape import Spec, new_spec, write
from .tensor import Tensor

if TYPE_CHECKING:
    from .op import Op


def short(op: Op) -> Callable[..., Any] | None:
    """A function that does what `op` does, faster; None if there is no such way."""
    if op.arity not in (1, 2) or len(op.__signature__.parameters) > op.arity:
        return None
    if op.view or op.fused:
        return None
    call = _unary(op) if op.arity == 1 else _binary(op)
    call.__name__, call.__doc__, call.__module__ = op.__name__, op.__doc__, op.__module__
    return call


def arrays(out: Any) -> Any:
    """What a kernel returned as arrays: NumPy gives scalars where the result is 0-d."""
    if type(out) is tuple:
        return tuple([arrays(o) for o in out])
    return out if type(out) in NAMESPACES and not isinstance(out, np.generic) else np.asarray(out)


def _unary(op: Op) -> Callable[..., Any]:
    kernel, general, plan = op.forward, op.general, None

    def call(a: Any) -> Any:
        nonlocal plan
        if type(a) is np.ndarray:
            try:
                return kernel(np, a)
            except (ValueError, TypeError, IndexError):
                return general((a,), {})  # fails again, and explains
        modes = MODES.get()
        if not (modes.usual and isinstance(a, Tensor) and a.requires_grad):
            return general((a,), {})
        x, line = a.data, a.node
        if line is not None and a.version is not None:
            return general((a,), {})
        if plan is None:
            if op.rules is None:
                return general((a,), {})
            plan = op.keeps(1, 1)
        try:
            y = kernel(NAMESPACES[type(x)], x)
        except (ValueError, TypeError, IndexError):
            return general((a,), {})  # fails again, and explains
        if type(y) is not type(x):
            y = arrays(y)
        keep_y, (keep,) = plan
        if not keep:
            x = new_spec(Spec, (x.shape, x.dtype)) if line is None else line.specs[a.index]
        return write(op, (line or a,), (a.index,), 1, (x,), y, keep_y, modes)

    return call


def _binary(op: Op) -> Callable[..., Any]:
    kernel, general = op.forward, op.general
    plans: list[Any] = [None] * 4  # by mask

    def call(a: Any, b: Any) -> Any:
        if type(a) is np.ndarray and type(b) is np.ndarray:
            try:
                return kernel(np, a, b)
            except (ValueError, TypeError, IndexError):
                return general((a, b), {})
        modes = MODES.get()
        if not (modes.usual and isinstance(a, Tensor) and a.requires_grad):
            return general((a, b), {})
        x, line = a.data, a.node
        z: Any
        if type(b) is float or type(b) is int:
            z, other, slot, mask = b, None, 0, 1
        elif isinstance(b, Tensor) and b.requires_grad and type(b.data) is type(x):
            z, other, slot, mask = b.data, b.node, b.index, 3
            if other is not None and b.version is not None:
                return general((a, b), {})
        else:
            return general((a, b), {})
        if line is not None and a.version is not None:
            return general((a, b), {})
        plan = plans[mask]
        if plan is None:
            if op.rules is None:
                return general((a, b), {})
            plans[mask] = plan = op.keeps(mask, 2)
        try:
            y = kernel(NAMESPACES[type(x)], x, z)
        except (ValueError, TypeError, IndexError):
            return general((a, b), {})  # fails again, and explains
        if type(y) is not type(x):
            y = arrays(y)
        keep_y, (keep_a, keep_b) = plan
        if not keep_a:
            x = new_spec(Spec, (x.shape, x.dtype)) if line is None else line.specs[a.index]
        if mask == 3:
            if not keep_b:
                z = new_spec(Spec, (z.shape, z.dtype)) if other is None else other.specs[slot]
            other = other or b
        return write(op, (line or a, other), (a.index, slot), mask, (x, z), y, keep_y, modes)

    return call
