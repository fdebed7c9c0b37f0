"""`backward`: from a Tensor to the `.grad` of its leaves. The walk between is in `walk.py`."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import numpy as np

from ..backend import NAMESPACES, device_of
from ..errors import DeviceError, DTypeError, GradError, ShapeError
from .hooks import shared, values_of
from .modes import MODES
from .operators import ops
from .sparse import plus
from .tape import edge
from .tensor import TAPE, Tensor, wrap
from .walk import pull

# What wants to look on while `backward` walks the tape of a Tensor: a context manager around it.
WATCH: ContextVar[Any] = ContextVar("minigrad.watch", default=None)


def cotangent(t: Tensor, g: Any, create_graph: bool, *, what: str) -> Any:
    """`g`, checked, as the cotangent of `t`: an array, or a Tensor when `create_graph`.

    None means ones, for a single element.
    """
    if g is None:
        y = t.data
        if y.size != 1:
            raise GradError(
                f"{what}: the output has shape {t.shape}; give its cotangent, or reduce it to one "
                "number first, e.g. with .sum()"
            )
        ones = device_of(y).xp.empty(y.shape, dtype=y.dtype)
        ones[...] = 1
        return wrap(ones) if create_graph else ones
    data, y = g.data if isinstance(g, Tensor) else g, t.data
    if type(data) is type(y) and data.shape == y.shape and data.dtype == y.dtype:
        if create_graph:
            return g if isinstance(g, Tensor) else wrap(data)
        return data.copy()  # gradients may be views of it, and the caller may write into it
    if type(data) not in NAMESPACES or not data.ndim:
        data = device_of(t.data).asarray(data, t.dtype)
    if data.shape != t.shape:
        raise ShapeError(f"{what}: the output has shape {t.shape}, its cotangent {data.shape}")
    if type(data) is not type(t.data):
        raise DeviceError(f"{what}: the output is on {t.device}, its cotangent is not")
    if data.dtype != t.dtype:
        if data.dtype.kind not in "fV":
            raise DTypeError(f"{what}: the cotangent has dtype {data.dtype}, expected {t.dtype}")
        g = g.astype(t.dtype) if isinstance(g, Tensor) else wrap(data.astype(t.dtype))
    if not create_graph:
        return g.data if isinstance(g, Tensor) else data
    return g if isinstance(g, Tensor) else wrap(data)


def backward(
    t: Tensor, gradient: Any = None, *, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Add the gradient of `t` to the `.grad` of the leaves it was computed from."""
    if not t.requires_grad:
        raise GradError(
            "backward: nothing was recorded for this tensor; does an input have "
            "requires_grad=True, and was no_grad() off?"
        )
    recorder = MODES.get().recorder
    if recorder is not None:
        gradient = recorder.lift(gradient)
    g = cotangent(t, gradient, create_graph, what="backward")
    retain_graph = retain_graph or create_graph
    watch = WATCH.get()
    roots = [(edge(t), g)]
    if watch is None:
        found = pull(roots, retain_graph=retain_graph, create_graph=create_graph)
    else:
        with watch(t):
            found = pull(roots, retain_graph=retain_graph, create_graph=create_graph)
    for (leaf, _), g in found.items():
        accumulate(leaf, g, create_graph)


def accumulate(leaf: Tensor, g: Any, create_graph: bool = False) -> None:
    """Add the gradient `g` to `leaf.grad`: what `backward` does at the end, for each leaf."""
    old = leaf.grad
    if type(g) is np.ndarray and old is None:
        leaf.grad = t = wrap(g)
        t.version = TAPE  # as in `shared`
        return
    if hasattr(type(values_of(g)), "depth"):
        g = ops.settled(g, leaf)  # of a vmap
    if old is not None:
        recorder = MODES.get().recorder
        if recorder is not None:
            recorder.check_fresh(old)
        g = plus(old if create_graph or not isinstance(old, Tensor) else old.data, g)
    leaf.grad = shared(g)
