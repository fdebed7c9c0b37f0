"""Attention for encoder-decoders: additive (Bahdanau), Luong, and scaled dot product.

Which mask means what:

- here, and in `scaled_dot_product_attention`: **True = attend**;
- in `nn.MultiheadAttention`, as in PyTorch: **True = blocked**.

`lengths=` needs no mask: sequence b has `lengths[b]` states, the rest is padding. Padding may hold
anything, NaN too; a sequence of length 0 has a context of zeros.

Layout: batch first. A memory is (B, S, M): S states of M features for each of B sequences.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError, ShapeError
from . import init
from .linear import Linear
from .masks import dropout_mask, memory_mask, without_padding
from .module import Module, Parameter, new_parameter

__all__ = [
    "AdditiveAttention",
    "LuongAttention",
    "ScaledDotProductAttention",
]


def _check(what: str, query: Tensor, memory: Tensor, query_size: int, memory_size: int) -> None:
    if query.ndim not in (2, 3) or query.shape[-1] != query_size:
        raise ShapeError(
            f"{what}: query is {query.shape}, expected (B, {query_size}) or (B, T, {query_size})"
        )
    if memory.ndim != 3 or memory.shape[-1] != memory_size or len(memory) != len(query):
        raise ShapeError(
            f"{what}: memory is {memory.shape}, expected ({len(query)}, S, {memory_size}): "
            "batch first"
        )


class AdditiveAttention(Module):
    """e_s = vᵀ tanh(W q + U m_s); α = softmax(e); c = Σ α_s m_s (Bahdanau et al. 2015, app. A.1.2).

    Shapes: query (B, Q) or, for T steps at once, (B, T, Q); memory (B, S, M) → context (B, M) or
    (B, T, M), weights (B, S) or (B, T, S). Parameters: query_layer.weight W (A, Q),
    memory_layer.weight U (A, M), v (A,).
    Init: W, U as `Linear`; v U(±1/√A).

    U m is the same for each step of a decoder: compute it once.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> attention = nn.AdditiveAttention(3, 4, 5)
    >>> memory = mg.ones((2, 6, 4))
    >>> keys = attention.project_keys(memory)
    >>> context, weights = attention(mg.ones((2, 3)), memory, keys=keys, lengths=[6, 1])
    >>> context.shape, weights.shape
    ((2, 4), (2, 6))
    """

    def __init__(
        self,
        query_size: int,
        memory_size: int,
        attention_size: int | None = None,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        self.query_size, self.memory_size = query_size, memory_size
        self.attention_size = query_size if attention_size is None else attention_size
        self.query_layer = Linear(
            query_size, self.attention_size, bias=False, dtype=dtype, device=device
        )
        self.memory_layer = Linear(
            memory_size, self.attention_size, bias=False, dtype=dtype, device=device
        )
        self.v = new_parameter(self.attention_size, dtype=dtype, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        self.query_layer.reset_parameters()
        self.memory_layer.reset_parameters()
        bound = 1 / math.sqrt(self.attention_size)
        init.uniform_(self.v, -bound, bound)

    def project_keys(self, memory: Tensor, *, mask: Any = None, lengths: Any = None) -> Tensor:
        """U m: (B, S, M) → (B, S, A). With a mask or lengths, padding may hold NaN."""
        mask = memory_mask(memory, mask, lengths, "AdditiveAttention")
        return self.memory_layer(without_padding(memory, mask))

    def forward(
        self,
        query: Tensor,
        memory: Tensor,
        *,
        keys: Tensor | None = None,
        mask: Tensor | None = None,
        lengths: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(context, weights).

        Args:
            query: the state(s) of the decoder.
            memory: the states of the encoder.
            keys: `project_keys(memory)`, if known.
            mask: (B, S) or (B, T, S), True = attend; or floats, to be added to the scores.
            lengths: in place of a mask, how many of the S states there are; host integers (B,).
        """
        _check("AdditiveAttention", query, memory, self.query_size, self.memory_size)
        mask = memory_mask(memory, mask, lengths, "AdditiveAttention")
        keys = self.project_keys(memory, mask=mask) if keys is None else keys
        return ops.additive_attention(self.query_layer(query), keys, memory, self.v, mask)

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.memory_size}, {self.attention_size}"


