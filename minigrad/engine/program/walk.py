"""Ways through the lines of a program, which may fork into lists of lines."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterator
from math import inf

from .line import Line, once
from .memory import Memory, Ref, leaves

Homes = dict[Memory, list[Line] | None]


def each_list(lines: list[Line], change: Callable[[list[Line]], list[Line]]) -> list[Line]:
    """`change(lines)`, after the same with each branch."""
    for line in lines:
        if line.branches:
            line.branches = [each_list(branch, change) for branch in line.branches]
            parts = [each for branch in line.branches for each in branch]
            line.reads = once(m for each in parts for m in each.reads)
            line.writes = once(m for each in parts for m in each.writes)
    return change(lines)


def every(lines: list[Line]) -> Iterator[Line]:
    """All lines, those of branches as well."""
    for line in lines:
        yield line
        for branch in line.branches:
            yield from every(branch)


def homes_of(lines: list[Line]) -> Homes:
    """Per memory the list of lines that alone touches it; None where several do."""
    homes: Homes = {}

    def visit(lines: list[Line]) -> None:
        for line in lines:
            if line.branches:
                for branch in line.branches:
                    visit(branch)
                continue
            for memory in touched(line):
                if homes.setdefault(memory, lines) is not lines:
                    homes[memory] = None

    visit(lines)
    return homes


def touched(line: Line) -> tuple[Memory, ...]:
    """All memory that a line reads or writes, in an order that is the same in each run."""
    return once((*line.reads, *line.writes))


class Touches:
    """Which lines of a list touch a memory: `of[memory]`, in order; and who touches what of it."""

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.of: dict[Memory, list[int]] = defaultdict(list)
        self._spans: dict[tuple[int, Memory], tuple[float, float]] = {}  # those asked for
        for i, line in enumerate(lines):
            for memory in touched(line):
                self.of[memory].append(i)

    def again(self, at: int, memory: Memory) -> None:
        """Line `at` has changed, and touches a memory now."""
        known = self.of[memory]
        i = bisect_left(known, at)
        if known[i : i + 1] != [at]:
            known.insert(i, at)
        self._spans.pop((at, memory), None)

    def remove(self, memory: Memory, at: int) -> None:
        """Line `at` is gone."""
        known = self.of[memory]
        del known[bisect_left(known, at)]

    def before(self, memory: Memory, at: int) -> int | None:
        """The last line before line `at` that touches a memory."""
        known = self.of[memory]
        i = bisect_left(known, at)
        return known[i - 1] if i else None

    def any(self, place: Ref, start: int, stop: int, *, writes: bool = False) -> bool:
        """Whether a line from `start` to before `stop` touches `place`, or `writes` there."""
        memory = place.memory
        known, (low, high) = self.of[memory], place.extent
        for at in known[bisect_left(known, start) : bisect_left(known, stop)]:
            if not writes or memory in self.lines[at].writes:
                first, end = self._span(at, memory)
                if first < high and low < end:
                    return True
        return False

    def _span(self, at: int, memory: Memory) -> tuple[float, float]:
        """The bytes of a memory that a line touches."""
        found = self._spans.get((at, memory))
        if found is None:
            line = self.lines[at]
            refs = [a for a in leaves((line.args, line.kwargs)) if type(a) is Ref]
            spans: list[tuple[float, float]] = [r.extent for r in refs if r.memory is memory]
            spans = spans or [(-inf, inf)]
            found = min(low for low, _ in spans), max(high for _, high in spans)
            self._spans[at, memory] = found
        return found
