"""Where leaves stand: parameters in the box of their module, inputs where they are read."""

from __future__ import annotations

from dataclasses import replace

from .boxes import modules_of
from .ir import GraphIR, Path


def place_leaves(ir: GraphIR) -> None:
    """Parameters stand in the box of their module, outside the loops that share them.

    So does what a loop reads step by step: x [t] is a slice, and belongs to the loop.
    """
    readers: dict[str, list[Path]] = {}
    for e in ir.links:
        if e.dst in ir.items:
            readers.setdefault(e.src, []).append(ir.items[e.dst].path)
    for item in ir.items.values():
        paths = readers.get(item.id)
        if item.kind == "input" and paths and len(paths) == 1 and _step_box(ir, paths[0]):
            item.path = _step_box(ir, paths[0])  # what one step reads
            number = ir.boxes[item.path].title.rpartition(" ")[2].strip("[]")
            if not item.name and number.isdigit():
                what = "x" if item.title == "input" else item.title.partition(" [")[0]
                item.title = f"{what} [{number}]"
            continue
        per_step = item.kind == "input" and item.id.endswith("…")
        if (item.kind != "parameter" and not per_step) or not paths:
            continue
        path = paths[0]
        for other in paths[1:]:
            n = 0
            while n < min(len(path), len(other)) and path[n] == other[n]:
                n += 1
            path = path[:n]
        for i, part in enumerate(path):
            box = ir.boxes.get(path[: i + 1])
            own = box is not None and (box.kind == "layers" and item.count > 1)
            if part.startswith("×") and not (own or (box and box.later and per_step)):
                path = path[:i]
                break
        item.path = path
        if per_step:
            continue
        item.title = _inside(item.name, modules_of(path)) or item.title


def repeat_parameters(ir: GraphIR) -> None:
    """Where single steps of a loop are shown, each shows the parameters that all of them share.

    One cylinder with arrows to every step would cross the whole picture.
    """
    parts = {path for path, box in ir.boxes.items() if box.later}
    if not parts:
        return
    links = []
    for e in ir.links:
        src, dst = ir.items[e.src], ir.items[e.dst]
        around = [dst.path[:d] for d in range(1, len(dst.path) + 1) if dst.path[:d] in parts]
        if src.kind == "parameter" and around and src.path[: len(around[0])] != around[0]:
            id_ = f"{src.id}~{around[0][-1][1:]}"
            if id_ not in ir.items:
                shared = [*src.notes, "shared"]
                ir.items[id_] = replace(src, id=id_, path=around[0], notes=shared, facts={})
            e = replace(e, src=id_)
        links.append(e)
    ir.links = links


def _step_box(ir: GraphIR, path: Path) -> Path:
    """The box of a single step around an item, the innermost; empty where there is none."""
    for depth in range(len(path), 0, -1):
        box = ir.boxes.get(path[:depth])
        if box is not None and box.kind == "step":
            return path[:depth]
    return ()


def _inside(name: str, modules: Path) -> str:
    """A parameter's name as seen from the box it stands in: blocks.ℓ.up.bias in up is bias."""
    for around in (modules, modules[1:]):
        parts = name.split(".")
        for module in around:
            while parts[:1] in (["ℓ"], ["t"]):
                del parts[0]
            if parts[0] != module:
                break
            del parts[0]
        else:
            while parts[:1] in (["ℓ"], ["t"]):
                del parts[0]
            if around and parts:
                return ".".join(parts)
    return ""
