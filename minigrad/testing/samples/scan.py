"""Samples of running sums and products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .sample import Sample, ints, real

X = real(3, 4, 2)
ZEROS = np.array([[1.5, 0.0, -2.0, 0.5], [0.0, 3.0, 0.0, 1.0], [2.0, 1.0, -1.0, 0.3]])


def _torch(name: str) -> Callable[..., Any]:
    return lambda torch, x: getattr(torch, name)(x, 1)


SAMPLES = [
    Sample("cumulative_sum", (real(5),), np.cumulative_sum),
    Sample("cumulative_sum", (X,), np.cumulative_sum, {"axis": 1}, torch=_torch("cumsum")),
    Sample("cumulative_sum", (X,), np.cumulative_sum, {"axis": -1, "include_initial": True}),
    Sample("cumulative_sum", (ints(3, 4),), np.cumulative_sum, {"axis": 0}, orders=()),
    Sample("cumulative_prod", (real(7),), np.cumulative_prod),
    Sample("cumulative_prod", (X,), np.cumulative_prod, {"axis": 1}, torch=_torch("cumprod")),
    Sample("cumulative_prod", (X,), np.cumulative_prod, {"axis": -1, "include_initial": True}),
    Sample("cumulative_prod", (ZEROS,), np.cumulative_prod, {"axis": 1}, label="zeros"),
    Sample("cumulative_prod", (ZEROS,), np.cumulative_prod, {"axis": 0}, label="more zeros"),
    Sample("cumulative_prod", (real(1),), np.cumulative_prod, label="one"),
    Sample("cumulative_prod", (real(0),), np.cumulative_prod, label="none"),
]
