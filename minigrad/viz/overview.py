"""When a graph is too large to lay out: stretches of the tape as one node each, told truthfully."""

from __future__ import annotations

from collections import Counter

from .ir import GraphIR, Item, Link

CHUNKS = 12  # nodes of an overview


def overview(ir: GraphIR, chunks: int = CHUNKS) -> GraphIR:
    """The whole tape in at most `chunks` stretches; leaves joined by who reads them."""
    sequence = ir.sequence()
    size = -(-len(sequence) // chunks)
    new = GraphIR(title=ir.title, notes=list(ir.notes), banner=ir.banner, lines=ir.lines)
    home: dict[str, str] = {}
    stretches: list[Item] = []
    for start in range(0, len(sequence), size):
        part = sequence[start : start + size]
        item = _stretch(f"v{start // size}", part)
        stretches.append(item)
        for one in part:
            home[one.id] = item.id
    readers: dict[str, set[str]] = {}
    for e in ir.links:
        if e.src not in home:
            readers.setdefault(e.src, set()).add(home.get(e.dst, e.dst))
    joined: dict[tuple[str, tuple[str, ...]], list[Item]] = {}
    for item in ir.items.values():
        if item.kind in ("parameter", "input"):
            key = tuple(sorted(readers.get(item.id, ())))
            if len(key) > 3:
                key = ("many",)
            joined.setdefault((item.kind, key), []).append(item)
    for n, ((kind, _), items) in enumerate(joined.items()):
        leaf = items[0] if len(items) == 1 else _leaves(f"w{n}", kind, items)
        new.items[leaf.id] = leaf
        for item in items:
            home[item.id] = leaf.id
    for item in stretches:
        new.items[item.id] = item
    for item in ir.items.values():
        if item.id not in home:
            new.items[item.id] = item
    sums: Counter[tuple[str, str, bool]] = Counter()
    for e in ir.links:
        src, dst = home.get(e.src, e.src), home.get(e.dst, e.dst)
        if src != dst:
            sums[src, dst, e.grad] += e.count
    new.links = [
        Link(src, dst, grad=grad, count=n, label=f"{n:,}" if n > 1 else "")
        for (src, dst, grad), n in sums.items()
    ]
    new.notes.append(
        f"too large to draw line by line: {len(stretches)} stretches of about {size:,} nodes"
    )
    return new


def _stretch(id_: str, part: list[Item]) -> Item:
    lines = sorted(line for item in part for line in item.lines)
    ops = Counter()  # type: Counter[str]
    for item in part:
        ops[item.op or item.kind] += max(len(item.lines), 1)
    item = Item(id_, "overview", lines=lines)
    if lines:
        item.title = f"lines {lines[0] + 1:,} – {lines[-1] + 1:,}"
    item.notes = [f"{op} ×{n:,}" for op, n in ops.most_common(4)]
    if len(ops) > 4:
        item.notes.append(f"and {len(ops) - 4} other ops")
    item.specs = part[-1].specs
    return item


def _leaves(id_: str, kind: str, items: list[Item]) -> Item:
    item = Item(id_, kind, title=f"{len(items):,} {kind}s", count=len(items))
    names = [i.name or i.title for i in items[:3]]
    item.notes = [", ".join(names) + (", …" if len(items) > 3 else "")]
    return item
