"""Writer: `GraphIR` → DOT, the language of Graphviz. Sorted attributes, no addresses, no times."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from .escape import quoted
from .heading import heading
from .hints import Hints
from .ir import Box, GraphIR, Item, Link, Path
from .labels import Show, badge, card, font, kept_spaces, small_card, table, title_of, tooltip
from .style import FONT, PLUMBING, SHAPES, SYMBOLS, Theme

ENDS = ("parameter", "input", "output", "loss")
_ID = re.compile(r"[^0-9A-Za-z]+")


def to_dot(ir: GraphIR, look: Theme, show: Show) -> str:
    """The DOT text of a graph."""
    if show.detail == "tape":
        return _Writer(ir, look, show).listing()
    return _Writer(ir, look, show).picture()


def _attributes(values: dict[str, Any]) -> str:
    """`[a="1" b=<...>]`, sorted; a value in angle brackets is an HTML-like label."""
    parts = [
        f"{k}={v if k == 'label' and str(v).startswith('<<TABLE') else quoted(v)}"
        for k, v in sorted(values.items())
        if v is not None
    ]
    return f"[{' '.join(parts)}]"


def _is_plain(item: Item) -> bool:
    """An op of which there is nothing to say but what it is."""
    return item.kind == "op" and not (item.name or item.notes or "bad" in item.facts)


class _Writer:
    def __init__(self, ir: GraphIR, look: Theme, show: Show) -> None:
        self.ir, self.look, self.show = ir, look, show
        self.names: dict[str, str] = {}
        taken: set[str] = set()
        for id_ in ir.items:
            name = "n" + _ID.sub("_", id_)
            while name in taken:
                name += "x"
            taken.add(name)
            self.names[id_] = name
        self.hints = Hints(ir)

    # -- the whole --------------------------------------------------------------------------------

    def picture(self) -> str:
        look = self.look
        graph = {
            "bgcolor": look.paper, "compound": "true", "fontcolor": look.ink, "fontname": FONT,
            "fontsize": 12, "label": heading(self.ir, look, self.show), "labeljust": "l",
            "labelloc": "t",
            "newrank": "true", "nodesep": 0.24, "outputorder": "edgesfirst", "pad": 0.35,
            "rankdir": self.show.rankdir, "ranksep": 0.42, "splines": "spline",
        }  # fmt: skip
        node = {
            "fontcolor": look.ink, "fontname": FONT, "fontsize": 12, "margin": "0.09,0.05",
            "penwidth": 1.3, "style": "filled",
        }  # fmt: skip
        edge = {
            "arrowsize": 0.62, "color": look.forward, "fontcolor": look.muted, "fontname": FONT,
            "fontsize": 9.5, "penwidth": 1.25,
        }  # fmt: skip
        out = [
            "digraph minigrad {",
            f"  graph {_attributes(graph)}",
            f"  node {_attributes(node)}",
            f"  edge {_attributes(edge)}",
        ]
        out += self._boxes()
        for column in self.hints.columns():
            names = " -> ".join(self.names[i] for i in column)
            out.append(f"  {{rank=same; edge [style=invis]; {names}}}")
        out += [self._edge(e) for e in self.ir.links if e.src in self.names and e.dst in self.names]
        out.append("}\n")
        return "\n".join(out)

    def _boxes(self) -> list[str]:
        """Items inside nested clusters, each cluster where its first item stands."""
        children: dict[Path, list[Any]] = {(): []}
        for item in self.ir.items.values():
            for depth in range(1, len(item.path) + 1):
                path = item.path[:depth]
                if path not in children:
                    children[path] = []
                    children[path[:-1]].append(path)
            children[item.path].append(item)
        out: list[str] = []
        stack: list[tuple[int, Any]] = [(1, c) for c in reversed(children[()])]
        number_of = {path: i for i, path in enumerate(children)}
        while stack:
            depth, child = stack.pop()
            pad = "  " * depth
            if child is None:
                out.append(f"{pad}}}")
            elif isinstance(child, Item):
                out.append(pad + self._node(child))
            else:
                out.append(f"{pad}subgraph cluster_{number_of[child]} {{")
                out.append(f"{pad}  graph {self._cluster(child, number_of[child])}")
                stack.append((depth, None))
                stack += [(depth + 1, c) for c in reversed(children[child])]
        return out

    def _cluster(self, path: Path, at: int) -> str:
        look = self.look
        box = self.ir.boxes.get(path) or Box("module", path[-1])
        cells = [
            f'<TD ALIGN="LEFT">{font(box.title, 13.5, look.ink, bold=True)}</TD>',
            f'<TD ALIGN="LEFT">{font(box.detail, 10.5, look.muted)}</TD>' if box.detail else "",
        ]
        repeated = box.kind in ("steps", "layers", "repeats")
        if repeated:
            unit = "" if box.kind == "repeats" else f" {box.kind}"
            cells.append(badge(f"×{box.count:,}{unit}", look, 10.5))
        nested = sum(1 for i in range(len(path)) if path[: i + 1] in self.ir.boxes)
        values = {
            "id": f"m-{at}",
            "label": table(["".join(cells)], spacing=4, padding=2),
            "labeljust": "l",
            "margin": 14,
            "style": "rounded,filled" if box.kind != "opened" else "rounded,dashed,filled",
            "color": look.line if repeated or box.kind == "opened" else look.box_line,
            "fillcolor": look.box_fill if nested % 2 else look.paper,
            "penwidth": 1.6 if repeated else 1.2,
        }
        return _attributes(values)

    # -- nodes ----------------------------------------------------------------------------------

    def _node(self, item: Item) -> str:
        look, show = self.look, self.show
        stroke, fill = item.facts.get("shade") or look.kind(item.kind)
        values: dict[str, Any] = {
            "color": stroke,
            "fillcolor": fill,
            "group": self.hints.groups.get(item.id),
            "id": f"n-{self.names[item.id][1:]}",
            "shape": SHAPES.get(item.kind, "box"),
            "tooltip": tooltip(item, show),
        }
        title = title_of(item)
        plain = show.detail == "symbols" and not item.name and not item.badge
        if item.kind == "elementwise" and plain and title in SYMBOLS.values() and not item.notes:
            values |= {
                "fixedsize": "true", "fontsize": 17 if len(title) == 1 else 11, "height": 0.42,
                "label": title, "width": 0.42,
            }  # fmt: skip
            return f"{self.names[item.id]} {_attributes(values)}"
        if item.kind == "elementwise" and plain and not item.notes:
            values |= {
                "shape": "box", "style": "rounded,filled", "fontsize": 13, "height": 0.36,
                "width": 0.36, "margin": "0.1,0.03", "label": title,
            }  # fmt: skip
            return f"{self.names[item.id]} {_attributes(values)}"
        if show.detail == "symbols" and item.op in PLUMBING and _is_plain(item):
            values |= {
                "height": 0.3, "label": small_card(item, look, show), "margin": "0.09,0.045",
                "penwidth": 1.0, "shape": "box", "style": "rounded,filled", "width": 0.3,
            }  # fmt: skip
            return f"{self.names[item.id]} {_attributes(values)}"
        values["label"] = card(item, look, show)
        if values["shape"] in ("box", "circle"):
            values |= {"shape": "box", "style": "rounded,filled"}
        if item.kind == "input":
            values["margin"] = "-0.12,0"
        elif item.kind == "state":
            values["margin"] = "0.16,0.09"
        elif item.kind in ("loss", "output"):
            values |= {"margin": "0.02,0.02", "penwidth": 2.2 if item.kind == "loss" else 1.3}
        elif item.kind == "module":
            values |= {"shape": "box", "style": "rounded,filled", "penwidth": 2.0}
        if "bad" in item.facts:
            values |= {"color": look.warn, "penwidth": 2.4}
            if item.facts["bad"].startswith("the first") and values["shape"] == "box":
                values |= {"fillcolor": look.alarm, "style": "rounded,filled,dashed"}
        return f"{self.names[item.id]} {_attributes(values)}"

    def _edge(self, e: Link) -> str:
        look, values = self.look, {}  # type: Theme, dict[str, Any]
        back = e.grad and self.show.grads and self.show.direction != "forward"
        if self.show.direction == "backward":
            values = {"color": look.gradient if back else look.box_line, "dir": "back"}
            values |= {"arrowtail": "normal" if back else "none"}
        elif back:
            values = {
                "color": f"{look.forward}:{look.gradient}", "dir": "both",
                "arrowhead": "normal", "arrowtail": "normal",
            }  # fmt: skip
        if e.label:
            values["label"] = kept_spaces(f" {e.label} ")
        if e.role:
            values["tooltip"] = e.role
        if (e.src, e.dst) in self.hints.heavy:
            values["weight"] = self.hints.heavy[e.src, e.dst]
        elif self.ir.items[e.dst].kind in ENDS:
            values["weight"] = 4
        if self.hints.enters(e):
            values["minlen"] = 2
        text = f" {_attributes(values)}" if values else ""
        return f"  {self.names[e.src]} -> {self.names[e.dst]}{text}"

    # -- the tape as a listing -----------------------------------------------------------------

    def listing(self) -> str:
        """detail="tape": one column of lines in the order of evaluation."""
        self.show = Show(**{**self.show.__dict__, "rankdir": "TB"})
        text = self.picture().rstrip().rstrip("}").rstrip()
        order = [self.names[i.id] for i in self.ir.sequence()]
        chain = [f"  {a} -> {b} [style=invis weight=50]" for a, b in pairwise(order)]
        return "\n".join([text, *chain, "}\n"])
