"""What a user hangs on a Tensor to see, or replace, its gradient as it passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import NAMESPACES, device_of
from ..errors import DeviceError, GradError, ShapeError
from .modes import switched
from .sparse import RowSparse
from .tensor import TAPE, Tensor, wrap


def run_hooks(
    hooks: dict[int, Callable[[Tensor], Tensor | None]] | None, g: Any, create_graph: bool
) -> Any:
    """The gradient `g` after these hooks, in their order."""
    if not hooks or g is None:
        return g
    for hook in list(hooks.values()):
        before = shared(g)
        with switched(grad=create_graph):
            after = shared(hook(before))
        if after is None:
            continue
        if not isinstance(after, Tensor | RowSparse):
            raise GradError(f"hook: returned {type(after).__name__}, expected a Tensor or None")
        if after.shape != before.shape:
            raise ShapeError(f"hook: returned {after.shape} for a gradient of shape {before.shape}")
        if after.dtype != before.dtype:
            after = after.astype(before.dtype)
        if isinstance(after, Tensor) and after.device is not device_of(values_of(before)):
            raise DeviceError(f"hook: returned a gradient on {after.device}, it came on another")
        g = after.data if isinstance(after, Tensor) and not isinstance(g, Tensor) else after
    return g


def shared(g: Any) -> Any:
    """An array of gradients as a Tensor. Others may hold it: `assign_` would copy it first."""
    if type(g) not in NAMESPACES:
        return g
    t = wrap(g)
    t.version = TAPE
    return t


def values_of(g: Any) -> Any:
    """The array in a gradient of any kind."""
    return g.data if isinstance(g, Tensor) else g.values if isinstance(g, RowSparse) else g
