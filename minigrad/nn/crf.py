"""A linear-chain conditional random field: tags that know their neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..backend import device_of, namespace
from ..engine import Tensor, examine, grad, no_grad
from ..errors import ConfigError, DTypeError, ShapeError
from ..ops.classification import check_reduction
from . import init
from .masks import as_array
from .module import Module, new_parameter

__all__ = ["CRF"]


class CRF(Module):
    """P(y | x) = exp(score(x, y)) / Z(x) over whole sequences of tags.

        score = start[y₀] + Σₜ emissions[t, yₜ] + Σₜ transitions[yₜ₋₁, yₜ] + end[yₙ₋₁]

    Called, it gives the log likelihood: train on its negative. `decode` finds the best path,
    `marginals` the probability of each tag at each step.

    Shapes: emissions (T, B, num_tags), or (B, T, num_tags) with `batch_first`; tags (T, B) or
    (B, T). Parameters: start_transitions, end_transitions (num_tags,), transitions (num_tags,
    num_tags) from row to column, named as in `pytorch-crf`.
    Init: U(-0.1, 0.1). A transition set to -inf never happens.
    Raises: ShapeError, DTypeError for arguments that do not fit; IndexRangeError for a tag that is
    none.
    Papers: Lafferty, McCallum & Pereira 2001; on top of an LSTM: Huang, Xu & Yu 2015.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> crf = nn.CRF(3, batch_first=True)
    >>> loss = -crf(mg.zeros((2, 4, 3)), mg.zeros((2, 4), dtype=mg.int64), lengths=[4, 2])
    >>> [len(path) for path in crf.decode(mg.zeros((2, 4, 3)), lengths=[4, 0])]
    [4, 0]
    """

    def __init__(
        self, num_tags: int, batch_first: bool = False, *, dtype: Any = None, device: Any = None
    ) -> None:
        super().__init__()
        if num_tags < 1:
            raise ConfigError(f"CRF: num_tags is {num_tags}, expected 1 or more")
        self.num_tags, self.batch_first = num_tags, batch_first
        self.start_transitions = new_parameter(num_tags, dtype=dtype, device=device)
        self.end_transitions = new_parameter(num_tags, dtype=dtype, device=device)
        self.transitions = new_parameter(num_tags, num_tags, dtype=dtype, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        for p in self.parameters():
            init.uniform_(p, -0.1, 0.1)

    def forward(
        self,
        emissions: Tensor,
        tags: Any,
        mask: Any = None,
        reduction: str = "sum",
        *,
        lengths: Any = None,
    ) -> Tensor:
        """log P(tags | emissions).

        Args:
            emissions: a score per step and tag.
            tags: the right ones; past the end, anything.
            mask: of the shape of tags, True = exists: sequences are padded at their ends only.
            reduction: "sum", "mean" (over the sequences), "token_mean" (over the steps), "none".
            lengths: in place of a mask, how many steps exist; host integers (B,).
        """
        if reduction != "token_mean":
            check_reduction("CRF", reduction)
        if not hasattr(tags, "dtype"):
            tags = Tensor(emissions.device.asarray(np.asarray(tags)))
        lengths = self._lengths(emissions, mask, lengths)
        first = self.batch_first
        likelihood: Tensor = ops.crf_log_likelihood(
            self._clock(emissions), ops.matrix_transpose(tags) if first else tags,
            *self._scores, lengths,
        )  # fmt: skip
        if reduction == "none":
            return likelihood
        if reduction == "mean":
            return likelihood.mean()
        total = likelihood.sum()
        if reduction == "sum":
            return total
        T, B = self._clock(emissions).shape[:2]
        steps = np.asarray(T * B) if lengths is None else lengths.sum()
        return total / namespace(steps).maximum(steps, 1).astype(total.dtype)

    def decode(
        self, emissions: Tensor, mask: Any = None, *, lengths: Any = None
    ) -> list[list[int]]:
        """The most probable tags of each sequence, as lists of their own lengths."""
        lengths = self._lengths(emissions, mask, lengths)
        with no_grad():
            tags, _ = ops.viterbi(self._clock(emissions), *self._scores, lengths)
        host = tags.numpy().T
        return [row[row >= 0].tolist() for row in host]

    def marginals(self, emissions: Tensor, mask: Any = None, *, lengths: Any = None) -> Tensor:
        """P(tag k at t), of the shape of emissions, zeros past the end: the gradient of log Z."""
        lengths = self._lengths(emissions, mask, lengths)
        x = emissions.detach().requires_grad_()
        total = ops.crf_log_partition(self._clock(x), *self._scores, lengths).sum()
        found: Tensor = grad(total, x)
        return found

    @property
    def _scores(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.transitions, self.start_transitions, self.end_transitions

    def _clock(self, emissions: Tensor) -> Tensor:
        """(T, B, K)."""
        if emissions.ndim != 3 or emissions.shape[-1] != self.num_tags:
            layout = "(B, T, K)" if self.batch_first else "(T, B, K)"
            raise ShapeError(
                f"CRF: emissions are {emissions.shape}, expected {layout} with K = {self.num_tags}"
            )
        return ops.permute_dims(emissions, (1, 0, 2)) if self.batch_first else emissions

    def _lengths(self, emissions: Tensor, mask: Any, lengths: Any) -> Any:
        """Those given, or those that a mask means."""
        if mask is None:
            return None if lengths is None else as_array(lengths)
        if lengths is not None:
            raise ConfigError("CRF: give mask or lengths, not both")
        given = as_array(mask)
        if given.dtype.kind not in "bui":
            raise DTypeError(f"CRF: the mask is {given.dtype}; give bool, True = exists")
        if given.shape != emissions.shape[:2]:
            raise ShapeError(f"CRF: the mask is {given.shape}, expected {emissions.shape[:2]}")
        exists = given.astype(bool).T if self.batch_first else given.astype(bool)
        counts = exists.sum(axis=0)
        if device_of(counts).kind == "cpu":  # elsewhere one would wait
            examine(_check_gaps, exists, counts)
        return counts

    def extra_repr(self) -> str:
        return f"{self.num_tags}, batch_first={self.batch_first}"


def _check_gaps(exists: Any, counts: Any) -> None:
    if (exists != (np.arange(len(exists))[:, None] < counts)).any():
        raise ShapeError("CRF: the mask has gaps; sequences are padded at their ends only")
