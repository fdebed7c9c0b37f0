"""The layers' functions without their parameters, under the name PyTorch's users look for.

Everything here is also in `minigrad` itself. There, `scaled_dot_product_attention` returns the
weights, too; here it is PyTorch's, which returns the output alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..ops import (
    adaptive_avg_pool1d,
    avg_pool1d,
    avg_pool2d,
    batch_norm,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    conv1d,
    conv2d,
    cosine_embedding_loss,
    cosine_similarity,
    cross_entropy,
    ctc_loss,
    dropout,
    elu,
    embedding,
    embedding_bag,
    gaussian_nll_loss,
    gelu,
    group_norm,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    layer_norm,
    leaky_relu,
    linear,
    log_softmax,
    margin_ranking_loss,
    max_pool1d,
    max_pool2d,
    mse_loss,
    multi_margin_loss,
    nll_loss,
    one_hot,
    pad,
    pairwise_distance,
    poisson_nll_loss,
    relu,
    rms_norm,
    sigmoid,
    silu,
    smooth_l1_loss,
    soft_margin_loss,
    softmax,
    softplus,
    tanh,
    triplet_margin_loss,
)
from .attention import dropout_mask

__all__ = [
    "adaptive_avg_pool1d",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv1d",
    "conv2d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "dropout",
    "elu",
    "embedding",
    "embedding_bag",
    "gaussian_nll_loss",
    "gelu",
    "group_norm",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "mse_loss",
    "multi_margin_loss",
    "nll_loss",
    "one_hot",
    "pad",
    "pairwise_distance",
    "poisson_nll_loss",
    "relu",
    "rms_norm",
    "scaled_dot_product_attention",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softplus",
    "tanh",
    "triplet_margin_loss",
]


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Any:
    """softmax(scale · Q Kᵀ + mask) V, called as in PyTorch; `minigrad`'s has the weights, too.

    Shapes: query (…, L, E), key (…, S, E), value (…, S, V) → (…, L, V). attn_mask broadcasts to
    (…, L, S): bool, **True = attend**, or floats to be added. `dropout_p` applies always: pass 0 to
    evaluate. A query that may attend to nothing gets zeros.
    """
    lead = np.broadcast_shapes(query.shape[:-2], key.shape[:-2])
    drop = dropout_mask(query, (*lead, query.shape[-2], key.shape[-2]), dropout_p)
    return ops.scaled_dot_product_attention(
        query, key, value, attn_mask, drop, is_causal=is_causal, scale=scale
    )[0]
