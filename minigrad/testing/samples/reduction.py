"""Samples of reductions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .sample import Sample, bools, ints, real

X = real(3, 4, 2)
WITH_ZEROS = np.array([[1.5, 0.0, -2.0, 0.5], [0.0, 3.0, 0.0, 1.0], [2.0, 1.0, -1.0, 0.3]])


def _var(function: Callable[..., Any]) -> Callable[..., Any]:
    def reference(x: Any, *, correction: float = 0, **kwargs: Any) -> Any:
        return function(x, ddof=correction, **kwargs)

    return reference


def _norm(x: Any, *, ord: float = 2, axis: Any = None, keepdims: bool = False) -> Any:
    power = np.abs(x) ** ord if math.isfinite(ord) else np.abs(x)
    if ord == math.inf:
        return power.max(axis=axis, keepdims=keepdims)
    if ord == -math.inf:
        return power.min(axis=axis, keepdims=keepdims)
    return power.sum(axis=axis, keepdims=keepdims) ** (1 / ord)


def _torch(name: str, **kwargs: Any) -> Callable[..., Any]:
    return lambda torch, x: getattr(torch, name)(x, **kwargs)


def _over(
    name: str, reference: Callable[..., Any], *x: Any, orders: tuple[int, ...] = (1, 2), **kw: Any
) -> list[Sample]:
    """Over all axes, one, one from the end, and two of them kept."""
    which: list[dict[str, Any]] = [
        {},
        {"axis": 1},
        {"axis": -1, "keepdims": True},
        {"axis": (0, 2)},
    ]
    return [Sample(name, x or (X,), reference, {**kw, **p}, orders) for p in which]


SAMPLES = [
    *_over("sum", np.sum),
    *_over("mean", np.mean),
    *_over("max", np.max),
    *_over("min", np.min),
    *_over("prod", np.prod),
    *_over("var", _var(np.var)),
    *_over("std", _var(np.std), correction=1),
    *_over("norm", _norm),
    *_over("all", np.all, bools(3, 4, 2), orders=()),
    *_over("any", np.any, bools(3, 4, 2), orders=()),
    *_over("count_nonzero", np.count_nonzero, ints(3, 4, 2, low=0, high=2), orders=()),
    *_over("sum", np.sum, ints(3, 4, 2), orders=()),
    Sample("sum", (X,), np.sum, {"axis": 0}, torch=_torch("sum", dim=0), label="as torch"),
    Sample("mean", (X,), np.mean, {"axis": 0}, torch=_torch("mean", dim=0), label="as torch"),
    Sample("max", (X,), np.max, {"axis": 0}, torch=_torch("amax", dim=0), label="as torch"),
    Sample("min", (X,), np.min, {"axis": 0}, torch=_torch("amin", dim=0), label="as torch"),
    Sample("prod", (X,), np.prod, {"axis": 0}, torch=_torch("prod", dim=0), label="as torch"),
    Sample("prod", (lambda _rng, dtype: WITH_ZEROS.astype(dtype),), np.prod, {"axis": 1}),
    Sample("prod", (real(5),), np.prod, label="a vector"),
    Sample("prod", (real(1),), np.prod, label="one element"),
    Sample(
        "var",
        (X,),
        _var(np.var),
        {"axis": 1, "correction": 1},
        torch=_torch("var", dim=1, correction=1),
    ),
    Sample(
        "std",
        (X,),
        _var(np.std),
        {"axis": 1},
        torch=_torch("std", dim=1, correction=0),
        label="as torch",
    ),
    *[
        Sample("norm", (X,), _norm, {"axis": 1, "ord": p}, torch=_torch("norm", dim=1, p=p))
        for p in (1, 2, 3, 1.5, math.inf, -math.inf)
    ],
    Sample("argmax", (X,), np.argmax, orders=()),
    Sample("argmax", (X,), np.argmax, {"axis": 1, "keepdims": True}, orders=()),
    Sample("argmin", (X,), np.argmin, orders=()),
    Sample("argmin", (X,), np.argmin, {"axis": -1}, orders=()),
]
