"""From the tape to the neutral graph: one item per line and per leaf, named and classified."""

from __future__ import annotations

import re
import weakref
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

from ..backend import NAMESPACES
from ..engine import Node, Op, Tensor
from ..nn import Parameter
from .escape import clean
from .ir import DERIVED, FORWARD, GraphIR, Item, Link, Specs, gc_paused
from .style import SYMBOLS, number
from .tape import Tape, argument

# Ops whose static parameters say *which* element: steps of a loop differ there and nowhere else.
INDEXING = frozenset({"getitem", "take", "select", "unstack", "split", "slice"})
_DIGITS = re.compile(r"\d+")


class Names:
    """Names of leaves, from `model.named_parameters()` and from a dict of Tensors."""

    def __init__(self, model: Any = None, params: Mapping[str, Tensor] | None = None) -> None:
        self.of = {id(t): str(name) for name, t in (params or {}).items()}
        self.owned: set[int] = set()  # of the model, trained or not
        self.known = model is not None
        for find in ("named_parameters", "named_buffers"):
            for name, t in getattr(model, find, tuple)():
                self.of.setdefault(id(t), str(name))
                self.owned.add(id(t))

    def kind(self, tensor: Tensor | None) -> str:
        """A parameter is what a module owns; without a model, what requires a gradient."""
        if tensor is None:
            return "input"
        if id(tensor) in self.owned or isinstance(tensor, Parameter):
            return "parameter"
        named = not self.known or id(tensor) in self.of
        return "parameter" if tensor.requires_grad and named else "input"


def build(tape: Tape, names: Names) -> tuple[GraphIR, dict[str, Tensor]]:
    """The graph of a tape, unfolded: every line, every leaf, every output; and the leaves by id."""
    with gc_paused(len(tape.lines)):
        return _build(tape, names)


def _build(tape: Tape, names: Names) -> tuple[GraphIR, dict[str, Tensor]]:
    ir = GraphIR(lines=len(tape.lines))
    ids = _line_ids(tape)
    leaves = _Leaves(ir, names, tape.roles)
    specs: dict[Any, Specs] = {}
    lines: list[Item] = []
    before: Any = None
    for at, node in enumerate(tape.lines):
        item = _line(node, ids[node], at, tape.path_of(node), specs)
        item.jump = _goes_back(before, node.at)
        before = node.at
        lines.append(item)
        roles = _roles(node.op)
        operands: list[str] = []
        for arg, (of, slot) in enumerate(tape.sources(node)):
            if of is None:
                value = argument(node, arg)
                operands.append(number(value) if isinstance(value, int | float) else "")
                continue
            operands.append("")
            src = ids[of] if type(of) is Node else leaves.item(of, node, arg)
            link = Link(src, item.id, slot, arg, bool(node.mask >> arg & 1))
            if arg < len(roles):
                link.role = roles[arg]
            ir.links.append(link)
        if any(operands):
            item.title = _with_numbers(node.op.name, operands)
    for item in lines:
        ir.items[item.id] = item
    _phases(ir, lines)
    _outputs(ir, tape, ids, leaves)
    return ir, leaves.tensors


def _phases(ir: GraphIR, lines: list[Item]) -> None:
    """Where a backward pass was recorded too, the lines before it are the forward pass."""
    first = next((i for i, item in enumerate(lines) if _derived(item)), 0)
    for item in lines[:first]:
        item.path = (FORWARD, *item.path)
        item.token = (FORWARD, item.token)
    readers: dict[str, set[bool]] = {}
    for link in ir.links if first else ():
        readers.setdefault(link.src, set()).add(_derived(ir.items[link.dst]))
    for id_, read_by in readers.items():
        item = ir.items[id_]
        if item.kind == "input" and not item.name and read_by == {True}:
            item.title = "cotangent"  # what a backward pass starts from


def _derived(item: Item) -> bool:
    return bool(item.path) and item.path[0][:1] == DERIVED and item.path[0] != FORWARD


def _goes_back(before: Any, now: Any) -> bool:
    """Whether the user's code jumped backwards between two lines: the turn of a loop."""
    return bool(before and now and before[0] is now[0] and now[1] < before[1])


def _line_ids(tape: Tape) -> dict[Node, str]:
    """Positions: "12" for a line, "12.3" for the third line inside an opened line 12."""
    ids: dict[Node, str] = {}
    position: dict[Node | None, int] = {}
    for node in sorted(tape.keys, key=tape.keys.__getitem__):
        outer = tape.inside.get(node)
        position[outer] = at = position.get(outer, 0) + 1
        ids[node] = f"{ids[outer]}.{at}" if outer is not None else str(at)
    return ids


def _line(node: Node, id: str, at: int, path: tuple[str, ...], cache: dict[Any, Specs]) -> Item:
    specs = cache.get(node.specs)
    if specs is None:
        specs = tuple((tuple(shape), str(dtype)) for shape, dtype in node.specs)
        cache[node.specs] = specs
    op = node.op.name
    item = Item(
        id,
        "elementwise" if op in SYMBOLS else "op",
        op=op,
        specs=specs,
        path=path,
        lines=(at,),
        token=(op, specs, len(node.parents), _general(path)),
    )
    if node.labels:
        item.name = ", ".join(str(name) for name in node.labels.values() if name)
    if node.params:
        item.params = _params_text(node)
        if op == "getitem" and "key" in node.params:
            item.title, item.params = f"[{_value_text(node.params['key']).strip('()')}]", ""
        elif op == "dense":
            item.title, item.params = f"linear + {node.params['activation']}", ""
        same = op if op in INDEXING else item.params
        item.token = (*item.token, same)  # type: ignore[misc]
    return item


