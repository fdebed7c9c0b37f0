"""Output losses over large vocabularies that look at a few classes: the kit for word vectors.

Each scores a vector x against a row per class, s = w · x + b, and compares the target's score with
those of classes drawn by one `AliasSampler`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError, DataError, ShapeError
from ..ops.classification import check_reduction
from . import init
from .alias import AliasSampler
from .module import Module, Parameter, new_parameter

__all__ = ["GloVeLoss", "NCELoss", "NegativeSampling", "SampledSoftmax"]


class OutputLoss(Module):
    """A loss with its own output weights: what the sampled losses and the tree share."""

    ignore_index: int
    reduction: str

    def flat(self, x: Tensor, target: Any, in_size: int) -> tuple[Tensor, Tensor, Tensor]:
        """x as (N, D), the targets as ids (N,), and which of them count."""
        what = type(self).__name__
        check_reduction(what, self.reduction)
        if not isinstance(target, Tensor):
            target = Tensor(x.device.asarray(np.asarray(target)))
        if x.ndim < 1 or x.shape[-1] != in_size or target.shape != x.shape[:-1]:
            raise ShapeError(
                f"{what}: x is {x.shape}, target {target.shape}; expected (…, {in_size}) and (…)"
            )
        target = ops.reshape(target, (-1,))
        counts = target != self.ignore_index
        return ops.reshape(x, (-1, in_size)), ops.where(counts, target, 0), counts

    def reduced(self, losses: Tensor, counts: Tensor, shape: tuple[int, ...]) -> Tensor:
        """The losses (N,) of the targets that count, as `reduction` says."""
        losses = ops.where(counts, losses, 0)
        if self.reduction == "none":
            return ops.reshape(losses, shape)
        total = losses.sum()
        if self.reduction == "sum":
            return total
        n = counts.astype(losses.dtype).sum()
        return total / ops.where(n == 0, 1, n)


class NegativeSampling(OutputLoss):
    """-log σ(s_target) - Σᵢ log σ(-sᵢ) over `sample_size` drawn classes i: skip-gram's loss.

    Called with vectors and the ids of the classes they should predict.

    Shapes: x (…, in_size), target (…) integers → a number, or (…) with reduction="none"; weight
    (V, in_size), bias (V,) or None.
    Init: zeros, as in word2vec.

    Args:
        in_size: the length of x.
        counts: how often each class occurs, (V,); or an `AliasSampler`, shared with other losses.
        sample_size: how many classes are drawn.
        power: of the counts, if these are given.
        bias: scores have one.
        share_samples: draw once per call, not per target: one matrix product scores them all.
        remove_accidental_hits: a drawn class that is the target counts for nothing.
        sparse: the gradient of `weight` is a `RowSparse` of the rows that were read.
        ignore_index: targets of this id count for nothing.
        reduction: "mean" (over the targets that count), "sum" or "none".

    Raises: ShapeError, ConfigError for arguments that do not fit; IndexRangeError for a target
    that is no class, on the CPU.
    Paper: Mikolov et al. 2013b, "Distributed representations of words and phrases", eq. 4.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> loss = nn.NegativeSampling(4, counts=[5, 3, 1], sample_size=2)
    >>> round(loss(mg.ones((2, 4)), mg.tensor([0, 2]), samples=[[1, 2], [0, 1]]).item(), 3)
    2.079
    """

    bias: Parameter | None
    share_samples = False
    with_bias = False

    def __init__(
        self,
        in_size: int,
        counts: Any,
        sample_size: int = 5,
        power: float = 0.75,
        *,
        bias: bool | None = None,
        share_samples: bool | None = None,
        remove_accidental_hits: bool = True,
        sparse: bool = False,
        ignore_index: int = -100,
        reduction: str = "mean",
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        what = type(self).__name__
        check_reduction(what, reduction)
        if sample_size < 1 or in_size < 1:
            raise ConfigError(
                f"{what}: in_size is {in_size}, sample_size {sample_size}; expected 1 or more"
            )
        if not isinstance(counts, AliasSampler):
            counts = AliasSampler(counts, power, device=device)
        self.sampler: AliasSampler = counts
        self.in_size, self.sample_size = in_size, sample_size
        self.share_samples = self.share_samples if share_samples is None else share_samples
        self.remove_accidental_hits, self.sparse = remove_accidental_hits, sparse
        self.ignore_index, self.reduction = ignore_index, reduction
        n = self.sampler.num_classes
        self.weight = new_parameter(n, in_size, dtype=dtype, device=device)
        bias = self.with_bias if bias is None else bias
        self.bias = new_parameter(n, dtype=dtype, device=device) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start anew."""
        for p in (self.weight, self.bias):
            if p is not None:
                init.zeros_(p)

    def forward(self, x: Tensor, target: Any, *, samples: Any = None) -> Tensor:
        """The loss. `samples`: ids (…, sample_size) in place of drawn ones, or (sample_size,)."""
        flat, ids, counts = self.flat(x, target, self.in_size)
        noise = self._noise(samples, len(flat), x)
        true = self._scores(flat, ops.expand_dims(ids, -1))[:, 0]
        drawn = self._scores(flat, noise)
        if self.remove_accidental_hits:
            drawn = ops.where(noise == ops.expand_dims(ids, -1), -math.inf, drawn)
        return self.reduced(self.compare(true, drawn), counts, x.shape[:-1])

    def compare(self, true: Tensor, drawn: Tensor) -> Tensor:
        """The losses (N,) from the scores of the targets (N,) and of the drawn classes (N, K)."""
        return ops.softplus(-true) + ops.softplus(drawn).sum(axis=-1)

    def scores(self, x: Tensor) -> Tensor:
        """The scores of all classes, (…, V): for evaluation and search."""
        return ops.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_size}, {self.sampler.num_classes}, sample_size={self.sample_size}"

    def _noise(self, samples: Any, n: int, x: Tensor) -> Tensor:
        """Drawn ids: (K,) or (N, K)."""
        if samples is None:
            k = self.sample_size
            return self.sampler((k,) if self.share_samples else (n, k))
        if not isinstance(samples, Tensor):
            samples = Tensor(x.device.asarray(np.asarray(samples)))
        if samples.ndim > 1:
            samples = ops.reshape(samples, (-1, samples.shape[-1]))
        if samples.ndim == 0 or (samples.ndim == 2 and samples.shape[0] != n):
            raise ShapeError(
                f"{type(self).__name__}: samples are {samples.shape} for {n} targets; expected "
                "(K,) for all of them, or (…, K)"
            )
        return samples

    def _scores(self, x: Tensor, ids: Tensor) -> Tensor:
        """x (N, D) with the rows `ids`, (K,) or (N, K) → (N, K)."""
        rows = ops.embedding(self.weight, ids, sparse=self.sparse)
        if ids.ndim == 1:
            y = ops.matmul(x, ops.matrix_transpose(rows))
        else:
            y = ops.matmul(rows, ops.expand_dims(x, -1))[..., 0]
        return y if self.bias is None else y + ops.take(self.bias, ids, axis=0)

    def _log_expected(self, ids: Tensor, k: int, like: Tensor) -> Tensor:
        """log(k q(i)): how often class i is expected among k draws."""
        log_q = ops.take(self.sampler.log_q, ids, axis=0).astype(like.dtype)
        return log_q + math.log(k)


