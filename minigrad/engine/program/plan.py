"""From recorded lines to a plan: drop what nobody reads, find what never changes, find room.

All passes look at which memory a line touches, never at values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from heapq import heappop, heappush
from typing import Any

import numpy as np

from .free import Free
from .line import Line, once
from .memory import ALIGN, Memory, Ref
from .walk import touched

MANY = 1 << 12  # rooms from which it takes too long to look at all of them for each


def prune(lines: list[Line], needed: set[Memory]) -> list[Line]:
    """The lines that lead to `needed`, to memory from before the program, or have an effect."""
    kept = []
    for line in reversed(lines):
        if line.branches:
            # Branches do not read one another: each is pruned for what comes after the fork.
            after = set(needed)
            for i, branch in enumerate(line.branches):
                inside = set(after)
                line.branches[i] = prune(branch, inside)
                needed |= inside
            if any(line.branches):
                kept.append(line)
        elif line.effect or any(m in needed or m.owner is not None for m in line.writes):
            needed.update(line.reads)
            kept.append(line)
    kept.reverse()
    return kept


def constants(lines: list[Line]) -> list[Line]:
    """The lines that compute the same in each replay: to be run once."""
    writers = Counter(m for line in lines for m in line.writes)
    same: set[Memory] = set()
    found = []
    for line in lines:
        if (
            line.effect
            or line.branches
            or any(m.owner is not None or writers[m] > 1 for m in line.writes)
        ):
            continue
        if all(m in same or m in line.writes or m.constant for m in line.reads):
            same.update(line.writes)
            found.append(line)
    return found


def in_use(lines: list[Line]) -> list[int]:
    """The bytes that are needed while each line runs: what it touches, and what is read later."""
    last: dict[Memory, int] = {}
    for i, line in enumerate(lines):
        last.update((m, i) for m in touched(line) if m.owner is None)
    found: list[int] = []
    live: set[Memory] = set()
    for i, line in enumerate(lines):
        live |= {m for m in touched(line) if m.owner is None}
        found.append(sum(m.nbytes for m in live))
        live -= {m for m in touched(line) if last.get(m) == i and not m.kept}
    return found


class Room:
    """Room for a memory, and for those that take it over from one another.

    Attributes:
        first, last: the times between which it is in use.
        size: how many bytes it takes.
    """

    __slots__ = ("first", "last", "memories", "size")

    def __init__(self, memory: Memory, first: int, last: int) -> None:
        self.memories, self.first, self.last = [memory], first, last
        self.size = -(-memory.nbytes // ALIGN) * ALIGN


class Plan:
    """Where each memory lies: what is not in use at the same time may lie in the same place.

    Attributes:
        at: its offset in the program's memory, in bytes.
        size: how much memory the program needs.

    Args:
        kept: what stays in its place when the lines have run.
    """

    def __init__(self, lines: list[Line], kept: Collection[Memory] = ()) -> None:
        self._lines: list[Line] = []  # by time: the branches of a fork one after the other
        self._where: list[tuple[int, int]] = []  # by time: which line, and which branch of a fork
        self._spans: dict[Memory, list[int]] = {}  # the first and the last time it is touched
        for line in lines:
            self._follow(line)
        rooms = self._rooms(kept)
        empty = [m for m in kept if m.owner is None and m not in self._spans]
        rooms += [Room(memory, 0, len(self._lines)) for memory in empty]
        self.at: dict[Memory, int] = {}
        self.size = (self._place if len(rooms) <= MANY else self._place_by_time)(rooms)

    def _follow(self, line: Line) -> None:
        """Give a time to a line, or to each line of its branches."""
        i = len(self._lines)
        if not line.branches:
            self._touch(line, (i, 0), touched(line))
            return
        users = Counter(m for part in line.branches for m in once(_all_touched(part)))
        shared = [m for m, n in users.items() if n > 1]  # in any order: in use all the time
        self._touch(line, (i, 0), shared)
        for k, part in enumerate(line.branches):
            for each in part:
                self._touch(each, (i, k + 1), touched(each))
        self._touch(line, (i, 0), shared)

    def _touch(self, line: Line, where: tuple[int, int], memories: Iterable[Memory]) -> None:
        now = len(self._lines)
        for memory in memories:
            if memory.owner is None:
                self._spans.setdefault(memory, [now, now])[1] = now
        self._lines.append(line)
        self._where.append(where)

    def _rooms(self, kept: Collection[Memory]) -> list[Room]:
        """One for each memory, but for a result that takes that of an operand."""
        rooms: list[Room] = []
        of: dict[Memory, Room] = {}
        end = len(self._lines)
        for memory, (first, last) in sorted(self._spans.items(), key=lambda item: item[1][0]):
            line, until = self._lines[first], end if memory in kept else last
            dying = [m for m in line.reads if m in of and of[m].last == first]
            heir = _inherits(line, memory, dying)
            if heir is None:
                of[memory] = Room(memory, first, until)
                rooms.append(of[memory])
            else:
                of[memory] = of[heir]
                of[memory].memories.append(memory)
                of[memory].last = until
        return rooms

    def _place(self, rooms: list[Room]) -> int:
        """Place each as low as those beside it allow, large ones first; how much that takes."""
        line, branch = np.array([*self._where, (-1, 0)]).T

        def follows(start: Any, stop: Any) -> Any:
            """Whether times `start` come after times `stop`, and not in a branch beside theirs."""
            return (start > stop) & ((line[start] != line[stop]) | (branch[start] == branch[stop]))

        first, last, low, high = np.zeros((4, len(rooms)), np.int64)
        for n, room in enumerate(sorted(rooms, key=lambda room: (-room.size, room.first))):
            apart = follows(room.first, last[:n]) | follows(first[:n], room.last)
            beside = np.flatnonzero(~apart)
            beside = beside[low[beside].argsort()]
            at = _lowest(low[beside], high[beside], room.size)
            first[n], last[n], low[n], high[n] = room.first, room.last, at, at + room.size
            self.at.update(dict.fromkeys(room.memories, at))
        return int(high.max(initial=0))

    def _place_by_time(self, rooms: list[Room]) -> int:
        """Place each as it begins; in a fork, all that its branches need beside one another.

        It leaves more gaps, and takes time in proportion to the rooms, not to their square.
        """
        begins = [line for line, _ in self._where]  # in a fork: when all of it begins
        free, ending = Free(), list[tuple[int, int, int]]()
        for room in sorted(rooms, key=lambda room: (begins[room.first], -room.size)):
            while ending and ending[0][0] < begins[room.first]:
                free.give(*heappop(ending)[1:])
            at = free.take(room.size) if room.size else 0
            heappush(ending, (room.last, at, room.size))
            self.at.update(dict.fromkeys(room.memories, at))
        return free.size


def _lowest(starts: Any, ends: Any, size: int) -> int:
    """The lowest place of so many bytes outside of stretches, which are given by start."""
    free = np.maximum.accumulate(np.append(0, ends))  # from here to the next start
    fits = np.flatnonzero(starts - free[:-1] >= size)
    return int(free[fits[0] if fits.size else -1])


def _all_touched(lines: list[Line]) -> Iterable[Memory]:
    return (m for line in lines for m in touched(line))


def _inherits(line: Line, memory: Memory, dying: Iterable[Memory]) -> Memory | None:
    """An operand of an elementwise line that dies with it, whose room its result can take."""
    if not isinstance(line.function, np.ufunc) or line.function.signature is not None:
        return None
    if line.function.nout != 1 or type(line.args[-1]) is not Ref or line.kwargs:
        return None
    out = line.args[-1]
    if out.memory is not memory or not out.contiguous:
        return None
    for operand in line.args[: line.function.nin]:
        if (
            type(operand) is Ref
            and operand.memory in dying
            and operand.memory.nbytes == memory.nbytes
            and operand[1:] == out[1:]
            and sum(type(a) is Ref and a.memory is operand.memory for a in line.args) == 1
        ):
            return operand.memory
    return None
