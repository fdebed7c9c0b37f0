"""`checkpoint`: trade time for memory.

The forward pass keeps nothing but the arguments; the backward pass computes the segment again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import NAMESPACES, get_rng_state, set_rng_state
from .derive import saved_inputs
from .modes import MODES, enable_grad, no_grad, tick, user_frame
from .op import Op, alias
from .tape import Edge, Node, edge, pull
from .tensor import Tensor, wrap


class _Checkpoint(Op):
    """A line that keeps its function instead of its values."""

    def pull(self, node: Node, gs: list[Any], wanted: int, create_graph: bool) -> list[Any]:
        n: int = node.params["arguments"]
        saved = saved_inputs(node, create_graph)
        start = tick()
        xs = []
        with enable_grad():
            for i, x in enumerate(saved[:n]):
                if node.mask >> i & 1:
                    x = alias(x) if isinstance(x, Tensor) else wrap(x).requires_grad_()
                elif type(x) in NAMESPACES:
                    x = wrap(x)
                xs.append(x)
            now = get_rng_state()
            set_rng_state(node.params["rng"])
            try:
                out = node.params["function"](*xs)
            finally:
                set_rng_state(now)
        keys: list[Edge | None] = [edge(x) if isinstance(x, Tensor) else None for x in xs]
        keys += zip(node.parents[n:], node.slots[n:], strict=True)
        outs = out if isinstance(out, tuple) else (out,)
        found = pull(
            [(edge(o), g) for o, g in zip(outs, gs, strict=True) if g is not None],
            targets={k for i, k in enumerate(keys) if k is not None and wanted >> i & 1},
            retain_graph=create_graph,
            create_graph=create_graph,
            since=start,
        )
        return [found.get(k) if k is not None else None for k in keys]


def _segment(*_: Any) -> None:
    """A checkpointed segment: recomputed in the backward pass."""


_segment.__name__ = "checkpoint"
_CHECKPOINT = _Checkpoint(_segment, elementwise=False, view=False)
_CHECKPOINT.rules = ()


def checkpoint(f: Callable[..., Any], *args: Any) -> Any:
    """f(*args), keeping only `args`: the values inside are computed again when backward needs them.

    Parameters and other tensors that `f` uses without taking them as arguments get their gradients
    too. Random numbers repeat exactly. Differentiable to any order.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> mg.checkpoint(lambda t: mg.exp(mg.sin(t)), x).sum().backward()
    >>> mg.allclose(x.grad, mg.exp(mg.sin(x)) * mg.cos(x))
    True
    """
    if not MODES.get().grad:
        return f(*args)
    rng = get_rng_state()
    start = tick()
    xs = [a.detach() if isinstance(a, Tensor) else a for a in args]
    for x, a in zip(xs, args, strict=True):
        if isinstance(a, Tensor) and a.requires_grad:
            x.requires_grad_()
    out = f(*xs)
    outs = out if isinstance(out, tuple) else (out,)
    outside = _edges_to_outside(outs, start, xs)
    if not outside and not any(isinstance(x, Tensor) and x.requires_grad for x in xs):
        with no_grad():
            return out
    node = Node()
    node.op = _CHECKPOINT
    node.params = {"function": f, "rng": rng, "arguments": len(args)}
    parents: list[Any] = []
    slots: list[int] = []
    node.mask = 0
    for i, a in enumerate(args):
        if isinstance(a, Tensor) and a.requires_grad:
            node.mask |= 1 << i
            parents.append(a.node or a)
            slots.append(a.index)
        else:
            parents.append(None)
            slots.append(0)
    node.mask |= ((1 << len(outside)) - 1) << len(args)
    node.parents = (*parents, *(p for p, _ in outside))
    node.slots = (*slots, *(slot for _, slot in outside))
    node.inputs = [a.data if isinstance(a, Tensor) else a for a in args] + [None] * len(outside)
    node.versions = [
        (version, i)
        for i, a in enumerate(args)
        if isinstance(a, Tensor) and (version := a.shared_version()) is not None
    ]
    node.outputs = node.residual = node.hooks = node.labels = None
    node.many = isinstance(out, tuple)
    node.specs = tuple((o.shape, o.dtype) for o in outs)
    node.id, node.scope, node.at = tick(), MODES.get().scope, user_frame()
    results = tuple(wrap(o.data, node, i) for i, o in enumerate(outs))
    return results if isinstance(out, tuple) else results[0]


def _edges_to_outside(outs: tuple[Tensor, ...], start: int, xs: list[Any]) -> list[Edge]:
    """What the segment used besides its arguments: earlier lines, and leaves that require grad."""
    own = {id(x) for x in xs}
    found: dict[Edge, None] = {}
    seen: set[Node] = set()
    stack = [edge(o) for o in outs if o.requires_grad]
    while stack:
        parent, slot = stack.pop()
        if isinstance(parent, Node) and parent.id > start:
            if parent not in seen:
                seen.add(parent)
                stack.extend((p, s) for _, p, s in parent.tracked())
        elif id(parent) not in own:
            found[parent, slot] = None
    return list(found)
