"""Masks: of what exists, made of lengths, and of what dropout keeps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..backend import Device, device_of, namespace
from ..backend import device as find_device
from ..engine import Tensor, examine
from ..errors import ConfigError, ShapeError

__all__ = ["lengths_to_mask"]


def lengths_to_mask(lengths: Any, size: int | None = None, *, device: Any = None) -> Tensor:
    """(B, size) bool, True where position s < lengths[b]: where there is something to attend to.

    `size` is the largest of `lengths` by default. For the key_padding_mask of `MultiheadAttention`
    take `~lengths_to_mask(…)`.

    Raises: ShapeError unless 0 ≤ lengths ≤ size, where one can look: with lengths on a GPU, which
    would have to wait, `size` must be right.

    >>> from minigrad import nn
    >>> nn.lengths_to_mask([2, 0, 3])
    tensor([[ True,  True, False],
            [False, False, False],
            [ True,  True,  True]])
    """
    given = as_array(lengths)
    if size is None and device_of(given).kind != "cpu":
        given = device_of(given).to_host(given)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise ShapeError(
            f"lengths_to_mask: lengths are {given.dtype} {given.shape}, expected integers (B,)"
        )
    if size is None:
        size = int(given.max(initial=0))
    where = device_of(given)
    if where.kind == "cpu":
        examine(_check_lengths, given, size)
    if where.kind == "cpu" or device is not None:
        where = find_device(device)
    return Tensor(where.asarray(namespace(given).arange(size) < given.reshape(-1, 1)))


def as_array(values: Any) -> Any:
    """Numbers in a list, an array or a Tensor as an array: of the host, or where it is."""
    data = values.data if isinstance(values, Tensor) else values
    return data if hasattr(data, "dtype") else np.asarray(data)


def device_beside(x: Any) -> Device:
    """Where a Tensor or an array is."""
    return x.device if isinstance(x, Tensor) else device_of(x)


def _check_lengths(lengths: Any, size: int) -> None:
    if lengths.size and not 0 <= lengths.min() <= lengths.max() <= size:
        raise ShapeError(
            f"lengths_to_mask: lengths from {lengths.min()} to {lengths.max()} of sequences with "
            f"{size} positions"
        )


def memory_mask(memory: Tensor, mask: Any, lengths: Any, what: str) -> Any:
    """The mask, or the one that `lengths` mean."""
    if lengths is None:
        return mask
    if mask is not None:
        raise ConfigError(f"{what}: give mask or lengths, not both")
    if len(lengths) != memory.shape[0]:
        raise ShapeError(f"{what}: {len(lengths)} lengths for a batch of {memory.shape[0]}")
    return lengths_to_mask(lengths, memory.shape[1], device=device_beside(memory))


def without_padding(memory: Tensor, mask: Any) -> Tensor:
    """The memory with zeros where nobody looks, if there may be anything else than numbers."""
    if mask is None or (type(memory.data) is np.ndarray and np.isfinite(memory.data).all()):
        return memory
    data = mask.data if isinstance(mask, Tensor) else mask
    used = data if data.dtype == np.bool_ else data != -math.inf
    used = used.any(axis=1) if used.ndim == 3 else used
    return ops.where(used[..., None], memory, 0)


def dropout_mask(like: Tensor, shape: tuple[int, ...], p: float) -> Any:
    """0 with probability p, else 1/(1 - p); None for p = 0."""
    if not 0 <= p <= 1:
        raise ConfigError(f"dropout: p is {p}, expected a probability between 0 and 1")
    if p == 0:
        return None
    return device_beside(like).rng.mask(1 - p, shape, like.dtype)
