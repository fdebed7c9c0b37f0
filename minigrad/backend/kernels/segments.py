"""Rows summed by id in the order of their occurrence, on every device; see `segments.cu`."""

from __future__ import annotations

import numpy as np

from minigrad.backend.device import Array, namespace
from minigrad.backend.kernels.gates import wide
from minigrad.backend.kernels.kernel import Kernel, Launch, row


def _sum_rows(
    ids: Array, order: Array, rows: Array, _rr: int, sums: Array, N: int, E: int, skip: int
) -> None:
    total = wide(np.zeros_like(sums))
    counted = order[ids[order] != skip]
    np.add.at(total, ids[counted], wide(rows)[counted])
    found = np.unique(ids[counted])
    sums[found] = total[found]


SUM_ROWS = Kernel("segments.cu", "sum_rows", _sum_rows)


def sum_rows(rows: Array, ids: Array, count: int, skip: int = -1) -> Array:
    """(count, E): row i is the sum of the rows[n] with ids[n] = i, but for id `skip`.

    Bit for bit what `np.add.at` gives: each sum runs in the order of occurrence.
    """
    xp, (N, E) = namespace(rows), rows.shape
    sums = xp.zeros((count, E), dtype=rows.dtype)
    rows, ids = xp.ascontiguousarray(rows), ids.astype(np.int64, copy=False)
    order = xp.argsort(ids, kind="stable")
    block = min(256, max(32, 1 << (E - 1).bit_length())) if E else 32
    SUM_ROWS(Launch(N if E else 0, block), ids, order, rows, row(rows), sums, N, E, skip)
    return sums
