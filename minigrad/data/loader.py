"""Batches in a reproducible order, with a position that a checkpoint can hold.

The order of an epoch is a function of (seed, epoch) and of nothing else, so the state of a loader
is three numbers, and a run that was interrupted goes on with exactly the batches that it would have
had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from minigrad.backend import initial_seed
from minigrad.data.dataset import ArrayDataset, Dataset
from minigrad.data.sequences import check_shard, collate
from minigrad.errors import CheckpointError, ConfigError, ShapeError

__all__ = ["BatchSampler", "BucketSampler", "DataLoader", "Sampler", "padding_waste"]

Indices = NDArray[np.int64]


class Sampler(Protocol):
    """Says which samples make up which batch: `batches(epoch)`, a function of the epoch alone."""

    seed: int

    def batches(self, epoch: int) -> list[Indices]: ...


class BatchSampler:
    """`size` samples in batches of `batch_size`, in order or shuffled anew in every epoch.

    >>> [b.tolist() for b in BatchSampler(5, 2).batches(epoch=0)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"BatchSampler: batch_size must be >= 1, got {batch_size}")
        self.size, self.batch_size = size, batch_size
        self.shuffle, self.drop_last = shuffle, drop_last
        self.seed = _seed(seed)

    def batches(self, epoch: int) -> list[Indices]:
        order = _permutation(self.size, self.seed, epoch) if self.shuffle else np.arange(self.size)
        return _cut(order, self.batch_size, self.drop_last)


class BucketSampler:
    """Batches of samples of similar length, so that little is padded.

    In every epoch the samples are shuffled, cut into pools of `pool` batches, sorted by length
    inside their pool and cut into batches, whose order is shuffled. A larger pool pads less and
    mixes less; None is one pool of everything. `lengths` is (N,), or (N, K) where a sample has K
    sequences (source and target): they are sorted by the first, then by the next.

    `waste` is the fraction of a batch's tokens that are padding, over the epoch last asked for.

    >>> lengths = [3, 90, 4, 88, 5, 91]
    >>> round(padding_waste(lengths, [[0, 1, 2], [3, 4, 5]]), 2)
    0.48
    >>> round(BucketSampler(lengths, 3, seed=0).waste, 2)
    0.02

    Source: Khomenko et al. 2016, "Accelerating recurrent neural network training using sequence
    bucketing and multi-GPU data parallelization".
    """

    def __init__(
        self,
        lengths: ArrayLike,
        batch_size: int,
        *,
        pool: int | None = 100,
        shuffle: bool = True,
        drop_last: bool = False,
        seed: int | None = None,
    ) -> None:
        self.lengths = np.asarray(lengths, dtype=np.int64)
        if self.lengths.ndim not in (1, 2) or (self.lengths < 0).any():
            raise ShapeError(
                "BucketSampler: lengths must be numbers >= 0 of shape (N,) or (N, K), "
                f"got shape {self.lengths.shape}"
            )
        if batch_size < 1 or (pool is not None and pool < 1):
            raise ConfigError(
                f"BucketSampler: batch_size and pool must be >= 1, got {batch_size}, {pool}"
            )
        self.batch_size, self.pool = batch_size, pool
        self.shuffle, self.drop_last = shuffle, drop_last
        self.seed = _seed(seed)
        self._waste: float | None = None

    def batches(self, epoch: int) -> list[Indices]:
        size = len(self.lengths)
        order = _permutation(size, self.seed, epoch) if self.shuffle else np.arange(size)
        pool = (self.pool or size) * self.batch_size
        keys = np.atleast_2d(self.lengths.T)[::-1]  # lexsort sorts by its last key first
        found: list[Indices] = []
        for start in range(0, size, pool or 1):
            part = order[start : start + pool]
            part = part[np.lexsort(keys[:, part])]
            found += _cut(part, self.batch_size, self.drop_last)
        if self.shuffle:
            found = [found[i] for i in _permutation(len(found), self.seed, epoch, 1)]
        self._waste = padding_waste(self.lengths, found)
        return found

    @property
    def waste(self) -> float:
        if self._waste is None:
            self.batches(0)
        return self._waste or 0.0


def padding_waste(lengths: ArrayLike, batches: Sequence[ArrayLike]) -> float:
    """The fraction of tokens that are padding when each of `batches` is padded to its longest.

    >>> round(padding_waste([1, 3, 4, 4], [[0, 1], [2, 3]]), 4)  # 2 of 14
    0.1429
    """
    sizes = np.atleast_2d(np.asarray(lengths).T).T  # (N, K)
    parts = [sizes[np.asarray(b)] for b in batches]
    padded = sum(int(part.max(axis=0).sum()) * len(part) for part in parts)
    return 1 - sum(int(part.sum()) for part in parts) / padded if padded else 0.0


