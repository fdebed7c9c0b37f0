"""Samples of shapes, order, joining and splitting."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine import ops
from .sample import Sample, real

X, Y, MANY = real(3, 4), real(2, 3, 4), real(2, 1)


def _reshape(x: Any, shape: Any) -> Any:
    return x.reshape(shape)


def _transpose(x: Any, axes: Any) -> Any:
    return x.transpose(axes)


def _tile(x: Any, repetitions: Any) -> Any:
    return np.tile(x, repetitions)


def _squeeze(x: Any, axis: Any) -> Any:
    return x.squeeze(axis)


def _from_diagonal(x: Any, *, shape: Any, offset: int, axis1: int, axis2: int) -> Any:
    y = np.zeros(shape, x.dtype)
    for batch in np.ndindex(x.shape[:-1]):
        for i, value in enumerate(x[batch]):
            moved = np.moveaxis(y, (axis1, axis2), (-2, -1))
            moved[(*batch, i + max(-offset, 0), i + max(offset, 0))] = value
    return y


def _joined(function: Any, axis: int | None) -> Any:
    return lambda *xs: function(xs, axis)


def _stacks(**params: Any) -> dict[str, Any]:
    """Joining takes one list; the sample's arguments are its parts."""
    return {"call": lambda *xs: ops.stack(xs, **params)}


def _concats(**params: Any) -> dict[str, Any]:
    return {"call": lambda *xs: ops.concat(xs, **params)}


SAMPLES = [
    Sample("reshape", (X,), _reshape, {"shape": (2, 6)}, torch=lambda t, x: x.reshape(2, 6)),
    Sample("reshape", (X,), _reshape, {"shape": (-1,)}),
    Sample("reshape", (real(3, 0),), _reshape, {"shape": (0, 5)}),
    Sample("reshape", (X,), lambda x, shape, copy: x.reshape(shape), {"shape": 12, "copy": True}),
    Sample("expand_dims", (X,), np.expand_dims, {"axis": 1}, torch=lambda t, x: x[:, None]),
    Sample("expand_dims", (X,), np.expand_dims, {"axis": (0, -1)}),
    Sample("squeeze", (real(1, 3, 1),), _squeeze, {"axis": (0, 2)}, torch="squeeze"),
    Sample("squeeze", (real(1, 3, 1),), _squeeze, {"axis": -1}),
    Sample("permute_dims", (Y,), _transpose, {"axes": (2, 0, 1)}),
    Sample("permute_dims", (Y,), _transpose, {"axes": (-2, 0, -1)}),
    Sample("matrix_transpose", (Y,), np.matrix_transpose, torch=lambda t, x: x.mT),
    Sample("flip", (Y,), np.flip),
    Sample("flip", (Y,), np.flip, {"axis": (0, -1)}, torch=lambda t, x: x.flip((0, -1))),
    Sample("roll", (Y,), np.roll, {"shift": 5}, torch=lambda t, x: x.roll(5)),
    Sample("roll", (Y,), np.roll, {"shift": (1, -2), "axis": (0, 2)}),
    Sample("tile", (X,), _tile, {"repetitions": (2,)}),
    Sample(
        "tile",
        (X,),
        _tile,
        {"repetitions": (2, 1, 3)},
        torch=lambda t, x: x.tile((2, 1, 3)),
    ),
    Sample("repeat", (X,), np.repeat, {"repeats": 2, "axis": 1}),
    Sample("repeat", (X,), lambda x: np.repeat(x, 3), call=lambda x: ops.repeat(x, 3)),
    Sample(
        "pad",
        (X,),
        lambda x: np.pad(x, ((1, 0), (2, 3)), constant_values=7.0),
        call=lambda x: ops.pad(x, ((1, 0), (2, 3)), constant_values=7.0),
        torch=lambda t, x: t.nn.functional.pad(x, (2, 3, 1, 0), value=7.0),
    ),
    Sample("diagonal", (X,), lambda x: x.diagonal(), torch="diagonal"),
    Sample(
        "diagonal",
        (Y,),
        lambda x, **params: x.diagonal(**params),
        {"offset": 1, "axis1": 0, "axis2": 2},
    ),
    Sample(
        "from_diagonal",
        (real(2, 3),),
        _from_diagonal,
        {"shape": (3, 2, 4), "offset": -1, "axis1": 2, "axis2": 0},
    ),
    Sample(
        "from_diagonal",
        (real(3),),
        _from_diagonal,
        {"shape": (5, 3), "offset": 0, "axis1": 0, "axis2": 1},
    ),
    Sample(
        "concat",
        (real(2, 3), real(2, 1), real(2, 2)),
        _joined(np.concatenate, 1),
        **_concats(axis=-1),
        torch=lambda t, *xs: t.cat(xs, 1),
    ),
    Sample("concat", (real(2, 3), real(4)), _joined(np.concatenate, None), **_concats(axis=None)),
    Sample("concat", (MANY,) * 9, _joined(np.concatenate, 1), label="many", **_concats(axis=1)),
    Sample("stack", (X, X), _joined(np.stack, 0), torch=lambda t, *x: t.stack(x), **_stacks()),
    Sample("stack", (X, X, X), _joined(np.stack, -1), label="last", **_stacks(axis=-1)),
    Sample("stack", (real(),) * 9, _joined(np.stack, 0), label="many", **_stacks()),
    Sample("unstack", (Y,), tuple, torch=lambda t, x: t.unbind(x)),
    Sample("unstack", (Y,), lambda x, axis: tuple(np.moveaxis(x, axis, 0)), {"axis": -1}),
    Sample("unstack", (real(1, 3),), lambda x: (x[0],), label="one"),
    Sample(
        "split",
        (Y,),
        lambda x: tuple(np.split(x, 2, -1)),
        call=lambda x: ops.split(x, 2, axis=-1),
        torch=lambda t, x: t.split(x, 2, -1),
    ),
    Sample(
        "split",
        (real(6),),
        lambda x: tuple(np.split(x, [1, 1, 4])),
        call=lambda x: ops.split(x, [1, 1, 4]),
        label="positions",
    ),
]
