"""Ways through the lines of a program, which may fork into lists of lines."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterator
from math import inf
from typing import NamedTuple

from .memory import Memory, Ref, leaves
from .recorder import Line

Homes = dict[Memory, list[Line] | None]


def each_list(lines: list[Line], change: Callable[[list[Line]], list[Line]]) -> list[Line]:
    """`change(lines)`, after the same with each branch."""
    for line in lines:
        if line.branches:
            line.branches = [each_list(branch, change) for branch in line.branches]
            line.reads = {m for branch in line.branches for each in branch for m in each.reads}
            line.writes = {m for branch in line.branches for each in branch for m in each.writes}
    return change(lines)


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


def touched(line: Line) -> set[Memory]:
    """All memory that a line reads or writes."""
    return line.reads | line.writes


class Touch(NamedTuple):
    """That line `at` touches bytes `low` to `high` of a memory."""

    at: int
    low: float
    high: float
    writes: bool


class Touches:
    """Which lines of a list touch a memory, and where: `of[memory]`, in order."""

    def __init__(self, lines: list[Line]) -> None:
        self.of: dict[Memory, list[Touch]] = defaultdict(list)
        for i, line in enumerate(lines):
            for memory, touch in _touches(i, line):
                self.of[memory].append(touch)

    def again(self, at: int, line: Line, memory: Memory) -> None:
        """Note what a line does to a memory now, in the place of what was noted."""
        self.remove(memory, at)
        insort(self.of[memory], dict(_touches(at, line))[memory])

    def remove(self, memory: Memory, at: int) -> None:
        """Forget a line that is gone."""
        known = self.of[memory]
        i = bisect_left(known, (at,))
        if i < len(known) and known[i].at == at:
            del known[i]

    def before(self, memory: Memory, at: int) -> Touch | None:
        """The last touch before line `at`."""
        known = self.of[memory]
        i = bisect_left(known, (at,))
        return known[i - 1] if i else None

    def within(self, memory: Memory, start: int, stop: int) -> list[Touch]:
        """What lines from `start` to before `stop` touch."""
        known = self.of[memory]
        return known[bisect_left(known, (start,)) : bisect_left(known, (stop,))]

    def any(self, place: Ref, start: int, stop: int, *, writes: bool = False) -> bool:
        """Whether a line from `start` to before `stop` touches `place`, or `writes` there."""
        low, high = place.extent
        for touch in self.within(place.memory, start, stop):
            if touch.low < high and low < touch.high and (touch.writes or not writes):
                return True
        return False


def _touches(at: int, line: Line) -> Iterator[tuple[Memory, Touch]]:
    """What a line does to each memory."""
    spans: dict[Memory, tuple[float, float]] = {}
    for leaf in leaves((line.args, line.kwargs)):
        if type(leaf) is Ref:
            span: tuple[float, float] = leaf.extent
            if leaf.memory in spans:
                low, high = spans[leaf.memory]
                span = min(span[0], low), max(span[1], high)
            spans[leaf.memory] = span
    for memory in touched(line):
        low, high = spans.get(memory, (-inf, inf))
        yield memory, Touch(at, low, high, memory in line.writes)