class DataLoader:
    """The batches of a dataset: `for batch in loader` is one epoch.

    Args: `batch_size` samples per batch, or None when every sample is a batch already; `shuffle`
    anew in every epoch from `seed` (default: the one given to `mg.manual_seed`); `drop_last` an
    incomplete batch; `sampler`, such as `BucketSampler`, instead of these four; `collate_fn` makes
    a batch of a list of samples; `shard` (rank, size) hands out every size-th sample of each batch,
    from the rank-th: the share of one of `size` processes that train together, which all need the
    same seed. The position is the same in all of them, for any number.

    An epoch that ran to its end is followed by the next one; an epoch that was left early starts
    again, in the same order, unless `load_state_dict` said where to go on.

    >>> loader = DataLoader(range(6), batch_size=2, shuffle=True, seed=0)
    >>> first, second = list(loader), list(loader)
    >>> sorted(np.concatenate(first).tolist()), np.array_equal(first, second)
    ([0, 1, 2, 3, 4, 5], False)
    """

    def __init__(
        self,
        dataset: Dataset[Any],
        batch_size: int | None = 1,
        *,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int | None = None,
        sampler: Sampler | None = None,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        if sampler is not None and (
            batch_size not in (1, None) or shuffle or drop_last or seed is not None
        ):
            raise ConfigError(
                "DataLoader: a sampler decides on batch_size, shuffle, drop_last and seed; "
                "give them to it"
            )
        if batch_size is None and sampler is None and (collate_fn is not None or drop_last):
            raise ConfigError("DataLoader: batch_size=None makes no batches to collate or to drop")
        check_shard("DataLoader", shard)
        self.dataset, self.shard = dataset, shard
        self.share = 0
        self.single = batch_size is None and sampler is None
        self.sampler: Sampler = sampler or BatchSampler(
            len(dataset),
            1 if batch_size is None else batch_size,
            shuffle=shuffle,
            drop_last=drop_last,
            seed=seed,
        )
        self.collate_fn = collate_fn or collate
        # Stacked arrays hand out a whole batch by one index
        self._whole = collate_fn is None and isinstance(dataset, ArrayDataset) and not self.single
        self.epoch = 0
        self._handed_out = 0
        self._resume = False
        self._plan: tuple[int, list[Indices]] | None = None

    def _batches(self) -> list[Indices]:
        if self._plan is None or self._plan[0] != self.epoch:
            self._plan = self.epoch, self.sampler.batches(self.epoch)
        return self._plan[1]

    share: int
    """How many examples of the last batch this process has: fewer than others, or 0, at the end."""

    def __len__(self) -> int:
        """The number of batches in the current epoch."""
        return len(self._batches())

    def __iter__(self) -> Iterator[Any]:
        start = self._handed_out if self._resume else 0
        self._resume = False
        batches = self._batches()
        for position in range(start, len(batches)):
            batch = self._batch(batches[position])
            self._handed_out = position + 1
            yield batch
        self.epoch += 1
        self._handed_out = 0

    def _batch(self, indices: Indices) -> Any:
        rank, size = self.shard
        if self.single:
            self.share = getattr(self.dataset, "share", 1)
        else:
            mine = indices[rank::size]
            self.share = len(mine)
            indices = mine if len(mine) else indices[:1]  # a stand-in: it has no weight
        if self._whole:
            return self.dataset[indices]  # type: ignore[index]  # an ArrayDataset takes arrays of indices
        samples = [self.dataset[i] for i in indices.tolist()]
        return samples[0] if self.single else self.collate_fn(samples)

    def state_dict(self) -> dict[str, int]:
        """The position: the epoch, and how many of its batches were handed out; JSON holds it."""
        return {
            "seed": self.sampler.seed,
            "epoch": self.epoch,
            "batch": self._handed_out,
            "batches": len(self),
            "samples": len(self.dataset),
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on where `state` says: the next `for` hands out what was left of that epoch.

        Raises: CheckpointError if the state is no loader's, or of another number of samples or of
        batches; nothing is changed then.
        """
        expected = self.state_dict()
        if set(state) != set(expected) or not all(
            type(v) is int and v >= 0 for v in state.values()
        ):
            raise CheckpointError(
                f"DataLoader: expected a state of the numbers {sorted(expected)}, got {dict(state)}"
            )
        seed, self.sampler.seed = self.sampler.seed, state["seed"]
        plan = self.sampler.batches(state["epoch"])
        here = {"samples": len(self.dataset), "batches": len(plan)}
        if any(state[key] != count for key, count in here.items()) or state["batch"] > len(plan):
            self.sampler.seed = seed
            raise CheckpointError(
                f"DataLoader: this loader has {here} in an epoch, "
                f"the state is of another one: {dict(state)}"
            )
        self._plan = state["epoch"], plan
        self.epoch, self._handed_out, self._resume = state["epoch"], state["batch"], True


def _seed(seed: int | None) -> int:
    if seed is None:
        return initial_seed()
    if seed < 0:
        raise ConfigError(f"seed: expected an integer >= 0, got {seed}")
    return int(seed)


def _permutation(size: int, *seeds: int) -> Indices:
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(seeds))).permutation(size)


def _cut(order: NDArray[Any], batch_size: int, drop_last: bool) -> list[Indices]:
    stop = len(order) // batch_size * batch_size if drop_last else len(order)
    return [order[i : min(i + batch_size, stop)] for i in range(0, stop, batch_size)]
