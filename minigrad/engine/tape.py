"""The tape: one `Node` per recorded op, and the walk over it from newest to oldest.

Nodes point to the nodes that made their inputs, never to the Tensors they made, so there are no
reference cycles: dropping the last Tensor frees the whole tape at once. Ids only grow, so the order
of ids is an order of evaluation, and backward needs a heap, no recursion.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ..backend import NAMESPACES, device_of
from ..errors import (
    AnomalyError,
    DeviceError,
    DTypeError,
    GradError,
    GraphFreedError,
    InPlaceError,
    ShapeError,
)
from .chosen import masks_of
from .modes import MODES, Modes, Place, place, show, switched, tick, user_frame
from .operators import ops
from .sparse import RowSparse, plus
from .tensor import TAPE, Tensor, Version, wrap

if TYPE_CHECKING:
    from .op import Op


_NOTHING: dict[str, Any] = {}


class Spec(NamedTuple):
    """Shape and dtype of a value, where the value itself is not kept."""

    shape: tuple[int, ...]
    dtype: Any

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)


class Node:
    """A line on the tape: which op, from what, with what saved.

    Attributes:
        op: the op; it holds the derivative rules and no state.
        params: its static parameters.
        parents: one entry per array argument: the Node that made it, the leaf Tensor itself, a weak
            reference to a Tensor that needs no gradient, or None for a plain number or array.
        slots: which output of that Node.
        mask: bit i is set if argument i needs a gradient.
        inputs: the values the rules need, and a `Spec` in place of a value they do not need.
        constants: set when the values are freed and an argument needs no gradient: its number or
            Spec, which nobody else may know by then.
        outputs, residual: the result if they need it, and what a fused kernel kept for itself.
        specs: the `Spec` of each output.
        labels: names given to outputs.
        id, scope: position, and names of the modules being called.
        at: code and instruction of the user's call; `place` makes file and line of it.
    """

    __slots__ = (
        "at",
        "constants",
        "hooks",
        "id",
        "inputs",
        "labels",
        "many",
        "mask",
        "op",
        "outputs",
        "params",
        "parents",
        "residual",
        "scope",
        "slots",
        "specs",
        "versions",
    )

    op: Op
    params: dict[str, Any]
    parents: Sequence[Any]
    slots: Sequence[int]
    mask: int
    many: bool  # a tuple of outputs, not one
    inputs: Sequence[Any] | None
    constants: tuple[Any, ...]
    outputs: Any
    residual: Any
    specs: tuple[Spec, ...]
    labels: dict[int, str | None] | None
    hooks: dict[int, dict[int, Callable[[Tensor], Tensor | None]]] | None
    versions: list[tuple[Version, int]] | None  # of views and constants that were kept
    id: int
    scope: tuple[str, ...]
    at: tuple[CodeType, int] | None

    @property
    def place(self) -> Place | None:
        """File and line of the user's call."""
        return place(self.at)

    def add_hooks(self, index: int) -> dict[int, Callable[[Tensor], Tensor | None]]:
        """The hooks of output `index`."""
        if self.hooks is None:
            self.hooks = {}
        return self.hooks.setdefault(index, {})

    def tracked(self) -> Iterable[tuple[int, Any, int]]:
        """(argument, parent, slot) of each argument that needs a gradient."""
        mask = self.mask
        for i, parent in enumerate(self.parents):
            if mask >> i & 1:
                yield i, parent, self.slots[i]

    def check_saved(self) -> None:
        """Raise if the saved values are gone or were overwritten."""
        if self.inputs is None:
            raise GraphFreedError(
                f"backward: the values saved by {self.op.name} were freed by an earlier backward "
                "pass; call backward(retain_graph=True) the first time to run it again"
            )
        for i, parent in enumerate(self.parents):
            if isinstance(parent, Tensor) and parent.version is not None:
                self._check_written(parent.version, i)
        for version, i in self.versions or ():
            self._check_written(version, i)

    def _check_written(self, version: Version, i: int) -> None:
        inputs: Any = self.inputs
        if version.written > self.id and type(inputs[i]) is not Spec:
            raise InPlaceError(
                f"backward: argument {i} of {self.op.name}, recorded at {show(self.place)}, was "
                f"overwritten by assign_ at {show(version.place)}; run backward first, or compute "
                "from a .copy()"
            )

    def __repr__(self) -> str:
        shapes = ", ".join(str(shape) for shape, _ in self.specs)
        return f"<line {self.id}: {self.op.name} -> {shapes}>"


