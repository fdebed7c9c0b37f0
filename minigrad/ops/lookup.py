"""Rows of a table: embedding and its gradient, one-hot codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import Array, fused, on_cpu
from ..engine import RowSparse, Tensor, examine, function, op, primitive, recording
from ..errors import DTypeError, IndexRangeError, ShapeError

__all__ = ["embedding", "one_hot"]

_ROUNDS = 16  # ids that occur more often are summed one by one


def sum_rows(xp: Any, rows: Array, ids: Array, count: int) -> Array:
    """(count, E): row i is the sum of the rows[n] with ids[n] = i.

    The sums run in the order of occurrence, or in a fixed tree, so they are the same each time.
    Shapes: rows (N, E), ids (N,).
    """
    fast = fused(xp, "sum_rows", rows.dtype) if rows.size else None
    if fast is not None:
        return fast(rows, ids, count)
    sums = xp.zeros((count, rows.shape[1]), dtype=rows.dtype)
    if not on_cpu(xp):
        xp.add.at(sums, ids, rows)
    elif rows.size:
        primitive(_sum_rows, rows, ids, sums, writes=(2,))
    return sums


def _sum_rows(rows: Array, ids: Array, sums: Array) -> None:
    n, count = len(ids), len(sums)
    if rows.shape[1] == 1 and rows.dtype.kind == "f":
        sums[:, 0] = np.bincount(ids, weights=rows[:, 0], minlength=count)
        return
    # Sort by id, stably; 16-bit keys are sorted by radix, several times faster.
    order = np.argsort(ids.astype(np.uint16) if count <= 1 << 16 else ids, kind="stable")
    ids = ids[order]
    first = np.flatnonzero(np.concatenate(([True], ids[1:] != ids[:-1])))
    if n >= 8 * len(first):  # few ids, each many times: one pass over the sorted rows
        sums[ids[first]] = np.add.reduceat(rows[order], first, axis=0)
        return
    times = np.diff(first, append=n)  # else add the k-th occurrence of every id in round k
    part = rows.take(order[first], axis=0)
    live = np.arange(len(first))
    for k in range(1, min(int(times.max()), _ROUNDS)):
        live = live[times[live] > k]
        part[live] += rows.take(order[first[live] + k], axis=0)
    for i in np.flatnonzero(times > _ROUNDS):
        part[i] += rows[order[first[i] + _ROUNDS : first[i] + times[i]]].sum(axis=0)
    sums[ids[first]] = part


def check_ids(xp: Any, ids: Array, count: int, what: str) -> None:
    """Raise unless ids are integers in [0, count).

    The values are looked at on the CPU only: a GPU would have to wait, so there the data loader
    looks at them.
    """
    if ids.dtype.kind not in "iu":
        raise DTypeError(f"{what}: ids are {ids.dtype}; give integers (ids.astype(mg.int64))")
    if on_cpu(xp):
        examine(_in_range, ids, count, what)


def _in_range(ids: Array, count: int, what: str) -> None:
    if ids.size and (ids.min() < 0 or ids.max() >= count):
        wrong = ids[(ids < 0) | (ids >= count)].flat[0]
        raise IndexRangeError(
            f"{what}: id {wrong} is outside the table of {count} rows; ids go from 0 to {count - 1}"
        )


@op
def _embedding(
    xp: Any, weight: Array, ids: Array, /, *, padding_idx: int | None = None, sparse: bool = False
) -> Array:
    """weight[ids]: one row of a table per id."""
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight has shape {weight.shape}, expected (rows, features)")
    check_ids(xp, ids, len(weight), "embedding")
    _padding_row(padding_idx, len(weight))
    if ids.dtype == np.uint64:
        ids = ids.astype(np.int64)
    if on_cpu(xp):
        return xp.take(weight, ids, axis=0, mode="clip")  # xp: allow - NumPy's; ids are checked
    return weight.take(ids, axis=0)


def _padding_row(padding_idx: int | None, count: int) -> int | None:
    """`padding_idx` counted from the front."""
    if padding_idx is not None and not -count <= padding_idx < count:
        raise IndexRangeError(f"embedding: padding_idx {padding_idx} is outside the {count} rows")
    return None if padding_idx is None else padding_idx % count


@op
def _embedding_grad(
    xp: Any, g: Array, ids: Array, /, *, count: int, padding_idx: int | None
) -> Array:
    """The transpose of embedding: (count, E) with each g[…, :] added to the row of its id."""
    sums = sum_rows(xp, g.reshape(ids.size, g.shape[-1]), ids.reshape(-1), count)
    if padding_idx is not None:
        sums[padding_idx] = 0
    return sums


def _embedding_vjp(
    g: Any, _y: Any, _weight: Any, ids: Any, *, padding_idx: int | None, sparse: bool
) -> Any:
    count, width = _weight.shape
    # A gradient that is differentiated again, or recorded in a program, is dense.
    if not sparse or isinstance(g, Tensor) or recording():
        return _embedding_grad(g, ids, count=count, padding_idx=_padding_row(padding_idx, count))
    rows, ids = g.reshape(ids.size, width), ids.reshape(-1)
    if padding_idx is not None:
        used = ids != _padding_row(padding_idx, count)
        if type(ids) is np.ndarray:
            rows, ids = rows[used], ids[used]
        else:  # a mask would make the GPU wait: the row stays, with zeros
            rows = rows * used.reshape(-1, 1).astype(rows.dtype)
    return RowSparse(ids, rows, _weight.shape)


def _embedding_grad_vjp(
    g: Any, _y: Any, _g: Any, ids: Any, *, count: int, padding_idx: int | None
) -> Any:
    rows = _embedding(g, ids)
    if padding_idx is None:
        return rows
    return rows * (ids != padding_idx).reshape((*ids.shape, 1)).astype(_g.dtype)


_embedding.defvjp(_embedding_vjp, None)
_embedding_grad.defvjp(_embedding_grad_vjp, None)


@function
def embedding(
    weight: Any, ids: Any, /, *, padding_idx: int | None = None, sparse: bool = False
) -> Any:
    """weight[ids]: one row of a table per id.

    Shapes: weight (V, E), ids (…) → (…, E).

    The row `padding_idx` gets no gradient. With `sparse`, the gradient of a leaf `weight` is a
    `RowSparse` of the rows that were read.

    Raises: IndexRangeError for an id outside [0, V), negative ones included, on the CPU; on a GPU
    ids are not looked at, as that would make it wait: the data loader checks them.
    """
    sparse = sparse and isinstance(weight, Tensor) and weight.is_leaf
    return _embedding(weight, ids, padding_idx=padding_idx, sparse=sparse)


@op
def one_hot(xp: Any, ids: Array, /, num_classes: int, *, dtype: Any = np.float32) -> Array:
    """1 at the position of each id, 0 elsewhere. Shapes: ids (…) → (…, num_classes).

    Raises: IndexRangeError for an id outside [0, num_classes), on the CPU.

    >>> import minigrad as mg
    >>> mg.one_hot(mg.tensor([1, 0]), 3)
    tensor([[0., 1., 0.],
            [1., 0., 0.]])
    """
    check_ids(xp, ids, num_classes, "one_hot")
    return (ids.reshape((*ids.shape, 1)) == xp.arange(num_classes)).astype(dtype)
