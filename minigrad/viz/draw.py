"""`draw_graph`: from output Tensors to a `Graph`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engine import Tensor
from ..errors import ConfigError
from .build import Names, build
from .captions import (
    LEGIBLE,
    annotate,
    banner_for,
    first_bad,
    leaf_facts,
    notes_on,
    output_values,
    title_for,
)  # fmt: skip
from .fold import fold as fold_repeats
from .graph import Graph
from .group import group, size_at
from .ir import GraphIR, gc_paused
from .labels import Show
from .overlay import overlay
from .overview import overview
from .page import gather
from .record import Record
from .reveal import Expand, check_names, chosen_steps
from .roles import mark_gates
from .shade import ColorBy, shade, show_bytes
from .style import theme as get_theme
from .tape import Tape, opener

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
        ConfigError: no Tensors, an option outside its range, or nothing that `expand` names.

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
    if record is None and not isinstance(expand, Mapping):
        check_names(tape, wanted)
    if model is None and record is not None:
        model = record.model
    with gc_paused(len(tape.lines)):
        full, leaves = build(tape, Names(model, params))
        full.title = title_for(tape, model) if title is None else title
        norms = leaf_facts(full, leaves)
        if show_values or record is not None:
            output_values(full, tape)
        folded = fold_repeats(full, fold, chosen_steps(expand))
        annotate(folded, tape)
    if record is not None:
        overlay(folded, record, norms)
        folded.notes = [*folded.notes, *first_bad(folded, show_places)]
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
    ir.notes = [*notes_on(full, ir), *ir.notes]
    look = get_theme(theme)
    if show_saved:
        show_bytes(ir, folded)
    shade(ir, color_by, look, folded)
    ir.banner = banner_for(tape, bool(norms)) if grads else ""
    show = Show(
        detail="symbols" if detail == "auto" else detail,
        shapes=show_shapes,
        dtype=show_dtype,
        values=show_values or record is not None,
        grads=grads,
        places=show_places,
        times=color_by == "time",
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
