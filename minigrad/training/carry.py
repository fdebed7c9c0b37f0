"""What a step hands to the next one: a tree of Tensors, arrays and numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import Device
from ..engine import Tensor


def detach(carry: Any) -> Any:
    """The carry without history. A named tuple becomes a tuple, as it will in a checkpoint."""
    return _map(carry, lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf)


def pack(carry: Any) -> Any:
    """The carry as data that tells Tensors from arrays: each leaf is (kind, leaf)."""
    return _map(carry, lambda c: ("tensor", c) if isinstance(c, Tensor) else ("as is", c))


def unpack(packed: Any, device: Device) -> Any:
    """The carry that was packed, its Tensors on `device`."""
    if isinstance(packed, tuple) and packed and isinstance(packed[0], str):
        kind, leaf = packed
        return Tensor(device.asarray(leaf)) if kind == "tensor" else leaf
    return _children(packed, lambda item: unpack(item, device))


def arrays(batch: Any) -> Any:
    """The batch with its lists of numbers as arrays: their values are then inputs of a program."""
    if isinstance(batch, list) and batch and all(isinstance(x, int | float) for x in batch):
        return np.asarray(batch)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*map(arrays, batch))
    return _children(batch, arrays) if isinstance(batch, tuple | list | dict) else batch


def _map(tree: Any, f: Callable[[Any], Any]) -> Any:
    if isinstance(tree, tuple | list | dict):
        return _children(tree, lambda item: _map(item, f))
    return f(tree)


def _children(tree: Any, f: Callable[[Any], Any]) -> Any:
    if isinstance(tree, dict):
        return {key: f(item) for key, item in tree.items()}
    items = [f(item) for item in tree]
    return items if isinstance(tree, list) else tuple(items)
