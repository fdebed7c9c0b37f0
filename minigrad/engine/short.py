"""The short way through an op, for speed: one straight line of code for what most calls are.

An op of one or two arrays and no static parameters is mostly called with Tensors that require grad
(the second perhaps a constant or a number), or with arrays, inside a derivative rule. `Op.general`
asks a dozen questions to find that out; the functions here ask few, and hand everything else to it:
views, other devices, anomaly detection, errors, and calls that record nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from ..backend import NAMESPACES
from .modes import MODES
from .tape import Node, spec_of, write
from .tensor import Tensor

if TYPE_CHECKING:
    from .op import Op

ndarray = np.ndarray
_MISSING: Any = object()
_NO_PARAMS: dict[str, Any] = {}
_FIRST = (0,)


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

    def call(a: Any = _MISSING, *rest: Any, **params: Any) -> Any:
        nonlocal plan
        if rest or params:
            return general(*_given(a, *rest), **params)
        if type(a) is ndarray:
            try:
                return kernel(np, a)
            except (ValueError, TypeError, IndexError):
                return general(a)  # fails again, and explains
        modes = MODES.get()
        if not (modes.usual and isinstance(a, Tensor) and a.requires_grad):
            return general(*_given(a))
        x, line = a.data, a.node
        if line is not None and (a.version is not None or line.many is not None):
            return general(a)
        if plan is None:
            if op.rules is None:
                return general(a)
            plan = op.keeps(1, 1)
        try:
            y = kernel(np if type(x) is ndarray else NAMESPACES[type(x)], x)
        except (ValueError, TypeError, IndexError):
            return general(a)  # fails again, and explains
        if type(y) is not type(x):
            y = arrays(y)
        keep_y, (keep,) = plan
        node = Node()
        node.op = op
        node.params = _NO_PARAMS
        node.parents = (line or a,)
        node.slots = _FIRST
        node.mask = 1
        node.inputs = (x if keep else line or a,)
        node.outputs = y if keep_y else None
        node.residual = node.versions = None
        return write(node, y, modes, 2)

    return call


def _binary(op: Op) -> Callable[..., Any]:
    kernel, general = op.forward, op.general
    plans: list[Any] = [None] * 4  # by mask

    def call(a: Any = _MISSING, b: Any = _MISSING, *rest: Any, **params: Any) -> Any:
        if rest or params:
            return general(*_given(a, b, *rest), **params)
        if type(a) is ndarray and type(b) is ndarray:
            try:
                return kernel(np, a, b)
            except (ValueError, TypeError, IndexError):
                return general(a, b)
        modes = MODES.get()
        if not (modes.usual and isinstance(a, Tensor) and a.requires_grad):
            return general(*_given(a, b))
        x = a.data
        first: Any = a.node
        second: Any = None
        z: Any = b
        slot, mask, versions = 0, 1, None
        if first is None:
            first = a
        elif a.version is not None or first.many is not None:
            return general(a, b)
        if isinstance(b, Tensor):
            z = b.data
            if type(z) is not type(x):
                return general(a, b)
            if b.requires_grad:
                mask, second = 3, b.node
                if second is None:
                    second = b
                elif b.version is not None or second.many is not None:
                    return general(a, b)
            else:
                slot, second = b.index, ref(b)
        elif type(b) is not float and type(b) is not int:
            return general(*_given(a, b))
        plan = plans[mask]
        if plan is None:
            if op.rules is None:
                return general(a, b)
            plans[mask] = plan = op.keeps(mask, 2)
        try:
            y = kernel(np if type(x) is ndarray else NAMESPACES[type(x)], x, z)
        except (ValueError, TypeError, IndexError):
            return general(a, b)  # fails again, and explains
        if type(y) is not type(x):
            y = arrays(y)
        keep_y, (keep_a, keep_b) = plan
        if mask == 3:
            z = z if keep_b else second
        elif second is not None:  # a constant
            if keep_b:
                versions = [(b.shared_version(), 1)]
            else:
                z = spec_of(b)
        node = Node()
        node.op = op
        node.params = _NO_PARAMS
        node.parents = first, second
        node.slots = 0, slot
        node.mask = mask
        node.inputs = x if keep_a else first, z
        node.outputs = y if keep_y else None
        node.residual = None
        node.versions = versions
        return write(node, y, modes, 2)

    return call


def _given(*args: Any) -> tuple[Any, ...]:
    """The arguments that were given by position."""
    return tuple([a for a in args if a is not _MISSING])
