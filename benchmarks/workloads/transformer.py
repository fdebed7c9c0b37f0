"""One layer of a Transformer's encoder, normalised after each branch, without dropout (W7)."""

from __future__ import annotations

from types import SimpleNamespace as Size
from typing import Any

import numpy as np

from . import Batch, linear

axes = (0, 0)


def shapes(s: Size) -> dict[str, tuple[int, ...]]:
    """The weights."""
    norms = [(f"norm{n}.{kind}", (s.D,)) for n in (1, 2) for kind in ("weight", "bias")]
    return dict([
        ("self_attn.in_proj_weight", (3 * s.D, s.D)),
        ("self_attn.in_proj_bias", (3 * s.D,)),
        *linear("self_attn.out_proj", s.D, s.D),
        *linear("linear1", s.D, s.F),
        *linear("linear2", s.F, s.D),
        *norms,
    ])  # fmt: skip


def batch(s: Size, rng: Any) -> Batch:
    """Vectors (B, T, D), and where they should go."""
    return tuple(rng.standard_normal((s.B, s.T, s.D), np.float32) for _ in range(2))


def _layer(nn: Any, s: Size) -> Any:
    return nn.TransformerEncoderLayer(s.D, s.heads, s.F, dropout=0.0, batch_first=True)


def in_minigrad(s: Size) -> Any:
    """The layer."""
    from minigrad import nn

    return _layer(nn, s), lambda model, x, y: nn.functional.mse_loss(model(x), y)


def in_torch(s: Size) -> Any:
    """The same text: the names are PyTorch's."""
    from torch import nn

    return _layer(nn, s), lambda model, x, y: nn.functional.mse_loss(model(x), y)


def in_jax(s: Size) -> Any:
    """The same in JAX."""
    import jax
    import jax.numpy as jnp

    from benchmarks.frameworks.jax import linear

    def norm(p: Any, name: str, x: Any) -> Any:
        x = x - x.mean(-1, keepdims=True)
        x = x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
        return x * p[f"{name}.weight"] + p[f"{name}.bias"]

    def loss(p: Any, x: Any, y: Any) -> Any:
        qkv = x @ p["self_attn.in_proj_weight"].T + p["self_attn.in_proj_bias"]
        qkv = qkv.reshape(s.B, s.T, 3, s.heads, -1)
        q, k, v = (qkv[:, :, i].swapaxes(1, 2) for i in range(3))
        weights = jax.nn.softmax(q @ k.swapaxes(2, 3) / np.sqrt(q.shape[-1]))
        attended = (weights @ v).swapaxes(1, 2).reshape(x.shape)
        x = norm(p, "norm1", x + linear(p, "self_attn.out_proj", attended))
        inner = linear(p, "linear2", jax.nn.relu(linear(p, "linear1", x)))
        return ((norm(p, "norm2", x + inner) - y) ** 2).mean()

    return loss


def in_plain(F: Any, s: Size) -> Any:
    """The same op by op, where there is a product of batches of matrices."""
    size = s.D // s.heads

    def linear(p: Any, name: str, x: Any) -> Any:
        return F.linear(p, name, F.reshape(x, (s.B * s.T, -1)))

    def norm(p: Any, name: str, x: Any) -> Any:
        x = F.add(x, F.sum(x, 1, keepdims=True) * (-1 / s.D))
        variance = F.sum(F.multiply(x, x), 1, keepdims=True) * (1 / s.D)
        x = F.multiply(x, (variance + 1e-5) ** -0.5)
        return F.add(F.multiply(x, p[f"{name}.weight"]), p[f"{name}.bias"])

    def loss(p: Any, x: Any, y: Any) -> Any:
        x = F.leaf(x.reshape(-1, s.D))
        qkv = F.add(F.matmul(x, p["self_attn.in_proj_weight"]), p["self_attn.in_proj_bias"])
        qkv = F.reshape(qkv, (s.B, s.T, 3, s.heads, size))
        q, k, v = (F.transpose(qkv[:, :, i], (0, 2, 1, 3)) for i in range(3))
        scores = F.batch_matmul(q, F.transpose(k, (0, 1, 3, 2))) * size**-0.5
        attended = F.transpose(F.batch_matmul(F.softmax(scores), v), (0, 2, 1, 3))
        x = norm(p, "norm1", F.add(x, linear(p, "self_attn.out_proj", attended)))
        inner = linear(p, "linear2", F.relu(linear(p, "linear1", x)))
        return F.mse(norm(p, "norm2", F.add(x, inner)), y.reshape(-1, s.D))

    return loss
