"""Multi-head attention."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError, DTypeError, ShapeError
from . import init
from .linear import Linear
from .masks import dropout_mask
from .module import Module, Parameter, new_parameter

__all__ = ["MultiheadAttention"]

NEVER = float("-inf")


class MultiheadAttention(Module):
    """Several attentions side by side, each on its own projections (Vaswani et al. 2017, sec. 3.2).

    head_i = softmax(Q W_i (K U_i)ᵀ / √d) V Z_i, d = embed_dim / num_heads; output [heads] Wᵒ + bᵒ.

    Arguments, parameter names and results are those of `torch.nn.MultiheadAttention`. So are its
    masks: **True = blocked**, the opposite of `scaled_dot_product_attention`. One thing differs: a
    query whose keys are all blocked gets zeros where PyTorch gives NaN.

    Shapes: query (L, B, E), key (S, B, kdim), value (S, B, vdim) → output (L, B, E), weights
    (B, L, S), averaged over the heads, or (B, heads, L, S); with `batch_first` (B, L, E) and so on;
    (L, E) and so on without a batch.
    Init: Xavier-uniform projections, zero biases; out_proj.weight as `Linear`.
    Raises: ConfigError if num_heads does not divide embed_dim; ShapeError for inputs or masks that
    do not fit.

    Args:
        dropout: of the weights, in training.
        add_bias_kv: one more key and value, learned, at the end of each sequence.
        add_zero_attn: one more key and value, zero: a place to look at nothing.
        kdim, vdim: features of key and value, if not embed_dim.
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None
    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim < 1 or num_heads < 1 or embed_dim % num_heads:
            raise ConfigError(
                f"MultiheadAttention: embed_dim={embed_dim} does not divide into "
                f"num_heads={num_heads}"
            )
        E = embed_dim
        self.embed_dim, self.num_heads, self.head_dim = E, num_heads, E // num_heads
        self.kdim = E if kdim is None else kdim
        self.vdim = E if vdim is None else vdim
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn
        self.in_proj_weight = self.q_proj_weight = self.k_proj_weight = self.v_proj_weight = None
        self.in_proj_bias = self.bias_k = self.bias_v = None
        if self.kdim == self.vdim == E:
            self.in_proj_weight = new_parameter(3 * E, E, dtype=dtype, device=device)
        else:
            self.q_proj_weight = new_parameter(E, E, dtype=dtype, device=device)
            self.k_proj_weight = new_parameter(E, self.kdim, dtype=dtype, device=device)
            self.v_proj_weight = new_parameter(E, self.vdim, dtype=dtype, device=device)
        if bias:
            self.in_proj_bias = new_parameter(3 * E, dtype=dtype, device=device)
        if add_bias_kv:
            self.bias_k = new_parameter(1, 1, E, dtype=dtype, device=device)
            self.bias_v = new_parameter(1, 1, E, dtype=dtype, device=device)
        self.out_proj = Linear(E, E, bias=bias, dtype=dtype, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw fresh values."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            weight = getattr(self, name)
            if weight is not None:
                init.xavier_uniform_(weight)
        self.out_proj.reset_parameters()
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """(output, weights), weights None unless `need_weights`.

        Args:
            query, key, value: what to project.
            key_padding_mask: (B, S), **True = blocked** for all queries; or floats, to be added.
            need_weights: return the weights.
            attn_mask: (L, S) or (B · heads, L, S), **True = blocked**; or floats, to be added.
            average_attn_weights: the mean over the heads, or each.
            is_causal: query i sees keys 0…i only; unlike PyTorch's hint, this needs no attn_mask.
        """
        batched = query.ndim == 3
        first = self.batch_first or not batched
        q_in = self._batched(query, batched)
        k_in = q_in if key is query else self._batched(key, batched)
        v_in = k_in if value is key else self._batched(value, batched)
        B, L, S = self._sizes(q_in, k_in, v_in, first)
        mask = self._mask(key_padding_mask, attn_mask, (B, L, S), batched)
        q, k, v = self._project(q_in, k_in, v_in)
        extra = (self.bias_k is not None) + self.add_zero_attn
        if extra:
            k, v = self._append(k, self.bias_k, first), self._append(v, self.bias_v, first)
            if is_causal:
                mask, is_causal = _causal(mask, L, S, query), False
            if mask is not None:  # what was appended is seen by all
                widths = ((0, 0),) * (mask.ndim - 1) + ((0, extra),)
                mask = ops.pad(mask, widths, constant_values=mask.dtype == bool)
        output, weights = ops.scaled_dot_product_attention(
            self._heads(q, first),
            self._heads(k, first),
            self._heads(v, first),
            mask,
            dropout_mask(
                query, (B, self.num_heads, L, S + extra), self.dropout if self.training else 0.0
            ),
            is_causal=is_causal,
        )
        output = ops.permute_dims(output, (0, 2, 1, 3) if first else (2, 0, 1, 3))
        output = self.out_proj(ops.reshape(output, q_in.shape))
        if not batched:
            output = output[0]
        if not need_weights:
            return output, None
        weights = weights.mean(axis=1) if average_attn_weights else weights
        return output, weights if batched else weights[0]

    def _batched(self, x: Tensor, batched: bool) -> Tensor:
        if x.ndim != (3 if batched else 2):
            raise ShapeError(
                f"MultiheadAttention: an input has shape {x.shape}; give (L, B, E), (B, L, E) with "
                "batch_first=True, or (L, E) for query, key and value alike"
            )
        return x if batched else ops.expand_dims(x, 0)

    def _sizes(
        self, query: Tensor, key: Tensor, value: Tensor, first: bool
    ) -> tuple[int, int, int]:
        """B, L, S."""
        given = tuple(x.shape[-1] for x in (query, key, value))
        expected = self.embed_dim, self.kdim, self.vdim
        if given != expected:
            raise ShapeError(
                f"MultiheadAttention: query, key and value have {given} features, "
                f"expected {expected}"
            )
        b, s = (0, 1) if first else (1, 0)
        batches = {x.shape[b] for x in (query, key, value)}
        if len(batches) > 1 or key.shape[s] != value.shape[s]:
            raise ShapeError(
                f"MultiheadAttention: query {query.shape}, key {key.shape}, value {value.shape} "
                "must share the batch, and key and value the length "
                f"(batch_first={self.batch_first})"
            )
        return query.shape[b], query.shape[s], key.shape[s]

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        """In as few products as there are different inputs."""
        E, bias, weight = self.embed_dim, self.in_proj_bias, self.in_proj_weight
        if weight is not None and query is key is value:
            return ops.split(ops.linear(query, weight, bias), 3, axis=-1)
        if weight is not None and key is value:
            wq, wkv = ops.split(weight, [E])
            bq, bkv = (None, None) if bias is None else ops.split(bias, [E])
            k, v = ops.split(ops.linear(key, wkv, bkv), 2, axis=-1)
            return ops.linear(query, wq, bq), k, v
        if weight is not None:
            weights = ops.split(weight, 3)
        else:
            weights = self.q_proj_weight, self.k_proj_weight, self.v_proj_weight
        biases = (None,) * 3 if bias is None else ops.split(bias, 3)
        xs = query, key, value
        return tuple(ops.linear(x, w, b) for x, w, b in zip(xs, weights, biases, strict=True))

    def _heads(self, x: Tensor, first: bool) -> Tensor:
        """(B, S, E), or (S, B, E) unless `first`, → (B, heads, S, d)."""
        x = ops.reshape(x, (*x.shape[:2], self.num_heads, self.head_dim))
        return ops.permute_dims(x, (0, 2, 1, 3) if first else (1, 2, 0, 3))

    def _append(self, x: Tensor, bias: Tensor | None, first: bool) -> Tensor:
        """The learned and the zero row at the end of each sequence."""
        shape = (x.shape[0], 1, x.shape[2]) if first else (1, *x.shape[1:])
        parts = [x]
        if bias is not None:
            parts.append(ops.broadcast_to(bias, shape))
        if self.add_zero_attn:
            parts.append(ops.zeros(shape, dtype=x.dtype, device=x.device))
        return ops.concat(parts, axis=1 if first else 0)

    def _mask(self, padding: Any, attn: Any, shape: tuple[int, int, int], batched: bool) -> Any:
        """Both masks as one for `scaled_dot_product_attention`, where True = attend."""
        B, L, S = shape
        if padding is not None:
            if padding.shape != ((B, S) if batched else (S,)):
                raise ShapeError(
                    f"MultiheadAttention: key_padding_mask is {padding.shape}, expected "
                    f"{(B, S) if batched else (S,)}"
                )
            padding = _allowed(ops.reshape(padding, (B, 1, 1, S)), "key_padding_mask")
        if attn is not None:
            if attn.shape not in ((L, S), (B * self.num_heads, L, S)):
                raise ShapeError(
                    f"MultiheadAttention: attn_mask is {attn.shape}, expected {(L, S)} or "
                    f"{(B * self.num_heads, L, S)}"
                )
            if attn.ndim == 3:
                attn = ops.reshape(attn, (B, self.num_heads, L, S))
            attn = _allowed(attn, "attn_mask")
        if padding is None or attn is None:
            return padding if attn is None else attn
        if padding.dtype == bool:
            return padding & attn if attn.dtype == bool else ops.where(padding, attn, NEVER)
        return ops.where(attn, padding, NEVER) if attn.dtype == bool else padding + attn

    def extra_repr(self) -> str:
        notes = [f"{self.embed_dim}", f"num_heads={self.num_heads}"]
        notes += [f"dropout={self.dropout}"] * bool(self.dropout)
        notes += ["batch_first=True"] * self.batch_first
        return ", ".join(notes)


def _allowed(mask: Any, name: str) -> Any:
    """A mask with True = blocked as one with True = attend; floats stay."""
    if mask.dtype == bool:
        return ~mask
    if mask.dtype.kind not in "fV":
        raise DTypeError(f"MultiheadAttention: {name} is {mask.dtype}; give bool or floats")
    return mask


def _causal(mask: Any, L: int, S: int, like: Tensor) -> Any:
    past = ops.tril(ops.ones((L, S), dtype=bool, device=like.device))
    if mask is None or mask.dtype == bool:
        return past if mask is None else mask & past
    return ops.where(past, mask, NEVER)
