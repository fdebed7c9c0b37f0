"""Writer: `GraphIR` → Mermaid, for a README or an issue. For folded views: 50,000 characters."""

from __future__ import annotations

from ..errors import ConfigError
from .escape import mermaid as text
from .ir import GraphIR, Item, shape_text
from .labels import title_of
from .style import Theme

LIMIT, LINKS = 50_000, 500  # what GitHub's Mermaid accepts

_SHAPES = {
    "elementwise": ("((", "))"),
    "parameter": ("[(", ")]"),
    "input": ("[/", "/]"),
    "state": (">", "]"),
    "loss": ("{{", "}}"),
    "output": ("{{", "}}"),
    "module": ("[[", "]]"),
    "overview": ("[[", "]]"),
}


def to_mermaid(ir: GraphIR, look: Theme, rankdir: str = "LR") -> str:
    """The Mermaid text of a graph.

    Raises:
        ConfigError: more than 500 links or 50,000 characters; draw it folded or less deep.
    """
    if len(ir.links) > LINKS:
        raise ConfigError(
            f"to_mermaid: the graph has {len(ir.links):,} links, Mermaid draws at most {LINKS}; "
            "draw it with fold=True or a smaller depth, or render SVG"
        )
    names = {id_: f"n{i}" for i, id_ in enumerate(ir.items)}
    out = [f"flowchart {rankdir}"]
    kinds = dict.fromkeys(item.kind for item in ir.items.values())
    for kind in kinds:
        stroke, fill = look.kind(kind)
        out.append(f"  classDef {_class(kind)} fill:{fill},stroke:{stroke},color:{look.ink}")
    at: tuple[str, ...] = ()
    boxes = 0
    for item in sorted(ir.items.values(), key=_by_box(ir)):
        while at != item.path[: len(at)]:
            out.append("  " * len(at) + "end")
            at = at[:-1]
        while len(at) < len(item.path):
            at = item.path[: len(at) + 1]
            out.append(f'{"  " * len(at)}subgraph b{boxes}["{text(_box_title(ir, at))}"]')
            boxes += 1
        out.append("  " * (len(at) + 1) + _node(names[item.id], item))
    out += ["  " * (n + 1) + "end" for n in reversed(range(len(at)))]
    for e in ir.links:
        arrow = f'-->|"{text(e.label)}"|' if e.label else "-->"
        out.append(f"  {names[e.src]} {arrow} {names[e.dst]}")
    result = "\n".join(out) + "\n"
    if len(result) > LIMIT:
        raise ConfigError(
            f"to_mermaid: the text has {len(result):,} characters, Mermaid reads at most "
            f"{LIMIT:,}; draw it with fold=True or a smaller depth, or render SVG"
        )
    return result


def _by_box(ir: GraphIR):  # type: ignore[no-untyped-def]
    """Order items so that each box is opened once; within a box as they come."""
    first: dict[tuple[str, ...], int] = {}
    for i, item in enumerate(ir.items.values()):
        for depth in range(len(item.path) + 1):
            first.setdefault(item.path[:depth], i)
    place = {item.id: i for i, item in enumerate(ir.items.values())}

    def key(item: Item) -> tuple[int, ...]:
        return (*(first[item.path[:d]] for d in range(1, len(item.path) + 1)), place[item.id])

    return key


def _box_title(ir: GraphIR, path: tuple[str, ...]) -> str:
    box = ir.boxes.get(path)
    if box is None:
        return path[-1]
    count = f" ×{box.count:,}" if box.count > 1 else ""
    return f"{box.title} {box.detail}{count}".strip()


def _class(kind: str) -> str:
    return f"k_{kind}"  # "end" and the like are words of the language


def _node(name: str, item: Item) -> str:
    left, right = _SHAPES.get(item.kind, ("[", "]"))
    title = title_of(item)
    if item.kind == "elementwise" and len(title) > 2:
        left, right = "([", "])"
    shapes = " ".join(shape_text(shape) for shape, _ in item.specs[:3])
    second = "" if item.kind == "elementwise" or not shapes else f"<br/>{text(shapes)}"
    count = f" {item.badge}" if item.badge else ""
    return f'{name}{left}"{text(title + count)}{second}"{right}:::{_class(item.kind)}'
