"""Rows reduced by id in an order that never changes, on every device; see `segments.cu`."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend.device import Array, namespace
from minigrad.backend.kernels.kernel import Kernel, Launch, computed, row

PART = 256  # rows that are reduced one after the other, as in segments.cu
FEW = 1 << 13  # ids up to which all are compared with all: a launch, where a sort takes a dozen
_MEET: dict[int, Any] = {0: np.add, 1: np.maximum, -1: np.minimum}


def _runs(keys: Array) -> tuple[Any, Any]:
    """Where the runs of equal keys begin, and how long they are."""
    begins = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return begins, np.diff(begins, append=len(keys))


def _slot(place: Any, begins: Any) -> Any:
    return place // PART * 2 + begins


def _sort_keys(ids: Array, keys: Array, order: Array, N: int) -> None:
    order[...] = np.argsort(ids, kind="stable")
    keys[...] = ids[order]


def _reduce_parts(
    keys: Array, order: Array, rows: Array, _rr: int, result: Array, parts: Array, N: int, E: int,
    skip: int, how: int,
) -> None:  # fmt: skip
    begins, lengths = _runs(keys)
    offsets = np.arange(N) - np.repeat(begins, lengths)
    places = np.flatnonzero(offsets % PART == 0)  # of each part
    rows = rows[order].astype(parts.dtype)
    found, rest = rows[places], offsets % PART != 0
    _MEET[how].at(found, np.searchsorted(places, np.flatnonzero(rest), "right") - 1, rows[rest])
    counted, every = keys[places] != skip, np.repeat(lengths, lengths)[places] <= PART
    ids = keys[places[every & counted]]
    result[ids] = _MEET[how](result[ids], found[every & counted])
    several = ~every & counted
    parts[_slot(places[several], offsets[places[several]] == 0)] = found[several]


def _join_parts(
    keys: Array, parts: Array, result: Array, N: int, E: int, skip: int, how: int
) -> None:
    for begin, length in zip(*_runs(keys), strict=True):
        if length > PART and keys[begin] != skip:
            found = parts[_slot(begin, True)]
            for place in range(begin + PART, begin + length, PART):
                found = _MEET[how](found, parts[_slot(place, False)])
            result[keys[begin]] = _MEET[how](result[keys[begin]], found)


SORT_KEYS = Kernel("segments.cu", "sort_keys", _sort_keys)
REDUCE_PARTS = Kernel("segments.cu", "reduce_parts", _reduce_parts)
JOIN_PARTS = Kernel("segments.cu", "join_parts", _join_parts)


def sum_rows(rows: Array, ids: Array, count: int, skip: int = -1) -> Array:
    """(count, E): row i is the sum of the rows[n] with ids[n] = i, but for id `skip`.

    Bit for bit what `np.add.at` gives for ids that occur up to 256 times; the rows of others are
    summed by 256, and then these sums. Both run in the order of occurrence.
    """
    sums = namespace(rows).zeros((count, rows.shape[1]), dtype=rows.dtype)
    return _reduced(sums, rows, ids, skip, 0)


def extreme_at(x: Array, source: Array, ids: Array, *, largest: bool) -> Array:
    """The vector x, at each place the largest (or least) of it and of source where ids say so."""
    result = x.copy().reshape(-1, 1)
    _reduced(result, source.reshape(-1, 1), ids, -1, 1 if largest else -1)
    return result.reshape(-1)


def _reduced(result: Array, rows: Array, ids: Array, skip: int, how: int) -> Array:
    """`result` (count, E), into which the rows are reduced that have an id."""
    xp, (N, E) = namespace(rows), rows.shape
    rows, ids = xp.ascontiguousarray(rows), ids.astype(np.int64, copy=False)
    keys, order = _sorted(xp, ids)
    windows = -(-N // PART)
    parts = xp.empty((2 * windows, E), dtype=computed(rows.dtype.name))
    block = min(256, max(32, 1 << (E - 1).bit_length())) if E else 32
    shape = Launch(N if E else 0, block)
    REDUCE_PARTS(shape, keys, order, rows, row(rows), result, parts, N, E, skip, how)
    if N > PART:
        JOIN_PARTS(Launch(windows if E else 0, block), keys, parts, result, N, E, skip, how)
    return result


def _sorted(xp: Any, ids: Array) -> tuple[Array, Array]:
    """The ids in ascending order, and the stable order that they were brought in."""
    if len(ids) > FEW:
        order = xp.argsort(ids, kind="stable")
        return ids[order], order
    keys, order = xp.empty((2, len(ids)), dtype=np.int64)
    ids = xp.ascontiguousarray(ids)
    SORT_KEYS(Launch(-(-len(ids) // 32), 256, 256 * 8), ids, keys, order, len(ids))
    return keys, order
