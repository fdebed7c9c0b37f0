"""Leaves and their arenas: which one a leaf lies in, new ones, and those that must stay apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from .arena import HOMES, Arena
from .modes import tick, user_frame
from .tensor import Tensor, Version


def arenas(
    params: Sequence[Tensor], *, move: bool = True, stay: set[int] | None = None
) -> list[Arena]:
    """Arenas that hold these leaves.

    Leaves that have a home already stay in it; the others get one, per device and dtype, or stay
    where they are: without `move`, or if their id is in `stay`. That is `tied(params)` if not
    given: those that share memory.
    """
    homes: dict[Arena, list[int]] = {}
    fresh: dict[Any, list[Tensor]] = {}
    found: list[Arena] = []
    if stay is None:
        stay = tied(params) if move else set()
    for p in params:
        home, i = find(p)
        if home is not None:
            homes.setdefault(home, []).append(i)
        elif move and id(p) not in stay:
            fresh.setdefault((p.device, p.dtype), []).append(p)
        else:
            if move:
                p.writable()
            found.append(Arena.alone(p))
    found += [Arena(group) for group in fresh.values()]
    for home, indices in homes.items():
        for _, pairs in groupby(enumerate(sorted(indices)), lambda pair: pair[1] - pair[0]):
            run = [i for _, i in pairs]  # without a gap
            found.append(home.part(run[0], run[-1] + 1))
    return found


def settle(tensors: Iterable[Tensor]) -> None:
    """Let the arenas of these leaves follow them to where they were moved."""
    found = {id(home): home for home in (HOMES.get(id(t)) for t in tensors) if home is not None}
    for home in found.values():
        home.settle()


def find(p: Tensor) -> tuple[Arena | None, int]:
    """The arena that a leaf lies in, and its place there."""
    home = HOMES.get(id(p))
    if home is not None:
        i = home.index[id(p)]
        if home.holds(i):
            return home, i
    return None, 0


def tied(params: Sequence[Tensor]) -> set[int]:
    """The ids of those that share memory with another: moved apart, they would no longer."""
    spans = []
    for p in params:
        if p.size and hasattr(p.data, "__array_interface__"):
            low, high = np.lib.array_utils.byte_bounds(p.data)
            spans.append((low, high, id(p)))
    found, end, last = set(), 0, 0
    for low, high, this in sorted(spans):
        if low < end:
            found |= {last, this}
        if high > end:
            end, last = high, this
    return found


def stamp(tensors: Iterable[Tensor]) -> None:
    """Say that the memory of these leaves was written to, as `assign_` does."""
    now, at = tick(), user_frame(3)
    Version.latest = now
    for t in tensors:
        version = t.version or t.shared_version()
        version.written, version.at = now, at