def _general(path: tuple[str, ...]) -> tuple[str, ...]:
    """A path with its numbers taken out, so that layers.0 and layers.1 may be repeats."""
    if not path:
        return path
    return tuple(_DIGITS.sub("#", part) for part in path)


def _params_text(node: Node) -> str:
    defaults = node.op.defaults
    parts = [
        f"{key}={_value_text(value)}"
        for key, value in node.params.items()
        if not (key in defaults and _same(defaults[key], value))
    ]
    return ", ".join(parts)


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and isinstance(a, int | float | str | tuple) and a == b)


def _value_text(value: Any) -> str:
    """A static parameter: short, and without addresses or data."""
    if isinstance(value, Tensor) or type(value) in NAMESPACES:
        return f"array{tuple(value.shape)}"
    if isinstance(value, slice):
        ends = ["" if v is None else str(v) for v in (value.start, value.stop, value.step)]
        return ":".join(ends if ends[2] else ends[:2])
    if value is Ellipsis:
        return "…"
    if isinstance(value, tuple | list):
        inner = ", ".join(map(_value_text, value[:8])) + (", …" if len(value) > 8 else "")
        return f"({inner})" if isinstance(value, tuple) else f"[{inner}]"
    if isinstance(value, float):
        return number(value)
    if value is None or isinstance(value, bool | int | str):
        return clean(value, 40)
    name = getattr(value, "__name__", None) or getattr(value, "name", type(value).__name__)
    return clean(name, 40)


def _with_numbers(op: str, operands: list[str]) -> str:
    """`1 −` or `× 0.5`: an elementwise op of which one side is a plain number."""
    if op not in SYMBOLS or len(operands) != 2:
        return ""
    left, right = operands
    if op == "pow" and right:
        return f"x^{right}"
    return f"{left} {SYMBOLS[op]} {right}".strip()


class _Leaves:
    """Items of the leaves, made at first use and then shared."""

    def __init__(self, ir: GraphIR, names: Names, roles: dict[int, str]) -> None:
        self.ir, self.names, self.roles = ir, names, roles
        self.ids: dict[int, str] = {}
        self.counts: Counter[str] = Counter()
        self.tensors: dict[str, Tensor] = {}

    def item(self, of: Any, node: Node | None, arg: int) -> str:
        tensor = of() if isinstance(of, weakref.ref) else of
        key = id(of) if tensor is None else id(tensor)
        if key not in self.ids:
            self.ids[key] = self._make(tensor, node, arg, self.roles.get(key, ""))
        return self.ids[key]

    def _make(self, tensor: Tensor | None, node: Node | None, arg: int, role: str) -> str:
        name = self.names.of.get(id(tensor), "") if tensor is not None else ""
        if not name and tensor is not None and tensor.name:
            name = str(tensor.name)
        trained = tensor is not None and tensor.requires_grad
        kind = self.names.kind(tensor)
        id_ = f"{kind[0]}{self.counts[kind]}"
        self.counts[kind] += 1
        item = Item(id_, kind, name=name)
        if tensor is not None:
            self.tensors[id_] = tensor
            item.specs = ((tuple(tensor.shape), str(tensor.dtype)),)
        elif node is not None and (known := argument(node, arg)) is not None:
            shape, dtype = known if isinstance(known, tuple) else (known.shape, known.dtype)
            item.specs = ((tuple(shape), str(dtype)),)
        if not name:
            item.title = role or _role(node, arg) or kind
        if kind == "parameter" and not trained:
            item.notes.append("frozen")
        if kind == "input" and trained:
            item.notes.append("requires grad")
        self.ir.items[id_] = item
        return id_


@cache
def _roles(op: Op) -> tuple[str, ...]:
    """What the op calls its arguments, where that says something: `targets`, `h0`; not `a`, `x`."""
    return tuple(name if len(name) > 1 else "" for name in op.arrays)


def _role(node: Node | None, arg: int) -> str:
    roles = _roles(node.op) if node is not None else ()
    return roles[arg] if arg < len(roles) else ""


def _outputs(ir: GraphIR, tape: Tape, ids: dict[Node, str], leaves: _Leaves) -> None:
    many = len(tape.outputs) > 1
    for i, (name, t) in enumerate(tape.outputs):
        of, slot = tape.source(t.node, t.index) if t.node is not None else (t, 0)
        src = ids[of] if isinstance(of, Node) else leaves.item(of, None, 0)
        scalar = t.shape == () and t.dtype.kind == "f"
        item = Item(f"o{i}", "loss" if scalar and not many else "output")
        item.name = name or str(t.name or "")
        item.title = item.name or (f"output {i}" if many else item.kind)
        item.specs = ((tuple(t.shape), str(t.dtype)),)
        ir.items[item.id] = item
        ir.links.append(Link(src, item.id, slot, 0, t.node is not None))
