"""From recorded lines to a plan: drop what nobody reads, find what never changes, find room.

All passes look at which memory a line touches, never at values.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np

from .memory import Memory, Ref
from .recorder import Line
from .walk import touched

ALIGN = 64  # bytes: a cache line


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


class Plan:
    """Where each block of memory lies.

    Attributes:
        at: its offset in the program's memory, in bytes.
        size: how much memory the program needs.

    Args:
        kept: what stays in its place when the lines have run, beside memory that says so itself.
    """

    def __init__(self, lines: list[Line], kept: Iterable[Memory] = ()) -> None:
        self.at: dict[Memory, int] = {}
        self._free = Free()
        self._place(lines, dict.fromkeys(kept))
        self.size = self._free.size

    def _place(self, lines: list[Line], kept: dict[Memory, None]) -> None:
        last: dict[Memory, int] = {}
        first: dict[Memory, int] = {}
        for i, line in enumerate(lines):
            for memory in touched(line):
                if memory.owner is None:
                    last[memory] = i
                    first.setdefault(memory, i)
        for memory in kept:
            if memory.owner is None and memory not in first:  # nobody writes there: it is empty
                self.at[memory] = self._free.take(memory.nbytes)
        dying: dict[int, list[Memory]] = defaultdict(list)
        for memory, i in last.items():
            if not memory.kept and memory not in kept:
                dying[i].append(memory)
        starting: dict[int, list[Memory]] = defaultdict(list)
        for memory, i in first.items():
            starting[i].append(memory)
        for each in starting.values():
            each.sort(key=lambda memory: -memory.nbytes)  # large ones find room first
        for i, line in enumerate(lines):
            new, gone = starting.get(i, []), set(dying.get(i, ()))
            if line.branches:
                new = self._fork(line.branches, new, gone)
            for memory in new:
                heir = _inherits(line, memory, gone, self.at)
                if heir is not None:
                    self.at[memory] = self.at[heir]
                    gone.remove(heir)
                else:
                    self.at[memory] = self._free.take(memory.nbytes)
            for memory in gone:
                self._free.give(self.at[memory], memory.nbytes)

    def _fork(
        self, branches: list[list[Line]], new: list[Memory], gone: set[Memory]
    ) -> list[Memory]:
        """Place what one branch alone begins; the rest of `new`. What needs no more is `gone`.

        Each branch has a stretch of its own, as another one runs at the same time; what is read
        after the fork stays where it is in there. A sum takes the place of a term that dies in it.
        """
        uses = [Counter(m for each in branch for m in touched(each)) for branch in branches]
        branch_of = Counter(m for counts in uses for m in counts)
        own = {m for m in new if branch_of[m] == 1}
        stretches = []
        for branch, counts in zip(branches, uses, strict=True):
            once = {m for m, n in counts.items() if n == 1 == branch_of[m]}
            for line in branch:
                for memory in [m for m in line.writes if m in own and m in once]:
                    heir = _inherits(line, memory, gone & once - own, self.at)
                    if heir is not None:
                        self.at[memory] = self.at[heir]
                        own.remove(memory)
                        gone.remove(heir)
            mine = own & counts.keys()
            staying = [m for m in new if m in mine and m not in gone]
            inner = Plan([_only(line, mine) for line in branch], staying)
            start = self._free.take(inner.size)
            self.at.update((m, start + offset) for m, offset in inner.at.items())
            stretches.append((start, start + inner.size, staying))
        for start, stop, staying in stretches:
            for memory in sorted(staying, key=self.at.__getitem__):
                self._free.give(start, self.at[memory] - start)
                start = self.at[memory] + -(-memory.nbytes // ALIGN) * ALIGN
            self._free.give(start, stop - start)
        gone -= own
        return [m for m in new if m not in self.at]


def _only(line: Line, memories: set[Memory]) -> Line:
    """The line, as far as it touches `memories`."""
    branches = [[_only(each, memories) for each in branch] for branch in line.branches]
    reads, writes = ([m for m in ms if m in memories] for ms in (line.reads, line.writes))
    return Line(
        line.function, line.args, line.kwargs, reads, writes, line.op, line.at, branches=branches
    )


def _inherits(
    line: Line, memory: Memory, dying: Iterable[Memory], at: dict[Memory, int]
) -> Memory | None:
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
            and operand.memory in at
            and operand.memory.nbytes == memory.nbytes
            and operand[1:] == out[1:]
            and sum(type(a) is Ref and a.memory is operand.memory for a in line.args) == 1
        ):
            return operand.memory
    return None


class Free:
    """Room in a growing stretch of bytes: the free gaps by start."""

    def __init__(self) -> None:
        self.size = 0
        self._gaps: dict[int, int] = {}  # start → length
        self._ends: dict[int, int] = {}  # end → start

    def take(self, nbytes: int) -> int:
        """The start of a stretch: the smallest gap that holds it, else new room at the end."""
        need = -(-nbytes // ALIGN) * ALIGN
        if not need:
            return 0
        fitting = [(length, start) for start, length in self._gaps.items() if length >= need]
        if fitting:
            length, start = min(fitting)
            self._remove(start)
            if length > need:
                self._add(start + need, length - need)
            return start
        start = self._ends.get(self.size, self.size)  # a gap at the end grows
        if start < self.size:
            self._remove(start)
        self.size = start + need
        return start

    def give(self, start: int, nbytes: int) -> None:
        """Take a stretch back."""
        length = -(-nbytes // ALIGN) * ALIGN
        if not length:
            return
        if start in self._ends:
            before = self._ends[start]
            length += self._remove(before)
            start = before
        if start + length in self._gaps:
            length += self._remove(start + length)
        self._add(start, length)

    def _add(self, start: int, length: int) -> None:
        self._gaps[start] = length
        self._ends[start + length] = start

    def _remove(self, start: int) -> int:
        length = self._gaps.pop(start)
        del self._ends[start + length]
        return length
