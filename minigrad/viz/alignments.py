"""Attention weights that `record` meets: per line the heads' maps, queries down, keys across."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..backend import NAMESPACES, device_of
from ..engine import Node
from .stats import shrunk
from .tape import Tape

SIDE = 96  # a longer side is averaged down to this
HEADS = 16
# Which output of an op holds weights; a softmax counts where its result weighs something.
WEIGHTS = {
    "additive_attention": 1, "masked_softmax": 0, "scaled_dot_product_attention": 1, "softmax": 0,
}  # fmt: skip
PRODUCTS = frozenset({"matmul", "multiply", "contract"})
THROUGH = frozenset({"alias", "astype", "expand_dims", "getitem", "reshape", "stack"})

Maps = np.ndarray[Any, np.dtype[np.float32]]  # (heads, T, S)


def weighing(tape: Tape) -> set[Node]:
    """The lines whose results are factors of a product."""
    found: set[Node] = set()
    for node in reversed(tape.lines):
        if node.op.name in PRODUCTS or (node.op.name in THROUGH and node in found):
            found.update(of for of, _ in tape.sources(node) if isinstance(of, Node))
    return found


def maps_of(node: Node, known: Mapping[tuple[Node, int], Any], factors: set[Node]) -> Maps | None:
    """(heads, T, S): the weights a line gave to the first example of its batch, if it is one.

    Weights are (B, S), (B, T, S) or (B, heads, T, S).
    """
    slot = WEIGHTS.get(node.op.name)
    if slot is None or (node.op.name.endswith("softmax") and node not in factors):
        return None
    value: Any = known.get((node, slot))
    if type(value) not in NAMESPACES or not 2 <= value.ndim <= 4 or 0 in value.shape:
        return None
    first = np.asarray(device_of(value).to_host(value[0]))
    heads = first.reshape((1,) * (3 - first.ndim) + first.shape)[:HEADS]
    return np.stack([shrunk(head, SIDE) for head in heads])


def alignment(found: Sequence[Maps | None], backwards: bool = False) -> list[Maps]:
    """The maps of an item from those of its lines: a decoder's steps are the rows of one map."""
    known = [maps for maps in found if maps is not None]
    if not known or len(known) < len(found):
        return []
    if backwards:
        known.reverse()
    rows = len(known) > 1 and all(m.shape == (known[0].shape[0], 1, m.shape[2]) for m in known)
    if rows and len({m.shape for m in known}) == 1:
        return [shrunk(head, SIDE) for head in np.concatenate(known, axis=1)]
    return [one for maps in known for one in maps]
