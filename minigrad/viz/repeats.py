"""Finding what repeats on a tape: stretches of p lines that occur q times in a row.

A tape is a line of records, so a loop is a tandem repeat: the same op, shapes and parameters p
lines later, again and again. Candidate periods come from distances between equal records, each is
checked over the whole tape at once (NumPy), and it counts only where the wiring repeats as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Ints = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

WIDE = 16  # an item with more arguments than this is nobody's repeat
NONE = -1  # no such argument
FAR = 8  # a step may read what was computed this many steps before it


@dataclass(slots=True)
class Wiring:
    """The sequence as arrays: `token[i]`, and of argument a of item i its source and output slot.

    A source ≥ 0 is a position in the sequence, ≤ -2 a leaf; `kind` of a leaf is looked up by
    `-2 - source`.
    """

    token: Ints
    source: Ints  # (n, A)
    slot: Ints  # (n, A)
    leaf_kind: Ints
    jump: Bools  # before item i the code went backwards, as at the turn of a loop
    changed: Bools  # before item i the path changed
    boxes: list[tuple[int, int]]  # stretches that are bodies already


@dataclass(slots=True)
class Run:
    """`count` repetitions of `period` items from `start` on.

    `inner[o, a]` and `back[o, a]` say that argument a of the o-th item comes from the same, or
    from an earlier repetition; `shift` is how many items before. Neither: it comes from outside.
    """

    start: int
    period: int
    count: int
    inner: Bools
    back: Bools
    shift: Ints

    @property
    def stop(self) -> int:
        return self.start + self.period * self.count


def find_runs(wiring: Wiring, least: int, saved: int) -> list[Run]:
    """Disjoint repeats, `least` times or more, that save at least `saved` items each."""
    found: list[tuple[int, int, int, int]] = []
    for p in _periods(wiring.token):
        equal = wiring.token[p:] == wiring.token[:-p]
        for start, length in _stretches(equal, p * (least - 1)):
            size = length + p
            found.append((-(size // p) * p, p, start, size))
    found.sort()
    runs: list[Run] = []
    free = np.ones(len(wiring.token), dtype=bool)
    for _, p, start, size in found[:4096]:
        parts = _free_parts(free, start, start + size)
        while parts and len(runs) < 4096:
            a, b = parts.pop()
            run = _best(wiring, a, b - a, p, least)
            if run is not None and (run.count - 1) * p >= saved:
                runs.append(run)
                free[run.start : run.stop] = False
                parts += [(a, run.start), (run.stop, b)]
    runs.sort(key=lambda r: r.start)
    return runs


def _periods(token: Ints) -> list[int]:
    """Distances between one stretch and the next equal one, the most promising first.

    An op may stand in a step more than once, so single records are compared, and then stretches
    of 4, 16, 64: the longer, the rarer.
    """
    picked: set[int] = set()
    codes = token.astype(np.uint64)
    for length in (1, 4, 16, 64):
        if len(token) < length + 1:
            break
        code = np.zeros(len(token) - length + 1, dtype=np.uint64)
        for i in range(length):
            code = code * np.uint64(0x9E3779B97F4A7C15) + codes[i : i + len(code)] + np.uint64(1)
        order = np.argsort(code, kind="stable")
        same = code[order][1:] == code[order][:-1]
        counts = np.bincount(np.diff(order)[same], minlength=1)
        common = np.argsort(-counts, kind="stable")[:8]
        covering = np.argsort(-counts * np.arange(len(counts)), kind="stable")[:8]
        picked |= {int(p) for p in (*common, *covering) if counts[p]}
    return sorted(p for p in picked if 0 < p < len(token))


def _stretches(true: Bools, least: int) -> list[tuple[int, int]]:
    """(start, length) of the stretches of at least `least` True in a row."""
    padded = np.concatenate(([False], true, [False])).astype(np.int8)
    steps = np.diff(padded)
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    keep = stops - starts >= max(least, 1)
    pairs = zip(starts[keep], (stops - starts)[keep], strict=True)
    return [(int(a), int(n)) for a, n in pairs]


def _free_parts(free: Bools, start: int, stop: int) -> list[tuple[int, int]]:
    if free[start:stop].all():
        return [(start, stop)]
    return [(start + a, start + a + n) for a, n in _stretches(free[start:stop], 1)]


def _best(w: Wiring, start: int, size: int, p: int, least: int) -> Run | None:
    """Cut the stretch into repetitions where the loop turns, else where fewest values cross."""
    if size // p < least:
        return None
    crossing = _crossing(w, start, size, p)
    order = sorted(
        range(p),
        key=lambda o: (
            not _turns(w, start + o, p),
            int(crossing[o]),
            not w.changed[start + o],
            -((size - o) // p),
            o,
        ),
    )
    for offset in order[:8]:
        count = (size - offset) // p
        if count < least:
            continue
        run = _checked(w, start + offset, p, count, least)
        if run is not None:
            return run
    return None


def _turns(w: Wiring, at: int, p: int) -> bool:
    """Whether the code goes backwards there: asked of the second repetition, the first is new."""
    return bool(w.jump[min(at + p, len(w.jump) - 1)])


def _crossing(w: Wiring, start: int, size: int, p: int) -> Ints:
    """How many values of the loop cross a cut before offset 0 … p-1 of the period."""
    middle = start + (size // p // 2) * p
    cuts = np.zeros(3 * p + 1, dtype=np.int64)
    low, high = max(start, middle - p), min(start + size, middle + 2 * p)
    last: dict[tuple[int, int], int] = {}
    for i in range(low, high):
        for source, slot in zip(w.source[i], w.slot[i], strict=True):
            if source >= low:
                last[int(source), int(slot)] = i
    for (source, _), consumer in last.items():
        cuts[source - low + 1] += 1
        cuts[consumer - low + 1] -= 1
    crossing = np.cumsum(cuts)
    first = middle - low
    window = crossing[first : first + p]
    return np.roll(window, -((start - middle) % p)) if len(window) == p else np.zeros(p, np.int64)


def _checked(w: Wiring, start: int, p: int, count: int, least: int) -> Run | None:
    """The longest run in the stretch whose repetitions are wired alike; None if there is none."""
    low, high = start, start + p * count
    for _ in range(8):
        if count < least:
            return None
        run, rows = _alike(w, start, p, count)
        if run is None:
            a, length = max(_stretches(rows, 1), key=lambda s: s[1], default=(0, 0))
            if length == count:
                return None
            start, count = start + a * p, length
            continue
        while run.start - p >= low:  # the first step starts from outside and looked different
            longer, _ = _alike(w, run.start - p, p, run.count + 1)
            if longer is None:
                break
            run = longer
        while run.stop + p <= high:
            longer, _ = _alike(w, run.start, p, run.count + 1)
            if longer is None:
                break
            run = longer
        return None if _splits_box(w, run.start, p, run.count) else run
    return None


def _alike(w: Wiring, start: int, p: int, count: int) -> tuple[Run | None, Bools]:
    """The run if all its repetitions are wired alike; else None, and which ones are."""
    n = p * count
    source = w.source[start : start + n].reshape(count, p, -1)
    slot = w.slot[start : start + n].reshape(count, p, -1)
    shift = np.arange(start, start + n).reshape(count, p, 1) - source
    inside = source >= start
    offset = np.arange(p).reshape(p, 1)
    best: Bools = np.zeros(count, dtype=bool)
    for model in sorted({count // 2, min(count // 2 + 1, count - 1), min(1, count - 1)}):
        loop = inside[model]
        reach = -((offset - shift[model]) // p)  # 0: same repetition, 1: the one before, …
        early = np.arange(count).reshape(count, 1, 1) < reach
        alike = inside & (shift == shift[model]) & (slot == slot[model])
        good = np.where(loop, alike | (early & ~inside), ~inside)
        good &= np.equal(source == NONE, source[model] == NONE)
        good &= loop | _same_sort(w, source, model)
        rows: Bools = np.asarray(good.all(axis=(1, 2)))
        if rows.all() and not (loop & (reach > FAR)).any():
            back = loop & (reach > 0)
            return Run(start, p, count, loop & ~back, back, shift[model]), rows
        if rows.all():
            rows[int(reach[loop].max()) :] = False  # longer would reach into itself from afar
        if rows.sum() > best.sum():
            best = rows
    return None, best


def _same_sort(w: Wiring, source: Ints, model: int) -> Bools:
    """Outside sources agree: one for all, or a line each, or leaves of one kind."""
    kinds = np.append(w.leaf_kind, 0)
    sort = np.where(source >= 0, -1, kinds[np.clip(-2 - source, -1, len(kinds) - 1)])
    return np.asarray(sort == sort[model])


def _splits_box(w: Wiring, start: int, p: int, count: int) -> bool:
    """Whether a cut would fall inside the body of a repeat that was found before."""
    stop = start + p * count
    for a, b in w.boxes:
        if b <= start or a >= stop or (a <= start and stop <= b):
            continue
        if a < start or b > stop or (a - start) // p != (b - 1 - start) // p:
            return True
    return False
