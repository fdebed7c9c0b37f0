"""Stacks of Transformer layers, and the whole encoder-decoder."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from ..backend import device as find_device
from ..engine import Tensor
from ..errors import ConfigError, ShapeError
from ..ops import get_default_dtype
from . import init
from .containers import ModuleList
from .module import Module
from .normalization import LayerNorm
from .transformer_layers import Activation, TransformerDecoderLayer, TransformerEncoderLayer

__all__ = ["Transformer", "TransformerDecoder", "TransformerEncoder"]


class TransformerEncoder(Module):
    """`num_layers` encoder layers, one on the other, and a last normalisation if given.

    The layers are copies of `encoder_layer`. Each draws weights of its own, where PyTorch's copies
    all start alike.

    Shapes: src (T, B, E), or (B, T, E) with a layer that is `batch_first` → the same.
    Raises: ConfigError if num_layers < 1.
    Paper: Vaswani et al. 2017, sec. 3.1.

    Args:
        encoder_layer: an example of the layers.
        num_layers: how many.
        norm: a module to apply at the end; pre-norm layers need one.
        enable_nested_tensor, mask_check: PyTorch's; they change nothing here.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), num_layers=2)
    >>> encoder(mg.ones((5, 3, 8)), is_causal=True).shape
    (5, 3, 8)
    """

    norm: Module | None

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = _copies("TransformerEncoder", encoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """The encoded sequence; the arguments are those of `TransformerEncoderLayer`."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """`num_layers` decoder layers, one on the other, and a last normalisation if given.

    The layers are copies of `decoder_layer`, each with weights of its own.

    Shapes: tgt (T, B, E), memory (S, B, E), or batch first → as tgt.
    Raises: ConfigError if num_layers < 1.
    Paper: Vaswani et al. 2017, sec. 3.1.
    """

    norm: Module | None

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = _copies("TransformerDecoder", decoder_layer, num_layers)
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoded sequence; the arguments are those of `TransformerDecoderLayer`."""
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, bool(tgt_is_causal), memory_is_causal)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder and a decoder that reads its output (Vaswani et al. 2017).

    Arguments, parameter names and results are those of `torch.nn.Transformer`, and so are the
    masks: **True = blocked**. `tgt_is_causal=True` needs no mask.

    Shapes: src (S, B, E), tgt (T, B, E), or batch first, or without a batch → as tgt. Embeddings,
    positions and the output layer are the caller's: see `SinusoidalPositionalEncoding`.
    Init: Xavier-uniform matrices; biases and norms as their layers.
    Raises: ShapeError for inputs that do not fit each other; ConfigError for bad options.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> model = nn.Transformer(8, 2, 1, 1, 16)
    >>> model(mg.ones((5, 3, 8)), mg.ones((4, 3, 8)), tgt_is_causal=True).shape
    (4, 3, 8)
    """

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Activation = "relu",
        custom_encoder: Module | None = None,
        custom_decoder: Module | None = None,
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
        layer = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first,
            norm_first, bias,
        )  # fmt: skip
        norm: Any = (d_model, layer_norm_eps, True, bias)
        self.encoder = custom_encoder or TransformerEncoder(
            TransformerEncoderLayer(*layer, **place), num_encoder_layers, LayerNorm(*norm, **place)
        )
        self.decoder = custom_decoder or TransformerDecoder(
            TransformerDecoderLayer(*layer, **place), num_decoder_layers, LayerNorm(*norm, **place)
        )
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every matrix afresh, Xavier-uniform."""
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """The decoder's output; the arguments are those of the encoder's and decoder's layers."""
        batch = 0 if self.batch_first else 1
        if src.ndim != tgt.ndim or (src.ndim == 3 and src.shape[batch] != tgt.shape[batch]):
            raise ShapeError(
                f"Transformer: src has shape {src.shape}, tgt {tgt.shape}; they must share the "
                f"batch (batch_first={self.batch_first})"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask,
            memory_mask,
            tgt_key_padding_mask,
            memory_key_padding_mask,
            tgt_is_causal,
            memory_is_causal,
        )

    @staticmethod
    def generate_square_subsequent_mask(
        sz: int, *, dtype: Any = None, device: Any = None
    ) -> Tensor:
        """(sz, sz), -inf above the diagonal and 0 elsewhere: what `tgt_is_causal=True` means."""
        mask = np.triu(np.full((sz, sz), -np.inf), 1).astype(dtype or get_default_dtype())
        return Tensor(find_device(device).asarray(mask))


def _copies(what: str, layer: Module, count: int) -> ModuleList:
    """`layer`'s copies, each with weights drawn afresh where its modules know how to."""
    if count < 1:
        raise ConfigError(f"{what}: num_layers is {count}, expected 1 or more")
    copies = [copy.deepcopy(layer) for _ in range(count)]
    for each in copies[1:]:
        for module in each.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
    return ModuleList(copies)
