"""Elements that nothing chose stay out of the gradient, also where a derivative is infinite.

The gradient of `where(x > 0, sqrt(x), 0)` at x = 0 is 0, but the chain rule multiplies: the branch
that was not chosen gets the cotangent 0, √ has the derivative ∞ there, and 0 · ∞ = NaN. So with a
cotangent may go a mask: which of its elements something chose. Masks start at ops that choose (see
`Op.defchoice`) and pass through elementwise ops and rearrangements; where a mask is False the
gradient is 0, whatever the rule says. Where several uses of a value meet, an element counts as
chosen if one of them chose it; a use without a mask chose them all.

A mask depends on what was chosen, never on the value of a cotangent, so second derivatives and
forward mode are right too. Chains that do not end in a choice pay nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..backend import NAMESPACES
from .operators import ops

if TYPE_CHECKING:
    from .tape import Node


def masks_of(node: Node, chosen: Any, wanted: int) -> list[Any]:
    """Per argument, which elements went into the chosen ones of the result; None for all."""
    masks: list[Any] = [None] * len(node.parents)
    for i, parent, _ in node.tracked():
        if wanted >> i & 1 and type(parent) is type(node):
            to = parent.op
            if parent.many is None and (to.elementwise or to.choices is not None):
                masks[i] = _mask_of(node, chosen, i)
    return masks


def _mask_of(node: Node, chosen: Any, i: int) -> Any:
    mask, choices, inputs = chosen, node.op.choices, node.inputs
    if inputs is None:
        return None
    value = inputs[i]
    shape: tuple[int, ...] = value.shape
    if choices is not None:
        rule = choices[i]
        if rule is None:
            return None
        mask = rule(True if chosen is None else chosen, shape, *inputs, **node.params)
    if type(mask) not in NAMESPACES:
        return None
    if mask.shape == shape:
        return mask
    return ops.sum_to(ops.broadcast_to(mask, node.specs[0].shape), shape) != 0


def only(grad: Any, chosen: Any) -> Any:
    """`grad` where `chosen`, 0 elsewhere."""
    return ops.where(chosen, grad, 0)
