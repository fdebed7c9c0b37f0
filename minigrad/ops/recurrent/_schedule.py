"""In which order the rows of a batch of sequences are read.

Sequences are sorted by length, longest first, so that those running at any clock step are the first
n columns of every array. The rows (t, b) of the (T, B, ·) batch that exist are *packed*: step after
step, the n running sequences side by side. Padding is never read, so nothing in it, not even a NaN,
reaches a result; it is never written, so its outputs and gradients are exact zeros. Steps with the
same n make a *run*: inside a run a kernel's loop has no special cases. Reading backward in time
takes the same runs in the opposite order, which starts each sequence at its own last element.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...backend import Array, device_of

Lengths = tuple[int, ...] | None


class Run(NamedTuple):
    """Steps with the same `n` running sequences; step k has the packed rows starts[k] + [0, n)."""

    n: int
    starts: tuple[int, ...]


class Schedule:
    """The runs of a (T, B) batch in reading order, and the way into packed rows and back.

    `size` is the number of packed rows, `rows` the place t·B + b of each, or None when no row is
    padding: nothing is moved then. Build one with `schedule(T, B, lengths, reverse)`.
    """

    rows: Any

    def __init__(self, T: int, B: int, lengths: Lengths, reverse: bool) -> None:
        self.T, self.B, self.reverse = T, B, reverse
        self._uploaded: dict[tuple[str, str], Array] = {}
        if lengths is None or all(length == T for length in lengths):
            self.rows = None
            self.size = T * B
            counts = [B] * T
        else:
            last = np.array(lengths) - 1
            self.order = np.argsort(-last, kind="stable")
            self.unorder = np.argsort(self.order)
            clock = np.arange(T)[:, None]
            place = clock * B + self.order
            running = clock <= last[self.order]  # (T, B); each row is a prefix of ones
            self.rows = place[running]
            self.size = len(self.rows)
            # Where the state before a row is: in (h0, y) flattened, or (y, h0) read backward.
            start = np.where(clock == last[self.order], T * B + self.order, place + B)
            self.before = (start if reverse else place)[running]
            counts = running.sum(axis=1).tolist()
        self.runs = _runs(counts, reverse)

    def steps(self, run: Run, rows: Array) -> Array:
        """The packed rows of a run's steps (steps, n, F), in reading order."""
        n, starts = run
        low, count = min(starts), len(starts)
        found = rows[low : low + count * n].reshape(count, n, rows.shape[1])
        return found[::-1] if self.reverse else found

    def pack(self, xp: Any, x: Array) -> Array:
        """(T, B, F) → the packed rows (size, F)."""
        flat = x.reshape(self.T * self.B, x.shape[2])
        return flat if self.rows is None else xp.take(flat, self._index("rows", x), axis=0)

    def unpack(self, xp: Any, packed: Array) -> Array:
        """Packed rows (size, F) → (T, B, F), zero where there is padding."""
        F = packed.shape[1]
        if self.rows is not None:
            flat = xp.zeros((self.T * self.B, F), dtype=packed.dtype)
            flat[self._index("rows", packed)] = packed
            packed = flat
        return packed.reshape(self.T, self.B, F)

    def ordered(self, xp: Any, state: Array) -> Array:
        """(B, F) → a new (B, F), its rows in the order of the packed rows."""
        if self.rows is None:
            return xp.array(state, order="C")
        return xp.take(state, self._index("order", state), axis=0)

    def unordered(self, xp: Any, state: Array) -> Array:
        """(B, F) → a new (B, F): the inverse of `ordered`."""
        if self.rows is None:
            return xp.array(state, order="C")
        return xp.take(state, self._index("unorder", state), axis=0)

    def columns(self, xp: Any, state: Array) -> Array:
        """(B, F) → a new (F, B), its columns in the order of the packed rows."""
        if self.rows is not None:
            state = self.ordered(xp, state)
        return xp.array(state.T, order="C")

    def states(self, xp: Any, columns: Array) -> Array:
        """(F, B) → a new (B, F): the inverse of `columns`."""
        if self.rows is not None:
            columns = xp.take(columns, self._index("unorder", columns), axis=1)
        return xp.array(columns.T, order="C")

    def outputs(self, xp: Any, h0: Array) -> tuple[Array, Array | None]:
        """Room for the packed outputs (size, F) and, without padding, the state before each row.

        The second is the same memory seen one step earlier, h0 at its end: it costs no copy.
        """
        B, F = h0.shape
        if self.rows is not None:
            return xp.empty((self.size, F), dtype=h0.dtype), None
        trail = xp.empty((self.size + B, F), dtype=h0.dtype)
        if self.reverse:
            trail[self.size :] = h0
            return trail[: self.size], trail[B:]
        trail[:B] = h0
        return trail[B:], trail[: self.size]

    def previous(self, xp: Any, y: Array, h0: Array) -> Array:
        """The state before each packed row (size, F), gathered from the outputs and h0."""
        flat = y.reshape(self.T * self.B, y.shape[2])
        both = xp.concatenate((flat, h0) if self.reverse else (h0, flat), axis=0)
        return xp.take(both, self._index("before", y), axis=0)

    def _index(self, name: str, beside: Array) -> Array:
        """One of the index arrays, on the device of `beside`; uploaded there once."""
        device = device_of(beside)
        if device.kind == "cpu":
            return getattr(self, name)
        key = name, device.name
        if key not in self._uploaded:
            self._uploaded[key] = device.asarray(getattr(self, name))
        return self._uploaded[key]


def _runs(counts: list[int], reverse: bool) -> tuple[Run, ...]:
    """Neighbouring steps with equal counts grouped, in reading order."""
    runs: list[tuple[int, list[int]]] = []
    start = 0
    for n in counts:
        if n and (not runs or runs[-1][0] != n):
            runs.append((n, []))
        if n:
            runs[-1][1].append(start)
            start += n
    way = -1 if reverse else 1
    return tuple(Run(n, tuple(starts[::way])) for n, starts in runs[::way])


@lru_cache(maxsize=128)
def schedule(T: int, B: int, lengths: Lengths = None, reverse: bool = False) -> Schedule:
    """The schedule of a batch; layers and the backward pass share it.

    >>> schedule(3, 2, (1, 3)).runs          # two sequences run in step 0, one in steps 1 and 2
    (Run(n=2, starts=(0,)), Run(n=1, starts=(2, 3)))
    >>> schedule(3, 2, (1, 3), reverse=True).runs
    (Run(n=1, starts=(3, 2)), Run(n=2, starts=(0,)))
    """
    return Schedule(T, B, lengths, reverse)
