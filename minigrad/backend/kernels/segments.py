"""Rows summed by id in an order that never changes, on every device; see `segments.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend.device import Array, namespace
from minigrad.backend.kernels.gates import wide
from minigrad.backend.kernels.kernel import Kernel, Launch, row

PART = 256  # rows that are summed one after the other, as in segments.cu
FEW = 1 << 13  # ids up to which all are compared with all: a launch, where a sort takes a dozen


def _runs(keys: Array) -> tuple[Any, Any]:
    """Where the runs of equal keys begin, and how long they are."""
    begins = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return begins, np.diff(begins, append=len(keys))


def _slot(place: Any, begins: Any) -> Any:
    return place // PART * 2 + begins


def _sort_keys(ids: Array, keys: Array, order: Array, N: int) -> None:
    order[...] = np.argsort(ids, kind="stable")
    keys[...] = ids[order]


def _sum_parts(
    keys: Array, order: Array, rows: Array, _rr: int, sums: Array, parts: Array, N: int, E: int,
    skip: int,
) -> None:  # fmt: skip
    begins, lengths = _runs(keys)
    offsets = np.arange(N) - np.repeat(begins, lengths)
    places = np.flatnonzero(offsets % PART == 0)  # of each part
    total = wide(np.zeros((len(places), E), sums.dtype))
    np.add.at(total, np.searchsorted(places, np.arange(N), "right") - 1, wide(rows)[order])
    counted, every = keys[places] != skip, np.repeat(lengths, lengths)[places] <= PART
    sums[keys[places[every & counted]]] = total[every & counted]
    several = ~every & counted
    parts[_slot(places[several], offsets[places[several]] == 0)] = total[several]


def _add_parts(keys: Array, parts: Array, sums: Array, N: int, E: int, skip: int) -> None:
    for begin, length in zip(*_runs(keys), strict=True):
        if length > PART and keys[begin] != skip:
            total = parts[_slot(begin, True)]
            for place in range(begin + PART, begin + length, PART):
                total = total + parts[_slot(place, False)]
            sums[keys[begin]] = total


SORT_KEYS = Kernel("segments.cu", "sort_keys", _sort_keys)
SUM_PARTS = Kernel("segments.cu", "sum_parts", _sum_parts)
ADD_PARTS = Kernel("segments.cu", "add_parts", _add_parts)


def sum_rows(rows: Array, ids: Array, count: int, skip: int = -1) -> Array:
    """(count, E): row i is the sum of the rows[n] with ids[n] = i, but for id `skip`.

    Bit for bit what `np.add.at` gives for ids that occur up to 256 times; the rows of others are
    summed by 256, and then these sums. Both run in the order of occurrence.
    """
    xp, (N, E) = namespace(rows), rows.shape
    sums = xp.zeros((count, E), dtype=rows.dtype)
    rows, ids = xp.ascontiguousarray(rows), ids.astype(np.int64, copy=False)
    keys, order = _sorted(xp, ids)
    windows = -(-N // PART)
    parts = xp.empty((2 * windows, E), dtype=np.float64 if rows.dtype == np.float64 else np.float32)
    block = min(256, max(32, 1 << (E - 1).bit_length())) if E else 32
    SUM_PARTS(Launch(N if E else 0, block), keys, order, rows, row(rows), sums, parts, N, E, skip)
    if N > PART:
        ADD_PARTS(Launch(windows if E else 0, block), keys, parts, sums, N, E, skip)
    return sums


def _sorted(xp: Any, ids: Array) -> tuple[Array, Array]:
    """The ids in ascending order, and the stable order that they were brought in."""
    if len(ids) > FEW:
        order = xp.argsort(ids, kind="stable")
        return ids[order], order
    keys, order = xp.empty((2, len(ids)), dtype=np.int64)
    ids = xp.ascontiguousarray(ids)
    SORT_KEYS(Launch(-(-len(ids) // 32), 256, 256 * 8), ids, keys, order, len(ids))
    return keys, order
