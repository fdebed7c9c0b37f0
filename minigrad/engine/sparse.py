"""`RowSparse`: a gradient that touches only some rows of a large matrix.

An embedding step reads a few hundred of |V| rows; its dense gradient would be zeros elsewhere. A
RowSparse holds the rows that were read. It can be added, scaled, measured and made dense, and the
optimisers update just its rows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import NAMESPACES, Array, device_of, fused, on_cpu


def plus(a: Any, b: Any) -> Any:
    """The sum of two gradients: arrays, Tensors or RowSparse."""
    total = a + b
    return np.asarray(total) if isinstance(total, np.generic) else total  # 0-d arrays make scalars


class RowSparse:
    """Gradient of shape `shape` whose only non-zero rows are `values` at `indices`.

    Shapes: indices (N,), values (N, *shape[1:]). Repeated indices add up; `coalesce()` sums them.
    """

    __slots__ = ("indices", "shape", "values")
    __array_ufunc__ = None  # array + RowSparse is decided here, not element by element

    def __init__(self, indices: Array, values: Array, shape: tuple[int, ...]) -> None:
        self.indices, self.values, self.shape = indices, values, shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.values.dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def astype(self, dtype: Any) -> RowSparse:
        return RowSparse(self.indices, self.values.astype(dtype), self.shape)

    def coalesce(self) -> RowSparse:
        """Each row once, in ascending order. On the CPU the same sums in each run, to the bit."""
        device = device_of(self.values)
        ids, xp = device.to_host(self.indices), device.xp
        if on_cpu(xp):
            order = np.argsort(ids, kind="stable")
            ids = ids[order]
            first = np.flatnonzero(np.diff(ids, prepend=-1))
            values = np.add.reduceat(self.values[order], first, axis=0) if len(ids) else self.values
            return RowSparse(ids[first], values, self.shape)
        rows, inverse = np.unique(ids, return_inverse=True)
        values = self._sums(xp, device.asarray(inverse.reshape(-1)), len(rows))
        return RowSparse(device.asarray(rows), values, self.shape)

    def to_dense(self) -> Array:
        """The full array."""
        return self._added_to(device_of(self.values).xp.zeros(self.shape, dtype=self.dtype))

    def _added_to(self, dense: Array) -> Array:
        """`dense`, which is written to."""
        xp = device_of(self.values).xp
        if on_cpu(xp):
            rows = self.coalesce()
            dense[rows.indices] += rows.values
        else:
            dense += self._sums(xp, self.indices, self.shape[0])
        return dense

    def _sums(self, xp: Any, rows: Array, count: int) -> Array:
        """The sum of the values of each of `count` rows, on a GPU: the same in each run."""
        sum_rows = fused(xp, "sum_rows", self.dtype)
        if sum_rows is None:
            sums = xp.zeros((count, *self.shape[1:]), dtype=self.dtype)
            xp.add.at(sums, rows, self.values)
            return sums
        flat = self.values.reshape(len(self.values), math.prod(self.shape[1:]))
        return sum_rows(flat, rows, count).reshape(count, *self.shape[1:])

    def __add__(self, other: Any) -> Any:
        if isinstance(other, RowSparse):
            xp = device_of(self.values).xp
            return RowSparse(
                xp.concatenate([self.indices, other.indices]),
                xp.concatenate([self.values, other.values]),
                self.shape,
            )
        if type(other) in NAMESPACES:
            return self._added_to(other.copy())
        return other + self.to_dense()

    __radd__ = __add__

    def __mul__(self, factor: float) -> RowSparse:
        return RowSparse(self.indices, self.values * factor, self.shape)

    __rmul__ = __mul__

    def __repr__(self) -> str:
        return f"RowSparse(rows={len(self.indices)} of {self.shape[0]}, shape={self.shape})"


def raw(g: Any) -> Any:
    """A gradient as arrays: what `kernel` takes. See `dense`."""
    if g is None:
        return None
    return (g.indices, g.values, g.shape) if isinstance(g, RowSparse) else g.data


def dense(g: Any) -> Array:
    """The array of a gradient that `raw` has taken apart."""
    return RowSparse(*g).to_dense() if isinstance(g, tuple) else g
