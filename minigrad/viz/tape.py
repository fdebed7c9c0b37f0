"""Reading the tape: from output Tensors to the lines behind them, in order of evaluation.

This is the only file of the package that knows what a `Node` looks like. No recursion: the walk
keeps a stack, so a chain of 100,000 lines is as good as one of ten.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ..backend import NAMESPACES, get_rng_state, set_rng_state
from ..engine import Node, Tensor, enable_grad, wrap
from ..engine import scope as engine_scope
from ..engine.tape import Spec
from ..errors import ConfigError
from .ir import BACKWARDS

Key = tuple[int, ...]  # where a line stands: ids from the outermost opened line inwards


class Source(NamedTuple):
    """Where an argument comes from: output `slot` of a line, or a leaf (slot 0)."""

    of: Any  # Node | Tensor | weakref (a constant) | None
    slot: int


class Tape:
    """The lines behind some outputs, oldest first, with fused lines opened where asked.

    Attributes:
        lines: the Nodes.
        keys: of each line, its place among the others.
        inside: of each line inside an opened one, that line.
        outputs: (name, Tensor) of what was asked for.
    """

    def __init__(self, outputs: Any, expand: Callable[[Node], bool] | None = None) -> None:
        self.outputs = _named_outputs(outputs)
        self.keys: dict[Node, Key] = {}
        self.inside: dict[Node, Node] = {}
        self.opened: dict[Node, list[Any]] = {}  # opened line → its outputs inside
        self.roles: dict[int, str] = {}  # id of a leaf → what the opened op called it
        self._redirect: dict[tuple[int, int], Source] = {}
        self._kept: list[Any] = []  # what the ids in `_redirect` belong to
        self._starts = [(t.node, t.index) for _, t in self.outputs if t.node is not None]
        self._walk([node for node, _ in self._starts], (), None)
        if expand is not None:
            self._open_all(expand)
        self.lines: list[Node] = sorted(
            (n for n in self.keys if n not in self.opened), key=self.keys.__getitem__
        )

    def source(self, of: Any, slot: int) -> Source:
        """The source of an argument, seen through opened lines."""
        found = Source(of, slot)
        while (id(found.of), found.slot) in self._redirect:
            found = self._redirect[id(found.of), found.slot]
        return found

    def sources(self, node: Node) -> Iterable[tuple[Any, int]]:
        """One (of, slot) per array argument."""
        if not self._redirect:
            return zip(node.parents, node.slots, strict=True)
        out: list[tuple[Any, int]] = []
        for parent, slot in zip(node.parents, node.slots, strict=True):
            if isinstance(parent, weakref.ref):
                alive = parent()
                if (id(alive), 0) in self._redirect:
                    out.append(self.source(alive, 0))
                    continue
            out.append(self.source(parent, slot if isinstance(parent, Node) else 0))
        return out

    def _walk(self, starts: Iterable[Node], prefix: Key, inside: Node | None) -> list[Node]:
        keys, stack, found = self.keys, list(starts), []
        while stack:
            node = stack.pop()
            if node in keys:
                continue
            keys[node] = (*prefix, node.id)
            found.append(node)
            if inside is not None:
                self.inside[node] = inside
            stack += [p for p in node.parents if type(p) is Node and p not in keys]
        return found

    def _open_all(self, expand: Callable[[Node], bool]) -> None:
        used = set(self._starts)  # an output that nobody reads is not opened
        for node in self.keys:
            used.update(_read(node))
        queue = [node for node in self.keys if expand(node)]
        while queue:
            node = queue.pop()
            if node.op.plain is None or len(self.keys[node]) > 8:
                continue
            wanted = {i for i in range(len(node.specs)) if (node, i) in used}
            found = self._open(node, node.op.plain, wanted)
            outs = self.opened[node]
            used.update((outs[i].node, outs[i].index) for i in wanted)  # may be opened in turn
            for new in found:
                used.update(_read(new))
            queue.extend(n for n in found if expand(n) and n.op is not node.op)

    def _open(self, node: Node, plain: Callable[..., Any], wanted: set[int]) -> list[Node]:
        """Run the composite of a fused line and put its lines in the place of that line."""
        arguments: list[Any] = []
        names = list(node.op.arrays)
        kept = next((v for v in node.inputs or () if type(v) in NAMESPACES), None)
        xp = np if kept is None else NAMESPACES[type(kept)]
        for i, (parent, slot) in enumerate(zip(node.parents, node.slots, strict=True)):
            value = _value(xp, node, i, parent, slot)
            if value is None or isinstance(value, bool | int | float):
                arguments.append(value)
                continue
            inner = wrap(value)
            inner.requires_grad = bool(node.mask >> i & 1)
            arguments.append(inner)
            self._redirect[id(inner), 0] = outer = self.source(parent, slot)
            self._kept.append(inner)
            leaf = outer.of() if isinstance(outer.of, weakref.ref) else outer.of
            if not isinstance(outer.of, Node) and i < len(names):
                self.roles.setdefault(id(outer.of if leaf is None else leaf), names[i])
        state = get_rng_state()  # looking must not change what comes next
        try:
            with enable_grad():
                out = plain(*arguments, **node.params)
        finally:
            set_rng_state(state)
        outs = list(out) if isinstance(out, tuple | list) else [out]
        self.opened[node] = outs
        self._kept.append(node)
        for i, o in enumerate(outs):
            self._redirect[id(node), i] = (
                Source(o, 0) if o.node is None else Source(o.node, o.index)
            )
        starts = [outs[i].node for i in sorted(wanted) if outs[i].node is not None]
        return self._walk(starts, self.keys[node], node)

    def path_of(self, node: Node) -> tuple[str, ...]:
        """Names of the boxes around a line: modules, and the opened line it belongs to."""
        outer = self.inside.get(node)
        own = tuple(part for name in node.scope for part in str(name).split("."))
        if outer is None:
            return own
        arrow = f" {BACKWARDS}" if outer.params.get("reverse") else ""
        return (*self.path_of(outer), f"{outer.op.name}{arrow}@{self.keys[outer][-1]}", *own)


def _read(node: Node) -> Iterable[tuple[Node, int]]:
    """The outputs of lines that a line reads."""
    pairs = zip(node.parents, node.slots, strict=True)
    return ((parent, slot) for parent, slot in pairs if isinstance(parent, Node))


def _value(xp: Any, node: Node, i: int, parent: Any, slot: int) -> Any:
    """Argument `i` of a line: its saved value, or zeros of its shape, or the number it was."""
    saved = argument(node, i)
    if saved is not None and not isinstance(saved, tuple):
        return saved
    if saved is None and parent is None:
        return None
    spec = saved or spec_of(parent, slot)
    if spec is None:
        names = list(node.op.arrays)
        raise ConfigError(
            f"draw_graph: {node.op.name} cannot be opened: its argument "
            f"{names[i] if i < len(names) else i} is gone; keep that tensor alive"
        )
    return xp.zeros(spec[0], dtype=spec[1])


def argument(node: Node, i: int) -> Any:
    """What a line still knows of argument `i`: its value, its number, its Spec, or nothing."""
    if node.inputs is not None:
        saved = node.inputs[i]
        return Spec(saved.shape, saved.dtype) if isinstance(saved, Node | Tensor) else saved
    known: tuple[Any, ...] = getattr(node, "constants", ())
    return known[i] if known else None


def spec_of(of: Any, slot: int) -> tuple[tuple[int, ...], Any] | None:
    """(shape, dtype) of a source; None if it was a constant that is gone."""
    if isinstance(of, Node):
        return of.specs[slot]
    tensor = of() if isinstance(of, weakref.ref) else of
    return None if tensor is None else (tensor.shape, tensor.dtype)


def _named_outputs(outputs: Any) -> list[tuple[str, Tensor]]:
    if isinstance(outputs, Tensor):
        pairs = [("", outputs)]
    elif isinstance(outputs, dict):
        pairs = [(str(k), v) for k, v in outputs.items()]
    elif isinstance(outputs, list | tuple):
        pairs = [("", v) for v in _flat(outputs)]
    else:
        raise ConfigError(
            f"draw_graph: outputs is a {type(outputs).__name__}; give a Tensor, or a list, tuple "
            "or dict of Tensors"
        )
    for _, t in pairs:
        if not isinstance(t, Tensor):
            raise ConfigError(f"draw_graph: outputs hold a {type(t).__name__}; expected Tensors")
    if not pairs:
        raise ConfigError("draw_graph: outputs is empty; give at least one Tensor")
    return pairs


def _flat(values: Any) -> list[Any]:
    """The leaves of nested lists and tuples, so that `draw_graph(lstm(x))` works as it is."""
    out, stack = [], [values]
    while stack:
        value = stack.pop()
        if isinstance(value, list | tuple):
            stack.extend(reversed(value))
        elif value is not None:
            out.append(value)
    return out


@contextmanager
def scope(name: str, step: int | None = None) -> Iterator[None]:
    """Name the lines recorded inside; with `step`, as one step of a loop.

    >>> import minigrad as mg
    >>> w = h = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> for t in range(8):
    ...     with mg.viz.scope("power", step=t):
    ...         h = mg.tanh(h * w)
    >>> mg.viz.draw_graph(h)
    <Graph: 16 tape lines as 6 nodes, 6 edges, 2 boxes>
    """
    with engine_scope(name if step is None else f"{name}.{step}"):
        yield


def opener(expand: Iterable[str] | str | bool) -> Callable[[Node], bool] | None:
    """Which lines to open: `expand` names ops or modules; True means every fused op."""
    if isinstance(expand, bool):
        return (lambda node: node.op.plain is not None) if expand else None
    names = {expand} if isinstance(expand, str) else set(expand)
    if not names:
        return None
    return lambda node: (
        node.op.plain is not None
        and (
            node.op.name in names
            or ".".join(node.scope) in names
            or ".".join(node.scope[1:]) in names
        )
    )


def saved_parts(node: Node) -> list[str]:
    """What a line keeps for the backward pass: arguments by name, its result y, what is its own."""
    if node.inputs is None:
        return []
    names = list(node.op.arrays)
    parts = [
        f"{names[i] if i < len(names) else f'argument {i}'} {tuple(value.shape)}"
        for i, value in enumerate(node.inputs)
        if type(value) in NAMESPACES
    ]
    if node.outputs is not None:
        values = (node.outputs,) if node.many is None else node.outputs
        parts += [f"y {tuple(value.shape)}" for value in values]
    if node.residual is not None:
        parts.append("factors of its own")
    return parts


def saved_bytes(node: Node) -> int:
    """Bytes of the values a line keeps for the backward pass; views count what they show."""
    total = 0
    if node.inputs is None:
        return total
    stack: list[Any] = [*node.inputs, node.outputs, node.residual]
    while stack:
        value = stack.pop()
        if type(value) in NAMESPACES:
            total += value.nbytes
        elif type(value) is Spec:
            continue
        elif isinstance(value, list | tuple):
            stack.extend(value)
        elif isinstance(value, dict):
            stack.extend(value.values())
    return int(total)
