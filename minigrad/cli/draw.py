"""`minigrad draw`: from the command line to a picture in a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..engine import OPS, Tensor
from ..errors import ConfigError
from ..viz import Graph, Record, draw_graph, record
from ..viz.tape import Tape
from .classes import Sizes, example
from .script import Result, call, load


def draw(args: argparse.Namespace) -> str:
    """Draw, write, and say what was written."""
    if (args.where is None) == (args.model is None):
        raise ConfigError("give either SCRIPT.py:FUNCTION or --model")
    if args.model is not None:
        sizes = Sizes(args.steps, args.batch, args.features, args.hidden, args.layers)
        found: Result | Graph = example(args.model, sizes, args.seed)
    else:
        found = call(load(args.where))
    graph = found if isinstance(found, Graph) else _graph(found, args)
    if args.output is None:
        return f"{graph.summary()}\nfor a picture: -o graph.html, or .svg, .png, .pdf\n"
    path = Path(args.output)
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {str(path.parent)!r} to write {path.name} into")
    graph.render(path, dpi=args.dpi)
    return f"{path}: {repr(graph)[1:-1].removeprefix('Graph: ')}\n"


def _graph(found: Result, args: argparse.Namespace) -> Graph:
    expand = True if args.composite and not args.expand else _expand(args.expand, args.composite)
    seen = None if args.no_backward else _backward(found.outputs, expand)
    return draw_graph(
        found.outputs, model=found.model, params=found.params, record=seen, expand=expand,
        depth=args.depth, fold=False if args.no_fold else "auto", detail=args.detail,
        direction=args.direction, rankdir=args.rankdir, theme=args.theme, title=args.title,
        show_dtype=args.dtype, show_places=args.places, max_nodes=args.max_nodes,
        show_saved=args.saved, color_by=args.color_by,
    )  # fmt: skip


def _expand(given: list[str], composite: bool) -> dict[str, Any]:
    """`lstm` and `lstm:3,4,19` as `draw_graph` takes them."""
    found: dict[str, Any] = {}
    for text in given:
        name, _, steps = text.partition(":")
        found[name] = steps.split(",") if steps else True
    if composite:
        found = {**{name: True for name, op in OPS.items() if op.plain is not None}, **found}
    return found


def _backward(outputs: Any, expand: Any) -> Record | None:
    """What the backward pass of a loss shows; None where there is nothing to start from."""
    loss = outputs[0] if isinstance(outputs, list | tuple) and len(outputs) == 1 else outputs
    if not isinstance(loss, Tensor) or loss.size != 1 or not loss.requires_grad:
        return None
    if any(node.inputs is None for node in Tape(loss).lines):
        return None  # backward() ran already, and freed what it read
    with record(loss, expand=expand) as seen:
        loss.backward(retain_graph=True)
    return seen
