"""Samples of indexing, gathering, scattering and lookup."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine import ops
from .sample import Sample, bools, real

X, Y = real(3, 4), real(2, 3, 4)
ROWS = np.array([[2, 0], [0, -1]])  # a repeated and a negative one, and one left out
PAIRS = np.array([[0, 1, 1, -2], [2, 0, 0, 3]])  # along two axes
IDS = np.array([[4, 0, 1], [1, 1, 0]])
MANY = np.array([1, 0, 5, 8] + [3, 2, 4, 6, 7, 1, 0] * 2 + [5, 5] * 29 + [7])
MANY_TIMES = {"axis": 0, "shape": (9, 2)}


def _take(x: Any, indices: Any, *, axis: Any) -> Any:
    if isinstance(axis, int):
        return np.take(x, indices, axis)
    key: list[Any] = [slice(None)] * x.ndim
    for i, a in enumerate(axis):
        key[a] = indices[i]
    return x[tuple(key)]


def _add_at(x: Any, indices: Any, *, axis: Any, shape: Any) -> Any:
    y = np.zeros(shape, x.dtype)
    key: list[Any] = [slice(None)] * len(shape)
    for i, a in enumerate((axis,) if isinstance(axis, int) else axis):
        key[a] = indices if isinstance(axis, int) else indices[i]
    np.add.at(y, tuple(key), x)
    return y


def _assigned(x: Any, value: Any, key: Any) -> Any:
    y = x.copy()
    y[key] = value
    return y


def _put(x: Any, value: Any, indices: Any, *, axis: int) -> Any:
    return _assigned(x, value, (slice(None),) * axis + (indices,))


def _add_along_axis(x: Any, indices: Any, *, axis: int, length: int) -> Any:
    shape = list(x.shape)
    shape[axis] = length
    y = np.zeros(shape, x.dtype)
    for place in np.ndindex(*indices.shape):
        target = list(place)
        target[axis] = indices[place]
        y[tuple(target)] += x[place]
    return y


def _from_front(indices: Any, *, length: int, what: str) -> Any:
    return indices % length


def _extreme_at(x: Any, source: Any, indices: Any, *, largest: bool) -> Any:
    y = x.copy()
    for value, i in zip(source, indices, strict=True):
        y[i] = max(y[i], value) if largest else min(y[i], value)
    return y


def _embedding_grad(g: Any, ids: Any, *, count: int, padding_idx: int | None) -> Any:
    y = np.zeros((count, g.shape[-1]), g.dtype)
    np.add.at(y, ids, g)
    if padding_idx is not None:
        y[padding_idx] = 0
    return y


def _one_hot(ids: Any, *, num_classes: int) -> Any:
    return np.eye(num_classes, dtype=np.float32)[ids]


def _wins(indices: Any, *, axis: int, shape: Any) -> Any:
    flat = indices.reshape(-1) % shape[axis]
    last = [v not in flat[i + 1 :] for i, v in enumerate(flat)]
    return np.array(last).reshape(indices.shape + (1,) * (len(shape) - axis - 1))


def _place(x: Any, key: Any, shape: Any) -> Any:
    return _assigned(np.zeros(shape, x.dtype), x, key)


def _torch_embedding(torch: Any, weight: Any, ids: Any) -> Any:
    return torch.nn.functional.embedding(ids, weight)


SAMPLES = [
    Sample(
        "getitem",
        (Y,),
        lambda x: x[1, ..., None, ::-2],
        call=lambda x: ops.getitem(x, (1, ..., None, slice(None, None, -2))),
        label="view",
    ),
    Sample("getitem", (real(),), lambda x: x[None], call=lambda x: x[None], label="0-d"),
    Sample("place", (real(2, 3),), _place, {"key": (..., 1), "shape": (2, 3, 4)}),
    Sample(
        "setitem",
        (Y, real(4)),
        lambda x, v: _assigned(x, v, (slice(None), 1)),
        call=lambda x, v: ops.setitem(x, v, key=(slice(None), 1)),
        label="view",
    ),
    Sample(
        "setitem",
        (Y,),
        lambda x: _assigned(x, 3.0, 0),
        call=lambda x: ops.setitem(x, 3.0, key=0),
        label="a number",
    ),
    Sample("take", (X, ROWS), _take, {"axis": 0}, torch=lambda t, x, i: x[i]),
    Sample("take", (Y, ROWS), _take, {"axis": 1}),
    Sample("take", (Y, PAIRS), _take, {"axis": (0, 2)}, torch=lambda t, x, i: x[i[0], :, i[1]]),
    Sample("take", (Y, PAIRS), _take, {"axis": (1, 2)}),
    Sample("take", (real(5), ROWS), _take, {"axis": 0}, label="vector"),
    Sample("add_at", (real(2, 2, 4), ROWS), _add_at, {"axis": 0, "shape": (3, 4)}),
    Sample("add_at", (real(4, 3), PAIRS), _add_at, {"axis": (0, 2), "shape": (2, 3, 4)}),
    Sample("add_at", (real(2, 4), PAIRS), _add_at, {"axis": (1, 2), "shape": (2, 3, 4)}),
    Sample("add_at", (real(77, 2), MANY), _add_at, MANY_TIMES, label="a long run"),
    Sample("add_at", (real(77, 2), MANY // 5), _add_at, MANY_TIMES, label="long runs"),
    Sample("put", (Y, real(2, 1, 4), np.array([0, 2])), _put, {"axis": 1}),
    Sample("from_front", (ROWS,), _from_front, {"length": 3, "what": "scatter"}, orders=()),
    Sample(
        "extreme_at", (real(4), real(5), np.array([3, 0, 0, 3, 1])), _extreme_at, {"largest": True}
    ),
    Sample(
        "extreme_at", (real(4), real(5), np.array([3, 0, 0, 3, 1])), _extreme_at, {"largest": False}
    ),
    Sample("wins", (ROWS,), _wins, {"axis": 1, "shape": (2, 3, 4)}, orders=()),
    Sample(
        "take_along_axis",
        (Y, np.array([[[0, -1, 1, 2]], [[1, 1, 0, 0]]])),
        np.take_along_axis,
        {"axis": 1},
        torch=lambda t, x, i: t.take_along_dim(x, i % 3, 1),
    ),
    Sample("take_along_axis", (real(5), np.array([3, 3, -5])), np.take_along_axis, {"axis": 0}),
    Sample("add_along_axis", (real(2, 4), PAIRS % 3), _add_along_axis, {"axis": 1, "length": 3}),
    Sample("nonzero", (bools(3, 4),), np.nonzero, orders=()),
    Sample("embedding", (real(5, 3), IDS), lambda w, ids: w[ids], torch=_torch_embedding),
    Sample(
        "embedding_grad", (real(2, 3, 3), IDS), _embedding_grad, {"count": 5, "padding_idx": None}
    ),
    Sample("embedding_grad", (real(2, 3, 3), IDS), _embedding_grad, {"count": 5, "padding_idx": 1}),
    Sample("one_hot", (IDS,), _one_hot, {"num_classes": 6}, orders=()),
]
