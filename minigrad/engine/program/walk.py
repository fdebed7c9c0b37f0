"""Ways through the lines of a program, which may fork into lists of lines."""

from __future__ import annotations

from collections.abc import Callable

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


def touches_place(line: Line, place: Ref) -> bool:
    """Whether a line reads or writes bytes of `place`."""
    if line.branches:
        return any(touches_place(each, place) for branch in line.branches for each in branch)
    refs = [a for a in leaves((line.args, line.kwargs)) if type(a) is Ref]
    return any(a.overlaps(place) for a in refs)
