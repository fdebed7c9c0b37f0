"""`make_dot` and `plot_model`: torchviz's and Keras's functions, on our graphs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..engine import Tensor, enable_grad
from .boxes import modules_of
from .draw import draw_graph
from .graph import Graph
from .ir import GraphIR


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
