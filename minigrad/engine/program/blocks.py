"""Elementwise chains in blocks that stay in the cache from the first line to the last."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from .calls import write
from .line import Line
from .memory import Memory, Ref, leaves

BLOCK = 1 << 15  # elements of a chain that are worked on together


def worked_on(lines: list[Line]) -> Iterator[Line]:
    """The lines as they are worked on: chains in blocks."""
    for chain in chains(lines):
        yield from blocks(chain)


def chains(lines: list[Line]) -> list[list[Line]]:
    """The lines in order, consecutive elementwise ones of one large size together."""
    groups: list[list[Line]] = []
    size = 0
    for line in lines:
        n = _length(line)
        if n and n == size:
            groups[-1].append(line)
        else:
            groups.append([line])
            size = n
    return groups


def _length(line: Line) -> int:
    """The number of elements of a line that can be worked on in blocks; 0 if it cannot."""
    if isinstance(line.function, np.ufunc):
        if line.function.signature is not None or line.kwargs or line.function.nout != 1:
            return 0
        operands = line.args
    elif line.function is write and line.args[1] is ...:
        operands = (line.args[0], line.args[2])
    else:
        return 0
    arrays = [a for a in operands if type(a) is Ref and a.shape]
    out = operands[0] if line.function is write else operands[-1]
    if type(out) is not Ref or any(isinstance(a, np.ndarray) and a.ndim for a in operands):
        return 0
    if any(a.shape != out.shape or not a.contiguous for a in arrays):
        return 0
    return out.size if out.size >= 2 * BLOCK else 0


def blocks(group: list[Line]) -> list[Line]:
    """A chain's lines, cut into blocks that stay in the cache from the first line to the last."""
    size = _length(group[0])
    if len(group) < 2 or not size or not _independent(group):
        return group
    cut = []
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        for line in group:
            args = tuple(
                a.flat(start, stop) if type(a) is Ref and a.shape else a for a in line.args
            )
            cut.append(Line(line.function, args, {}, line.reads, line.writes, line.op, line.at))
    return cut


def _independent(group: list[Line]) -> bool:
    """Whether block k of each line needs only block k of the others."""
    places: dict[Memory, set[Any]] = defaultdict(set)
    for line in group:
        for a in leaves(line.args):
            if type(a) is Ref:
                places[a.memory].add(a[:5])
    written = {m for line in group for m in line.writes}
    return all(len(places[memory]) == 1 for memory in written)
