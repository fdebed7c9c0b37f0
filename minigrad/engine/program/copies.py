"""Copies that need not be: what is copied is computed where it goes, or read where it stands."""

from __future__ import annotations

from typing import Any

import numpy as np

from .calls import write
from .line import Line, once
from .memory import Ref, mapped
from .walk import Homes, Touches, each_list, homes_of

_COPIES = {write, np.copyto, np.concatenate}
_EXACT = {
    *(np.add, np.subtract, np.multiply, np.true_divide, np.negative, np.square, np.sqrt),
    *(np.maximum, np.minimum),
}
"""Functions that compute the same bits wherever their operands lie."""

ROW = 64  # elements in a row from which it does not matter where the next row begins


def united(lines: list[Line]) -> list[Line]:
    """The lines with fewer copies."""
    homes = homes_of(lines)
    return each_list(lines, lambda part: _Uniter(part, homes).united())


class _Uniter:
    """Gives copies and their sources one place."""

    def __init__(self, lines: list[Line], homes: Homes) -> None:
        self.lines, self.homes = lines, homes
        self.dropped: set[int] = set()
        self.touches = Touches(lines)

    def united(self) -> list[Line]:
        """The lines that are left.

        A state that is copied from step to step of a loop gets one place from its end: so each
        step's lines are changed once, and not again with each step that follows.
        """
        for j, line in reversed(list(enumerate(self.lines))):
            if line.function is np.add:
                self._begin(j, line)
            self._unite(j, line, alike=True)
        for j, line in enumerate(self.lines):
            if j not in self.dropped:
                self._unite(j, line)
        return [line for j, line in enumerate(self.lines) if j not in self.dropped]

    def _unite(self, j: int, line: Line, *, alike: bool = False) -> None:
        """Drop line j, if it is a copy that can be spared; if `alike`, then of a whole memory."""
        if line.function is not write or line.args[1] is not ...:
            return
        to, _, source = line.args
        if type(source) is not Ref or source.memory is to.memory:
            return
        if alike and (
            source[1:5] != to[1:5] or not source.nbytes == source.memory.nbytes == to.memory.nbytes
        ):
            return
        if (source.shape, source.dtype) == (to.shape, to.dtype) and (
            self._earlier(j, to, source) or self._later(j, to, source)
        ):
            self.dropped.add(j)

    def _begin(self, j: int, line: Line) -> None:
        """What is added to zeros is written instead."""
        if line.kwargs or any(type(a) is not Ref for a in line.args):
            return
        a, b, out = line.args
        before = self.touches.before(out.memory, j)
        if a[:5] != out[:5] or b.memory is out.memory or before is None:
            return
        zero = self.lines[before]
        if zero.function is write and zero.args[0][:5] == out[:5] and _is_zero(*zero.args[1:]):
            self.dropped.add(before)
            self.touches.remove(out.memory, before)
            line.function, line.args, line.reads = write, (out, ..., b), (b.memory,)

    def _free(self, ref: Ref) -> bool:
        """Whether these lines alone touch its memory, which may be anywhere."""
        memory = ref.memory
        return memory.owner is None and not memory.kept and self.homes[memory] is self.lines

    def _earlier(self, j: int, to: Ref, source: Ref) -> bool:
        """Compute `source` where it is copied to."""
        if not self._free(source):
            return False
        uses = self.touches.of[source.memory]
        return (
            uses[0] < j
            and not any(source.memory in self.lines[i].writes for i in uses if i > j)
            and not self.touches.any(to, uses[0], j)
            and not self.touches.any(to, j + 1, uses[-1] + 1, writes=True)
            and self._move(source, to, j)
        )

    def _later(self, j: int, to: Ref, source: Ref) -> bool:
        """Read `source` instead of its copy."""
        if not self._free(to):
            return False
        uses = self.touches.of[to.memory]
        held = source.memory.owner is None and self.touches.of[source.memory][-1] < uses[-1]
        return (
            uses[0] == j
            and not any(to.memory in self.lines[i].writes for i in uses[1:])
            and not self.touches.any(source, j + 1, uses[-1] + 1, writes=True)
            and not (held and source.memory.nbytes > 2 * to.nbytes)  # a large block, for longer
            and self._move(to, source, j)
        )

    def _move(self, old: Ref, new: Ref, j: int) -> bool:
        """Let all lines find `old` at `new`; line j, which copies one to the other, goes."""
        users = [i for i in self.touches.of[old.memory] if i != j]
        moved = [_moved(self.lines[i], old, new, len(users) == 1) for i in users]
        if None in moved:
            return False
        self.touches.remove(new.memory, j)
        for i, args in zip(users, moved, strict=True):
            line = self.lines[i]
            line.args, line.kwargs = args  # type: ignore[misc]
            line.reads = once(new.memory if m is old.memory else m for m in line.reads)
            line.writes = once(new.memory if m is old.memory else m for m in line.writes)
            self.touches.again(i, new.memory)
        del self.touches.of[old.memory]
        return True


class _Stuck(Exception):  # noqa: N818  it never leaves this module
    """An array cannot be anywhere else."""


def _moved(line: Line, old: Ref, new: Ref, only: bool) -> tuple[Any, Any] | None:
    """The arguments of a line with `new` for `old`; None if the function does not take that."""
    if line.branches:
        return None

    def move(leaf: Any) -> Any:
        if type(leaf) is not Ref or leaf.memory is not old.memory:
            return leaf
        found = leaf.through(old, new)
        if found is None or not (
            found.strides == leaf.strides or _takes(line.function, leaf, found, only)
        ):
            raise _Stuck
        return found

    try:
        return mapped(line.args, move), mapped(line.kwargs, move)
    except _Stuck:
        return None


def _takes(function: Any, before: Ref, after: Ref, only: bool) -> bool:
    """Whether a function computes the same bits, as quickly, from rows that lie further apart."""
    if function in _COPIES:
        return True
    rows = [ref.strides[-1:] == (ref.dtype.itemsize,) for ref in (before, after)]
    if function in _EXACT:
        return only and all(rows) and after.shape[-1] >= ROW
    if function is np.matmul and len(before.shape) > 1:
        columns = [ref.strides[-2] == ref.dtype.itemsize for ref in (before, after)]
        return all(rows) or all(columns)
    return False


def _is_zero(index: Any, value: Any) -> bool:
    return index is ... and type(value) is not Ref and not np.any(value)
