"""The tape: one `Node` per recorded op, and the walk over it from newest to oldest.

Nodes point to the nodes that made their inputs, never to the Tensors they made, so there are no
reference cycles: dropping the last Tensor frees the whole tape at once. Ids only grow, so the order
of ids is an order of evaluation, and backward needs a heap, no recursion.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..backend import NAMESPACES, Array, device_of
from ..errors import (
    AnomalyError,
    DeviceError,
    DTypeError,
    GradError,
    GraphFreedError,
    InPlaceError,
    ShapeError,
)
from .modes import MODES, Place, _switched, show
from .tensor import Tensor, Version, wrap

if TYPE_CHECKING:
    from .op import Op

tick = itertools.count(1).__next__  # the tape's clock; atomic under the GIL


class Node:
    """A line on the tape: which op, from what, with what saved.

    Attributes:
        op: the op; it holds the derivative rules and no state.
        params: its static parameters.
        parents: one entry per array argument: the Node that made it, the leaf Tensor itself, a weak
            reference to a Tensor that needs no gradient, or None for a plain number or array.
        slots: which output of that Node.
        mask: bit i is set if argument i needs a gradient.
        inputs: the values the rules need; `(shape, dtype)` in place of a value they do not need.
        outputs, residual: likewise the result, and what a fused kernel kept for itself.
        specs: (shape, dtype) of each output.
        labels: names given to outputs.
        id, scope, place: position, module names, and (file, line) of the user's call.
    """

    __slots__ = (
        "hooks",
        "id",
        "inputs",
        "labels",
        "mask",
        "op",
        "outputs",
        "params",
        "parents",
        "place",
        "residual",
        "scope",
        "slots",
        "specs",
        "versions",
    )

    op: Op
    params: dict[str, Any]
    parents: tuple[Any, ...]
    slots: tuple[int, ...]
    mask: int
    inputs: Sequence[Any] | None
    outputs: Any
    residual: Any
    specs: tuple[tuple[tuple[int, ...], Any], ...]
    labels: dict[int, str | None] | None
    hooks: dict[int, dict[int, Callable[[Tensor], Tensor | None]]] | None
    versions: list[tuple[Version, int, int]] | None
    id: int
    scope: tuple[str, ...]
    place: Place | None

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

    def release(self) -> None:
        """Forget the saved values; what is left can still be drawn."""
        self.inputs = self.outputs = self.residual = self.versions = None

    def check_saved(self) -> None:
        """Raise if the saved values are gone or were overwritten."""
        if self.inputs is None:
            raise GraphFreedError(
                f"backward: the values saved by {self.op.name} were freed by an earlier backward "
                "pass; call backward(retain_graph=True) the first time to run it again"
            )
        for version, count, argument in self.versions or ():
            if version.count != count:
                raise InPlaceError(
                    f"backward: argument {argument} of {self.op.name}, recorded at "
                    f"{show(self.place)}, was overwritten by assign_ at {show(version.place)}; "
                    "run backward first, or compute from a .copy()"
                )

    def __repr__(self) -> str:
        shapes = ", ".join(str(shape) for shape, _ in self.specs)
        return f"<line {self.id}: {self.op.name} -> {shapes}>"


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


class _Sums:
    """Cotangents on their way, summed by edge. Only a sum made here is added to in place."""

    def __init__(self) -> None:
        self.value: dict[Edge, Any] = {}
        self.owned: set[Edge] = set()

    def add(self, key: Edge, g: Any) -> None:
        old = self.value.get(key)
        if old is None:
            self.value[key] = g
        elif key in self.owned:
            old += g
            self.value[key] = old
        else:
            self.value[key] = old + g
            self.owned.add(key)

    def pop(self, key: Edge) -> Any:
        self.owned.discard(key)
        return self.value.pop(key, None)


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
    sums = _Sums()
    result: dict[Edge, Any] = {}
    queued: set[Node] = set()
    heap: list[tuple[int, Node]] = []

    def send(key: Edge, g: Any) -> None:
        sums.add(key, g)
        node = key[0]
        if isinstance(node, Node) and node not in queued:
            queued.add(node)
            heapq.heappush(heap, (-node.id, node))

    for key, g in roots:
        send(key, g)
    anomaly = MODES.get().anomaly
    with _switched(grad=create_graph):
        while heap:
            node = heapq.heappop(heap)[1]
            queued.discard(node)
            gs = [sums.pop((node, i)) for i in range(len(node.specs))]
            if node.hooks:
                gs = [_run_hooks(node.hooks.get(i), g) for i, g in enumerate(gs)]
            if targets is not None:
                for i, g in enumerate(gs):
                    if g is not None and (node, i) in targets:
                        result[node, i] = g
                if node not in needed:  # type: ignore[operator]
                    continue
            node.check_saved()
            wanted = node.mask
            if targets is not None:
                for i, p, slot in node.tracked():
                    if p not in needed and (p, slot) not in targets:  # type: ignore[operator]
                        wanted &= ~(1 << i)
            grads = node.op.pull(node, gs, wanted, create_graph)
            for i, p, slot in node.tracked():
                if grads[i] is not None:
                    if anomaly:
                        _check_nan(grads[i], node, i)
                    send((p, slot), grads[i])
            if not retain_graph:
                node.release()
    for key in list(sums.value):  # what is left are leaves
        if targets is None or key in targets:
            result[key] = _run_hooks(key[0].hooks, sums.value[key])
    return result


def _run_hooks(hooks: dict[int, Callable[[Tensor], Tensor | None]] | None, g: Any) -> Any:
    if not hooks or g is None:
        return g
    for hook in list(hooks.values()):
        before = g if isinstance(g, Tensor) else wrap(g)
        after = hook(before)
        if after is None:
            continue
        if getattr(after, "shape", None) != before.shape:
            raise ShapeError(
                f"hook: returned {getattr(after, 'shape', type(after))} "
                f"for a gradient of shape {before.shape}"
            )
        g = after if isinstance(g, Tensor) else after.data
    return g


def _check_nan(g: Any, node: Node, argument: int) -> None:
    data = getattr(g, "data", g)
    data = getattr(data, "values", data)  # RowSparse
    if bool((data != data).any()):
        raise AnomalyError(
            f"backward of {node.op.name} made the first NaN, in the gradient of argument "
            f"{argument}; the op was called at {show(node.place)}"
        )


def cotangent(t: Tensor, g: Any, *, what: str) -> Array:
    """`g` as the cotangent of `t`: ones for a single element when None; checked."""
    if g is None:
        if t.size != 1:
            raise GradError(
                f"{what}: the output has shape {t.shape}; give its cotangent, or reduce it to one "
                "number first, e.g. with .sum()"
            )
        return device_of(t.data).xp.ones(t.shape, dtype=t.dtype)
    data = g.data if isinstance(g, Tensor) else g
    if type(data) not in NAMESPACES:
        data = device_of(t.data).asarray(data, t.dtype)
    if data.shape != t.shape:
        raise ShapeError(f"{what}: the output has shape {t.shape}, its cotangent {data.shape}")
    if type(data) is not type(t.data):
        raise DeviceError(f"{what}: the output is on {t.device}, its cotangent is not")
    if data.dtype != t.dtype:
        if data.dtype.kind not in "fV":
            raise DTypeError(f"{what}: the cotangent has dtype {data.dtype}, expected {t.dtype}")
        g = data = g.astype(t.dtype) if isinstance(g, Tensor) else data.astype(t.dtype)
    return g if isinstance(g, Tensor) else data


def backward(
    t: Tensor, gradient: Any = None, *, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Add the gradient of `t` to the `.grad` of the leaves it was computed from."""
    if not t.requires_grad:
        raise GradError(
            "backward: nothing was recorded for this tensor; does an input have "
            "requires_grad=True, and was no_grad() off?"
        )
    g = cotangent(t, gradient, what="backward")
    if create_graph and not isinstance(g, Tensor):
        g = wrap(g)
    elif not create_graph and isinstance(g, Tensor):
        g = g.data
    found = pull(
        [(edge(t), g)], retain_graph=retain_graph or create_graph, create_graph=create_graph
    )
    for (leaf, _), value in found.items():
        new = value if isinstance(value, Tensor) or not _is_array(value) else wrap(value)
        with _switched(grad=create_graph):
            leaf.grad = new if leaf.grad is None else leaf.grad + new


def _is_array(value: Any) -> bool:
    return type(value) in NAMESPACES
