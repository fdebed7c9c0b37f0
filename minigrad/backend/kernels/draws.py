"""NumPy's random numbers on every device; see `draws.cu`.

`numpy.random.Generator(Philox)` is counter-based: its 64-bit word w is a function of the key and of
w, so a GPU computes the numbers that the host would draw. `Position` says where a generator stands.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.backend.device import Array
from minigrad.backend.kernels.kernel import Kernel, Launch, over

Words = np.ndarray[Any, np.dtype[np.uint64]]


class Position(NamedTuple):
    """The next draw of a generator: key, number of the next word, and the half-word left over."""

    key: tuple[int, int]
    word: int
    left: int
    half: int

    def words(self) -> Words:
        """As the kernels read it."""
        return np.array((*self.key, self.word, self.left, self.half), np.uint64)


def position(generator: np.random.Generator) -> Position:
    """Where `generator` stands."""
    state: Any = generator.bit_generator.state
    key, counter = (tuple(map(int, state["state"][name])) for name in ("key", "counter"))
    word = 4 * counter[0] + int(state["buffer_pos"])
    left = int(state["has_uint32"])
    return Position((key[0], key[1]), word, left, int(state["uinteger"]) if left else 0)


def generator_at(at: Position) -> np.random.Generator:
    """A generator that stands at `at`."""
    bits = np.random.Philox(0)
    block, buffered = divmod(at.word - 1, 4)  # NumPy counts a block when it makes it
    state: Any = bits.state
    state["state"] = {
        "counter": np.array((block - 1, 0, 0, 0) if block else [2**64 - 1] * 4, np.uint64),
        "key": np.array(at.key, np.uint64),
    }  # fmt: skip
    state["buffer_pos"] = 4
    bits.state = state
    bits.random_raw(buffered + 1, output=False)
    state = bits.state
    state["has_uint32"], state["uinteger"] = at.left, at.half
    bits.state = state
    return np.random.Generator(bits)


def skipped(at: Position, count: int) -> Position:
    """The position after `count` draws of 32 bits."""
    if count == 0:
        return at
    halves = count - at.left
    if halves <= 0:
        return at._replace(left=0, half=0)
    word = at.word + (halves + 1) // 2
    if halves % 2 == 0:
        return at._replace(word=word, left=0, half=0)
    last: Any = generator_at(at._replace(word=word - 1, left=0, half=0)).bit_generator
    return at._replace(word=word, left=1, half=int(last.random_raw()) >> 32)


def _at(words: Words) -> Position:
    key0, key1, word, left, half = map(int, words)
    return Position((key0, key1), word, left, half)


def _draws(
    at: Words, skip: int, out: Array, low: float, width: float, coin: int, count: int
) -> None:
    unit = generator_at(skipped(_at(at), skip)).random(count, dtype=np.float32)
    if coin:
        flat = np.where(unit < np.float32(low), width, 0.0)
    else:
        flat = unit * np.float32(width) + np.float32(low)
    out[...] = flat.reshape(out.shape)


def _draws_double(at: Words, out: Array, low: float, width: float, count: int) -> None:
    out[...] = (generator_at(_at(at)).random(count) * width + low).reshape(out.shape)


def _place(at: Words, key0: int, key1: int, word: int, left: int, half: int) -> None:
    at[:] = key0, key1, word, left, half


DRAWS = Kernel("draws.cu", "draws", _draws)
DRAWS_DOUBLE = Kernel("draws.cu", "draws_double", _draws_double)
PLACE = Kernel("draws.cu", "place", _place)


def put(at: Array, where: Position) -> None:
    """Write `where` into `at` (5,) uint64 on the device, without a copy from the host."""
    PLACE(Launch(1, 1), at, *where.key, where.word, where.left, where.half)


def fill(at: Array, skip: int, out: Array, low: float, width: float) -> None:
    """Write U[low, low + width), from draw `skip` after the position `at` (5,) on."""
    DRAWS(over(-(-out.size // 8) + 1), at, skip, out, low, width, 0, out.size)


def flip(at: Array, skip: int, out: Array, p: float, value: float = 1.0) -> None:
    """Write `value` with probability p, else 0."""
    DRAWS(over(-(-out.size // 8) + 1), at, skip, out, p, value, 1, out.size)


def fill_double(at: Array, out: Array, low: float, width: float) -> None:
    """Write U[low, low + width) with 53 random bits, a word each."""
    DRAWS_DOUBLE(over(out.size), at, out, low, width, out.size)
