"""From a recorded line to the gradients of its arguments: by its rules, or by its composite."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import NAMESPACES
from ..errors import GradError
from .chosen import only
from .modes import enable_grad, tick
from .operators import ops
from .tape import Node, edge, pull
from .tensor import Tensor, wrap

if TYPE_CHECKING:
    from .op import Op


def pull_rules(
    op: Op, node: Node, gs: list[Any], wanted: int, create_graph: bool, chosen: Any = None
) -> list[Any]:
    """Gradients of the node's arguments; None where `wanted` has no bit, or there is no rule.

    The rules run on the saved arrays, or on Tensors tied to the tape when `create_graph`.
    `chosen`: where it is False, the result went nowhere and the gradients are 0.
    """
    if create_graph and op.plain is not None:
        return pull_composite(node, op.plain, gs, wanted)
    inputs: Any = saved_inputs(node) if create_graph else node.inputs
    params, y = node.params, node.outputs
    if y is None:
        y = node.specs if node.many else node.specs[0]
    elif create_graph:
        y = tuple([wrap(o, node, i) for i, o in enumerate(y)]) if node.many else wrap(y, node)
    g: Any = gs[0]
    if node.many:
        g = tuple([_zeros(node, i, gs) if g is None else g for i, g in enumerate(gs)])
    kind = type(g)
    rules: Any = op.rules
    grads: list[Any] = [None] * len(inputs)
    for i, x in enumerate(inputs):
        if wanted >> i & 1:
            if op.variadic:
                grad = rules[0](g, y, *inputs, i=i, **params)
            elif rules[i] is None:
                continue
            elif chosen is not None and op.multiplies(i):
                with np.errstate(all="ignore"):  # the NaN of an element that is left out
                    grad = only(rules[i](g, y, *inputs, **params), chosen)
            else:
                grad = rules[i](g, y, *inputs, **params) if params else rules[i](g, y, *inputs)
            if type(grad) is not kind or grad.shape != x.shape or grad.dtype is not x.dtype:
                grad = fit(op, grad, x)
            grads[i] = grad
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


def fit(op: Op, grad: Any, x: Any) -> Any:
    """A rule's result in the argument's shape and dtype."""
    if grad is None:
        return None
    shape = x.shape
    try:
        fits = grad.shape == shape
    except AttributeError:
        given = type(grad).__name__
        raise GradError(f"{op.name}: a derivative rule returned {given}, not an array") from None
    if not fits:
        if not op.elementwise:
            raise GradError(
                f"{op.name}: a derivative rule returned shape {grad.shape} "
                f"for an argument of shape {shape}"
            )
        grad = ops.sum_to(grad, shape)
    if grad.dtype != x.dtype:
        grad = grad.astype(x.dtype)
    return np.asarray(grad) if isinstance(grad, np.generic) else grad


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
