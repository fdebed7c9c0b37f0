"""Softmax as a path of yes-or-no questions down a tree."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError, DataError
from ..ops.classification import check_reduction
from . import init
from .module import new_parameter
from .sampled import OutputLoss

__all__ = ["HierarchicalSoftmax", "huffman_tree"]

Tree = int | Sequence[Any]


class HierarchicalSoftmax(OutputLoss):
    """-log P(target | x), where P is a product over the way down a binary tree of the classes.

        P(w | x) = Π σ(± v_n · x) over the inner nodes n between the root and w

    with + where the way goes left. The probabilities of all classes sum to 1, and with a Huffman
    tree a loss costs about log₂ V products, fewer for frequent classes.

    Shapes: x (…, in_size), target (…) integers → a number, or (…) with reduction="none"; weight
    (V - 1, in_size), a row per inner node.
    Init: zeros, as in word2vec: all questions at even odds.

    Args:
        in_size: the length of x.
        tree: how often each class occurs, (V,), which makes a Huffman tree; or nested pairs of
            class ids, such as ((0, 1), 2).
        sparse, ignore_index, reduction: as in `NegativeSampling`.

    Raises: DataError for a tree that does not hold each of 0 … V - 1 once; ShapeError for arguments
    that do not fit; IndexRangeError for a target that is no class, on the CPU.
    Papers: Morin & Bengio 2005; Huffman trees: Mikolov et al. 2013a.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.HierarchicalSoftmax(2, [8, 1, 1])
    >>> mg.exp(layer.log_prob(mg.ones(2))).detach()
    tensor([0.5 , 0.25, 0.25])
    """

    nodes: Tensor
    signs: Tensor

    def __init__(
        self,
        in_size: int,
        tree: Any,
        *,
        sparse: bool = False,
        ignore_index: int = -100,
        reduction: str = "mean",
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        check_reduction("HierarchicalSoftmax", reduction)
        if in_size < 1:
            raise ConfigError(f"HierarchicalSoftmax: in_size is {in_size}, expected 1 or more")
        if not isinstance(tree, tuple | list) or not any(isinstance(t, tuple | list) for t in tree):
            tree = huffman_tree(tree)
        nodes, signs = paths(tree)
        self.in_size, self.sparse = in_size, sparse
        self.ignore_index, self.reduction = ignore_index, reduction
        self.weight = new_parameter(len(nodes) - 1, in_size, dtype=dtype, device=device)
        on = self.weight.device
        self.register_buffer("nodes", Tensor(on.asarray(nodes)), persistent=False)
        self.register_buffer("signs", Tensor(on.asarray(signs)), persistent=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Even odds."""
        init.zeros_(self.weight)

    @property
    def num_classes(self) -> int:
        return len(self.nodes)

    def forward(self, x: Tensor, target: Any) -> Tensor:
        flat, ids, counts = self.flat(x, target, self.in_size)
        nodes = ops.embedding(self.nodes, ids)  # (N, depth)
        rows = ops.embedding(self.weight, nodes, sparse=self.sparse)
        answers = ops.matmul(rows, ops.expand_dims(flat, -1))[..., 0]
        losses = _surprise(answers, ops.embedding(self.signs, ids)).sum(axis=-1)
        return self.reduced(losses, counts, x.shape[:-1])

    def log_prob(self, x: Tensor) -> Tensor:
        """log P of all classes, (…, V)."""
        answers = ops.matmul(x, ops.matrix_transpose(self.weight))  # (…, V - 1)
        total: Any = 0.0
        for step in range(self.nodes.shape[1]):  # not all at once: that would be V · depth numbers
            chosen = ops.take(answers, self.nodes[:, step], axis=-1)
            total = total - _surprise(chosen, self.signs[:, step])
        found: Tensor = total
        return found

    def extra_repr(self) -> str:
        return f"{self.in_size}, {self.num_classes}"


def _surprise(answers: Tensor, signs: Tensor) -> Tensor:
    """-log σ(sign · answer), 0 past the end of a path, where the sign is 0."""
    signs = signs.astype(answers.dtype)
    return ops.softplus(-signs * answers) * ops.abs(signs)


def huffman_tree(counts: Any) -> Tree:
    """The Huffman tree of the classes: nested pairs of ids, frequent ones near the root.

    Raises: DataError for fewer than two counts, or negative ones.

    >>> huffman_tree([8, 1, 2])
    ((1, 2), 0)
    """
    values = counts.numpy() if isinstance(counts, Tensor) else np.asarray(counts)
    if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in "fiu" or not (
        (values >= 0) & np.isfinite(values)
    ).all():  # fmt: skip
        raise DataError(
            f"huffman_tree: counts of shape {values.shape}; expected two numbers or more, each >= 0"
        )
    # The second entry settles ties, so that the tree is the same each time.
    heap: list[tuple[float, int, Any]] = [(n, i, i) for i, n in enumerate(values.tolist())]
    heapq.heapify(heap)
    for made in range(len(values), 2 * len(values) - 1):
        n, _, left = heapq.heappop(heap)
        m, _, right = heapq.heappop(heap)
        heapq.heappush(heap, (n + m, made, (left, right)))
    tree: Tree = heap[0][2]
    return tree


def paths(tree: Tree) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Per class, the inner nodes from the root on, and +1 for left, -1 for right: (V, depth) each.

    Shorter paths end with zeros.

    Raises: DataError unless the tree is binary and holds each of 0 … V - 1 once.
    """
    found: dict[int, tuple[list[int], list[int]]] = {}
    todo: list[tuple[Any, list[int], list[int]]] = [(tree, [], [])]
    inner = leaves = 0
    while todo:
        node, above, turns = todo.pop()
        if isinstance(node, tuple | list):
            if len(node) != 2:
                raise DataError(f"HierarchicalSoftmax: a node has {len(node)} branches, expected 2")
            for branch, turn in zip(node, (1, -1), strict=True):
                todo.append((branch, [*above, inner], [*turns, turn]))
            inner += 1
        else:
            leaves += 1
            found[int(node)] = above, turns
    if leaves != len(found) or sorted(found) != list(range(leaves)) or leaves < 2:
        raise DataError("HierarchicalSoftmax: the tree must hold each class 0, 1, 2, … once")
    depth = max(len(above) for above, _ in found.values())
    nodes = np.zeros((leaves, depth), np.int64)
    signs = np.zeros((leaves, depth), np.int8)
    for i, (above, turns) in found.items():
        nodes[i, : len(above)], signs[i, : len(turns)] = above, turns
    return nodes, signs
