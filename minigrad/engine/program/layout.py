"""The lines of a program as they are run, and where their memory lies.

What is computed once, in a larger array or with other things takes room for longer. A program does
as much of that as fits into the memory of the recorded run, which is what eager takes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from .copies import united
from .line import Line
from .memory import Memory
from .plan import Plan, constants
from .rows import joined
from .sums import sums
from .walk import every, touched

LENGTHS = 256, 128, 64, 0  # of products that are put together; the first is long enough


class Layout:
    """Lines with their memory.

    Attributes:
        constants: the lines that are run once.
        lines: those of each replay.
        kept: what stays in its place between replays.
        plan: where each memory lies.
    """

    def __init__(self, lines: list[Line], once: list[Line], kept: Collection[Memory]) -> None:
        ids = set(map(id, once))
        self.constants, self.lines = once, [line for line in lines if id(line) not in ids]
        made = {memory for line in once for memory in line.writes}
        read = {memory for line in self.lines for memory in touched(line)}
        self.kept = {*kept, *(made & read)}
        self.plan = Plan([*self.constants, *self.lines], self.kept)


def laid_out(lines: list[Line], kept: Collection[Memory], most: int) -> Layout:
    """The quickest layout of those that take at most so many bytes; if none does, the smallest."""
    tried = []
    for layout in _layouts(lines, kept, most):
        if layout.plan.size <= most:
            return layout
        tried.append(layout)
    return min(tried, key=lambda layout: layout.plan.size)


def _layouts(lines: list[Line], kept: Collection[Memory], most: int) -> Iterator[Layout]:
    """Layouts to be tried, in order of speed."""
    longest, fewer = LENGTHS[0], united([line.copy() for line in lines])
    yield (first := _quick(fewer, kept, longest, longest))
    if any(line.times > 1 for line in every(first.lines)):
        for rows in LENGTHS:
            alone = _quick(fewer, kept, rows, 0)
            if alone.plan.size <= most:
                break
        for terms in LENGTHS[rows == longest : -1]:  # the longest of both was the first
            yield _quick(fewer, kept, rows, terms)
        yield alone
    yield Layout(lines, [], kept)


def _quick(lines: list[Line], kept: Collection[Memory], rows: int, terms: int) -> Layout:
    """With products of rows and of sums put together up to such a length."""
    lines = sums([line.copy() for line in lines], terms)
    lines = joined(united(lines), rows)
    return Layout(lines, constants(lines), kept)
