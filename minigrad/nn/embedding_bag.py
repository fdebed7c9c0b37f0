"""Bags of embeddings, and the options that both kinds of embedding share."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..engine import Tensor, no_grad, recording
from ..errors import IndexRangeError
from ..ops.classification import host_visible
from ..ops.gathering import add_at
from . import init
from .module import Module, Parameter, new_parameter

__all__ = ["EmbeddingBag"]


def renormalise(weight: Tensor, ids: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale each row of `weight` that `ids` name down to a norm of `max_norm`, in place."""
    with no_grad():
        used = None if recording() else host_visible(ids)
        if used is not None:  # only the rows that are read
            rows = np.unique(used)
            if rows.size and not 0 <= rows[0] <= rows[-1] < len(weight):
                return  # the lookup itself says what is wrong
            values = weight.data[rows]
        else:  # on a GPU, or in a program: all rows, so that nothing waits
            values = weight.data
        norms = ops.norm(Tensor(values), ord=norm_type, axis=-1, keepdims=True)
        factor = ops.where(norms > max_norm, max_norm / (norms + 1e-7), 1)
        if used is not None:
            new = weight.data.copy()
            new[rows] = (factor * values).data
            weight.assign_(new)
            return
        ones = ops.ones(ids.shape, dtype=weight.dtype, device=weight.device)
        read = add_at(
            ops.reshape(ones, (-1,)), ops.reshape(ids, (-1,)), axis=0, shape=(len(weight),)
        )
        weight.assign_(ops.where(ops.expand_dims(read > 0, -1), weight * factor, weight))


class Table(Module):
    """What both kinds of embedding do with their rows before they read them."""

    weight: Parameter
    padding_idx: int | None
    max_norm: float | None
    norm_type: float

    def _row(self, padding_idx: int | None, count: int) -> int | None:
        """`padding_idx` counted from the front."""
        if padding_idx is not None and not -count <= padding_idx < count:
            name = type(self).__name__
            raise IndexRangeError(f"{name}: padding_idx {padding_idx} is outside the {count} rows")
        return None if padding_idx is None else padding_idx % count

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            values = self.weight.numpy().copy()
            values[self.padding_idx] = 0
            self.weight.assign_(self.weight.device.asarray(values))

    def _prepared(self, ids: Any) -> Tensor:
        """ids beside the weight, whose rows they name are scaled down to `max_norm`."""
        if not isinstance(ids, Tensor):
            ids = Tensor(self.weight.device.asarray(ids))
        if self.max_norm is not None:
            renormalise(self.weight, ids, self.max_norm, self.norm_type)
        return ids


class EmbeddingBag(Table):
    """y[b] = the sum, mean or maximum of weight[ids] over the ids of bag b.

    Shapes: ids (B, n), or (N,) with offsets (B,), where each bag starts → (B, embedding_dim);
    weight (num_embeddings, embedding_dim). offsets are host integers.
    Init: N(0, 1), and zeros in the row `padding_idx`, as in PyTorch.
    Raises: IndexRangeError for an id outside the table; ShapeError, ConfigError as
    `ops.embedding_bag`.

    Args:
        max_norm: rows that are read are first scaled down, in place, to this norm at most.
        norm_type: the p of that norm.
        scale_grad_by_freq: divide each row's gradient by how often its id occurs; not for "max".
        mode: "sum", "mean" or "max".
        sparse: the gradient is a `RowSparse`.
        include_last_offset: offsets has one entry more, the end of the last bag.
        padding_idx: this id counts for nothing and gets no gradient.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.EmbeddingBag(10, 3)(mg.tensor([1, 2, 4, 5]), [0, 3]).shape
    (2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.mode, self.sparse = scale_grad_by_freq, mode, sparse
        self.include_last_offset = include_last_offset
        self.padding_idx = self._row(padding_idx, num_embeddings)
        self.weight = new_parameter(num_embeddings, embedding_dim, dtype=dtype, device=device)
        self.reset_parameters()

    def forward(
        self, ids: Any, offsets: Any = None, per_sample_weights: Tensor | None = None
    ) -> Tensor:
        """One vector per bag."""
        return ops.embedding_bag(
            self._prepared(ids),
            self.weight,
            offsets,
            mode=self.mode,
            sparse=self.sparse,
            scale_grad_by_freq=self.scale_grad_by_freq,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, mode={self.mode!r}"
