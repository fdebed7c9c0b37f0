"""Memory as a program sees it: blocks, and arrays as places in blocks."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from sys import getsizeof
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

Host = np.ndarray[Any, Any]

ALIGN = 64  # bytes: a cache line, where each memory begins


class Memory:
    """A block of memory.

    Attributes:
        nbytes: its size.
        owner: the array that owns it, if it was there before the program; else the plan finds room.
        kept: what stands in it at the end of a replay is read later.
        constant: nothing writes into it.
        at: where the plan has put it, in the program's memory.
    """

    __slots__ = ("at", "constant", "kept", "nbytes", "owner")

    def __init__(self, nbytes: int, owner: Host | None = None) -> None:
        self.nbytes, self.owner, self.kept, self.constant = nbytes, owner, False, False
        self.at = 0


class Ref(NamedTuple):
    """An array: where it lies in a block, and how it is read."""

    memory: Memory
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: np.dtype[Any]
    array: Host | None = None  # in memory that is not planned

    @property
    def contiguous(self) -> bool:
        """Whether its elements stand one after another, in C order."""
        step = self.dtype.itemsize
        for n, stride in zip(reversed(self.shape), reversed(self.strides), strict=True):
            if n != 1 and stride != step:
                return False
            step *= n
        return True

    @classmethod
    def compact(
        cls, memory: Memory, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int = 0
    ) -> Ref:
        """An array of planned memory whose elements stand one after another, in C order."""
        strides, step = [], dtype.itemsize
        for n in reversed(shape):
            strides.append(step)
            step *= n
        return cls(memory, offset, shape, tuple(reversed(strides)), dtype)

    def seen(self, shape: tuple[int, ...], strides: tuple[int, ...]) -> Ref:
        """The array of another shape that begins at the same place."""
        array = None if self.array is None else as_strided(self.array, shape, strides)
        return self._replace(shape=shape, strides=strides, array=array)

    @property
    def transposed(self) -> Ref:
        """Its axes in the opposite order."""
        return self.seen(self.shape[::-1], self.strides[::-1])

    @property
    def swapped(self) -> Ref:
        """Its last two axes in the opposite order."""
        (*m, n, k), (*s, t, u) = self.shape, self.strides
        return self.seen((*m, k, n), (*s, u, t))

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Number of bytes of its elements."""
        return self.size * self.dtype.itemsize

    @property
    def extent(self) -> tuple[int, int]:
        """The first byte that it may touch, and the one after the last."""
        low = high = self.offset
        for n, stride in zip(self.shape, self.strides, strict=True):
            if stride > 0:
                high += (n - 1) * stride
            else:
                low += (n - 1) * stride
        return low, high + self.dtype.itemsize

    def through(self, of: Ref, to: Ref) -> Ref | None:
        """What these elements of `of` are in `to`, of the same shape; None if no array is."""
        if self[1:5] == of[1:5]:
            return to
        at = self.offset - of.offset
        if to.array is not None or self.dtype != of.dtype or at < 0:
            return None
        if of.strides == to.strides and of.contiguous:
            (low, high), (start, stop) = self.extent, of.extent
            moved = self._replace(memory=to.memory, offset=to.offset + at)
            return moved if start <= low and high <= stop else None
        offset, strides = to.offset, list(self.strides)
        ends = [0] * len(of.shape)  # the last index of each axis that is reached
        axes = [i for i, n in enumerate(of.shape) if n > 1]
        axes.sort(key=lambda i: -of.strides[i])
        for i in axes:
            if of.strides[i] <= 0:
                return None
            index, at = divmod(at, of.strides[i])
            ends[i] = index
            offset += index * to.strides[i]
        for k, (n, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            if n == 1 or stride == 0:
                continue
            fitting = [i for i in axes if of.strides[i] <= stride]
            if not fitting or stride % of.strides[(i := fitting[0])]:
                return None
            ends[i] += (n - 1) * (stride // of.strides[i])
            strides[k] = stride // of.strides[i] * to.strides[i]
        if at or any(end >= n for end, n in zip(ends, of.shape, strict=True)):
            return None
        return Ref(to.memory, offset, self.shape, tuple(strides), self.dtype)

    def flat(self, start: int, stop: int) -> Ref:
        """Elements `start` to `stop` of a contiguous array."""
        item = self.dtype.itemsize
        array = None if self.array is None else self.array.reshape(-1)[start:stop]
        at = self.offset + start * item
        return Ref(self.memory, at, (stop - start,), (item,), self.dtype, array)


class Cell:
    """A place for a value that is no array: what a kernel called whole kept for its backward.

    Attributes:
        value: what stands there.
        readers: how often each replay takes it; the last one leaves nothing.
    """

    __slots__ = ("_left", "readers", "value")

    def __init__(self, value: Any = None) -> None:
        self.value, self.readers, self._left = value, 0, 0

    def put(self, value: Any) -> None:
        """Let a value stand there until it has been taken by all readers."""
        self.value, self._left = value if self.readers else None, self.readers

    def take(self) -> Any:
        """The value."""
        value = self.value
        self._left -= 1
        if not self._left:
            self.value = None
        return value


class Usage:
    """How much memory the arrays of a run take.

    Attributes:
        now: the bytes of those that are there, their elements and what Python keeps of each.
        most: the bytes of those that were there at one time.
    """

    def __init__(self) -> None:
        self.now = self.most = 0

    def count(self, array: Host) -> weakref.ref[Host]:
        """Count an array for as long as it is there."""
        nbytes = getsizeof(array)
        self.now += nbytes
        self.most = max(self.most, self.now)
        return weakref.ref(array, partial(self._gone, nbytes))

    def _gone(self, nbytes: int, _: Any) -> None:
        self.now -= nbytes

    def beside(self, branches: Iterable[Callable[[], Any]], threads: int) -> list[Any]:
        """The results of functions that are called one by one, and count as run on `threads`."""
        most, start, results, needs = self.most, self.now, [], []
        for branch in branches:
            self.most = before = self.now
            results.append(branch())
            most = max(most, self.most)
            needs.append(self.most - before)
        self.most = max(most, start + sum(sorted(needs)[-threads:]))
        return results


def root(array: Host) -> Host:
    """The array that owns the memory of `array`."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def address(array: Host) -> int:
    """Where its first element stands."""
    at: int = array.__array_interface__["data"][0]
    return at


def place_in(memory: Memory, array: Host) -> Ref:
    """`array` as a place in `memory`, which its root stands for."""
    offset = address(array) - address(root(array))
    outside = None if memory.owner is None else array
    return Ref(memory, offset, array.shape, array.strides, array.dtype, outside)


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with `change` applied to the leaves of its tuples, lists, dicts and slices."""
    kind = type(value)
    if kind is tuple or kind is list:
        return kind([mapped(v, change) for v in value])
    if isinstance(value, tuple) and kind is not Ref:  # a named one
        return kind(*[mapped(v, change) for v in value])
    if kind is dict:
        return {k: mapped(v, change) for k, v in value.items()}
    if kind is slice:
        return slice(*(mapped(v, change) for v in (value.start, value.stop, value.step)))
    return change(value)


def leaves(value: Any) -> Iterator[Any]:
    """The leaves of nested tuples, lists, dicts and slices."""
    kind = type(value)
    parts: Iterable[Any]
    if kind is not Ref and isinstance(value, tuple | list):
        parts = value
    elif kind is dict:
        parts = value.values()
    elif kind is slice:
        parts = (value.start, value.stop, value.step)
    else:
        yield value
        return
    for part in parts:
        yield from leaves(part)
