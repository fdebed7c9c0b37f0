"""Softmax over a large vocabulary in clusters of rare classes, each behind a smaller projection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError, IndexRangeError, ShapeError
from .containers import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss", "AdaptiveResult"]


class AdaptiveResult(NamedTuple):
    """The log probability of each target, and their mean's negative."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """log P(target | x) where rare classes are reached through the head's entry for their cluster.

    The head scores the classes below cutoffs[0] and one entry per cluster; cluster i holds the
    classes from cutoffs[i] to cutoffs[i + 1], and projects x to in_features / div_value^(i + 1)
    features first. Classes are numbered from frequent to rare.

    Shapes: x (N, in_features) or (in_features,), target (N,) or () integers → output (N,) or (),
    and loss (), its negative mean. Parameters: head, tail.{i}.0 and tail.{i}.1, as in PyTorch.
    Init: as `Linear`.
    Raises: ConfigError for cutoffs that do not ascend below n_classes; ShapeError, IndexRangeError
    for arguments that do not fit.
    Paper: Grave et al. 2017.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        cuts = list(cutoffs)
        if not cuts or sorted(set(cuts)) != cuts or cuts[0] < 1 or cuts[-1] > n_classes - 1:
            raise ConfigError(
                f"AdaptiveLogSoftmaxWithLoss: cutoffs {cuts}; give integers that ascend from 1 to "
                f"n_classes - 1 = {n_classes - 1} at most"
            )
        self.in_features, self.n_classes, self.div_value = in_features, n_classes, div_value
        self.cutoffs = [*cuts, n_classes]
        self.shortlist_size, self.n_clusters = cuts[0], len(cuts)
        on: dict[str, Any] = {"dtype": dtype, "device": device}
        self.head = Linear(in_features, self.shortlist_size + len(cuts), bias=head_bias, **on)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(zip(cuts, self.cutoffs[1:], strict=True)):
            width = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, width, bias=False, **on),
                    Linear(width, high - low, bias=False, **on),
                )
            )

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.reset_parameters()

    def forward(self, x: Tensor, target: Any) -> AdaptiveResult:
        """The log probabilities of the targets. Which clusters occur is looked at on the host."""
        if not isinstance(target, Tensor):
            target = Tensor(x.device.asarray(np.asarray(target)))
        self._check(x, target)
        if x.ndim == 1:
            output, loss = self.forward(x[None], target[None])
            return AdaptiveResult(output[0], loss)
        ids = target.numpy()
        if ids.size and not 0 <= ids.min() <= ids.max() < self.n_classes:
            raise IndexRangeError(
                f"AdaptiveLogSoftmaxWithLoss: targets run from 0 to {self.n_classes - 1}, got "
                f"{ids.min()} … {ids.max()}"
            )
        cluster = np.searchsorted(self.cutoffs, ids, side="right")
        entry = np.where(cluster == 0, ids, self.shortlist_size + cluster - 1)
        head = ops.log_softmax(self.head(x))
        output = _chosen(head, entry)
        for i, layer in enumerate(self.tail, start=1):
            rows = np.flatnonzero(cluster == i)
            if len(rows):
                index = Tensor(x.device.asarray(rows))
                inside = ops.log_softmax(layer(ops.take(x, index, axis=0)))
                found = _chosen(inside, ids[rows] - self.cutoffs[i - 1])
                output = ops.index_add(output, index, found, axis=0)
        return AdaptiveResult(output, -output.mean())

    def log_prob(self, x: Tensor) -> Tensor:
        """log P of all classes: (N, n_classes)."""
        head = ops.log_softmax(self.head(x))
        parts = [head[:, : self.shortlist_size]]
        for i, layer in enumerate(self.tail):
            to_cluster = head[:, self.shortlist_size + i]
            parts.append(ops.log_softmax(layer(x)) + ops.expand_dims(to_cluster, -1))
        return ops.concat(parts, axis=1)

    def predict(self, x: Tensor) -> Tensor:
        """The most probable class of each row: (N,)."""
        return ops.argmax(self.log_prob(x), axis=1)

    def _check(self, x: Tensor, target: Tensor) -> None:
        if x.ndim not in (1, 2) or x.shape[-1] != self.in_features or target.shape != x.shape[:-1]:
            raise ShapeError(
                f"AdaptiveLogSoftmaxWithLoss: x is {x.shape}, target {target.shape}; expected "
                f"(N, {self.in_features}) and (N,), or ({self.in_features},) and ()"
            )

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.n_classes}, cutoffs={self.cutoffs[:-1]}"


def _chosen(log_p: Tensor, ids: Any) -> Tensor:
    """log_p[n, ids[n]]."""
    index = Tensor(log_p.device.asarray(ids[:, None]))
    return ops.take_along_axis(log_p, index, axis=1)[:, 0]
