"""An arena in blocks that stay in cache between the passes over them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from ..engine import Arena

KEPT = 16  # plans that an arena remembers


class Block(NamedTuple):
    """A stretch of an arena that is worked on at a time.

    Attributes:
        start, stop: where it lies.
        copies: the leaves in it, whose gradients are copied into `Arena.grad` first.
        source: or -1, or the one large leaf that it is a piece of, whose gradient is read in place.
        offset: where that leaf begins.
        gaps: what lies between the leaves, zeros that must stay so.
    """

    start: int
    stop: int
    copies: tuple[int, ...]
    source: int
    offset: int
    gaps: tuple[slice, ...] = ()


def blocks(
    arena: Arena, indices: Iterable[int], size: int, *, apart: bool = False
) -> tuple[Block, ...]:
    """The stretches of an arena that hold the leaves `indices`, of about `size` elements each.

    Small neighbours share a block, and one pass over it; `apart`: no two leaves do.
    """
    key = tuple(indices), size, apart
    found: tuple[Block, ...] | None = arena.plans.get(key)
    if found is None:
        if len(arena.plans) >= KEPT:
            arena.plans.clear()
        found = arena.plans[key] = _cut(arena, *key)
    return found


def _cut(arena: Arena, indices: tuple[int, ...], size: int, apart: bool) -> tuple[Block, ...]:
    found: list[Block] = []
    group: list[int] = []

    def ends(i: int) -> tuple[int, int]:
        return arena.starts[i], arena.starts[i] + math.prod(arena.shapes[i])

    def close() -> None:
        if group:
            pairs = [(ends(i)[1], arena.starts[j]) for i, j in pairwise(group)]
            gaps = tuple(slice(*pair) for pair in pairs if pair[0] < pair[1])
            start, stop = arena.starts[group[0]], ends(group[-1])[1]
            found.append(Block(start, stop, tuple(group), -1, 0, gaps))
            group.clear()

    for i in indices:
        start, stop = ends(i)
        if stop - start >= size // 4 or apart:
            close()
            cuts = range(start, stop, size)
            found += [Block(cut, min(cut + size, stop), (), i, start) for cut in cuts]
            continue
        if group and (i != group[-1] + 1 or stop - arena.starts[group[0]] > size):
            close()
        group.append(i)
    close()
    return tuple(found)
