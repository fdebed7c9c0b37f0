"""Samples of sliding windows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .sample import Sample, real


def _unfold(x: Any, axis: int, size: int, step: int = 1) -> Any:
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis)
    return windows[(slice(None),) * (axis % x.ndim) + (slice(None, None, step),)]


def _fold(x: Any, axis: int, length: int, step: int = 1) -> Any:
    windows = np.moveaxis(x, axis, 0)
    y = np.zeros((length, *windows.shape[1:-1]), x.dtype)
    for t, window in enumerate(windows):
        y[t * step : t * step + x.shape[-1]] += np.moveaxis(window, -1, 0)
    return np.moveaxis(y, 0, axis)


SAMPLES = [
    Sample(
        "unfold",
        (real(2, 7, 3),),
        _unfold,
        {"axis": 1, "size": 3, "step": 2},
        torch=lambda torch, x: x.unfold(1, 3, 2),
    ),
    Sample("unfold", (real(5),), _unfold, {"axis": -1, "size": 2}),
    Sample("fold", (real(3, 2, 4),), _fold, {"axis": 0, "length": 9, "step": 2}),
    Sample("fold", (real(2, 4, 2),), _fold, {"axis": 1, "length": 5}),
]
