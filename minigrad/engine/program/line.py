"""`Line`: one call of a program."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any

from ..modes import Place, place
from .memory import Memory

# Programs have many lines: what is empty or equal is there once.
_NO_KWARGS: dict[str, Any] = {}
_NO_BRANCHES: list[list[Line]] = []


def once(memories: Iterable[Memory]) -> tuple[Memory, ...]:
    """Each memory once, in less room than a set."""
    return tuple(dict.fromkeys(memories))


class Line:
    """One call of the program, or a fork into several lists of lines.

    Attributes:
        function, args, kwargs: the call; its arrays are `Ref`s.
        reads, writes: the memory it touches.
        op: the op, rule or kernel it belongs to.
        at: where the user's code asked for it; see `place`.
        effect: it must run even if nothing reads what it writes.
        branches: for a fork, the lists of lines.
        times: how many recorded products it is in the place of.
    """

    __slots__ = (
        *("args", "at", "branches", "effect", "function", "kwargs", "op", "reads", "times"),
        "writes",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        reads: Iterable[Memory],
        writes: Iterable[Memory],
        op: str,
        at: tuple[CodeType, int] | None,
        effect: bool = False,
        branches: list[list[Line]] | None = None,
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs or _NO_KWARGS
        self.reads, self.writes, self.op, self.at = once(reads), once(writes), op, at
        self.effect, self.branches, self.times = effect, branches or _NO_BRANCHES, 1

    @property
    def place(self) -> Place | None:
        """File and line of the user's code."""
        return place(self.at)

    def copy(self) -> Line:
        """The same, to be changed."""
        branches = [[line.copy() for line in branch] for branch in self.branches]
        about = self.reads, self.writes, self.op, self.at, self.effect, branches
        return Line(self.function, self.args, self.kwargs, *about)