class LuongAttention(Module):
    """α = softmax(score(q, m_s)); c = Σ α_s m_s (Luong, Pham & Manning 2015, eq. 7 and 8).

    score="dot": qᵀ m_s; "general": qᵀ W m_s; "concat": vᵀ tanh(W [q; m_s]).

    Shapes: query (B, Q) or, for T steps at once, (B, T, Q); memory (B, S, M) → context (B, M) or
    (B, T, M), weights (B, S) or (B, T, S). Parameters: weight W (Q, M) for "general"; weight W
    (A, Q + M) and v (A,) for "concat". Luong's attentional vector, eq. 5, is tanh of a `Linear` of
    [context; query].
    Init: W U(±1/√inputs), v U(±1/√A).
    Raises: ConfigError for another score, or for "dot" if Q ≠ M.
    """

    weight: Parameter | None
    v: Parameter | None

    def __init__(
        self,
        query_size: int,
        memory_size: int | None = None,
        score: str = "dot",
        attention_size: int | None = None,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        self.query_size = query_size
        self.memory_size = query_size if memory_size is None else memory_size
        self.attention_size = query_size if attention_size is None else attention_size
        self.score = score
        self.weight = self.v = None
        if score == "dot":
            if self.query_size != self.memory_size:
                raise ConfigError(
                    f"LuongAttention: score='dot' needs queries and memories of one size, got "
                    f"{self.query_size} and {self.memory_size}; use 'general'"
                )
        elif score == "general":
            self.weight = new_parameter(query_size, self.memory_size, dtype=dtype, device=device)
        elif score == "concat":
            inputs = query_size + self.memory_size
            self.weight = new_parameter(self.attention_size, inputs, dtype=dtype, device=device)
            self.v = new_parameter(self.attention_size, dtype=dtype, device=device)
        else:
            raise ConfigError(f"LuongAttention: score={score!r}; give 'dot', 'general' or 'concat'")
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        if self.weight is not None:
            bound = 1 / math.sqrt(self.weight.shape[1])
            init.uniform_(self.weight, -bound, bound)
        if self.v is not None:
            bound = 1 / math.sqrt(self.attention_size)
            init.uniform_(self.v, -bound, bound)

    def project_keys(self, memory: Tensor, *, mask: Any = None, lengths: Any = None) -> Tensor:
        """What of the scores depends on the memory alone: the same for each step of a decoder."""
        if self.score != "concat" or self.weight is None:
            return memory
        mask = memory_mask(memory, mask, lengths, "LuongAttention")
        return ops.linear(without_padding(memory, mask), self.weight[:, self.query_size :])

    def forward(
        self,
        query: Tensor,
        memory: Tensor,
        *,
        keys: Tensor | None = None,
        mask: Tensor | None = None,
        lengths: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(context, weights); the arguments are those of `AdditiveAttention`."""
        _check("LuongAttention", query, memory, self.query_size, self.memory_size)
        mask = memory_mask(memory, mask, lengths, "LuongAttention")
        if self.score == "concat":
            assert self.weight is not None  # noqa: S101 (for the type checker)
            steps = ops.linear(query, self.weight[:, : self.query_size])
            keys = self.project_keys(memory, mask=mask) if keys is None else keys
            return ops.additive_attention(steps, keys, memory, self.v, mask)
        if self.weight is not None:
            query = ops.matmul(query, self.weight)
        steps = query if query.ndim == 3 else ops.expand_dims(query, 1)
        if mask is not None and mask.ndim == 2:
            mask = ops.expand_dims(mask, 1)
        context, weights = ops.scaled_dot_product_attention(steps, memory, memory, mask, scale=1.0)
        return (context, weights) if query.ndim == 3 else (context[:, 0], weights[:, 0])

    def extra_repr(self) -> str:
        size = f", {self.attention_size}" if self.score == "concat" else ""
        return f"{self.query_size}, {self.memory_size}, {self.score!r}{size}"


class ScaledDotProductAttention(Module):
    """softmax(scale · Q Kᵀ + mask) V (Vaswani et al. 2017, eq. 1); dropout on the weights.

    Shapes: query (…, L, E), key (…, S, E), value (…, S, V) → output (…, L, V), weights (…, L, S).
    mask broadcasts to the weights: bool, **True = attend**, or floats to be added to the scores.
    """

    def __init__(self, dropout: float = 0.0, scale: float | None = None) -> None:
        super().__init__()
        self.dropout, self.scale = dropout, scale

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None = None,
        *,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """(output, weights)."""
        lead = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
        shape = (*lead, query.shape[-2], key.shape[-2])
        drop = dropout_mask(query, shape, self.dropout if self.training else 0.0)
        return ops.scaled_dot_product_attention(
            query, key, value, mask, drop, is_causal=is_causal, scale=self.scale
        )

    def extra_repr(self) -> str:
        return f"dropout={self.dropout}, scale={self.scale}"