class NCELoss(NegativeSampling):
    """`NegativeSampling` with sᵢ - log(k q(i)) in place of sᵢ: noise-contrastive estimation.

    Tells the target from k = `sample_size` draws of the noise q. At its minimum exp(s) are the
    probabilities themselves, normalised without a sum over the classes. Arguments as in
    `NegativeSampling`, but with a bias, and with samples shared by all targets of a call, unless
    told otherwise.

    Init: U(±1/√in_size), bias 0.
    Papers: Gutmann & Hyvärinen 2010; for language models: Mnih & Teh 2012.
    """

    share_samples = True
    with_bias = True

    def reset_parameters(self) -> None:
        bound = 1 / math.sqrt(self.in_size)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _scores(self, x: Tensor, ids: Tensor) -> Tensor:
        return super()._scores(x, ids) - self._log_expected(ids, self.sample_size, x)


class SampledSoftmax(NCELoss):
    """Cross entropy among the target and the drawn classes, with scores sᵢ - log(k q(i)).

    The correction makes its gradient approach that of the full softmax, whose loss over all classes
    is `cross_entropy(loss.scores(x), target)`. Arguments as in `NCELoss`.

    Papers: Bengio & Senécal 2008; Jean et al. 2015, sec. 3.
    """

    def compare(self, true: Tensor, drawn: Tensor) -> Tensor:
        logits = ops.concat([ops.expand_dims(true, -1), drawn], axis=-1)
        return ops.logsumexp(logits, axis=-1) - true


class GloVeLoss(Module):
    """f(X) · (s - log X)² for co-occurrence counts X, f(X) = min(1, (X / x_max)^alpha).

    The scores s are those of the model: w · w̃ + b + b̃. A count of 0 weighs nothing.

    Shapes: score and count (…) → a number, or (…) with reduction="none".
    Raises: ShapeError unless the shapes are equal; DataError for a count below 0, on the CPU.
    Paper: Pennington, Socher & Manning 2014, eq. 8 and 9 (which sum: reduction="sum").

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.GloVeLoss(reduction="none")(mg.tensor([1.0, 2.0]), mg.tensor([1.0, 0.0]))
    tensor([0.03162277, 0.        ])
    """

    def __init__(self, x_max: float = 100.0, alpha: float = 0.75, reduction: str = "mean") -> None:
        super().__init__()
        check_reduction("GloVeLoss", reduction)
        if not x_max > 0:
            raise ConfigError(f"GloVeLoss: x_max is {x_max}, expected a number > 0")
        self.x_max, self.alpha, self.reduction = x_max, alpha, reduction

    def forward(self, score: Tensor, count: Any) -> Tensor:
        if not isinstance(count, Tensor):
            count = Tensor(score.device.asarray(np.asarray(count), score.dtype))
        if count.shape != score.shape:
            raise ShapeError(f"GloVeLoss: score is {score.shape}, count {count.shape}")
        if score.device.kind == "cpu" and bool((count.data < 0).any()):
            raise DataError("GloVeLoss: a count is below 0")
        count = count.detach().astype(score.dtype)
        share = ops.minimum(count / self.x_max, 1) ** self.alpha
        error = score - ops.log(ops.where(count > 0, count, 1))
        losses = ops.where(count > 0, share * error * error, 0)
        if self.reduction == "none":
            return losses
        return losses.sum() if self.reduction == "sum" else losses.mean()

    def extra_repr(self) -> str:
        return f"x_max={self.x_max}, alpha={self.alpha}, reduction={self.reduction!r}"
