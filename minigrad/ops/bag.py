"""Bags of embeddings: sums, means and maxima over groups of ids, without the rows in between."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import Array, device_of
from ..engine import Tensor, function, ops
from ..errors import ConfigError, DeviceError, ShapeError

__all__ = ["embedding_bag"]

Host = np.ndarray[Any, Any]


@function
def embedding_bag(
    ids: Any,
    weight: Any,
    offsets: Any = None,
    *,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
    scale_grad_by_freq: bool = False,
) -> Any:
    """The sum, mean or maximum of weight[ids] over each bag of ids.

    Shapes: ids (B, n): B bags of n; or ids (N,) and offsets (B,), where each bag starts → (B, E);
    weight (V, E). offsets are host integers: a list, a NumPy array or a Tensor on the CPU.

    Args:
        mode: "sum", "mean" or "max"; an empty bag gives zeros.
        sparse: the gradient of `weight` is a `RowSparse`.
        per_sample_weights: a factor per id, of the shape of ids; for mode="sum".
        include_last_offset: offsets has one entry more, the end of the last bag.
        padding_idx: this id counts for nothing and gets no gradient.
        scale_grad_by_freq: divide each row's gradient by how often its id occurs; not for "max".

    Raises: ConfigError for another mode or options that do not go together; ShapeError for ids or
    offsets that do not fit; IndexRangeError for an id outside the table, on the CPU.

    >>> import minigrad as mg
    >>> table = mg.tensor([[1.0], [2.0], [4.0]])
    >>> mg.embedding_bag(mg.tensor([0, 1, 2]), table, [0, 1], mode="sum")
    tensor([[1.],
            [6.]])
    """
    if mode not in ("sum", "mean", "max"):
        raise ConfigError(f"embedding_bag: mode is {mode!r}; give 'sum', 'mean' or 'max'")
    if per_sample_weights is not None and mode != "sum":
        raise ConfigError(f"embedding_bag: per_sample_weights go with mode='sum', not {mode!r}")
    if per_sample_weights is not None and per_sample_weights.shape != ids.shape:
        raise ShapeError(
            f"embedding_bag: per_sample_weights are {per_sample_weights.shape}, ids {ids.shape}"
        )
    if scale_grad_by_freq and mode == "max":
        raise ConfigError("embedding_bag: scale_grad_by_freq does not go with mode='max'")
    starts = _starts(ids, offsets, include_last_offset)
    device = device_of(ids.data if isinstance(ids, Tensor) else ids)
    rows = ops.embedding(weight, ids, padding_idx=padding_idx, sparse=sparse)
    if scale_grad_by_freq:
        rows = by_frequency(rows, ids, len(weight))
    factor = per_sample_weights
    counted: Any = None
    if padding_idx is not None:
        counted = ids != padding_idx % len(weight)
        factor = counted.astype(rows.dtype) if factor is None else ops.where(counted, factor, 0)
    if mode == "max":
        return _max(rows, counted, starts, device)
    if factor is not None:
        rows = rows * ops.expand_dims(factor, -1)
    if mode == "sum":
        return _sum(rows, starts, device)
    if counted is not None:
        counts = _sum(ops.expand_dims(counted.astype(rows.dtype), -1), starts, device)
        return _sum(rows, starts, device) / ops.maximum(counts, 1)
    if starts is None:
        return _sum(rows, starts, device) / max(1, ids.shape[1])
    share = (1 / np.maximum(np.diff(starts), 1)).astype(rows.dtype)[:, None]
    return _sum(rows, starts, device) * device.asarray(share)


def by_frequency(rows: Any, ids: Any, count: int) -> Any:
    """`rows` of a table, whose gradient will be divided by how often each id occurs in `ids`."""
    if not getattr(rows, "requires_grad", False) or not ids.size:
        return rows
    flat = ops.reshape(ids, (-1,))
    ones = ops.ones(flat.shape, dtype=rows.dtype, device=rows.device)
    times = ops.add_at(ones, flat, axis=0, shape=(count,))
    share = ops.reshape(1 / ops.take(times, flat), (*ids.shape, 1))
    rows.register_hook(lambda g: g * share)
    return rows


def _starts(ids: Any, offsets: Any, include_last: bool) -> Host | None:
    """Where each bag starts, and the end; None for bags of one length."""
    if ids.ndim == 2:
        if offsets is not None:
            raise ShapeError("embedding_bag: ids with two axes are bags already; leave offsets out")
        return None
    if ids.ndim != 1 or offsets is None:
        raise ShapeError(
            f"embedding_bag: ids are {ids.shape}; give (B, n), or (N,) with offsets of the bags"
        )
    data = offsets.data if isinstance(offsets, Tensor) else offsets
    if not isinstance(data, list | tuple | np.ndarray):
        raise DeviceError(
            "embedding_bag: offsets are on a device; give them as a list or on the CPU: they "
            "decide, on the host, which rows belong together"
        )
    starts = np.asarray(data, dtype=np.int64)
    bad = starts.ndim != 1 or (include_last and not len(starts))
    if not include_last:
        starts = np.append(starts, len(ids))
    bad = bad or bool((np.diff(starts) < 0).any())
    if bad or (len(starts) > 1 and starts[0] != 0) or starts[-1] > len(ids):
        raise ShapeError(
            f"embedding_bag: offsets {np.asarray(data).tolist()} must ascend from 0 to at most "
            f"{len(ids)}, the number of ids"
        )
    return starts


def _bags(starts: Host, n: int) -> Host:
    """The bag of each id; ids after the last bag's end are in none: bag B."""
    lengths = np.append(np.diff(starts), n - starts[-1])
    return np.repeat(np.arange(len(lengths)), lengths)


def _sum(rows: Any, starts: Host | None, device: Any) -> Any:
    """(B, E): the sum over each bag."""
    if starts is None:
        return rows.sum(axis=1)
    bags = device.asarray(_bags(starts, len(rows)))
    shape = (len(starts), rows.shape[1])
    return ops.add_at(rows, bags, axis=0, shape=shape)[:-1]


def _max(rows: Any, counted: Array | None, starts: Host | None, device: Any) -> Any:
    """(B, E): the maximum over each bag, zeros where it is empty."""
    if starts is not None:
        lengths = np.diff(starts)
        step = np.arange(max(1, lengths.max(initial=0)))
        inside = step < lengths[:, None]  # (B, n)
        place = device.asarray(np.where(inside, starts[:-1, None] + step, 0))
        if not len(rows):
            return ops.zeros((len(lengths), rows.shape[1]), dtype=rows.dtype, device=device)
        rows = ops.take(rows, place, axis=0)
        there = device.asarray(inside)
        counted = there if counted is None else ops.take(counted, place, axis=0) & there
    elif not rows.shape[1]:
        return rows.sum(axis=1)
    if counted is None:
        return rows.max(axis=1)
    counted = ops.expand_dims(counted, -1)
    top = ops.where(counted, rows, -math.inf).max(axis=1)
    return ops.where(ops.any(counted, axis=1), top, 0)
