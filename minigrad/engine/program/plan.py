"""From recorded lines to a plan: drop what nobody reads, write where it is wanted, find room.

All passes look at which memory a line touches, never at values, so the program computes the same
bits as the step it was recorded from.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np

from .calls import owner_of, write
from .memory import Memory, Ref, leaves
from .recorder import Line

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
            needed |= line.reads
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
            same |= line.writes
            found.append(line)
    return found


def forward(lines: list[Line]) -> list[Line]:
    """Let what is computed to be copied be computed where the copy goes."""
    touches: dict[Memory, list[int]] = defaultdict(list)
    for i, line in enumerate(lines):
        for memory in touched(line):
            touches[memory].append(i)
    dropped = set()
    for j, line in enumerate(lines):
        if line.function is not write or line.args[1] is not ... or type(line.args[2]) is not Ref:
            continue
        to, _, source = line.args
        uses = touches[source.memory]
        if len(uses) != 2 or source.memory.owner is not None or source.memory.kept:
            continue
        i, maker = uses[0], lines[uses[0]]
        if (
            i == j
            or i in dropped
            or source.memory not in maker.writes
            or not _retargets(maker, source, to)
            or any(
                i <= k < j and k not in dropped and _touches(lines[k], to)
                for k in touches[to.memory]
            )
        ):
            continue
        at = _out(maker)
        maker.args = (*maker.args[:at], to, *maker.args[at + 1 :])
        maker.reads = {to.memory if m is source.memory else m for m in maker.reads}
        maker.writes = {to.memory}
        touches[to.memory] = sorted({*touches[to.memory], i} - {j})
        dropped.add(j)
    for line in lines:
        line.branches = [forward(branch) for branch in line.branches]
    return [line for j, line in enumerate(lines) if j not in dropped]


def _retargets(maker: Line, source: Ref, to: Ref) -> bool:
    """Whether the line that makes `source` can write into `to` as well."""
    if maker.branches or maker.writes != {source.memory}:
        return False
    at = _out(maker)
    if at == 0:
        return False
    if source.shape != to.shape or source.dtype != to.dtype or not source.contiguous:
        return False
    if source.memory.nbytes != source.size * source.dtype.itemsize:
        return False
    out, others = maker.args[at], (*maker.args[:at], *maker.args[at + 1 :])
    if type(out) is not Ref or out[:5] != source[:5]:
        return False
    if any(type(a) is Ref and a.memory is source.memory for a in others):
        return False
    elementwise = isinstance(maker.function, np.ufunc) and maker.function.signature is None
    return to.contiguous or elementwise


def _out(line: Line) -> int:
    """Which argument of a line is its only output; 0 if none is."""
    if isinstance(line.function, np.ufunc):
        return line.function.nin if line.function.nout == 1 else 0
    reduces = owner_of(line.function) is not None and line.function.__name__ == "reduce"
    return 3 if reduces and len(line.args) > 3 else 0


def _touches(line: Line, place: Ref) -> bool:
    """Whether a line reads or writes bytes of `place`."""
    if line.branches:
        return any(_touches(each, place) for branch in line.branches for each in branch)
    refs = [a for a in leaves((line.args, line.kwargs)) if type(a) is Ref]
    return any(a.overlaps(place) for a in refs)


def touched(line: Line) -> set[Memory]:
    """All memory that a line reads or writes."""
    return line.reads | line.writes


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
    """

    def __init__(self, lines: list[Line], kept: Iterable[Memory] = ()) -> None:
        self.at: dict[Memory, int] = {}
        self.size = 0
        self._place(lines, kept)

    def _place(self, lines: list[Line], kept: Iterable[Memory]) -> None:
        last: dict[Memory, int] = {}
        first: dict[Memory, int] = {}
        for i, line in enumerate(lines):
            for memory in touched(line):
                if memory.owner is None:
                    last[memory] = i
                    first.setdefault(memory, i)
        free = Free()
        for memory in kept:
            if memory.owner is None and memory not in first:  # nobody writes there: it is empty
                self.at[memory] = free.take(memory.nbytes)
        dying: dict[int, list[Memory]] = defaultdict(list)
        for memory, i in last.items():
            if not memory.kept:
                dying[i].append(memory)
        starting: dict[int, list[Memory]] = defaultdict(list)
        for memory, i in first.items():
            starting[i].append(memory)
        for i, line in enumerate(lines):
            gone = dying.get(i, [])
            local = self._local(line, i, first, last)
            for memory in starting.get(i, ()):
                if memory in local:
                    continue
                heir = _inherits(line, memory, gone, self.at)
                if heir is not None:
                    self.at[memory] = self.at[heir]
                    gone = [m for m in gone if m is not heir]
                else:
                    self.at[memory] = free.take(memory.nbytes)
            regions = []
            for branch in line.branches:  # each has its own room for what no other touches
                inner = Plan([_only(each, local) for each in branch])
                start = free.take(inner.size)
                regions.append((start, inner.size))
                for memory, offset in inner.at.items():
                    if memory in local:
                        self.at[memory] = start + offset
            for start, size in regions:
                free.give(start, size)
            for memory in gone:
                if memory not in local:
                    free.give(self.at[memory], memory.nbytes)
        self.size = free.size

    @staticmethod
    def _local(
        line: Line, i: int, first: dict[Memory, int], last: dict[Memory, int]
    ) -> set[Memory]:
        """Memory that one branch alone uses."""
        counts = Counter(
            m for branch in line.branches for m in {m for each in branch for m in touched(each)}
        )
        return {
            m
            for m, n in counts.items()
            if n == 1 and m.owner is None and not m.kept and first[m] == last[m] == i
        }


def _only(line: Line, memories: set[Memory]) -> Line:
    """The line, as far as it touches `memories`."""
    branches = [[_only(each, memories) for each in branch] for branch in line.branches]
    reads, writes = line.reads & memories, line.writes & memories
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
