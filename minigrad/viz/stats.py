"""Arrays in a few numbers: what a record keeps of values and gradients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backend import NAMESPACES, device_of

UNITS = 16  # rows of a heat map at most

Map = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(slots=True)
class Stats:
    """An array in a few numbers.

    Attributes:
        norm: the 2-norm. mean, low, high: of the finite elements.
        bad: how many elements are NaN or infinite.
        units: mean over all axes but the last, in at most 16 groups.
        steps: of a whole sequence in one line: the same numbers per step.
    """

    norm: float
    mean: float
    low: float
    high: float
    bad: int = 0
    units: list[float] = field(default_factory=list)
    steps: list[Stats] = field(default_factory=list)

    def add(self, other: Stats) -> None:
        """Take in the gradient of a further output of the same line."""
        self.norm = (self.norm**2 + other.norm**2) ** 0.5
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.bad += other.bad


def stats(value: Any, *, sequence: bool = False) -> Stats:
    """The statistics of an array of any device; of a whole sequence also step by step."""
    array = _host(value)
    whole = _stats(array)
    if sequence and array.ndim >= 2:
        whole.steps = [_stats(step) for step in array]
    return whole


def shrunk(matrix: np.ndarray[Any, Any], size: int) -> Map:
    """A matrix of at most `size` rows and columns, each the mean of what it stands for."""
    out: Map = np.asarray(matrix, dtype=np.float32)
    for axis in (0, 1):
        n = out.shape[axis]
        if n > size:
            starts = np.arange(size) * n // size
            counts = np.diff(np.append(starts, n)).astype(np.float32)
            sums = np.add.reduceat(out, starts, axis=axis)
            out = np.asarray(sums / (counts[:, None] if axis == 0 else counts), np.float32)
    return out


def _host(value: Any) -> np.ndarray[Any, Any]:
    value = getattr(value, "values", value)  # RowSparse
    return np.asarray(device_of(value).to_host(value) if type(value) in NAMESPACES else value)


def _grouped(rows: np.ndarray[Any, Any]) -> list[float]:
    """At most 16 means of neighbours, of equal size up to one."""
    n = len(rows)
    if n > UNITS:
        starts = np.arange(UNITS) * n // UNITS
        rows = np.add.reduceat(rows, starts) / np.diff(np.append(starts, n))
    found: list[float] = rows.tolist()
    return found


def _stats(array: np.ndarray[Any, Any]) -> Stats:
    numbers = array.astype(np.float64, copy=False)
    finite = np.isfinite(numbers)
    bad = int(numbers.size - np.count_nonzero(finite))
    good = numbers if not bad else numbers[finite]
    if not good.size:
        return Stats(0.0, 0.0, 0.0, 0.0, bad)
    norm = float(np.sqrt((good * good).sum()))
    units: list[float] = []
    if numbers.ndim and not bad:
        units = _grouped(numbers.reshape(-1, numbers.shape[-1]).mean(axis=0))
    return Stats(norm, float(good.mean()), float(good.min()), float(good.max()), bad, units)
