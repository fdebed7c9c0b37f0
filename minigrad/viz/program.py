"""Pictures of the programs that `mg.compile` records: one item per line, memory as the arrows."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from ..engine import Compiled, Tensor
from ..engine.program.calls import store, whole
from ..engine.program.line import Line
from ..engine.program.memory import Memory, Ref, address, leaves, root
from ..engine.program.program import Program
from .fold import fold as fold_repeats
from .graph import Graph
from .group import group, size_at
from .ir import GraphIR, Item, Link
from .labels import Show
from .overview import overview
from .style import SYMBOLS
from .style import theme as get_theme

_SYMBOLIC = {"subtract": "subtract", "true_divide": "divide", "power": "pow"}


def draw_program(
    program: Program | Compiled[Any, Any],
    *,
    model: Any = None,
    params: Mapping[str, Tensor] | None = None,
    fold: bool | str = "auto",
    show_shapes: bool = True,
    show_dtype: bool = False,
    title: str | None = None,
    rankdir: str = "LR",
    theme: str = "light",
    max_nodes: int = 400,
    engine: str = "auto",
) -> Graph:
    """Draw a compiled step: each line of its program, boxed by the op it belongs to.

    Args:
        program: of a compiled function, or the function, whose last program is drawn.
        model: names the parameters.
        params: names of further leaf Tensors.
        fold: repeated steps become one cell; see `draw_graph`.
        show_shapes, show_dtype, title, rankdir, theme, max_nodes, engine: as in `draw_graph`.

    >>> import minigrad as mg
    >>> f = mg.compile(lambda x: mg.tanh(x * 2))
    >>> y = f(mg.ones(3))
    >>> mg.viz.draw_program(f)
    <Graph: 2 tape lines as 3 nodes, 2 edges, 2 boxes>
    """
    if isinstance(program, Compiled):
        program = program.program
    named = dict(model.named_parameters()) if model is not None else {}
    ir = _Builder({**named, **(params or {})}).build(program.lines)
    ir.title = title if title is not None else "program"
    size = (
        f"{program.nbytes / 1e6:.2f} MB" if program.nbytes >= 1e5 else f"{program.nbytes:,} bytes"
    )
    ir.notes = [f"{ir.lines:,} lines over {size}"]
    shown = fold_repeats(ir, fold)
    depth = 1 if size_at(shown, 1, ()) <= max_nodes else 0
    shown = group(shown, depth)
    if len(shown.items) > max_nodes:
        shown = overview(shown)
    show = Show(shapes=show_shapes, dtype=show_dtype, grads=False, rankdir=rankdir)
    return Graph(shown, get_theme(theme), show, engine=engine)


class _Builder:
    """Items and links of a program's lines."""

    def __init__(self, named: Mapping[str, Tensor]) -> None:
        self.spans = [(*_span(t.data), name) for name, t in named.items()]
        self.ir = GraphIR()
        # Who wrote what stands there: item → first and last byte.
        self.made: dict[Memory, dict[str, tuple[int, int]]] = {}
        self.given: dict[Any, str] = {}

    def build(self, lines: list[Line]) -> GraphIR:
        for line in _flat(lines):
            self._add(line)
        self.ir.lines = len([i for i in self.ir.items.values() if i.ordered])
        return self.ir

    def _add(self, line: Line) -> None:
        name, outs, operands = _parts(line)
        place = line.place
        at = sum(item.ordered for item in self.ir.items.values()) + 1
        specs = tuple((ref.shape, str(ref.dtype)) for ref in outs)
        item = Item(
            str(at),
            "elementwise" if name in SYMBOLS else "op",
            op=name,
            specs=specs,
            path=(line.op,) if line.op else (),
            lines=(at - 1,),
            token=(name, specs, line.op),
        )
        if line.times > 1:
            item.notes.append(f"Σ of {line.times} products")
        if place is not None:
            item.place = f"{PurePath(place[0]).name}:{place[1]}"
        links = [
            Link(source, item.id, 0, arg, False)
            for arg, ref in enumerate(operands)
            for source in self._sources(ref)
        ]
        self.ir.items[item.id] = item
        self.ir.links.extend(links)
        for ref in outs:
            low, high = ref.extent
            before = self.made.get(ref.memory, {})
            kept = {i: at for i, at in before.items() if at[0] < low or at[1] > high}
            self.made[ref.memory] = {**kept, item.id: (low, high)}

    def _sources(self, ref: Ref) -> list[str]:
        """The items that made what a line reads."""
        low, high = ref.extent
        writers = self.made.get(ref.memory, {})
        found = [i for i, at in writers.items() if at[0] < high and at[1] > low]
        if found or ref.memory.owner is None:
            return found
        owner = id(ref.memory.owner)
        name = next(
            (n for at, start, stop, n in self.spans if at == owner and start <= ref.offset < stop),
            "",
        )
        key = owner, name
        if key not in self.given:
            kind = "parameter" if name else "input"
            count = sum(v[0] == kind[0] for v in self.given.values())
            item = Item(f"{kind[0]}{count}", kind, name=name, specs=((ref.shape, str(ref.dtype)),))
            if not name:
                item.title = "constant" if ref.memory.constant else "input"
            self.given[key] = item.id
            self.ir.items[item.id] = item
        return [self.given[key]]


def _span(array: Any) -> tuple[int, int, int]:
    """The memory of an array, and where in it the array begins and ends."""
    start = address(array) - address(root(array))
    return id(root(array)), start, start + array.nbytes


def _flat(lines: list[Line]) -> list[Line]:
    found: list[Line] = []
    for line in lines:
        if line.branches:
            for branch in line.branches:
                found.extend(_flat(branch))
        else:
            found.append(line)
    return found


def _parts(line: Line) -> tuple[str, list[Ref], list[Ref]]:
    """What a line calls, what it writes, what it reads."""
    function, args, kwargs = line.function, line.args, line.kwargs
    refs = [a for a in leaves((args, kwargs)) if type(a) is Ref]
    if function is operator.setitem:
        return "copy", refs[:1], refs[1:]
    if function is store:
        function, (_, out, *_) = args[0], args
        outs = [a for a in leaves(out) if type(a) is Ref]
    elif function is whole:
        function, outs = args[0], [p for p in args[2] if type(p) is Ref]
        return line.op, outs, [r for r in refs if not any(r is o for o in outs)]
    elif isinstance(function, np.ufunc):
        outs = refs[-1:]
        name = function.__name__
        return _SYMBOLIC.get(name, name), outs, refs[:-1]
    else:
        outs = [r for r in refs if r.memory in line.writes][-1:]
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__name__", "call").strip("_")
    if isinstance(owner, np.ufunc):
        name = "sum" if owner is np.add else f"{owner.__name__} {name}"
    return name, outs, [r for r in refs if not any(r is o for o in outs)]
