"""Samples of casts, copies, moves between devices, triangles, and the engine's own ops."""

from __future__ import annotations

import numpy as np

from ...backend import device_of
from ...engine import Tensor, ops
from .sample import Sample, real

X = real(3, 4)


def _broadcast(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(x, shape)


def _sum_to(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return x.sum(axis=(0, 2)).reshape(shape)


def _there_and_back(x: Tensor) -> Tensor:
    """x by way of another device; of the strict one, which is always there."""
    home = x.device if isinstance(x, Tensor) else device_of(x)
    there = ops.to_device(x, device="strict" if home.kind == "cpu" else "cpu")
    return ops.to_device(there, device=home)


SAMPLES = [
    Sample("alias", (X,), np.asarray),
    Sample("copy", (X,), np.copy, torch="clone"),
    Sample(
        "astype",
        (X,),
        lambda x: x.astype("float64"),
        call=lambda x: ops.astype(x, "float64"),
        torch="clone",
    ),
    Sample("to_device", (X,), np.asarray, call=_there_and_back),
    Sample("tril", (real(2, 3, 4),), np.tril, torch="tril"),
    Sample("tril", (real(3, 4),), np.tril, {"k": 1}),
    Sample("triu", (real(2, 3, 4),), np.triu, torch="triu"),
    Sample("triu", (real(3, 4),), np.triu, {"k": -1}),
    Sample("broadcast_to", (real(3, 1),), _broadcast, {"shape": (2, 3, 4)}),
    Sample("broadcast_to", (real(),), _broadcast, {"shape": (2,)}, label="a number"),
    Sample("sum_to", (real(2, 3, 4),), _sum_to, {"shape": (3, 1)}),
]
