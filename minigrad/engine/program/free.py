"""Free stretches of memory, for what asks for room in the order of time."""

from __future__ import annotations

from bisect import bisect_left, insort


class Free:
    """Room in memory that grows where nothing else fits.

    Attributes:
        size: how many bytes it has grown to.
    """

    def __init__(self) -> None:
        self.size = 0
        self._gaps: list[tuple[int, int]] = []  # (length, start), by length
        self._starts: dict[int, int] = {}  # start → length
        self._ends: dict[int, int] = {}  # end → start

    def take(self, size: int) -> int:
        """The start of the smallest stretch that is long enough, which is free no longer."""
        i = bisect_left(self._gaps, (size, 0))
        if i < len(self._gaps):
            length, start = self._gaps[i]
            self._remove(start)
            if length > size:
                self._add(start + size, length - size)
            return start
        start = self._ends.get(self.size, self.size)  # what is free at the end grows
        if start < self.size:
            self._remove(start)
        self.size = start + size
        return start

    def give(self, start: int, size: int) -> None:
        """Take a stretch back."""
        if not size:
            return
        before = self._ends.get(start)
        if before is not None:
            start, size = before, size + self._remove(before)
        if start + size in self._starts:
            size += self._remove(start + size)
        self._add(start, size)

    def _add(self, start: int, length: int) -> None:
        insort(self._gaps, (length, start))
        self._starts[start], self._ends[start + length] = length, start

    def _remove(self, start: int) -> int:
        length = self._starts.pop(start)
        del self._ends[start + length]
        del self._gaps[bisect_left(self._gaps, (length, start))]
        return length
