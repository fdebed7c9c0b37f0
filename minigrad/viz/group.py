"""Modules as boxes: nested down to a depth, collapsed to one node below it, none around one op."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .boxes import described, is_module, join_opened, modules_of, named_box
from .ir import DERIVED, GraphIR, Item, Path, joined
from .leaves import place_leaves, repeat_parameters


def group(ir: GraphIR, depth: int, model: Any = None, expand: Iterable[str] = ()) -> GraphIR:
    """Collapse modules deeper than `depth`, name boxes, put leaves where they belong."""
    opened = {tuple(e.split(".")) for e in expand}
    ir = _collapse(_copy(ir), depth, opened)
    _unbox_single_ops(ir)
    place_leaves(ir)
    repeat_parameters(ir)
    about = described(model)
    for path in ir.shown_boxes():
        if path not in ir.boxes:
            ir.boxes[path] = named_box(path, about)
    for item in ir.items.values():
        if item.kind == "module":
            name = modules_of(item.path + (item.name,))
            known = about.get(name[1:]) or about.get(name)
            if known:  # it counts the parameters itself
                item.notes = [known, *(n for n in item.notes if "parameters" not in n)]
    join_opened(ir)
    return ir


def _copy(ir: GraphIR) -> GraphIR:
    """Grouping renames and moves items; the graph it was given stays as it was."""
    items = {
        id_: replace(item, notes=list(item.notes), facts=dict(item.facts))
        for id_, item in ir.items.items()
    }
    return GraphIR(
        items, list(ir.links), dict(ir.boxes), ir.title, list(ir.notes), ir.banner, ir.lines
    )


def size_at(ir: GraphIR, depth: int, expand: Iterable[str] = ()) -> int:
    """About how many nodes `group` would leave, without doing it."""
    opened = {tuple(e.split(".")) for e in expand}
    total, last = 0, ()  # type: int, Path
    for item in ir.items.values():
        cut = _cut(item.path, depth, opened) if item.ordered else None
        here = item.path[:cut] if cut is not None else ()
        total += not here or here != last
        last = here
    return total


# -- collapsing --------------------------------------------------------------------------------


def _collapse(ir: GraphIR, depth: int, opened: set[Path]) -> GraphIR:
    home: dict[str, str] = {}  # item → the module node that swallows it
    members: dict[str, list[Item]] = {}
    last: tuple[Path, str] = ((), "")
    for item in ir.sequence():
        cut = _cut(item.path, depth, opened)
        if cut is None:
            if item.kind != "state":
                last = ((), "")
            continue
        key = item.path[:cut]
        if last[0] != key:
            last = (key, f"m{item.id}")
        home[item.id] = last[1]
        members.setdefault(last[1], []).append(item)
    for id_, items in list(members.items()):
        if sum(1 for i in items if i.kind != "state") < 2:
            for item in items:
                del home[item.id]
            del members[id_]
    if not members:
        return ir
    _swallow_leaves(ir, home, members)
    new = GraphIR({}, [], dict(ir.boxes), ir.title, ir.notes, ir.banner, ir.lines)
    for item in ir.items.values():
        if item.id not in home:
            new.items[item.id] = item
        elif home[item.id] not in new.items:
            id_ = home[item.id]
            new.items[id_] = _module_item(id_, members[id_], depth, opened)
    by_kind = ("loss", "output")
    new.items = {
        k: v for late in (False, True) for k, v in new.items.items() if (v.kind in by_kind) is late
    }
    moved = []
    for e in ir.links:
        src, dst = home.get(e.src, e.src), home.get(e.dst, e.dst)
        if src == dst and e.src in home:
            continue
        slot, arg = (0 if src != e.src else e.slot), (0 if dst != e.dst else e.arg)
        moved.append(replace(e, src=src, dst=dst, slot=slot, arg=arg))
    new.links = joined(moved)
    _fill_outputs(ir, new, home)
    return new


def _cut(path: Path, depth: int, opened: set[Path]) -> int | None:
    """Where to cut a path that is too deep; None where it stays as it is."""
    modules = 0
    for i, part in enumerate(path):
        if not is_module(part):
            if not part.startswith(("×", DERIVED)):
                return None  # inside an opened op: the user asked to see it
            continue
        modules += 1
        if modules > depth:
            names = modules_of(path[: i + 1])
            if names in opened or names[1:] in opened:
                depth += 1
                continue
            return i + 1
    return None


def _module_item(id_: str, items: list[Item], depth: int, opened: set[Path]) -> Item:
    path = items[0].path[: _cut(items[0].path, depth, opened)]
    ops = [i for i in items if i.kind not in ("state", "parameter", "input")]
    lines = [line for i in ops for line in i.lines]
    count = min(i.count for i in ops)
    each = len(lines) // max(count, 1)
    held = [i for i in items if i.kind == "parameter"]
    item = Item(id_, "module", op="module", name=path[-1], path=path[:-1], lines=lines, count=count)
    names = Counter(i.op for i in ops)
    item.doc = ", ".join(f"{op} ×{n}" if n > 1 else op for op, n in names.most_common(6))
    times = f"{count} × " if count > 1 else ""
    item.notes.append(f"{times}{each} tape line{'s' * (each != 1)}")
    if held:
        size = sum(_size(i) for i in held)
        item.notes.append(f"{size:,} parameters")
    item.facts["members"] = [i.id for i in items]
    for key in ("grads", "grad", "grad_level", "grad_scale", "value"):  # of what leaves it
        if ops and key in ops[-1].facts:
            item.facts[key] = ops[-1].facts[key]
    for key in ("maps", "bad"):
        known = [i.facts[key] for i in ops if key in i.facts]
        if known:
            item.facts[key] = known[0]
    return item


def _size(item: Item) -> int:
    total = 0
    for shape, _ in item.specs:
        n = 1
        for length in shape:
            n *= length
        total += n
    return total * (item.count if item.id.endswith("…") else 1)


def _swallow_leaves(ir: GraphIR, home: dict[str, str], members: dict[str, list[Item]]) -> None:
    """A parameter that only one collapsed module reads goes inside it."""
    readers: dict[str, set[str]] = {}
    for e in ir.links:
        readers.setdefault(e.src, set()).add(home.get(e.dst, ""))
    for item in ir.items.values():
        if item.kind == "parameter" and len(readers.get(item.id, ())) == 1:
            (reader,) = readers[item.id]
            if reader:
                home[item.id] = reader
                members[reader].append(item)


def _fill_outputs(old: GraphIR, new: GraphIR, home: dict[str, str]) -> None:
    """A collapsed module shows the shapes of what leaves it."""
    seen: set[tuple[str, int]] = set()
    for e in old.links:
        inside = home.get(e.src)
        if inside is None or home.get(e.dst) == inside or (e.src, e.slot) in seen:
            continue
        seen.add((e.src, e.slot))
        spec = old.items[e.src].specs[e.slot : e.slot + 1]
        item = new.items[inside]
        if spec and spec[0] not in item.specs:
            item.specs += spec


# -- boxes ---------------------------------------------------------------------------------------


def _unbox_single_ops(ir: GraphIR) -> None:
    """A module of one op needs no box, however often it is called: the op takes its name."""
    inside: Counter[Path] = Counter()  # box → items in its longest call
    calls: Counter[Path] = Counter()
    before: Path = ()
    for item in ir.sequence():
        for depth in range(1, len(item.path) + 1):
            box = item.path[:depth]
            calls[box] = calls[box] + 1 if before[:depth] == box else 1
            inside[box] = max(inside[box], calls[box])
        before = item.path
    for item in ir.sequence():
        while item.path and is_module(item.path[-1]) and inside[item.path] == 1:
            if len(item.path) == 1:
                break
            if not item.name and item.path[-1].isdigit():
                item.title = item.title or f"{item.op} [{item.path[-1]}]"
            elif not item.name:
                item.name = item.path[-1]
            elif item.kind == "module":
                item.name = f"{item.path[-1]}.{item.name}"
            item.path = item.path[:-1]
