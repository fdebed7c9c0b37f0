"""`checkpoint`: trade time for memory.

The forward pass keeps nothing but the arguments; the backward pass computes the segment again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..errors import ConfigError, GradError, ShapeError
from .define import alias
from .derive import saved_inputs
from .modes import MODES, enable_grad, tick, user_frame
from .op import Op
from .operators import ops
from .recording import Moment
from .tape import Edge, Node, Spec, edge
from .tensor import TAPE, Tensor, wrap
from .tree import flatten
from .walk import pull


class _Checkpoint(Op):
    """A line that keeps its function instead of its values."""

    def pull(
        self, node: Node, gs: list[Any], wanted: int, create_graph: bool, chosen: Any = None
    ) -> list[Any]:
        function, args, begin = node.residual
        saved = saved_inputs(node) if create_graph else ()
        start = tick()
        xs = list(args)
        now = Moment()
        now.note()
        with enable_grad():
            for i, x in enumerate(args):
                if node.mask >> i & 1:
                    xs[i] = alias(saved[i]) if create_graph else x.detach().requires_grad_()
            begin.rewind()
            try:
                out = function(*xs)
            finally:
                now.rewind()
        keys: list[Edge | None] = [edge(x) if isinstance(x, Tensor) else None for x in xs]
        n = len(args)
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
    too. Random numbers repeat exactly. Differentiable to any order. `f` returns a Tensor or a tuple
    of Tensors, and must do the same when it is called again.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> mg.checkpoint(lambda t: mg.exp(mg.sin(t)), x).sum().backward()
    >>> mg.allclose(x.grad, mg.exp(mg.sin(x)) * mg.cos(x))
    True
    """
    if not MODES.get().grad:
        return f(*args)
    begin = Moment()
    begin.note()
    start = tick()
    fixed = [a.detach() if isinstance(a, Tensor) else a for a in args]
    mask = sum(1 << i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad)
    xs = [x.detach().requires_grad_() if mask >> i & 1 else x for i, x in enumerate(fixed)]
    out = f(*xs)
    outs = out if isinstance(out, tuple) else (out,)
    for o in outs:
        if not isinstance(o, Tensor):
            raise GradError(
                f"checkpoint: the function returned {type(o).__name__}, expected a Tensor or a "
                "tuple of Tensors"
            )
    if not any(o.requires_grad for o in outs):
        return out
    outside = _edges_to_outside(outs, start, xs)
    # One parent per argument, then one for each tensor that `f` took from outside.
    edges = [edge(a) if mask >> i & 1 else (None, 0) for i, a in enumerate(args)] + outside
    node = Node()
    node.op = _CHECKPOINT
    node.params = {"function": getattr(f, "__qualname__", type(f).__name__)}
    node.parents = tuple(parent for parent, _ in edges)
    node.slots = tuple(slot for _, slot in edges)
    node.mask = mask | ((1 << len(outside)) - 1) << len(args)
    node.inputs = [x.data if mask >> i & 1 else None for i, x in enumerate(fixed)]
    node.inputs += [None] * len(outside)
    node.residual = f, fixed, begin
    node.versions = [
        (version, i)
        for i, x in enumerate(fixed)
        if isinstance(x, Tensor) and (version := x.shared_version()) is not TAPE
    ]
    node.outputs = node.hooks = node.labels = None
    node.many = tuple(Spec(o.shape, o.dtype) for o in outs)
    node.id, node.scope, node.at = tick(), MODES.get().scope, user_frame()
    results = tuple(wrap(o.data, node, i) if o.requires_grad else o for i, o in enumerate(outs))
    return results if isinstance(out, tuple) else results[0]


