"""One layer of a Transformer's encoder, and one of its decoder.

Masks are PyTorch's, as in `MultiheadAttention`: **True = blocked**, or floats to be added to the
scores. `is_causal=True` needs no mask.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..engine import Tensor
from ..errors import ConfigError, ShapeError
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .multihead import MultiheadAttention
from .normalization import LayerNorm

__all__ = ["TransformerDecoderLayer", "TransformerEncoderLayer"]

Activation = str | Callable[[Any], Any]

_ACTIVATIONS = ("relu", "gelu")


class _Block(Module):
    """What both layers share: the feed-forward network and where the normalisation stands."""

    self_attn: MultiheadAttention
    linear1: Linear
    dropout: Dropout
    linear2: Linear

    def _options(
        self, d_model: int, activation: Activation, batch_first: bool, first: bool
    ) -> None:
        self.d_model, self.batch_first, self.norm_first = d_model, batch_first, first
        if isinstance(activation, str) and activation not in _ACTIVATIONS:
            raise ConfigError(
                f"{type(self).__name__}: activation is {activation!r}; give 'relu', 'gelu' or a "
                "function"
            )
        self.activation = activation

    def _network(self, inner: int, dropout: float, bias: bool, **place: Any) -> None:
        known = self.activation if isinstance(self.activation, str) else None
        self.linear1 = Linear(self.d_model, inner, bias, activation=known, **place)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(inner, self.d_model, bias, **place)

    def _feed_forward(self, x: Tensor) -> Tensor:
        h = self.linear1(x)
        if callable(self.activation):
            h = self.activation(h)
        return self.linear2(self.dropout(h))

    def _check(self, name: str, x: Tensor) -> None:
        if x.ndim not in (2, 3) or x.shape[-1] != self.d_model:
            layout = "(B, T, E)" if self.batch_first else "(T, B, E)"
            raise ShapeError(
                f"{type(self).__name__}: {name} has shape {x.shape}, expected {layout} or (T, E) "
                f"with E = {self.d_model}"
            )

    def _residual(self, x: Tensor, norm: Module, part: Callable[[Tensor], Tensor]) -> Tensor:
        """x + part(norm(x)), or norm(x + part(x))."""
        return x + part(norm(x)) if self.norm_first else norm(x + part(x))

    def extra_repr(self) -> str:
        return f"norm_first={self.norm_first}, batch_first={self.batch_first}"


class TransformerEncoderLayer(_Block):
    """Self-attention and a feed-forward network, each with a residual connection.

        x = norm₁(x + attention(x))              norm_first:   x = x + attention(norm₁(x))
        y = norm₂(x + network(x))                              y = x + network(norm₂(x))

    with network(x) = W₂ φ(W₁ x + b₁) + b₂.

    Shapes: src (T, B, E), or (B, T, E) with `batch_first`, or (T, E) → the same.
    Arguments, parameter names, initialisation: those of `torch.nn.TransformerEncoderLayer`. Dropout
    acts on the attention weights, inside the feed-forward network and on both branches.
    Raises: ShapeError for inputs or masks that do not fit; ConfigError for another activation.
    Papers: Vaswani et al. 2017, sec. 3.1; norm_first: Xiong et al. 2020.

    Args:
        d_model: E, the features of the input.
        nhead: attention heads.
        dim_feedforward: rows of W₁.
        activation: φ: "relu", "gelu" or a function.
        norm_first: normalise in front of each branch: trains without a warm-up.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    >>> padding = ~nn.lengths_to_mask([5, 3])
    >>> layer(mg.ones((2, 5, 8)), src_key_padding_mask=padding).shape
    (2, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        place = {"dtype": dtype, "device": device}
        self._options(d_model, activation, batch_first, norm_first)
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **place
        )
        self._network(dim_feedforward, dropout, bias, **place)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """The encoded sequence.

        Args:
            src: the sequence.
            src_mask: (T, T) or (B · heads, T, T), **True = blocked**; or floats, to be added.
            src_key_padding_mask: (B, T), **True = blocked** for all queries; or floats.
            is_causal: position t sees 0…t only.
        """
        self._check("src", src)

        def attend(x: Tensor) -> Tensor:
            y, _ = self.self_attn(
                x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal
            )
            return self.dropout1(y)

        x = self._residual(src, self.norm1, attend)
        return self._residual(x, self.norm2, lambda x: self.dropout2(self._feed_forward(x)))


class TransformerDecoderLayer(_Block):
    """Self-attention, attention to the encoder's output, and a feed-forward network.

        x = norm₁(x + attention(x, x, x))
        x = norm₂(x + attention(x, memory, memory))
        y = norm₃(x + network(x))

    or, with norm_first, the norms in front of the branches as in `TransformerEncoderLayer`.

    Shapes: tgt (T, B, E), memory (S, B, E), or batch first, or (T, E) and (S, E) → as tgt.
    Arguments, Init, Raises, Papers: as `TransformerEncoderLayer`; the names are those of
    `torch.nn.TransformerDecoderLayer`.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.TransformerDecoderLayer(8, 2, 16, norm_first=True)
    >>> layer(mg.ones((4, 2, 8)), mg.ones((5, 2, 8)), tgt_is_causal=True).shape
    (4, 2, 8)
    """

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        place = {"dtype": dtype, "device": device}
        self._options(d_model, activation, batch_first, norm_first)
        self.self_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **place
        )
        self.multihead_attn = MultiheadAttention(
            d_model, nhead, dropout, bias, batch_first=batch_first, **place
        )
        self._network(dim_feedforward, dropout, bias, **place)
        self.norm1 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.norm2 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.norm3 = LayerNorm(d_model, layer_norm_eps, bias=bias, **place)
        self.dropout1 = Dropout(dropout)
        self.dropout2 = Dropout(dropout)
        self.dropout3 = Dropout(dropout)

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoded sequence.

        Args:
            tgt: the sequence so far.
            memory: the encoder's output.
            tgt_mask, memory_mask: (T, T) and (T, S), or one per batch and head, **True = blocked**;
                or floats, to be added.
            tgt_key_padding_mask, memory_key_padding_mask: (B, T) and (B, S), **True = blocked**.
            tgt_is_causal, memory_is_causal: position t sees 0…t only.
        """
        self._check("tgt", tgt)
        self._check("memory", memory)

        def attend(x: Tensor) -> Tensor:
            y, _ = self.self_attn(
                x, x, x, tgt_key_padding_mask, False, tgt_mask, is_causal=tgt_is_causal
            )
            return self.dropout1(y)

        def read(x: Tensor) -> Tensor:
            y, _ = self.multihead_attn(
                x, memory, memory, memory_key_padding_mask, False, memory_mask,
                is_causal=memory_is_causal,
            )  # fmt: skip
            return self.dropout2(y)

        x = self._residual(tgt, self.norm1, attend)
        x = self._residual(x, self.norm2, read)
        return self._residual(x, self.norm3, lambda x: self.dropout3(self._feed_forward(x)))
