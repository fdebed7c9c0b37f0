"""Folding: twenty steps of a loop become one cell "×20 steps", twelve layers one "×12 layers".

`repeats` finds the stretches; here each becomes the items of one repetition in a box. Values that
go from one repetition to the next become states, h [t−1] on the left and h [t] on the right, leaves
that differ from step to step become one input x [t]. Nothing is lost: an item knows all its lines.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from .bodies import Bodies
from .ir import GraphIR, Item, Link, gc_paused, joined
from .patterns import INDEX, pattern
from .repeats import find_runs
from .reveal import Chosen, Revealer
from .wiring import wiring


def fold(ir: GraphIR, mode: bool | str = "auto", chosen: Chosen | None = None) -> GraphIR:
    """`ir` with its repeats folded; `mode` True: all, "auto": what is worth it, False: nothing.

    `chosen` steps of a loop, by its name, are drawn one by one. Raises: ConfigError for a name that
    is no loop's.
    """
    if mode is False:
        return ir
    revealer = Revealer(chosen or {})
    least, saved = (2, 2) if mode is True else (3, 12)
    with gc_paused(len(ir.items)):
        for _ in range(6):  # loops in loops: each pass sees the cells of the one before as lines
            sequence = ir.sequence()
            runs = find_runs(wiring(ir, sequence), least, saved)
            if not runs:
                break
            ir = _Folder(ir, sequence, runs, revealer).result()
    revealer.check()
    return ir


class _Folder(Bodies):
    """One pass: a graph and its runs → the smaller graph."""

    def result(self) -> GraphIR:
        links: list[Link] = []
        for r in range(len(self.runs)):
            self._make_body(r)
        for r in range(len(self.runs)):
            links += self._body_links(r)
        outside: list[Link] = []
        for link in self.old.links:
            at = self.place.get(link.dst)
            if at is None or self.run_of[at] < 0:
                outside.append(link)
        links += self._outer_links(outside)
        self._place_items(links)
        self.new.links = joined(links)
        return self.new

    def _place_items(self, links: list[Link]) -> None:
        items = self.new.items
        used = {link.src for link in links}
        gone = {leaf for group in self.merged for leaf in group}
        for item in self.old.items.values():
            leaf = not item.ordered and item.kind not in ("loss", "output")
            if leaf and (item.id in used or item.id not in gone):
                items[item.id] = item
        for extra in self.extra.values():
            for item in extra:
                items[item.id] = item
        done: set[int] = set()
        for i, item in enumerate(self.sequence):
            r = int(self.run_of[i])
            if r < 0:
                items[item.id] = item
            elif r not in done:
                done.add(r)
                before, body, after = self.bodies[r]
                for new in (*before, *body, *after):
                    items[new.id] = new
        for item in self.old.items.values():
            if item.kind in ("loss", "output"):
                items[item.id] = item

    # -- links ------------------------------------------------------------------------------------

    def _body_links(self, r: int) -> list[Link]:
        run = self.runs[r]
        rows = [self._row(run, k) for k in range(run.count)]
        model = min(1, run.count - 1)
        links: list[Link] = []
        for o in range(run.period):
            item = rows[model][o]
            for a, link in enumerate(self.into.get(item.id, ())):
                inside = a < run.inner.shape[1]
                if inside and run.inner[o, a]:
                    links.append(replace(link, count=run.count))
                    continue
                if inside and run.back[o, a]:
                    links += self._state_links(r, o, a, link, rows)
                    continue
                sources = [self.into[row[o].id][a] for row in rows]
                links += self._from_outside(item.id, sources, r)
        if run.period > 1:
            for (rr, offset, slot), id_ in self.states.items():
                if rr == r:
                    src = rows[model][offset].id
                    links.append(Link(src, f"{id_}out", slot, 0, True, count=run.count))
        return links

    def _state_links(
        self, r: int, o: int, a: int, link: Link, rows: list[list[Item]]
    ) -> list[Link]:
        run = self.runs[r]
        offset = int((o - run.shift[o, a]) % run.period)
        reach = int(-((o - run.shift[o, a]) // run.period))
        starts: dict[tuple[str, int], list[int]] = {}  # where the first repetitions start from
        begin: dict[tuple[str, int], Link] = {}
        for k in range(min(reach, run.count)):
            one = self.into[rows[k][o].id][a]
            src = self._from(one)[0]
            starts.setdefault((src, one.slot), []).append(k)
            begin[src, one.slot] = one
        if self._follows(r) or run.period == 1:
            dst = rows[min(1, run.count - 1)][o].id
            several = len(starts) > 1
            return [
                replace(
                    begin[s],
                    src=s[0],
                    dst=dst,
                    slot=0 if s[0].endswith("out") else s[1],
                    label=self._when(r, ks) if several else "",
                )
                for s, ks in starts.items()
            ]
        id_ = self.states[r, offset, link.slot]
        return [
            replace(link, src=f"{id_}in", slot=0, count=run.count),
            *(
                Link(s[0], f"{id_}in", s[1], 0, begin[s].grad, self._when(r, ks))
                for s, ks in starts.items()
            ),
        ]

    def _when(self, r: int, repetitions: list[int]) -> str:
        return self.clocks[r].which(repetitions)

    def _from(self, link: Link) -> tuple[str, int, int]:
        """(item, run, repetition) that a link comes from, in the new graph."""
        at = self.place.get(link.src)
        r = -1 if at is None else int(self.run_of[at])
        if at is None or r < 0:
            return link.src, -1, 0
        run = self.runs[r]
        k, offset = divmod(at - run.start, run.period)
        state = self.states.get((r, offset, link.slot))
        if state is not None:
            return f"{state}out", r, k
        return self.bodies[r][1][offset].id, r, k

    def _from_outside(self, dst: str, sources: list[Link], r: int) -> list[Link]:
        count = len(sources)
        ids = tuple(s.src for s in sources)
        kinds = {self.old.items[i].kind for i in ids}
        if len(set(ids)) > 1 and kinds <= {"parameter", "input"}:
            src = self._merge(ids, r)
            return [replace(sources[0], src=src, dst=dst, count=count)]
        by_item: dict[tuple[str, int], list[tuple[int, int, Link]]] = {}
        for k, link in enumerate(sources):
            src, other, kk = self._from(link)
            by_item.setdefault((src, other), []).append((k, kk, link))
        links = []
        for (src, other), found in by_item.items():
            link = found[0][2]
            slots = [f[2].slot for f in found]
            label = ""
            clock = self.clocks[r]
            if other >= 0:
                label = clock.each([self.clocks[other].at(kk) for _, kk, _ in found])
                label = label or self.clocks[other].which([kk for _, kk, _ in found])
            elif len(set(slots)) > 1:
                label = clock.each(slots) or clock.which([k for k, _, _ in found])
            elif len(by_item) > 1:
                label = clock.which([k for k, _, _ in found])
            links.append(replace(link, src=src, dst=dst, label=label, count=len(found)))
        return links

    def _merge(self, ids: tuple[str, ...], r: int) -> str:
        """One item for the leaves that the repetitions read, each its own."""
        if ids in self.merged:
            return self.merged[ids]
        kind = self.kinds[r]
        first = self.old.items[ids[0]]
        item = replace(first, id=f"{ids[0]}…", count=len(set(ids)), notes=list(first.notes))
        names = [self.old.items[i].name for i in ids]
        item.name = pattern(names, kind)
        what = "x" if first.title == "input" else first.title.partition(" [")[0] or item.kind
        item.title = item.name or f"{what} [{INDEX[kind]}]"
        every = [self.old.items[i].facts for i in ids]
        item.facts = {k: v for k, v in first.facts.items() if k == "grad_scale"}
        if any("grad" in facts for facts in every):
            item.facts["grads"] = [facts.get("grad_level") for facts in every]
            item.facts["grad"] = sum(f["grad"] ** 2 for f in every if "grad" in f) ** 0.5
        self.merged[ids] = item.id
        self.extra.setdefault(r, []).append(item)
        return item.id

    def _outer_links(self, links: list[Link]) -> list[Link]:
        """Links into items that were not folded; those from one cell are told apart by step."""
        grouped: dict[tuple[str, str, int], list[tuple[int, Link]]] = {}
        runs: dict[tuple[str, str], int] = {}
        times: Counter[tuple[str, str, int]] = Counter()  # h · h reads a step's h twice
        out = []
        for link in links:
            src, r, k = self._from(link)
            if r < 0:
                out.append(link)
                continue
            grouped.setdefault((src, link.dst, times[src, link.dst, k]), []).append((k, link))
            times[src, link.dst, k] += 1
            runs[src, link.dst] = r
        for (src, dst, _), found in grouped.items():
            label = self.clocks[runs[src, dst]].which([k for k, _ in found])
            out.append(replace(found[0][1], src=src, label=label, count=len(found)))
        return out