def checkpoint_sequential(
    functions: Iterable[Callable[..., Any]], segments: int | None, x: Any
) -> Any:
    """The functions (or layers) one after the other on x, in checkpointed segments.

    Only what goes from one segment to the next is kept: with n functions in √n segments, the
    default for None, the memory of 2 √n instead of n, for one more forward pass (Chen et al. 2016).

    Raises: ConfigError for fewer than one segment.

    >>> import minigrad as mg
    >>> x = mg.tensor([0.5], requires_grad=True)
    >>> mg.checkpoint_sequential([mg.sin] * 9, None, x).backward()
    """
    layers = list(functions)
    for start, stop in _cuts("checkpoint_sequential", len(layers), segments) if layers else ():
        x = checkpoint(_Chain(layers[start:stop]), x)
    return x


def checkpoint_sequence(
    layer: Callable[..., Any],
    x: Tensor,
    state: Any = None,
    lengths: Any = None,
    *,
    segments: int | None = None,
    axis: int | None = None,
) -> tuple[Tensor, Any]:
    """y, state = layer(x, state) for a recurrent layer, in checkpointed stretches of time.

    T steps in √T segments, the default, keep the memory of about 2 √T steps, so sequences can be
    long; the gradients are the same, for one more forward pass (Chen et al. 2016).

    Args:
        layer: called as layer(x, state), or layer(x, state, lengths), and read forward in time.
        x: (T, B, features), or (B, T, features) if `layer.batch_first`.
        state: the first state, nested as the layer likes it; None for the layer's own.
        lengths: the length of each sequence (B,), on the host.
        segments: how many stretches.
        axis: the axis of time, where the layer does not say `batch_first`.

    Raises: ConfigError for fewer than one segment, or a layer that reads in both directions.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> lstm = nn.LSTM(3, 4)
    >>> x = mg.zeros((100, 2, 3))
    >>> y, (h, c) = mg.checkpoint_sequence(lstm, x)  # 10 stretches of 10 steps
    >>> y.shape
    (100, 2, 4)
    """
    if getattr(layer, "bidirectional", False):
        raise ConfigError("checkpoint_sequence: the layer reads backward too; it needs all of x")
    time = int(getattr(layer, "batch_first", False) and x.ndim == 3) if axis is None else axis
    if not -x.ndim <= time < x.ndim:
        raise ShapeError(f"checkpoint_sequence: x has shape {x.shape}, which has no axis {time}")
    cuts = _cuts("checkpoint_sequence", x.shape[time], segments)
    parts = ops.split(x, [start for start, _ in cuts[1:]], axis=time)
    outputs = []
    for (start, stop), part in zip(cuts, parts, strict=True):
        more = [] if lengths is None else [np.clip(np.asarray(lengths) - start, 0, stop - start)]
        leaves, rebuild = flatten(state)
        stretch = _Stretch(layer, rebuild, more)
        y, *last = checkpoint(stretch, part, *leaves)
        outputs.append(y)
        state = stretch.rebuild(last)
    return ops.concat(outputs, axis=time), state


class _Chain:
    """Functions, one after the other."""

    def __init__(self, functions: list[Callable[..., Any]]) -> None:
        self.functions = functions

    def __call__(self, x: Any) -> Any:
        for f in self.functions:
            x = f(x)
        return x


class _Stretch:
    """A recurrent layer over some steps, as a function of flat Tensors that returns flat ones."""

    def __init__(self, layer: Callable[..., Any], unflatten: Any, more: list[Any]) -> None:
        self.layer, self.unflatten, self.more = layer, unflatten, more
        self.rebuild: Callable[[list[Any]], Any]

    def __call__(self, x: Tensor, *leaves: Any) -> tuple[Any, ...]:
        y, state = self.layer(x, self.unflatten(list(leaves)), *self.more)
        flat, self.rebuild = flatten(state)
        return (y, *flat)


def _cuts(what: str, n: int, segments: int | None) -> list[tuple[int, int]]:
    """(start, stop) of `segments` stretches of n, √n by default, that differ by one at most."""
    k = max(math.isqrt(n), 1) if segments is None else segments
    if k < 1:
        raise ConfigError(f"{what}: segments is at least 1, got {segments}")
    k = min(k, max(n, 1))
    return [(n * i // k, n * (i + 1) // k) for i in range(k)]


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
