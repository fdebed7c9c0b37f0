"""Samples of what `vmap` puts around a function: into a batch of examples, and out of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...engine import OPS, ops
from .sample import Sample, real


def _round_trip(x: Any) -> Any:
    inside = OPS["vmap_enter"](x, axis=1, n=4)
    return OPS["vmap_leave"](ops.exp(inside), axis=0, n=4)


def _shared(x: Any) -> Any:
    inside = OPS["vmap_enter"](x, axis=None, n=3)
    return OPS["vmap_leave"](inside, axis=-1, n=3)


def _total(x: Any) -> Any:
    return OPS["vmap_total"](ops.exp(OPS["vmap_enter"](x, axis=0, n=3)), n=3)


def _swapped(x: Any) -> Any:
    return np.exp(np.moveaxis(x, 1, 0))


def _repeated(x: Any) -> Any:
    return np.stack([x] * 3, axis=-1)


X = real(3, 4, 2)

SAMPLES = [
    Sample("vmap_enter", (X,), _swapped, call=_round_trip),
    Sample("vmap_enter", (X,), _repeated, call=_shared, label="shared"),
    Sample("vmap_leave", (X,), _swapped, call=_round_trip),
    Sample("vmap_total", (X,), lambda x: np.exp(x).sum(axis=0), call=_total),
]
