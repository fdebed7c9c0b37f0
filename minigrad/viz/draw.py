"""`draw_graph`: from output Tensors to a `Graph`; and `make_dot`, torchviz's twin."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from ..engine import Tensor, enable_grad
from ..errors import ConfigError
from .build import Names, build
from .fold import fold as fold_repeats
from .graph import Graph
from .group import group, modules_of, size_at
from .ir import GraphIR, gc_paused
from .labels import Show
from .overlay import level, overlay
from .overview import overview
from .page import gather
from .record import Record
from .reveal import Expand, chosen_steps
from .roles import mark_gates
from .rules import rule_text
from .shade import ColorBy, shade, show_bytes
from .stats import stats
from .style import number
from .style import theme as get_theme
from .tape import Tape, opener, saved_bytes

LEGIBLE = 5000  # items; of more than these nobody reads a single one
DETAILS = ("auto", "symbols", "cards", "tape")


def draw_graph(
    outputs: Any,
    *,
    model: Any = None,
    params: Mapping[str, Tensor] | None = None,
    depth: int = 2,
    expand: Expand = (),
    fold: bool | str = "auto",
    detail: str = "auto",
    direction: str = "both",
    show_shapes: bool = True,
    show_dtype: bool = False,
    show_values: bool = False,
    show_grads: bool | str = "auto",
    show_places: bool = False,
    show_saved: bool = False,
    color_by: ColorBy = None,
    record: Record | None = None,
    title: str | None = None,
    rankdir: str = "LR",
    theme: str = "light",
    max_nodes: int = 400,
    engine: str = "auto",
    interactive: bool = False,
) -> Graph:
    """Draw the computation behind `outputs`, from the real tape.

    Works before and after `backward()`: the tape keeps its lines when the values are freed. The
    result shows itself in Jupyter; `.render("graph.svg")` writes a file, `.source` is DOT.

    Args:
        outputs: a Tensor, or a list, tuple or dict of Tensors, e.g. the loss.
        model: an object with `named_parameters()`; names the parameters and describes its modules.
        params: names of further leaf Tensors, `{"x": x}`.
        depth: how many levels of modules are boxes; a deeper one is collapsed to a node.
        expand: what to open: names of fused ops ("lstm": its gates and sums) or module paths
            ("encoder.attention"); True opens every fused op. A dict also says which steps of the
            loop inside are drawn one by one: {"lstm": [3, 4, 19]}, {"blocks": [0, -1]}; the loops
            of plain code are called "steps", "layers" and "repeats".
        fold: repeated steps and layers become one cell "×20 steps". True: whatever repeats, "auto":
            where it helps, False: never.
        detail: "symbols" (elementwise ops are circles), "cards" (with docs and derivative rules) or
            "tape" (a column of lines in order of evaluation).
        direction: "both", "forward" or "backward" arrows.
        show_shapes, show_dtype, show_values, show_places: shapes, dtypes, values of leaves and
            outputs, and the line of code behind each node.
        show_grads: the way of gradients and, once `backward()` ran, their norms at the leaves.
        show_saved: how many bytes each node keeps for the backward pass.
        color_by: fill nodes by "grad" (norm), "time" (of backward, from `record`), "memory" (bytes
            kept), "module", or a function of an `Item` that returns a number, "#RRGGBB" or None.
        record: what `viz.record` saw: strips of values and gradients on the nodes.
        title: heading; None makes one of the model's and the output's name.
        rankdir: "LR", "TB", "RL" or "BT".
        theme: "light" or "dark".
        max_nodes: above this many nodes the graph is drawn coarser, and says so.
        engine: "auto", "dot" (the program) or "pygraphviz".
        interactive: notebooks show a page to zoom, open and step through; see `Graph.to_html`.

    Raises:
        ConfigError: no Tensors, or an option outside its range.

    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> graph = mg.viz.draw_graph((w * w).sum(), params={"w": w})
    >>> graph
    <Graph: 2 tape lines as 4 nodes, 4 edges, 0 boxes>
    >>> print(graph.to_mermaid().splitlines()[0])
    flowchart LR
    """
    _check(detail, direction, rankdir, fold, depth, max_nodes)
    wanted: tuple[str, ...] = (expand,) if isinstance(expand, str) else ()
    if not isinstance(expand, str | bool):
        wanted = tuple(expand)
    tape = Tape(outputs, opener(expand)) if record is None else record.tape
    if model is None and record is not None:
        model = record.model
    with gc_paused(len(tape.lines)):
        full, leaves = build(tape, Names(model, params))
        full.title = _title(tape, model) if title is None else title
        norms = _leaf_facts(full, leaves)
        if show_values or record is not None:
            _output_values(full, tape)
        folded = fold_repeats(full, fold, chosen_steps(expand))
        _annotate(folded, tape)
    if record is not None:
        overlay(folded, record, norms)
        folded.notes = [*folded.notes, *_first_bad(folded, show_places)]
    if len(folded.items) <= LEGIBLE:
        mark_gates(folded)
    grads = show_grads is not False

    levels = depth
    while levels > 0 and size_at(folded, levels, wanted) > max_nodes:
        levels -= 1
    if size_at(folded, levels, wanted) > 2 * max_nodes:
        ir = overview(folded)
    else:
        ir = group(folded, levels, model, wanted)
        if levels < depth:
            ir.notes.append(f"depth {levels} to stay within {max_nodes:,} nodes")
        if len(ir.items) > max_nodes:
            ir = overview(ir)
    ir.notes = [*_notes(full, ir), *ir.notes]
    look = get_theme(theme)
    if show_saved:
        show_bytes(ir, folded)
    shade(ir, color_by, look, folded)
    ir.banner = _banner(tape, bool(norms)) if grads else ""
    show = Show(
        detail="symbols" if detail == "auto" else detail,
        shapes=show_shapes,
        dtype=show_dtype,
        values=show_values or record is not None,
        grads=grads,
        places=show_places,
        direction=direction,
        rankdir=rankdir,
    )

    def coarser() -> GraphIR | None:
        return overview(ir) if len(ir.items) > 60 else None

    details = gather(
        folded, full, tape, record, model, color_by=color_by, depth=levels, expand=wanted,
        max_nodes=max_nodes,
    )  # fmt: skip
    return Graph(
        ir, look, show, engine=engine, coarser=coarser, details=details,
        interactive=interactive,
    )  # fmt: skip


def make_dot(
    var: Any,
    params: Mapping[str, Tensor] | None = None,
    show_attrs: bool = False,
    show_saved: bool = False,
) -> Graph:
    """The twin of `torchviz.make_dot`: every line of the tape, nothing folded, top to bottom.

    Args:
        var: the output Tensor, or a tuple of them.
        params: names of leaves, e.g. `dict(model.named_parameters())`.
        show_attrs: static parameters and derivative rules of each op.
        show_saved: bytes that each line keeps for the backward pass.
    """
    return draw_graph(
        var, params=params, depth=99, fold=False, detail="cards" if show_attrs else "symbols",
        show_saved=show_saved, rankdir="TB",
    )  # fmt: skip


def plot_model(
    model: Any,
    *inputs: Any,
    to_file: str | Path = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_trainable: bool = False,
) -> Graph:
    """The twin of `keras.utils.plot_model`: calls `model(*inputs)` and writes its layers to a file.

    Args:
        model: the model; it is called once, so give it an example of its `inputs`.
        to_file: where to write; the suffix is the format.
        show_shapes, show_dtype: of the outputs of each layer.
        show_layer_names: the layers' names in the model; else what they are.
        rankdir: "TB" from top to bottom, "LR" from left to right.
        expand_nested: open all modules instead of one level.
        dpi: dots per inch of a PNG.
        show_trainable: say of each layer with parameters whether they are trained.
    """
    with enable_grad():
        outputs = model(*inputs)
    graph = draw_graph(
        outputs, model=model, depth=99 if expand_nested else 1, direction="forward",
        show_shapes=show_shapes, show_dtype=show_dtype, show_grads=False, rankdir=rankdir,
        title=type(model).__name__,
    )  # fmt: skip
    if show_trainable:
        _mark_trainable(graph.ir, model)
    if not show_layer_names:
        for item in graph.ir.items.values():
            if item.kind == "module":
                kind = item.notes[0].partition("  ·  ")[0] if item.notes else item.op
                item.title = kind.partition("(")[0]
            elif item.op and item.kind == "op":
                item.title = item.op
    graph.redraw()
    graph.render(to_file, dpi=dpi)
    return graph


def _mark_trainable(ir: GraphIR, model: Any) -> None:
    """A word on each layer that has parameters: "trainable" or "frozen"."""
    trained: dict[str, bool] = {}
    for link in ir.links:
        leaf = ir.items[link.src]
        if leaf.kind == "parameter":
            trained[link.dst] = trained.get(link.dst, False) or "frozen" not in leaf.notes
    modules = dict(getattr(model, "named_modules", dict)())
    for item in ir.items.values():
        if item.kind == "module":
            path = ".".join(modules_of((*item.path, item.name))[1:])
            if path in modules:
                held = [p.requires_grad for _, p in modules[path].named_parameters()]
                trained.update({item.id: any(held)} if held else {})
    for id_, is_trained in trained.items():
        ir.items[id_].notes.append("trainable" if is_trained else "frozen")


def _check(
    detail: str, direction: str, rankdir: str, fold: bool | str, depth: int, max_nodes: int
) -> None:
    for name, value, known in (
        ("detail", detail, DETAILS),
        ("direction", direction, ("both", "forward", "backward")),
        ("rankdir", rankdir, ("LR", "TB", "RL", "BT")),
        ("fold", fold, ("auto", True, False)),
    ):
        if value not in known:
            options = ", ".join(map(repr, known))
            raise ConfigError(f"draw_graph: {name}={value!r} is not one of {options}")
    if depth < 0 or max_nodes < 10:
        raise ConfigError(
            f"draw_graph: depth is {depth}, max_nodes {max_nodes}; expected at least 0 and 10"
        )


def _title(tape: Tape, model: Any) -> str:
    names = [name or str(t.name or "") for name, t in tape.outputs]
    named = ", ".join(n for n in names[:3] if n)
    if not named and len(names) == 1 and tape.outputs[0][1].shape == ():
        named = "loss"
    if model is not None:
        return f"{type(model).__name__}  —  {named}" if named else type(model).__name__
    return named or "computation graph"


def _notes(full: GraphIR, shown: GraphIR) -> list[str]:
    lines = f"{full.lines:,} tape line{'s' if full.lines != 1 else ''}"
    notes = [lines]
    nodes = sum(1 for i in shown.items.values() if i.ordered and i.kind != "state")
    stretches = any(i.kind == "overview" for i in shown.items.values())
    if nodes < full.lines and not stretches:
        notes = [f"{lines} drawn as {nodes:,} operation{'s' * (nodes != 1)}"]
    cells: Counter[tuple[int, str]] = Counter()
    for path in shown.shown_boxes():
        box = shown.boxes.get(path)
        if box is not None and box.count > 1:
            cells[box.count, box.kind] += 1
    for (count, kind), n in cells.items():
        what = {"steps": "time steps", "layers": "layers", "repeats": "repeats"}[kind]
        loops = f"{n} loops of " if n > 1 else ""
        notes.append(f"{loops}{count:,} {what}, {'each ' if n > 1 else ''}as one cell")
    return notes


def _first_bad(ir: GraphIR, places: bool) -> list[str]:
    """Where the first value, or else gradient, is not finite."""
    for what in ("the first NaN or infinity", "the first NaN or infinite gradient"):
        for item in ir.items.values():
            if item.facts.get("bad") == what:
                where = f"line {item.lines[0] + 1}" + (f", {item.place}" * places)
                return [f"{what}: {item.name or item.op}, {where}"]
    return []


def _annotate(ir: GraphIR, tape: Tape) -> None:
    """Docs, rules, places and saved bytes, for the items that are shown."""
    if len(ir.items) > LEGIBLE:
        return
    for item in ir.items.values():
        if not item.lines:
            continue
        node = tape.lines[item.lines[0]]
        item.doc = node.op.doc
        item.rule = rule_text(node.op)
        item.saved = sum(saved_bytes(tape.lines[line]) for line in item.lines)
        place = node.place
        if place is not None:
            item.place = f"{PurePath(place[0]).name}:{place[1]}"


def _leaf_facts(ir: GraphIR, leaves: Mapping[str, Tensor]) -> dict[str, float]:
    """Norms of the gradients that lie in `.grad`, on one scale."""
    norms = {id_: _norm(t.grad) for id_, t in leaves.items() if t.grad is not None}
    good = [n for n in norms.values() if math.isfinite(n) and n > 0]
    for id_, norm in norms.items():
        facts = ir.items[id_].facts
        facts["grad"] = norm
        if not math.isfinite(norm):
            facts["bad"] = "the gradient is not finite"
        elif len(good) > 1:
            low, high = min(good), max(good)
            facts["grad_scale"] = (low, high)
            facts["grad_level"] = level(norm, low, high)
    return norms


def _output_values(ir: GraphIR, tape: Tape) -> None:
    for i, (_, t) in enumerate(tape.outputs):
        if t.size == 1:
            ir.items[f"o{i}"].notes.append(number(float(t.item())))


def _norm(grad: Any) -> float:
    """The 2-norm of a gradient, dense or row-sparse; NaN if an element is not finite."""
    found = stats(grad.to_dense() if hasattr(grad, "to_dense") else grad.data)
    return math.nan if found.bad else found.norm


def _banner(tape: Tape, has_grads: bool) -> str:
    if not any(t.requires_grad for _, t in tape.outputs):
        return "nothing here requires a gradient"
    return "" if has_grads else "no gradients yet: call backward()"
