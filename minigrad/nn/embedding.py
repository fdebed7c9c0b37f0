"""Lookup tables: from ids to vectors."""

from __future__ import annotations

from typing import Any, Self

from .. import ops
from ..backend import device as find_device
from ..engine import Tensor
from ..errors import ShapeError
from ..ops.bag import by_frequency
from .embedding_bag import Table
from .module import Module, Parameter, new_parameter


class Embedding(Table):
    """y = weight[ids]: one row of a table per id.

    Shapes: ids (...) integers → y (..., embedding_dim); weight (num_embeddings, embedding_dim).
    Init: N(0, 1), and zeros in the row `padding_idx`, as in PyTorch.

    Args:
        padding_idx: the row of this id starts at zero and gets no gradient.
        max_norm: rows that are read are first scaled down, in place, to this norm at most.
        norm_type: the p of that norm.
        scale_grad_by_freq: divide each row's gradient by how often its id occurs in the call.
        sparse: the gradient is a `RowSparse` of the rows that were read; optimisers update only
            those rows, so a step costs the batch, not the vocabulary.

    Raises: IndexRangeError for an id outside [0, num_embeddings).
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = self._row(padding_idx, num_embeddings)
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        self.weight = new_parameter(num_embeddings, embedding_dim, dtype=dtype, device=device)
        self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Any,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        *,
        device: Any = None,
    ) -> Self:
        """A table of given vectors (num_embeddings, embedding_dim); frozen by default."""
        values = ops.asarray(embeddings)
        if values.ndim != 2:
            raise ShapeError(f"Embedding.from_pretrained: expected 2 axes, got {values.shape}")
        layer = cls.__new__(cls)
        Module.__init__(layer)
        layer.num_embeddings, layer.embedding_dim = values.shape
        layer.padding_idx = layer._row(padding_idx, values.shape[0])
        layer.max_norm, layer.norm_type = max_norm, norm_type
        layer.scale_grad_by_freq, layer.sparse = scale_grad_by_freq, sparse
        array = find_device(device).asarray(values.numpy()).copy()
        layer.weight = Parameter(array, requires_grad=not freeze)
        return layer

    def forward(self, ids: Any) -> Tensor:
        ids = self._prepared(ids)
        y = ops.embedding(self.weight, ids, padding_idx=self.padding_idx, sparse=self.sparse)
        return by_frequency(y, ids, self.num_embeddings) if self.scale_grad_by_freq else y

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}{', sparse' * self.sparse}"
