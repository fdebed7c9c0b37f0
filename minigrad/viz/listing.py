"""The tape as text: one row per line, as in a listing of a program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from ..engine import Node, Tensor
from .build import Names, build
from .escape import clean
from .ir import GraphIR, Item, shape_text
from .rules import formula_text
from .tape import Tape, saved_bytes

HEAD = ("line", "op", "inputs", "shape", "dtype", "saved", "rule", "source")
WIDEST = {"op": 34, "inputs": 72, "shape": 30, "dtype": 22, "rule": 60}

NARROWEST = {"rule": 16, "inputs": 20, "op": 16}  # where the width is limited, in this order


def listing(
    outputs: Any,
    *,
    model: Any = None,
    params: Mapping[str, Tensor] | None = None,
    last: int = 0,
    width: int = 0,
) -> str:
    """Every line of the tape behind `outputs`: op, inputs, shape, dtype, bytes kept, rule, source.

    Inputs are names of leaves or numbers of lines, %3; `%3.1` is the second output of line 3.

    Args:
        outputs: a Tensor, or a list, tuple or dict of Tensors.
        model, params: names for the leaves, as in `draw_graph`.
        last: show so many lines at most, the latest; 0 means all.
        width: cut rules, inputs and parameters of ops to fit so many characters; 0: no limit.

    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> text = mg.viz.listing((w * w).sum(), params={"w": w})
    >>> [row.split()[:4] for row in text.splitlines()[2:4]]
    [['1', 'multiply', 'w,', 'w'], ['2', 'sum', '%1', '()']]
    """
    tape = Tape(outputs)
    ir, _ = build(tape, Names(model, params))
    sources: dict[str, list[str]] = {}
    for link in ir.links:
        sources.setdefault(link.dst, []).append(_name(ir.items[link.src], link.slot))
    start = max(len(tape.lines) - last, 0) if last else 0
    lines = [i for i in ir.items.values() if i.ordered][start:]
    rows = [_row(item, tape.lines[item.lines[0]], sources) for item in lines]
    parts = [_table([HEAD, *rows], width)]
    if start:
        parts.append(f"… {start:,} earlier lines")
    parts.append(_foot(ir, tape, sources))
    return "\n".join(parts) + "\n"


def _name(item: Item, slot: int = 0) -> str:
    if item.ordered:
        return f"%{item.id}.{slot}" if len(item.specs) > 1 else f"%{item.id}"
    return clean(item.name or item.title or item.id, 40)


def _row(item: Item, node: Node, sources: dict[str, list[str]]) -> tuple[str, ...]:
    op = f"{item.op}({item.params})" if item.params else item.op
    if item.title.startswith("["):
        op = f"{item.op} {item.title}"
    elif item.title:  # an elementwise op with a plain number: × 0.5
        op = f"{item.op}  {item.title}"
    place = node.place
    return (
        item.id,
        op,
        ", ".join(sources.get(item.id, ())),
        "  ".join(shape_text(shape) for shape, _ in item.specs),
        "  ".join(dict.fromkeys(dtype for _, dtype in item.specs)),
        f"{saved_bytes(node):,}" if node.inputs is not None else "freed",
        formula_text(node.op),
        f"{PurePath(place[0]).name}:{place[1]}" if place is not None else "",
    )


def _table(rows: list[tuple[str, ...]], width: int) -> str:
    limits = [WIDEST.get(name, 40) for name in HEAD]
    if width:
        widths = [
            min(max(map(len, c)), n) for c, n in zip(zip(*rows, strict=True), limits, strict=True)
        ]
        over = sum(widths) + 2 * (len(widths) - 1) - width
        for name, least in NARROWEST.items():
            at = HEAD.index(name)
            cut = min(max(over, 0), max(widths[at] - least, 0))
            limits[at] = widths[at] - cut
            over -= cut
    cells = [[clean(c, n) for c, n in zip(row, limits, strict=True)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    right = {HEAD.index("line"), HEAD.index("saved")}
    out = [
        "  ".join(
            c.rjust(w) if i in right else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join([out[0], "  ".join("─" * w for w in widths), *out[1:]])


def _foot(ir: GraphIR, tape: Tape, sources: dict[str, list[str]]) -> str:
    kept = sum(map(saved_bytes, tape.lines))
    lines = f"{len(tape.lines):,} line{'s' * (len(tape.lines) != 1)}"
    foot = [f"{lines}, {kept:,} bytes kept for the backward pass (shared arrays count each time)"]
    foot += [
        f"{clean(item.title, 40)} = {', '.join(sources.get(item.id, ()))}"
        for item in ir.items.values()
        if item.kind in ("output", "loss")
    ]
    for kind in ("parameter", "input"):
        leaves = [i for i in ir.items.values() if i.kind == kind]
        if leaves:
            named = (f"{_name(i)} {shape_text(i.specs[0][0]) if i.specs else ''}" for i in leaves)
            foot.append(f"{kind}s: {', '.join(n.strip() for n in named)}")
    return "\n".join(foot)
