"""The walk over the tape, from the waiting line to the oldest: what every derivative is made of.

`pull` carries cotangents back along the lines. It is iterative, so a chain of 100,000 ops is no
deeper than one of five; it frees the values of each line as it goes. `backward.py` starts it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AnomalyError, GradError
from .chosen import masks_of
from .hooks import run_hooks, values_of
from .modes import MODES, Modes, show
from .operators import ops
from .sparse import plus
from .tape import Edge, Node
from .tensor import Tensor, Version

if TYPE_CHECKING:
    from .op import Op


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
    waiting: Node | None = None  # a line whose turn will come; in a chain it is the only one
    sums: list[Any] = []  # its cotangents, one per output
    heap: list[tuple[int, Node]] = []  # more of them, the newest first
    pending: dict[Node, list[Any]] = {}  # and their cotangents
    leaves: dict[Tensor, Any] = {}
    result: dict[Edge, Any] = {}
    owned: set[Any] = set()  # sums made here: only they are added to in place
    chosen: dict[Node, Any] = {}  # masks of the elements something chose; none: all of them
    modes = MODES.get()
    watched = not modes.unwatched or modes.anomaly
    # Rules on Tensors must record; rules on arrays cannot.
    token = MODES.set(modes.replace(grad=True)) if create_graph else None
    parents: Any = []
    slots: Any = []
    grads: Any = []  # what arrives at these parents
    op: Any = None  # from the rules of this op
    for (parent, slot), g in roots:
        parents.append(parent)
        slots.append(slot)
        grads.append(g)
    masks: Sequence[Any] | None = None
    try:
        while True:
            for i, g in enumerate(grads):
                if g is None:
                    continue
                parent = parents[i]
                if type(parent) is not Node:
                    like: Any = parent.data
                else:
                    like = parent if parent.many is None else parent.many[slots[i]]
                if type(g) is not ndarray or g.shape != like.shape or g.dtype is not like.dtype:
                    g = fit(op, g, like, create_graph)
                if type(parent) is not Node:
                    if type(g) is not ndarray and hasattr(type(values_of(g)), "depth"):
                        g = ops.settled(g)  # of a vmap
                    old = leaves.get(parent)
                    if old is None:
                        leaves[parent] = g
                    elif parent in owned and type(g) is type(old):
                        leaves[parent] += g
                    else:
                        owned.add(parent)
                        leaves[parent] = plus(old, g)
                    continue
                if parent is waiting:
                    there = sums
                elif parent in pending:
                    there = pending[parent]
                else:
                    there = [g]
                    if parent.many is not None:
                        there = [None] * len(parent.many)
                        there[slots[i]] = g
                    if waiting is None:
                        waiting, sums = parent, there
                    else:
                        pending[parent] = there
                        heappush(heap, (-parent.id, parent))
                    if masks is not None and masks[i] is not None:
                        chosen[parent] = masks[i]
                    continue
                slot = slots[i]
                old = there[slot]
                if old is None:
                    there[slot] = g
                elif (parent, slot) in owned and type(g) is type(old):
                    there[slot] += g
                else:
                    owned.add((parent, slot))
                    there[slot] = plus(old, g)
                if chosen:
                    _merge(chosen, parent, None if masks is None else masks[i])
            if heap:
                if waiting is not None:
                    pending[waiting] = sums
                    node = heappushpop(heap, (-waiting.id, waiting))[1]
                else:
                    node = heappop(heap)[1]
                gs = pending.pop(node)
            elif waiting is not None:
                node, gs = waiting, sums
            else:
                break
            waiting = None
            grads = ()
            if create_graph and not since:
                MODES.set(modes.deriving(node.scope))  # what its rules record says what it is of
            if node.hooks and node.id > since:
                gs = [run_hooks(node.hooks.get(i), g, create_graph) for i, g in enumerate(gs)]
            wanted = node.mask
            if needed is not None and targets is not None:
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
            if watched:
                grads = _watched(modes, node, gs, wanted, create_graph, mask)
            elif (
                op.adds is None
                or create_graph
                or chosen
                or not _put(node, gs[0], pending, leaves, owned)
            ):
                grads = op.pull(node, gs, wanted, create_graph, mask)
            masks = None
            if mask is not None or op.chooses:
                masks = masks_of(node, mask, wanted)
            parents, slots = node.parents, node.slots
            if not retain_graph:
                node.forget()
    finally:
        if token is not None:
            MODES.reset(token)
    for leaf, g in leaves.items():
        if targets is None or (leaf, 0) in targets:
            if leaf.hooks and not since:  # else a part, and the caller of the whole runs them
                g = run_hooks(leaf.hooks, g, create_graph)
            result[leaf, 0] = g
    return result


ndarray = np.ndarray
heappop, heappush, heappushpop = heapq.heappop, heapq.heappush, heapq.heappushpop


def fitted(node: Node, grads: Sequence[Any], create_graph: bool = False) -> list[Any]:
    """What the op of `node` has returned, as it arrives: in the shapes of the arguments.

    For those who look on: `pull` does the same when it takes a gradient to where it belongs.
    """
    found = list(grads)
    for i, parent, slot in node.tracked():
        if found[i] is not None:
            like = parent.specs[slot] if isinstance(parent, Node) else parent.data
            found[i] = fit(node.op, found[i], like, create_graph)
    return found


def fit(op: Op | None, grad: Any, like: Any, create_graph: bool) -> Any:
    """What a rule of `op` returned, in the shape and dtype of the argument, those of `like`.

    None for `op`: `grad` is that of a root, whose value may have been computed again.
    """
    if op is None:
        if grad.shape != like.shape:
            raise GradError(
                f"backward: a gradient of shape {grad.shape} for a result that has shape "
                f"{like.shape} when it is computed again: a composite must return what its op "
                "does, and a checkpointed function the same at each call"
            )
        return grad if grad.dtype == like.dtype else grad.astype(like.dtype)
    if isinstance(grad, Tensor) and not create_graph:
        raise GradError(
            f"{op.name}: a derivative rule reads a value that it says it does not need: the names "
            "of such parameters begin with an underscore"
        )
    shape = like.shape
    try:
        fits = grad.shape == shape
    except AttributeError:
        given = type(grad).__name__
        raise GradError(f"{op.name}: a derivative rule returned {given}, not an array") from None
    if not fits and op.elementwise:
        grad = ops.sum_to(grad, shape)
        fits = grad.shape == shape
    if not fits:
        raise GradError(
            f"{op.name}: a derivative rule returned shape {grad.shape} "
            f"for an argument of shape {shape}"
        )
    if grad.dtype != like.dtype:
        grad = grad.astype(like.dtype)
    return np.asarray(grad) if isinstance(grad, np.generic) else grad


def _put(
    node: Node,
    g: Any,
    pending: dict[Node, list[Any]],
    leaves: dict[Tensor, Any],
    owned: set[Any],
) -> bool:
    """Let the op add its gradient to the sum that it belongs to, if that is there and owned."""
    parent, slot = node.parents[0], node.slots[0]
    if type(parent) is Node:
        to: Any = (parent, slot)
        total = pending[parent][slot] if parent in pending else None
    else:
        to, total = parent, leaves.get(parent)
    if to not in owned or type(total) is not type(g) or hasattr(type(g), "depth"):
        return False
    node.op.adds(total, g, **node.params)  # type: ignore[misc]
    return True


def _merge(chosen: dict[Node, Any], node: Node, mask: Any) -> None:
    """Another use of the value of `node`, which chose `mask`; None: all of it."""
    if mask is None:
        chosen.pop(node, None)
    elif node in chosen:
        chosen[node] = chosen[node] | mask


def _watched(
    modes: Modes, node: Node, gs: list[Any], wanted: int, create_graph: bool, mask: Any
) -> Any:
    """`op.pull`, while a recorder, a profiler or anomaly detection looks on."""
    pull_line = node.op.pull
    if modes.recorder is not None:
        modes.recorder.op = f"{node.op.name} backward"
    elif modes.profiler is not None:
        pull_line = modes.profiler.backward(node.op)
    grads = pull_line(node, gs, wanted, create_graph, mask)
    if modes.anomaly:
        grads = fitted(node, grads, create_graph)
        for data in (values_of(g) for g in grads if g is not None):
            if bool((data != data).any()):
                raise AnomalyError(
                    f"backward of {node.op.name}, called at {show(node.place)}, made the first NaN"
                )
    return grads
