"""The items of one repetition: what stands in the cell "×20 steps", with the states around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .ir import BACKWARDS, Box, GraphIR, Item, Link, Path
from .patterns import INDEX, common, pattern, pattern_path
from .repeats import Run
from .reveal import Part, Revealer


class Bodies:
    """The runs of a graph, and of each the items of one repetition."""

    def __init__(
        self, ir: GraphIR, sequence: list[Item], runs: list[Run], revealer: Revealer
    ) -> None:
        self.old, self.sequence = ir, sequence
        self.new = GraphIR(title=ir.title, notes=ir.notes, banner=ir.banner, lines=ir.lines)
        self.new.boxes = dict(ir.boxes)
        self.place = {item.id: i for i, item in enumerate(sequence)}
        self.into: dict[str, list[Link]] = {}
        for link in ir.links:
            self.into.setdefault(link.dst, []).append(link)
        self.parts = [part for run in runs for part in self._parts(run, revealer)]
        self.runs = [part.run for part in self.parts]
        self.kinds = [part.kind for part in self.parts]
        self.clocks = [part.clock for part in self.parts]
        self.run_of = np.full(len(sequence), -1, dtype=np.int64)
        for r, run in enumerate(self.runs):
            self.run_of[run.start : run.stop] = r
        self.states: dict[tuple[int, int, int], str] = {}  # (run, offset, slot) → state id
        self.merged: dict[tuple[str, ...], str] = {}  # leaves that differ by step → one input
        self.extra: dict[int, list[Item]] = {}
        self.bodies: dict[int, tuple[list[Item], list[Item], list[Item]]] = {}

    def _parts(self, run: Run, revealer: Revealer) -> list[Part]:
        first = self.sequence[run.start]
        rows = [self._row(run, k) for k in sorted({0, 1, run.count - 1})]
        prefix = common([item.path for row in rows for item in row])
        name = f"×{run.count}@{first.id}"
        return revealer.parts(run, self._kind(run), prefix, self._backwards(run), name)

    # -- one run --------------------------------------------------------------------------------

    def _row(self, run: Run, k: int) -> list[Item]:
        start = run.start + k * run.period
        return self.sequence[start : start + run.period]

    def _kind(self, run: Run) -> str:
        """Steps share their parameters, layers have their own."""
        shared = own = False
        for first, second in zip(self._row(run, 0), self._row(run, 1), strict=True):
            pairs = zip(self.into.get(first.id, ()), self.into.get(second.id, ()), strict=True)
            for a, b in pairs:
                if {self.old.items[e.src].kind for e in (a, b)} == {"parameter"}:
                    shared |= a.src == b.src
                    own |= a.src != b.src
        if own:
            return "layers"
        return "steps" if shared or run.back.any() else "repeats"

    def _backwards(self, run: Run) -> bool:
        return any(BACKWARDS in part for part in self.sequence[run.start].path)

    def _make_body(self, r: int) -> None:
        run, kind = self.runs[r], self.kinds[r]
        rows = [self._row(run, k) for k in sorted({0, min(1, run.count - 1), run.count - 1})]
        prefix = common([item.path for row in rows for item in row])
        key = f"×{run.count}@{rows[0][0].id}"
        box = (*prefix, key)
        single = run.period == 1
        body = []
        for o in range(run.period):
            every = [self.sequence[run.start + k * run.period + o] for k in range(run.count)]
            item = replace(every[min(1, run.count - 1)], notes=list(every[0].notes))
            item.lines = [line for one in every for line in one.lines]
            item.count = every[0].count * run.count
            item.name = pattern([e.name for e in every], kind)
            item.params = pattern([e.params for e in every], kind)
            item.title = pattern([e.title for e in every], kind)
            if self.parts[r].family:
                item.token = ("step", self.clocks[r].first, item.token)
            tail = pattern_path([e.path[len(prefix) :] for e in every], kind)
            item.path = prefix + tail if single else box + tail
            if item.kind == "state":
                item.loop = item.path + item.loop[len(every[0].path) :][:1]
            body.append(item)
        if not single:
            numbered = self._strip_layer_number(body, box, INDEX[kind])
            self._move_boxes(run, body)
            self.new.boxes[box] = self._box(r, body, prefix[-1] if numbered else "")
        self.bodies[r] = ([], body, [])
        if single:
            if run.back.any():
                body[0].notes.append(f"a chain of {run.count:,}")
        else:
            self._make_states(r, prefix, box)
        body[0].jump = False  # that was the turn of this loop; the one around it turns before it
        (*self.bodies[r][0], body[0])[0].jump = rows[0][0].jump

    def _box(self, r: int, body: list[Item], module: str) -> Box:
        count, clock, kind = self.runs[r].count, self.clocks[r], self.kinds[r]
        lines = sum(len(i.lines) for i in body) // count
        each = f"{lines:,} tape line{'s' * (lines > 1)}"
        what = kind.removesuffix("s")
        title = f"{module} [{clock.now}]" if module else f"{what} {clock.now}"
        when = (clock.first > 0, clock.index, clock.at(0))
        if count == 1:
            return Box("step", title, each, 1, *when)
        span = f"{clock.index} = {clock.at(0):,} … {clock.at(count - 1):,}"
        return Box(kind, title, f"{span}  ·  {each} each", count, *when)

    def _strip_layer_number(self, body: list[Item], box: Path, index: str) -> bool:
        """blocks > [ℓ] > … in the box of the repeat is blocks > …; whether it was so."""
        n = len(box)
        numbered = all(len(i.path) > n and i.path[n] == f"[{index}]" for i in body)
        if numbered:
            for item in body:
                item.path = box + item.path[n + 1 :]
                if item.loop:
                    item.loop = item.path + item.loop[-1:]
        return numbered and n > 1

    def _move_boxes(self, run: Run, body: list[Item]) -> None:
        """Boxes inside the body stand one box deeper now."""
        old = self._row(run, min(1, run.count - 1))
        for before, after in zip(old, body, strict=True):
            shift = len(after.path) - len(before.path)
            for depth in range(1, len(before.path) + 1):
                if before.path[:depth] in self.old.boxes and before.path[depth - 1][0] == "×":
                    moved = after.path[: depth + shift]
                    self.new.boxes[moved] = self.old.boxes[before.path[:depth]]

    def _make_states(self, r: int, prefix: Path, box: Path) -> None:
        run = self.runs[r]
        before, body, after = self.bodies[r]
        clock, family = self.clocks[r], self.parts[r].family
        index = clock.index
        found: dict[tuple[int, int], str] = {}
        model = self._row(run, min(1, run.count - 1))
        first = self._row(run, 0)
        for o in range(run.period):
            for a, link in enumerate(self.into.get(model[o].id, ())):
                if a >= run.back.shape[1] or not run.back[o, a]:
                    continue
                offset = int((o - run.shift[o, a]) % run.period)
                start = self.into[first[o].id][a].src
                hint = self.old.items[start]
                if (offset, link.slot) not in found:
                    called = hint.name or hint.title
                    like_h0 = (hint.kind == "input" and hint.name) or called.endswith("0")
                    found[offset, link.slot] = called if like_h0 else ""
                if hint.kind == "input" and hint.title == "input":
                    hint.title = "initial state"
        for number, ((offset, slot), hint_name) in enumerate(sorted(found.items())):
            producer = body[offset]
            name = producer.name.replace(f"[{index}]", "").strip() or hint_name.rstrip("0_")
            name = name or ("state" if len(found) == 1 else f"state {number + 1}")
            id_ = f"s{producer.id}:{slot}"
            self.states[r, offset, slot] = id_
            specs = producer.specs[slot : slot + 1]
            sides = [("in", clock.before, before), ("out", clock.now, after)]
            for side, mark, place in sides[self._follows(r) :]:
                place.append(
                    Item(
                        f"{id_}{side}",
                        "state",
                        title=f"{name} [{mark}]",
                        name=name,
                        specs=specs,
                        path=prefix,
                        loop=box,
                        count=run.count,
                        token=("state", number, side, specs, clock.first, run.count),
                    )
                )
                if family:
                    place[-1].facts["family"] = f"{family}:{offset}:{slot}"

    def _follows(self, r: int) -> bool:
        """Whether this is a single step that reads the states that the part before it shows."""
        return self.runs[r].count == 1 and self.clocks[r].first > 0
