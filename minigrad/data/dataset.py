"""Datasets: anything with a length and an index.

A list of samples is already a dataset. The classes here make one from arrays, from a part of
another dataset, and from a stream of tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

import numpy as np

from minigrad.errors import ConfigError, ShapeError

__all__ = ["ArrayDataset", "Dataset", "Subset", "random_split", "split_by_key"]

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


@runtime_checkable
class Dataset(Protocol[T_co]):
    """What `DataLoader` reads: `len(dataset)` samples, `dataset[i]` for i in 0 … len − 1."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> T_co: ...


class ArrayDataset:
    """Arrays of equal length side by side: sample i is `(a[i], b[i], …)`, of one array `a[i]`.

    An array of indices gives a whole batch at once.

    Raises: ShapeError if the lengths differ.

    >>> pairs = ArrayDataset(np.eye(3), np.array([0, 1, 2]))
    >>> len(pairs), pairs[1]
    (3, (array([0., 1., 0.]), np.int64(1)))
    """

    def __init__(self, *arrays: Any) -> None:
        if not arrays:
            raise ConfigError("ArrayDataset: expected at least one array, got none")
        self.arrays = tuple(np.asarray(a) for a in arrays)
        shapes = [a.shape for a in self.arrays]
        if any(not s for s in shapes) or len({s[0] for s in shapes}) != 1:
            raise ShapeError(
                f"ArrayDataset: arrays must agree on axis 0 (the samples), got shapes {shapes}"
            )

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, index: Any) -> Any:
        sample = tuple(a[index] for a in self.arrays)
        return sample if len(sample) > 1 else sample[0]


class Subset(Sequence[T]):
    """The samples of `dataset` at `indices`, in that order."""

    def __init__(self, dataset: Dataset[T], indices: Iterable[int]) -> None:
        self.dataset = dataset
        self.indices = [int(i) for i in indices]

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Subset[T]: ...
    def __getitem__(self, index: int | slice) -> T | Subset[T]:
        if isinstance(index, slice):
            return Subset(self.dataset, self.indices[index])
        return self.dataset[self.indices[index]]


def random_split(
    dataset: Dataset[T], fractions: Sequence[float], *, seed: int = 0
) -> list[Subset[T]]:
    """Parts of `dataset` in random order, disjoint and complete; equal seeds give equal parts.

    Raises: ConfigError unless the fractions are ≥ 0 and add up to 1.

    >>> train, test = random_split(range(10), (0.8, 0.2), seed=0)
    >>> len(train), len(test), sorted([*train, *test]) == list(range(10))
    (8, 2, True)
    """
    order = np.random.default_rng(seed).permutation(len(dataset))
    return [Subset(dataset, part) for part in np.split(order, _bounds(len(order), fractions))]


def split_by_key(
    samples: Sequence[T], keys: Sequence[Any], fractions: Sequence[float], *, seed: int = 0
) -> list[list[T]]:
    """Parts of `samples` such that samples of equal key lie in the same part, in their first order.

    Without this a translation corpus leaks: the same English sentence stands in many pairs.
    The fractions are of distinct keys.

    >>> split_by_key(["a1", "b1", "a2"], ["a", "b", "a"], (0.5, 0.5), seed=0)
    [['a1', 'a2'], ['b1']]
    """
    distinct = list(dict.fromkeys(keys))
    order = np.random.default_rng(seed).permutation(len(distinct))
    parts: list[list[T]] = [[] for _ in fractions]
    part_of = {}
    for number, chosen in enumerate(np.split(order, _bounds(len(order), fractions))):
        part_of.update({distinct[i]: number for i in chosen})
    for sample, key in zip(samples, keys, strict=True):
        parts[part_of[key]].append(sample)
    return parts


def _bounds(count: int, fractions: Sequence[float]) -> list[int]:
    if not fractions or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ConfigError(f"split: fractions must be >= 0 and add up to 1, got {tuple(fractions)}")
    return [round(float(b) * count) for b in np.cumsum(fractions)[:-1]]