def write(
    op: Op,
    parents: Sequence[Any],
    slots: Sequence[int],
    mask: int,
    inputs: Sequence[Any],
    out: Any,
    keep: bool,
    modes: Modes,
    params: dict[str, Any] = _NOTHING,
    residual: Any = None,
    versions: list[tuple[Version, int]] | None = None,
    depth: int = 4,
) -> Any:
    """Write a line. Returns the Tensor of its output, or a tuple of them; integers are cut off.

    The user's call is looked for from `depth` calls up: past `user_frame`, this, and the op's.
    """
    node = Node()
    node.op = op
    node.params = params
    node.parents = parents
    node.slots = slots
    node.mask = mask
    node.inputs = inputs
    node.outputs = out if keep else None
    node.residual = residual
    node.versions = versions
    node.hooks = node.labels = None
    node.id = tick()
    node.scope = modes.scope
    node.at = user_frame(depth)
    if type(out) is tuple:
        node.many = True
        node.specs = tuple([Spec(o.shape, o.dtype) for o in out])
        return tuple(
            [wrap(o, node, i) if o.dtype.kind in "fV" else wrap(o) for i, o in enumerate(out)]
        )
    node.many = False
    dtype = out.dtype
    node.specs = (new_spec(Spec, (out.shape, dtype)),)
    return wrap(out, node) if dtype.kind in "fV" else wrap(out)


new_spec = tuple.__new__  # half the time of Spec(...)

Edge = tuple[Any, int]  # (Node or leaf Tensor, output index)


def edge(t: Tensor) -> Edge:
    """Where the gradient of `t` goes."""
    return (t, 0) if t.node is None else (t.node, t.index)


def needed_lines(roots: Iterable[Edge], targets: set[Edge], since: int) -> set[Node]:
    """The nodes later than `since` that lie on a path from the roots to the targets."""
    seen: set[Node] = set()
    stack = [node for node, _ in roots if isinstance(node, Node)]
    while stack:
        node = stack.pop()
        if node not in seen and node.id > since:
            seen.add(node)
            stack.extend(p for _, p, _ in node.tracked() if isinstance(p, Node))
    needed: set[Node] = set()
    for node in sorted(seen, key=lambda n: n.id):  # oldest first: parents are decided before
        if any(p in needed or (p, slot) in targets for _, p, slot in node.tracked()):
            needed.add(node)
    return needed


