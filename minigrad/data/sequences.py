"""Sequences of unequal length as rectangular batches, and long streams as blocks.

Batches are NumPy arrays, time first: (T, B, …), or (B, T, …) with `batch_first=True`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from minigrad.errors import ConfigError, DTypeError, IndexRangeError, ShapeError

__all__ = [
    "BlockDataset",
    "Padded",
    "batchify",
    "check_ids",
    "collate",
    "length_mask",
    "pad",
    "pad_collate",
    "unpad",
]


class Padded(NamedTuple):
    """A padded batch: `data` (T, B, …) or (B, T, …), and the true `lengths` (B,)."""

    data: NDArray[Any]
    lengths: NDArray[np.int64]


def pad(
    sequences: Sequence[ArrayLike],
    *,
    value: float = 0,
    batch_first: bool = False,
    length: int | None = None,
    dtype: DTypeLike | None = None,
) -> Padded:
    """Lay sequences (T_i, …) side by side, filled up with `value` to the longest or to `length`.

    Raises: ShapeError if the sequences differ in more than their length, or one is longer than
    `length`.

    >>> pad([[1, 2, 3], [4]])
    Padded(data=array([[1, 4],
           [2, 0],
           [3, 0]]), lengths=array([3, 1]))
    >>> pad([[1, 2, 3], [4]], batch_first=True, value=-1).data
    array([[ 1,  2,  3],
           [ 4, -1, -1]])
    """
    if len(sequences) == 0:
        raise ShapeError("pad: expected at least one sequence, got none")
    arrays = [np.asarray(s) for s in sequences]
    filled = [a for a in arrays if a.size] or arrays  # an empty list says nothing about its dtype
    shapes = {a.shape[1:] for a in filled}
    if any(a.ndim == 0 for a in arrays) or len(shapes) != 1:
        raise ShapeError(
            "pad: sequences must have shapes (T_i, …) that differ in T_i only, "
            f"got {[a.shape for a in arrays[:8]]}"
        )
    lengths = np.array([len(a) for a in arrays], dtype=np.int64)
    longest = int(lengths.max())
    if length is not None and longest > length:
        raise ShapeError(f"pad: a sequence has length {longest}, more than length={length}; cut it")
    steps = longest if length is None else length
    data = np.full(
        (len(arrays), steps, *shapes.pop()),
        value,
        dtype=np.result_type(*filled) if dtype is None else dtype,
    )
    for row, array in zip(data, arrays, strict=True):
        row[: len(array)] = array.reshape(len(array), *row.shape[1:])
    return Padded(data if batch_first else np.ascontiguousarray(data.swapaxes(0, 1)), lengths)


def unpad(data: ArrayLike, lengths: ArrayLike, *, batch_first: bool = False) -> list[NDArray[Any]]:
    """The sequences of a padded batch, each at its own length: the inverse of `pad`.

    >>> unpad(*pad([[1, 2, 3], [4]]))
    [array([1, 2, 3]), array([4])]
    """
    array, sizes = np.asarray(data), np.asarray(lengths)
    rows = array if batch_first else array.swapaxes(0, 1)
    if sizes.shape != rows.shape[:1] or (
        sizes.size and not 0 <= sizes.min() <= sizes.max() <= rows.shape[1]
    ):
        raise ShapeError(
            f"unpad: {rows.shape[0]} sequences of up to {rows.shape[1]} steps "
            f"do not have the lengths {sizes.tolist()}"
        )
    return [row[:n] for row, n in zip(rows, sizes, strict=True)]


def length_mask(
    lengths: ArrayLike, steps: int | None = None, *, batch_first: bool = False
) -> NDArray[np.bool_]:
    """True where a padded batch holds data: (T, B), or (B, T) with `batch_first`.

    T is `steps`, or the longest of `lengths`.

    >>> length_mask([3, 1]).astype(int)
    array([[1, 1],
           [1, 0],
           [1, 0]])
    """
    sizes = np.asarray(lengths)
    longest = int(sizes.max(initial=0))
    if steps is not None and longest > steps:
        raise ShapeError(f"length_mask: a length of {longest} does not fit into steps={steps}")
    time = np.arange(longest if steps is None else steps)
    return time < sizes[:, None] if batch_first else time[:, None] < sizes


def collate(samples: Sequence[Any]) -> Any:
    """Stack samples of equal shape along a new first axis, tuples and dicts by field.

    Raises: ShapeError if the samples have different shapes (`pad_collate` is for those).

    >>> collate([(1, [0.5, 1.5]), (2, [2.5, 3.5])])
    (array([1, 2]), array([[0.5, 1.5],
           [2.5, 3.5]]))
    """
    return _by_field(samples, 0, lambda column, _: _stack(column))


def pad_collate(
    *, batch_first: bool = False, value: float | Sequence[float] = 0
) -> Callable[[Sequence[Any]], Any]:
    """A `collate` that turns every field of sequences into a `Padded` pair (data, lengths).

    `value` is the filling, one number or one per field. Fields of numbers become arrays (B,).

    >>> words, tags, speaker = pad_collate(value=(0, -100, 0))([([5, 6], [1, 2], 7), ([8], [3], 9)])
    >>> words.data, tags.data, words.lengths, speaker
    (array([[5, 8],
           [6, 0]]), array([[   1,    3],
           [   2, -100]]), array([2, 1]), array([7, 9]))
    """

    def column(field: list[Any], filling: float) -> Any:
        if np.ndim(field[0]) == 0:
            return _stack(field)
        return pad(field, value=filling, batch_first=batch_first)

    return lambda samples: _by_field(samples, value, column)


def _by_field(samples: Sequence[Any], value: Any, join: Callable[[list[Any], Any], Any]) -> Any:
    if len(samples) == 0:
        raise ShapeError("collate: expected at least one sample, got none")
    first = samples[0]
    if not isinstance(first, (tuple, Mapping)):
        return join(list(samples), value)
    keys: list[Any] = list(first) if isinstance(first, Mapping) else list(range(len(first)))
    values = [value] * len(keys) if np.ndim(value) == 0 else list(value)
    if len(values) != len(keys):
        raise ConfigError(
            f"pad_collate: {len(values)} values for the {len(keys)} fields of a sample"
        )
    try:
        columns = [[sample[key] for sample in samples] for key in keys]
    except (IndexError, KeyError) as error:
        raise ShapeError(
            f"collate: the first sample has the fields {keys}, another lacks one"
        ) from error
    fields = [join(column, v) for column, v in zip(columns, values, strict=True)]
    if isinstance(first, Mapping):
        return dict(zip(keys, fields, strict=True))
    return type(first)(*fields) if hasattr(first, "_fields") else tuple(fields)


def _stack(column: list[Any]) -> NDArray[Any]:
    arrays = [np.asarray(a) for a in column]
    if len({a.shape for a in arrays}) != 1:
        raise ShapeError(
            f"collate: samples have different shapes {[a.shape for a in arrays[:8]]}; "
            "pad sequences with collate_fn=pad_collate()"
        )
    return np.stack(arrays)


def batchify(tokens: ArrayLike, batch_size: int) -> NDArray[Any]:
    """A stream of N tokens as `batch_size` streams side by side: (N // B, B).

    Column b is the b-th part of the stream. The last N % B tokens are left out.

    >>> batchify(np.arange(7), 2)
    array([[0, 3],
           [1, 4],
           [2, 5]])
    """
    stream = np.asarray(tokens)
    if stream.ndim != 1 or not 1 <= batch_size <= len(stream):
        raise ShapeError(
            f"batchify: expected a stream (N,) of at least batch_size={batch_size} >= 1 tokens, "
            f"got shape {stream.shape}"
        )
    steps = len(stream) // batch_size
    return np.ascontiguousarray(stream[: steps * batch_size].reshape(batch_size, steps).T)


class BlockDataset:
    """A token stream as consecutive blocks for truncated backpropagation through time.

    Block i is `(x, y)` of shape (T, B) with y one step ahead of x, and block i + 1 goes on where
    block i stopped: read them in order (`DataLoader(blocks, batch_size=None)`) and carry the hidden
    state over. The last block is shorter where the stream ends, or left out with `drop_last`.
    `shard` (rank, size) keeps the columns of one of `size` processes that train together, `share`
    of them.

    >>> blocks = BlockDataset(np.arange(11), batch_size=2, steps=2)
    >>> [x[:, 0].tolist() for x, y in blocks], blocks[0][1][:, 0].tolist()
    ([[0, 1], [2, 3]], [1, 2])
    """

    def __init__(
        self,
        tokens: ArrayLike,
        *,
        batch_size: int,
        steps: int,
        drop_last: bool = False,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        rank, size = check_shard("BlockDataset", shard)
        if batch_size < size:
            raise ConfigError(
                f"BlockDataset: batch_size={batch_size} columns for {size} processes; at least one "
                "each"
            )
        start, stop = (batch_size * r // size for r in (rank, rank + 1))
        self.share = stop - start
        self.data = np.ascontiguousarray(batchify(tokens, batch_size)[:, start:stop])
        self.steps = steps
        predicted = len(self.data) - 1
        if steps < 1 or predicted < (steps if drop_last else 1):
            raise ConfigError(
                f"BlockDataset: {np.size(tokens)} tokens in {batch_size} columns give {predicted} "
                f"predictions each, too few for one block of steps={steps}"
            )
        self._blocks = predicted // steps if drop_last else -(-predicted // steps)

    def __len__(self) -> int:
        return self._blocks

    def __getitem__(self, index: int) -> tuple[NDArray[Any], NDArray[Any]]:
        if not -len(self) <= index < len(self):
            raise IndexRangeError(f"BlockDataset: block {index} of {len(self)}")
        start = index % len(self) * self.steps
        stop = min(start + self.steps, len(self.data) - 1)
        return self.data[start:stop], self.data[start + 1 : stop + 1]


def check_shard(name: str, shard: tuple[int, int]) -> tuple[int, int]:
    """`shard`, if it is a (rank, size) with 0 ≤ rank < size. Raises: ConfigError if not."""
    rank, size = shard
    if not 0 <= rank < size:
        raise ConfigError(f"{name}: shard is (rank, size) with 0 <= rank < size, got {shard}")
    return rank, size


def check_ids(ids: ArrayLike, size: int, *, name: str = "ids") -> NDArray[Any]:
    """`ids` as an integer array, after checking on the host that every one lies in 0 … size − 1.

    A GPU wraps an index outside its range silently; here it is an IndexRangeError that says where.

    >>> check_ids([[1, 5]], 5, name="words")
    Traceback (most recent call last):
        ...
    minigrad.errors.IndexRangeError: words: id 5 at position (0, 1) is outside 0 … 4
    """
    array = np.asarray(ids)
    if array.size == 0:
        return array.astype(np.int64) if array.dtype.kind not in "iu" else array
    if array.dtype.kind not in "iu":
        raise DTypeError(f"{name}: ids must be integers, got {array.dtype}")
    if int(array.min()) < 0 or int(array.max()) >= size:
        where = np.argwhere((array < 0) | (array >= size))[0]
        position = tuple(int(i) for i in where)
        raise IndexRangeError(
            f"{name}: id {array[tuple(where)]} at position {position} is outside 0 … {size - 1}"
        )
    return array
