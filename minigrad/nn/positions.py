"""Where in the sequence: sinusoidal, learned and rotary positions for attention, which has none."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..engine import Tensor, wrap
from ..errors import ConfigError, ShapeError
from . import init
from .module import Module, new_parameter

__all__ = ["LearnedPositionalEmbedding", "RotaryEmbedding", "SinusoidalPositionalEncoding"]

Host = np.ndarray[Any, Any]


class _Angles:
    """Cosine and sine of t · base^(-2i/size), as far as anybody asked, per device and dtype."""

    def __init__(self, size: int, base: float) -> None:
        self.rates = base ** (-np.arange(0, size, 2) / size)  # (size / 2,)
        self.kept: dict[tuple[str, str], tuple[Any, Any]] = {}

    def __call__(self, like: Tensor, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """(stop - start, size / 2) each."""
        key = str(like.device), str(like.dtype)
        known = self.kept.get(key)
        if known is None or len(known[0]) < stop:
            angles = np.arange(1 << max(stop - 1, 15).bit_length())[:, None] * self.rates
            known = self.kept[key] = (
                like.device.asarray(np.cos(angles).astype(like.dtype)),
                like.device.asarray(np.sin(angles).astype(like.dtype)),
            )
        return wrap(known[0][start:stop]), wrap(known[1][start:stop])


def _check(what: str, x: Tensor, d_model: int, batch_first: bool, offset: int) -> int:
    """The number of steps in x."""
    if x.ndim not in (2, 3) or x.shape[-1] != d_model:
        layout = "(B, T, E)" if batch_first else "(T, B, E)"
        raise ShapeError(
            f"{what}: x has shape {x.shape}, expected {layout} or (T, E) with E = {d_model}"
        )
    if offset < 0:
        raise ConfigError(f"{what}: offset is {offset}, expected the position of the first step")
    return x.shape[1] if batch_first and x.ndim == 3 else x.shape[0]


def _add(x: Tensor, table: Tensor, batch_first: bool) -> Tensor:
    return x + (ops.expand_dims(table, 1) if x.ndim == 3 and not batch_first else table)


class SinusoidalPositionalEncoding(Module):
    """y[t] = dropout(x[t] + p[t]), p[t, 2i] = sin(t / b^(2i/E)), p[t, 2i + 1] = cos(t / b^(2i/E)).

    b = `base`, 10000. Nothing is learned, and any length works.

    Shapes: x (T, B, E), or (B, T, E) with `batch_first`, or (T, E) → the same.
    Raises: ShapeError unless x has E features; ConfigError if E is odd.
    Paper: Vaswani et al. 2017, sec. 3.5.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.SinusoidalPositionalEncoding(2)(mg.zeros((3, 2)))
    tensor([[ 0. ...,  1. ...],
            [ 0.841...,  0.540...],
            [ 0.909..., -0.416...]])
    """

    def __init__(
        self, d_model: int, dropout: float = 0.0, batch_first: bool = False, base: float = 10000.0
    ) -> None:
        super().__init__()
        if d_model < 2 or d_model % 2:
            raise ConfigError(
                f"SinusoidalPositionalEncoding: d_model is {d_model}, expected an even number: "
                "features come in pairs of sine and cosine"
            )
        self.d_model, self.dropout = d_model, dropout
        self.batch_first, self.base = batch_first, base
        self._angles = _Angles(d_model, base)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """x plus the positions offset, offset + 1, …; `offset` is for decoding step by step."""
        T = _check("SinusoidalPositionalEncoding", x, self.d_model, self.batch_first, offset)
        cosines, sines = self._angles(x, offset, offset + T)
        table = ops.reshape(ops.stack([sines, cosines], axis=-1), (T, self.d_model))
        y = _add(x, table, self.batch_first)
        return ops.dropout(y, self.dropout, training=self.training)

    def extra_repr(self) -> str:
        return f"{self.d_model}, dropout={self.dropout}"


class LearnedPositionalEmbedding(Module):
    """y[t] = dropout(x[t] + weight[t]): one learned vector per position.

    Shapes: x (T, B, E), or (B, T, E) with `batch_first`, or (T, E) → the same; weight (max_len, E).
    Init: N(0, 0.02²), as in BERT and GPT-2.
    Raises: ShapeError unless x has E features and at most max_len steps.
    Paper: Gehring et al. 2017; Devlin et al. 2019.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.LearnedPositionalEmbedding(16, 4, batch_first=True)(mg.zeros((2, 3, 4))).shape
    (2, 3, 4)
    """

    def __init__(
        self,
        max_len: int,
        d_model: int,
        dropout: float = 0.0,
        batch_first: bool = False,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        self.max_len, self.d_model = max_len, d_model
        self.dropout, self.batch_first = dropout, batch_first
        self.weight = new_parameter(max_len, d_model, dtype=dtype, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        init.normal_(self.weight, 0.0, 0.02)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """x plus the vectors of the positions offset, offset + 1, …."""
        T = _check("LearnedPositionalEmbedding", x, self.d_model, self.batch_first, offset)
        if offset + T > self.max_len:
            raise ShapeError(
                f"LearnedPositionalEmbedding: {T} steps from position {offset} on, but max_len is "
                f"{self.max_len}"
            )
        y = _add(x, self.weight[offset : offset + T], self.batch_first)
        return ops.dropout(y, self.dropout, training=self.training)

    def extra_repr(self) -> str:
        return f"{self.max_len}, {self.d_model}, dropout={self.dropout}"


class RotaryEmbedding(Module):
    """Turns each pair of features of step t by the angle t · b^(-2i/d): RoPE.

        y[t, 2i]     = x[t, 2i] cos - x[t, 2i + 1] sin
        y[t, 2i + 1] = x[t, 2i] sin + x[t, 2i + 1] cos

    Applied to queries and keys, their products depend on the distance of their positions alone.
    Any length works; nothing is learned.

    Shapes: x (…, T, d), time on the last axis but one, as `scaled_dot_product_attention` has it →
    the same. The first `dim` features turn, the others stay.
    Raises: ShapeError if x has fewer than `dim` features; ConfigError if `dim` is odd.
    Paper: Su et al. 2021, "RoFormer", eq. 34.

    Args:
        dim: how many features turn.
        base: b.
        interleaved: pairs are (0, 1), (2, 3), …, as in the paper; else (0, d/2), (1, d/2 + 1), …,
            as in GPT-NeoX and the weights of LLaMA at Hugging Face.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> rotary = nn.RotaryEmbedding(4)
    >>> q = mg.ones((2, 3, 5, 4))
    >>> mg.allclose(rotary(q, offset=7)[:, :, 0], rotary(mg.ones((2, 3, 8, 4)))[:, :, 7])
    True
    """

    def __init__(self, dim: int, base: float = 10000.0, interleaved: bool = True) -> None:
        super().__init__()
        if dim < 2 or dim % 2:
            raise ConfigError(f"RotaryEmbedding: dim is {dim}, expected an even number")
        self.dim, self.base, self.interleaved = dim, base, interleaved
        self._angles = _Angles(dim, base)

    def forward(self, x: Tensor, offset: int = 0) -> Tensor:
        """x turned by the angles of the positions offset, offset + 1, …."""
        if x.ndim < 2 or x.shape[-1] < self.dim:
            raise ShapeError(
                f"RotaryEmbedding: x has shape {x.shape}, expected (…, T, {self.dim} or more)"
            )
        if offset < 0:
            raise ConfigError(f"RotaryEmbedding: offset is {offset}, expected 0 or more")
        T, d = x.shape[-2], self.dim
        cosines, sines = self._angles(x, offset, offset + T)
        turning = x[..., :d] if x.shape[-1] > d else x
        if self.interleaved:
            a, b = turning[..., 0::2], turning[..., 1::2]
        else:
            a, b = turning[..., : d // 2], turning[..., d // 2 :]
        pair = [a * cosines - b * sines, a * sines + b * cosines]
        if self.interleaved:
            y = ops.reshape(ops.stack(pair, axis=-1), turning.shape)
        else:
            y = ops.concat(pair, axis=-1)
        return y if x.shape[-1] == d else ops.concat([y, x[..., d:]], axis=-1)

    def extra_repr(self) -> str:
        return f"{self.dim}, base={self.base}, interleaved={self.interleaved}"