def pull(
    roots: Sequence[tuple[Edge, Any]],
    *,
    targets: set[Edge] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    since: int = 0,
) -> dict[Edge, Any]:
    """Carry the cotangents of `roots` back to the leaves, or to `targets` alone.

    Values are arrays, or Tensors when `create_graph`. Lines up to number `since` are not walked.
    Returns the cotangent of each edge reached.
    """
    needed = None if targets is None else needed_lines([e for e, _ in roots], targets, since)
    heap: list[tuple[int, Node]] = []  # newest line first
    pending: dict[Node, list[Any]] = {}  # cotangents on their way, one per output
    leaves: dict[Tensor, Any] = {}
    result: dict[Edge, Any] = {}
    owned: set[Any] = set()  # sums made here: only they are added to in place
    chosen: dict[Node, Any] = {}  # masks of the elements something chose; none: all of them

    def added(old: Any, g: Any, to: Any) -> Any:
        if old is None:
            return g
        if to in owned and type(g) is type(old):
            old += g
            return old
        owned.add(to)
        return plus(old, g)

    modes = MODES.get()
    # Rules on Tensors must record; rules on arrays cannot.
    token = MODES.set(modes.replace(grad=True)) if create_graph else None
    arrivals: Iterable[Any] = [(parent, slot, g, None) for (parent, slot), g in roots]
    try:
        while True:
            for parent, slot, g, mask in arrivals:
                if g is None:
                    continue
                if type(parent) is not Node:
                    if type(g) is not np.ndarray and hasattr(type(_values(g)), "depth"):
                        g = ops.settled(g)  # of a vmap
                    old = leaves.get(parent)
                    leaves[parent] = g if old is None else added(old, g, parent)
                elif parent in pending:
                    sums = pending[parent]
                    sums[slot] = added(sums[slot], g, (parent, slot))
                    if chosen:
                        _merge(chosen, parent, mask)
                else:
                    heapq.heappush(heap, (-parent.id, parent))
                    pending[parent] = [g]
                    if parent.many:
                        pending[parent] = [None] * len(parent.specs)
                        pending[parent][slot] = g
                    if mask is not None:
                        chosen[parent] = mask
            if not heap:
                break
            node = heapq.heappop(heap)[1]
            gs = pending.pop(node)
            arrivals = ()
            if create_graph and not since:
                MODES.set(modes.deriving(node.scope))  # what its rules record says what it is of
            if node.hooks and node.id > since:
                gs = [run_hooks(node.hooks.get(i), g, create_graph) for i, g in enumerate(gs)]
            wanted = node.mask
            if targets is not None and needed is not None:
                for i, g in enumerate(gs):
                    if g is not None and (node, i) in targets:
                        result[node, i] = g
                if node not in needed:
                    continue
                for i, parent, slot in node.tracked():
                    if parent not in needed and (parent, slot) not in targets:
                        wanted &= ~(1 << i)
            if node.inputs is None or Version.latest > node.id:
                node.check_saved()
            op = node.op
            mask = chosen.pop(node, None) if chosen else None
            if mask is not None and node.hooks:
                mask = None  # a hook may have put values anywhere
            pull_line = op.pull
            if not modes.unwatched:
                if modes.recorder is not None:
                    modes.recorder.op = f"{op.name} backward"
                else:
                    pull_line = modes.profiler.backward(op)
            grads = pull_line(node, gs, wanted, create_graph, mask)
            if modes.anomaly:
                _check_nan(grads, node)
            masks: Any = _NO_MASKS
            if op.chooses or mask is not None:
                masks = masks_of(node, mask, wanted)
            arrivals = zip(node.parents, node.slots, grads, masks, strict=False)
            if not retain_graph:
                if node.mask + 1 != 1 << len(node.parents):
                    node.constants = _constants(node.inputs)
                node.inputs = node.outputs = node.residual = node.versions = None
    finally:
        if token is not None:
            MODES.reset(token)
    result.update({(leaf, 0): g for leaf, g in leaves.items()})
    if targets is not None:
        result = {key: g for key, g in result.items() if key in targets}
    if not since:  # else this is a part of the gradient; the caller of the whole runs the hooks
        for (parent, _), g in result.items():
            if isinstance(parent, Tensor) and parent.hooks:
                result[parent, 0] = run_hooks(parent.hooks, g, create_graph)
    return result


# What wants to look on while `backward` walks the tape of a Tensor: a context manager around it.
WATCH: ContextVar[Any] = ContextVar("minigrad.watch", default=None)
_NO_MASKS = itertools.repeat(None)


def _constants(inputs: Any) -> tuple[Any, ...]:
    """What stays known of arguments when their values are freed: numbers and specs."""
    return tuple([Spec(v.shape, v.dtype) if type(v) in NAMESPACES else v for v in inputs])


def _merge(chosen: dict[Node, Any], node: Node, mask: Any) -> None:
    """Another use of the value of `node`, which chose `mask`; None: all of it."""
    if mask is None:
        chosen.pop(node, None)
    elif node in chosen:
        chosen[node] = chosen[node] | mask


def run_hooks(
    hooks: dict[int, Callable[[Tensor], Tensor | None]] | None, g: Any, create_graph: bool
) -> Any:
    """The gradient `g` after these hooks, in their order."""
    if not hooks or g is None:
        return g
    for hook in list(hooks.values()):
        before = shared(g)
        with switched(grad=create_graph):
            after = shared(hook(before))
        if after is None:
            continue
        if not isinstance(after, Tensor | RowSparse):
            raise GradError(f"hook: returned {type(after).__name__}, expected a Tensor or None")
        if after.shape != before.shape:
            raise ShapeError(f"hook: returned {after.shape} for a gradient of shape {before.shape}")
        if after.dtype != before.dtype:
            after = after.astype(before.dtype)
        if isinstance(after, Tensor) and after.device is not device_of(_values(before)):
            raise DeviceError(f"hook: returned a gradient on {after.device}, it came on another")
        g = after.data if isinstance(after, Tensor) and not isinstance(g, Tensor) else after
    return g


