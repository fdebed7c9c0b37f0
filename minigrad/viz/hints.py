"""Hints for the layout: what is drawn as a straight line, what stands in one column."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from .ir import GraphIR, Link, Path

GATES = "figonzr"  # from top to bottom: the forget gate beside c, the output gate beside h


class Hints:
    """Groups, weights and columns of a graph; `groups` and `heavy` are read by the writer."""

    def __init__(self, ir: GraphIR) -> None:
        self.ir = ir
        self.ways: dict[str, list[str]] = {}
        self.groups, self.heavy = self._state_lines()
        self._fed = {
            item.path[:depth]
            for item in ir.items.values()
            if item.kind == "parameter" or (item.kind == "state" and item.id.endswith("in"))
            for depth in range(1, len(item.path) + 1)
        }

    def enters(self, link: Link) -> bool:
        """Whether a leaf's arrow enters a box whose left column holds leaves of its own.

        Such a leaf stands left of the box, not above it: its arrow would cross the box's title.
        """
        src, dst = self.ir.items[link.src], self.ir.items[link.dst]
        if src.kind != "input" or dst.kind == "state":
            return False
        return any(
            dst.path[:depth] in self._fed for depth in range(len(src.path) + 1, len(dst.path) + 1)
        )

    def _state_lines(self) -> tuple[dict[str, str], dict[tuple[str, str], int]]:
        """Short ways from h [t−1] to h [t] are drawn straight: the conveyor belt of an LSTM."""
        out: dict[str, list[str]] = {}
        for e in self.ir.links:
            out.setdefault(e.src, []).append(e.dst)
        groups: dict[str, str] = {}
        heavy: dict[tuple[str, str], int] = {}
        for id_, end in self._ends():
            self.ways[id_] = way = _shortest(out, id_, end)
            if way and len(way) <= 6:
                groups.update((step, f"g-{id_}") for step in way if step not in groups)
                heavy.update(((a, b), 14) for a, b in pairwise(way))
            elif way:
                heavy[way[-2], end] = 8
        return groups, heavy

    def _ends(self) -> list[tuple[str, str]]:
        """A state where it enters a cell and where it leaves it; single steps stand in a chain."""
        before: dict[str, str] = {}
        found = []
        for id_, item in self.ir.items.items():
            if item.kind != "state":
                continue
            family = item.facts.get("family", "")
            if id_.endswith("in"):
                found.append((id_, id_[:-2] + "out"))
            elif family:
                if id_[:-3] + "in" not in self.ir.items and family in before:
                    found.append((before[family], id_))
                before[family] = id_
        return found

    def columns(self) -> list[list[str]]:
        """States and leaves that enter a loop stand in one column, states that leave it in another.

        The gates of a cell have a column too. Invisible edges keep the order: the states with the
        shortest way through the cell are highest.
        """
        columns: dict[tuple[Path, str], list[str]] = {}
        for item in self.ir.items.values():
            if item.kind == "state":
                side = "in" if item.id.endswith("in") else "out"
                columns.setdefault((item.loop, side), []).append(item.id)
        for (loop, side), ids in columns.items():
            ids.sort(key=lambda i: len(self.ways.get(_way(i), ())) or 99)
            if side == "in":
                ids += self._leaves_of(loop, ids)
        gates: dict[Path, list[str]] = {}
        for item in self.ir.items.values():
            if item.kind == "gate" and "  " in item.title:
                gates.setdefault(item.path, []).append(item.id)
        found = [*columns.values(), *(self._abreast(ids) for ids in gates.values())]
        return [self._ordered(ids) for ids in found if 1 < len(ids) <= 12]

    def _ordered(self, ids: list[str]) -> list[str]:
        """As dot wants them: it fills a column downwards, but inside a cluster upwards."""
        return ids[::-1] if self.ir.items[ids[0]].path else ids

    def _abreast(self, ids: list[str]) -> list[str]:
        """The gates of a cell in order, without those that read another gate."""
        fed = {e.dst for e in self.ir.links if e.src in ids}
        front = set(fed)
        for _ in range(3):
            front = {e.dst for e in self.ir.links if e.src in front}
            fed |= front
        letters = {i: self.ir.items[i].title.partition("  ")[2][:1] for i in ids}
        return sorted((i for i in ids if i not in fed), key=lambda i: GATES.find(letters[i]))

    def _leaves_of(self, loop: Path, states: list[str]) -> list[str]:
        """Parameters and inputs that nothing but this loop reads; those that meet a state first."""
        found: dict[str, list[str]] = {}
        others: set[str] = set()
        meeting: dict[str, int] = {}
        for e in self.ir.links:
            if e.src in states:
                meeting.setdefault(e.dst, states.index(e.src))
            if self.ir.items[e.src].kind in ("parameter", "input"):
                inside = self.ir.items[e.dst].path[: len(loop)] == loop
                if inside and self.ir.items[e.src].path == loop[:-1]:
                    found.setdefault(e.src, []).append(e.dst)
                else:
                    others.add(e.src)
        late = self._late(loop)
        leaves = [i for i in found if i not in others and not late.issuperset(found[i])]
        return sorted(leaves, key=lambda i: min(meeting.get(d, 99) for d in found[i]))

    def _late(self, loop: Path, near: int = 3) -> set[str]:
        """Items of a body that stand more than `near` links to the right of its left edge."""
        depth: dict[str, int] = {}
        into: dict[str, list[str]] = {}
        for e in self.ir.links:
            into.setdefault(e.dst, []).append(e.src)
        for item in self.ir.items.values():  # in order of evaluation: sources come first
            if item.path[: len(loop)] == loop:
                before = [depth[s] for s in into.get(item.id, ()) if s in depth]
                depth[item.id] = max(before, default=-1) + 1
        return {id_ for id_, d in depth.items() if d > near}


def _way(state: str) -> str:
    """The id of a state where it enters."""
    return state.removesuffix("out").removesuffix("in") + "in"


def _shortest(out: dict[str, list[str]], start: str, end: str) -> list[str]:
    before: dict[str, str] = {start: ""}
    queue = deque([start])
    while queue and len(before) < 2000:
        at = queue.popleft()
        if at == end:
            way = [end]
            while before[way[-1]]:
                way.append(before[way[-1]])
            return way[::-1]
        for nxt in out.get(at, ()):
            if nxt not in before:
                before[nxt] = at
                queue.append(nxt)
    return []
