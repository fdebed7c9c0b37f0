"""From a recorded line to the gradients of its arguments: by its rules, or by its composite."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import NAMESPACES
from .chosen import only
from .modes import enable_grad, tick
from .operators import ops
from .tape import Node, edge
from .tensor import Tensor, wrap
from .walk import pull

if TYPE_CHECKING:
    from .op import Op


def pull_rules(
    op: Op, node: Node, gs: list[Any], wanted: int, create_graph: bool, chosen: Any = None
) -> list[Any]:
    """Gradients of the node's arguments; None where `wanted` has no bit, or there is no rule.

    The rules run on the saved arrays, or on Tensors tied to the tape when `create_graph`.
    `chosen`: where it is False, the result went nowhere and the gradients are 0.
    """
    if create_graph or chosen is not None or node.many is not None:
        if create_graph and op.plain is not None:
            return pull_composite(node, op.plain, gs, wanted)
        return _pull_special(op, node, gs, wanted, create_graph, chosen)
    inputs: Any = node.inputs
    g, y, params = gs[0], node.outputs, node.params
    if y is None:
        y = node
    if params or len(inputs) > 2 or op.variadic:
        return _each(op, g, y, inputs, params, wanted)
    rules: Any = op.rules  # by hand, for speed: what most lines are
    if len(inputs) == 1:
        return [rules[0](g, y, inputs[0]) if rules[0] else None]
    (first, second), (a, b) = rules, inputs
    return [
        first(g, y, a, b) if wanted & 1 and first else None,
        second(g, y, a, b) if wanted & 2 and second else None,
    ]


def _pull_special(
    op: Op, node: Node, gs: list[Any], wanted: int, create_graph: bool, chosen: Any
) -> list[Any]:
    """The same on Tensors, with several outputs, or where some elements were not chosen."""
    inputs: Any = saved_inputs(node) if create_graph else node.inputs
    g, y, many = gs[0], node.outputs, node.many
    if y is None:
        y = node if many is None else many
    elif create_graph:
        y = wrap(y, node) if many is None else tuple([wrap(o, node, i) for i, o in enumerate(y)])
    if many is not None:
        g = tuple([_zeros(node, i, gs) if g is None else g for i, g in enumerate(gs)])
    if chosen is None:
        return _each(op, g, y, inputs, node.params, wanted)
    with np.errstate(all="ignore"):  # the NaN of an element that is left out
        grads = _each(op, g, y, inputs, node.params, wanted)
    return [
        only(grad, chosen) if grad is not None and op.multiplies(i) else grad
        for i, grad in enumerate(grads)
    ]


def _each(op: Op, g: Any, y: Any, inputs: Any, params: dict[str, Any], wanted: int) -> list[Any]:
    """What the rules of the wanted arguments return."""
    rules: Any = op.rules
    if op.variadic:
        return [
            rules[0](g, y, *inputs, i=i, **params) if wanted >> i & 1 else None
            for i in range(len(inputs))
        ]
    grads: list[Any] = [None] * len(inputs)
    for i, rule in enumerate(rules):
        if wanted >> i & 1 and rule:
            grads[i] = rule(g, y, *inputs, **params) if params else rule(g, y, *inputs)
    return grads


def saved_inputs(node: Node) -> list[Any]:
    """The inputs as Tensors on the tape; a `Spec` or a number stays what it is."""
    values: Any = node.inputs
    inputs: list[Any] = []
    for value, parent, slot in zip(values, node.parents, node.slots, strict=True):
        if type(value) not in NAMESPACES:
            inputs.append(value)
        elif isinstance(parent, Node):
            inputs.append(wrap(value, parent, slot))
        else:
            inputs.append(parent if isinstance(parent, Tensor) else wrap(value))
    return inputs


def pull_composite(
    node: Node, composite: Callable[..., Any], gs: list[Any], wanted: int
) -> list[Any]:
    """Gradients that can be differentiated again: those of the composite, recorded."""
    inputs = saved_inputs(node)
    start = tick()
    with enable_grad():
        # An alias per argument: each gets its own gradient, also if two are the same Tensor.
        inputs = [ops.alias(x) if node.mask >> i & 1 else x for i, x in enumerate(inputs)]
        out = composite(*inputs, **node.params)
    outs = out if isinstance(out, tuple) else (out,)
    roots = [
        (edge(o), g) for o, g in zip(outs, gs, strict=True) if g is not None and o.requires_grad
    ]
    keys = {i: edge(x) for i, x in enumerate(inputs) if wanted >> i & 1}
    found = pull(
        roots, targets=set(keys.values()), retain_graph=True, create_graph=True, since=start
    )
    return [found.get(keys[i]) if i in keys else None for i in range(len(inputs))]


def _zeros(node: Node, i: int, gs: list[Any]) -> Any:
    """A zero cotangent for output `i`, of the kind and on the device of the others."""
    g = next(g for g in gs if g is not None)
    data = g.data if isinstance(g, Tensor) else g
    shape, dtype = node.specs[i]
    zeros = NAMESPACES[type(data)].zeros(shape, dtype=dtype)
    return wrap(zeros) if isinstance(g, Tensor) else zeros
