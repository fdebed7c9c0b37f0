"""The first view of a page as DOT, from the same parts that the script puts together later."""

from __future__ import annotations

from typing import Any


def compose(data: dict[str, Any]) -> str:
    """DOT of the graph with the boxes that are closed at first; `compose.js` is its twin."""
    boxes, nodes = data["boxes"], data["nodes"]
    home = [_closed(boxes, node["box"]) for node in nodes]
    names = [_name(boxes, node, b) for node, b in zip(nodes, home, strict=True)]
    out = ["digraph minigrad {", *data["head"]]
    children: dict[int, list[tuple[str, int]]] = {-1: []}
    done: set[int] = set()
    for i, node in enumerate(nodes):
        if not names[i] or home[i] in done:
            continue
        box = node["box"] if home[i] < 0 else boxes[home[i]]["parent"]
        _open(children, boxes, box)
        if home[i] >= 0:
            done.add(home[i])
            children[box].append(("box", home[i]))
        else:
            children[box].append(("node", i))
    stack: list[tuple[str, int]] = list(reversed(children[-1]))
    while stack:
        what, i = stack.pop()
        if what == "end":
            out.append("}")
        elif what == "node":
            out.append(f"{nodes[i]['n']} {nodes[i]['dot']}")
        elif what == "box":
            out.append(f"b{i} {boxes[i]['dot']}")
        else:
            out.append(f"subgraph cluster_{i} {{")
            out.append(f"graph {boxes[i]['cluster']}")
            stack.append(("end", i))
            stack += reversed(children[i])
    shown = {node["n"] for node, name in zip(nodes, names, strict=True) if node["n"] == name}
    for column in data["columns"]:
        kept = [name for name in column if name in shown]
        if len(kept) > 1:
            out.append(f"{{rank=same; edge [style=invis]; {' -> '.join(kept)}}}")
    out += _edges(data["edges"], names, home)
    out.append("}")
    return "\n".join(out) + "\n"


def _name(boxes: list[dict[str, Any]], node: dict[str, Any], home: int) -> str:
    """What shows a node; "" where the other side of a fused op is shown."""
    if home >= 0:
        return "" if "face" in boxes[home] else f"b{home}"
    opened = "opens" in node and not boxes[node["opens"]]["closed"]
    return "" if opened else str(node["n"])


def _closed(boxes: list[dict[str, Any]], box: int) -> int:
    """The outermost closed box around, or -1."""
    found = -1
    while box >= 0:
        if boxes[box]["closed"]:
            found = box
        box = boxes[box]["parent"]
    return found


def _open(
    children: dict[int, list[tuple[str, int]]], boxes: list[dict[str, Any]], box: int
) -> None:
    """Make a list for a box, and for those around it."""
    chain = []
    while box >= 0 and box not in children:
        chain.append(box)
        box = boxes[box]["parent"]
    for inner in reversed(chain):
        children[inner] = []
        children[boxes[inner]["parent"]].append(("cluster", inner))


def _edges(edges: list[list[Any]], names: list[str], home: list[int]) -> list[str]:
    """Edges between what is shown; those of a closed box once per neighbour."""
    order: list[str] = []
    at: dict[str, int] = {}
    flows: dict[str, bool] = {}
    for src, dst, attributes, grad, *_ in edges:
        if not names[src] or not names[dst]:
            continue
        ends = f"{names[src]} -> {names[dst]}"
        text = f"{ends} {attributes}"
        if home[src] < 0 and home[dst] < 0:
            order.append(text)
        elif names[src] != names[dst]:
            if ends not in at:
                at[ends] = len(order)
                flows[ends] = grad
                order.append(text)
            elif grad and not flows[ends]:
                flows[ends] = True
                order[at[ends]] = text
    return order