def shared(g: Any) -> Any:
    """An array of gradients as a Tensor. Others may hold it: `assign_` would copy it first."""
    if type(g) not in NAMESPACES:
        return g
    t = wrap(g)
    t.version = TAPE
    return t


def _values(g: Any) -> Any:
    return g.data if isinstance(g, Tensor) else g.values if isinstance(g, RowSparse) else g


def _check_nan(grads: list[Any], node: Node) -> None:
    for data in (_values(g) for g in grads if g is not None):
        if bool((data != data).any()):
            raise AnomalyError(
                f"backward of {node.op.name}, called at {show(node.place)}, made the first NaN"
            )


def cotangent(t: Tensor, g: Any, create_graph: bool, *, what: str) -> Any:
    """`g`, checked, as the cotangent of `t`: an array, or a Tensor when `create_graph`.

    None means ones, for a single element.
    """
    if g is None:
        if t.size != 1:
            raise GradError(
                f"{what}: the output has shape {t.shape}; give its cotangent, or reduce it to one "
                "number first, e.g. with .sum()"
            )
        ones = device_of(t.data).xp.ones(t.shape, dtype=t.dtype)
        return wrap(ones) if create_graph else ones
    data = g.data if isinstance(g, Tensor) else g
    if type(data) is type(t.data) and data.shape == t.shape and data.dtype == t.dtype:
        if create_graph:
            return g if isinstance(g, Tensor) else wrap(data)
        return data.copy()  # gradients may be views of it, and the caller may write into it
    if type(data) not in NAMESPACES or not data.ndim:
        data = device_of(t.data).asarray(data, t.dtype)
    if data.shape != t.shape:
        raise ShapeError(f"{what}: the output has shape {t.shape}, its cotangent {data.shape}")
    if type(data) is not type(t.data):
        raise DeviceError(f"{what}: the output is on {t.device}, its cotangent is not")
    if data.dtype != t.dtype:
        if data.dtype.kind not in "fV":
            raise DTypeError(f"{what}: the cotangent has dtype {data.dtype}, expected {t.dtype}")
        g = g.astype(t.dtype) if isinstance(g, Tensor) else wrap(data.astype(t.dtype))
    if not create_graph:
        return g.data if isinstance(g, Tensor) else data
    return g if isinstance(g, Tensor) else wrap(data)


def backward(
    t: Tensor, gradient: Any = None, *, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Add the gradient of `t` to the `.grad` of the leaves it was computed from."""
    if not t.requires_grad:
        raise GradError(
            "backward: nothing was recorded for this tensor; does an input have "
            "requires_grad=True, and was no_grad() off?"
        )
    recorder = MODES.get().recorder
    if recorder is not None:
        gradient = recorder.lift(gradient)
    g = cotangent(t, gradient, create_graph, what="backward")
    retain_graph = retain_graph or create_graph
    watch = WATCH.get()
    with nullcontext() if watch is None else watch(t):
        found = pull([(edge(t), g)], retain_graph=retain_graph, create_graph=create_graph)
    for (leaf, _), g in found.items():
        accumulate(leaf, g, create_graph)


def accumulate(leaf: Tensor, g: Any, create_graph: bool = False) -> None:
    """Add the gradient `g` to `leaf.grad`: what `backward` does at the end, for each leaf."""
    if hasattr(type(_values(g)), "depth"):
        g = ops.settled(g, leaf)  # of a vmap
    old = leaf.grad
    if old is not None:
        recorder = MODES.get().recorder
        if recorder is not None:
            recorder.check_fresh(old)
        g = plus(old if create_graph or not isinstance(old, Tensor) else old.data, g)
    leaf.grad = shared(g)
