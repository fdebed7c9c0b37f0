"""Products of one weight with rows that lie side by side, as a loop over time makes them: one.

`x[t] @ W` for each t, with an x that is there before the loop, is [x₀; x₁; …] @ W: BLAS prepares W
once and not T times, which is most of what a product of few rows costs. Nothing is copied for it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from .line import Line, once
from .memory import Memory, Ref, mapped
from .walk import Homes, Touches, each_list, homes_of


def joined(lines: list[Line], enough: int) -> list[Line]:
    """The lines with products of neighbouring rows put together.

    Results take room until they are read: a product is long enough with `enough` rows.
    """
    homes = homes_of(lines)
    return each_list(lines, lambda part: _Joiner(part, homes, enough).joined())


class _Joiner:
    """Finds products that can be one; `instead[i]` is what stands where line i stood."""

    def __init__(self, lines: list[Line], homes: Homes, enough: int) -> None:
        self.lines, self.homes, self.enough = lines, homes, enough
        self.touches = Touches(lines)
        self.instead: dict[int, list[Line]] = {}
        self.moved: dict[Memory, Ref] = {}  # of a result → its place among the others

    def joined(self) -> list[Line]:
        """The lines, old and new."""
        for group in self._groups():
            if len(group) > 1:
                self._join(group)
        lines = [x for i, line in enumerate(self.lines) for x in self.instead.get(i, (line,))]
        for line in lines:
            if any(m in self.moved for m in (*line.reads, *line.writes)):
                self._follow(line)
        return lines

    # -- finding -----------------------------------------------------------------------------

    def _groups(self) -> list[list[int]]:
        """Products that can be where the first of them is: their lines, in the order of rows."""
        growing: dict[Any, list[int]] = {}  # the last group of each kind
        groups = []
        for i, line in enumerate(self.lines):
            if not self._is_product(i, line):
                continue
            a, b, _ = line.args
            key = b[:5], a.memory, a.shape, a.strides
            group = growing.get(key)
            if (
                group
                and len(group) * a.shape[0] < self.enough
                and self._unchanged(a, b, min(group), i)
            ):
                longer = [*group, i], [i, *group]
                group[:] = next((g for g in longer if self._adjacent(g)), group)
            if not group or i not in group:
                growing[key] = [i]
                groups.append(growing[key])
        return groups

    def _is_product(self, i: int, line: Line) -> bool:
        """Whether it is one of few rows, into memory of its own."""
        if line.function is not np.matmul or line.kwargs or len(line.args) != 3:
            return False
        a, b, out = line.args
        memory = out.memory
        return (
            all(type(x) is Ref and len(x.shape) == 2 and x.size for x in line.args)
            and a.dtype == b.dtype == out.dtype
            and a.shape[0] <= self.enough // 2
            and a.strides[0] >= a.shape[1] * a.strides[1] > 0
            and memory.owner is None
            and not memory.kept
            and memory.nbytes == out.nbytes
            and out.contiguous
            and self.homes[memory] is self.lines
            and self.touches.of[memory][0] == i
        )

    def _unchanged(self, a: Ref, b: Ref, start: int, stop: int) -> bool:
        """Whether a product can be computed at line `start` already."""
        return not any(self.touches.any(x, start, stop, writes=True) for x in (a, b))

    def _adjacent(self, group: list[int]) -> bool:
        """Whether the rows of each begin where those of the one before end."""
        rows = [self.lines[i].args[0] for i in group]
        step = rows[0].shape[0] * rows[0].strides[0]
        return all(b.offset - a.offset == step for a, b in pairwise(rows))

    # -- rewriting ---------------------------------------------------------------------------

    def _join(self, group: list[int]) -> None:
        """One product in the place of several; the bias that is added to each is added to it."""
        first = min(group)
        a, b, out = self.lines[group[0]].args
        rows = len(group) * out.shape[0]
        block = Ref.compact(Memory(len(group) * out.nbytes), (rows, out.shape[1]), out.dtype)
        product = _line(self.lines[first], (a.seen((rows, a.shape[1]), a.strides), b, block))
        product.times = len(group)
        self.instead.update((i, []) for i in group)
        self.instead[first] = [product]
        biases = [self._bias(i, first) for i in group]
        if len({found and found[1][:5] for found in biases}) == 1 and (found := biases[0]):
            self.instead.update((j, []) for j, _ in filter(None, biases))
            self.instead[first].append(_line(self.lines[found[0]], (block, found[1], block)))
        for k, i in enumerate(group):
            result = self.lines[i].args[2]
            self.moved[result.memory] = result._replace(memory=block.memory, offset=k * out.nbytes)

    def _bias(self, i: int, at: int) -> tuple[int, Ref] | None:
        """The line that first touches the result of product i, and the row that it adds to it.

        None if it does something else, or the row is another one at line `at`.
        """
        out = self.lines[i].args[2]
        after = self.touches.of[out.memory][1:2]
        line = self.lines[after[0]] if after else None
        if line is None or line.function is not np.add or line.kwargs:
            return None
        if any(type(x) is not Ref for x in line.args):
            return None
        x, row, y = line.args
        fits = (
            x[:5] == y[:5]
            and (x.memory, x.nbytes, x.contiguous) == (out.memory, out.nbytes, True)
            and row.shape == x.shape[-1:] == out.shape[1:]
            and row.memory.owner is not None
            and not self.touches.any(row, at, after[0], writes=True)
        )
        return (after[0], row) if fits else None

    def _follow(self, line: Line) -> None:
        """Let a line find results where they are now."""

        def move(leaf: Any) -> Any:
            place = self.moved.get(leaf.memory) if type(leaf) is Ref else None
            if place is None:
                return leaf
            return leaf._replace(memory=place.memory, offset=place.offset + leaf.offset)

        def home(memory: Memory) -> Memory:
            place = self.moved.get(memory)
            return memory if place is None else place.memory

        line.args, line.kwargs = mapped(line.args, move), mapped(line.kwargs, move)
        line.reads, line.writes = once(map(home, line.reads)), once(map(home, line.writes))


def _line(like: Line, args: tuple[Ref, Ref, Ref]) -> Line:
    """A line of its function, into the last of `args`."""
    reads, writes = [x.memory for x in args], [args[2].memory]
    return Line(like.function, args, {}, reads, writes, like.op, like.at)
