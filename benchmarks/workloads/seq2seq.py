"""A GRU reads a sentence, an LSTM with additive attention writes another (W4)."""

from __future__ import annotations

from types import SimpleNamespace as Size
from typing import Any

from . import Batch, linear, recurrent

axes = (1, 1, 1)


def shapes(s: Size) -> dict[str, tuple[int, ...]]:
    """The weights."""
    return dict([
        ("source_embedding.weight", (s.V, s.E)),
        ("target_embedding.weight", (s.V, s.E)),
        *recurrent("encoder", 3, s.E, s.H, "_l0"),
        *linear("attention.query_layer", s.H, s.H, bias=False),
        *linear("attention.memory_layer", s.H, s.H, bias=False),
        ("attention.v", (s.H,)),
        *recurrent("cell", 4, s.E + s.H, s.H, ""),
        *linear("head", 2 * s.H, s.V),
    ])  # fmt: skip


def batch(s: Size, rng: Any) -> Batch:
    """Source (S, B), target (T, B), and the target one word later."""
    source, target = (rng.integers(0, s.V, (n, s.B)) for n in (s.S, s.T + 1))
    return source, target[:-1].copy(), target[1:].copy()


def in_minigrad(s: Size) -> Any:
    """As one writes it with layers."""
    import minigrad as mg
    from minigrad import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source_embedding = nn.Embedding(s.V, s.E)
            self.target_embedding = nn.Embedding(s.V, s.E)
            self.encoder = nn.GRU(s.E, s.H)
            self.attention = nn.AdditiveAttention(s.H, s.H)
            self.cell = nn.LSTMCell(s.E + s.H, s.H)
            self.head = nn.Linear(2 * s.H, s.V)

        def forward(self, source: Any, target: Any) -> Any:
            states, last = self.encoder(self.source_embedding(source))
            memory = mg.permute_dims(states, (1, 0, 2))  # (B, S, H)
            keys = self.attention.project_keys(memory)
            words = self.target_embedding(target)
            h, c = last[0], mg.zeros_like(last[0])
            features = []
            for t in range(s.T):
                context, _ = self.attention(h, memory, keys=keys)
                h, c = self.cell(mg.concat([words[t], context], axis=-1), (h, c))
                features.append(mg.concat([h, context], axis=-1))
            return self.head(mg.stack(features))

    def loss(model: Any, source: Any, target: Any, after: Any) -> Any:
        logits = model(source, target)
        return nn.functional.cross_entropy(logits.reshape((-1, s.V)), after.reshape((-1,)))

    return Model(), loss


def in_torch(s: Size) -> Any:
    """The same in PyTorch."""
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query_layer = nn.Linear(s.H, s.H, bias=False)
            self.memory_layer = nn.Linear(s.H, s.H, bias=False)
            self.v = nn.Parameter(torch.zeros(s.H))

        def forward(self, query: Any, memory: Any, keys: Any) -> Any:
            scores = torch.tanh(keys + self.query_layer(query)[:, None]) @ self.v
            return torch.bmm(torch.softmax(scores, -1)[:, None], memory)[:, 0]

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.source_embedding = nn.Embedding(s.V, s.E)
            self.target_embedding = nn.Embedding(s.V, s.E)
            self.encoder = nn.GRU(s.E, s.H)
            self.attention = Attention()
            self.cell = nn.LSTMCell(s.E + s.H, s.H)
            self.head = nn.Linear(2 * s.H, s.V)

        def forward(self, source: Any, target: Any) -> Any:
            states, last = self.encoder(self.source_embedding(source))
            memory = states.transpose(0, 1)
            keys = self.attention.memory_layer(memory)
            words = self.target_embedding(target)
            h, c = last[0], torch.zeros_like(last[0])
            features = []
            for t in range(s.T):
                context = self.attention(h, memory, keys)
                h, c = self.cell(torch.cat([words[t], context], -1), (h, c))
                features.append(torch.cat([h, context], -1))
            return self.head(torch.stack(features))

    def loss(model: Any, source: Any, target: Any, after: Any) -> Any:
        return nn.functional.cross_entropy(model(source, target).view(-1, s.V), after.view(-1))

    return Model(), loss


def in_jax(s: Size) -> Any:
    """The same in JAX."""
    import jax
    import jax.numpy as jnp

    from benchmarks.frameworks.jax import cross_entropy, gru, linear, lstm_step

    def loss(p: Any, source: Any, target: Any, after: Any) -> Any:
        states = gru(p, "encoder", p["source_embedding.weight"][source], "_l0")
        memory = states.swapaxes(0, 1)
        keys = memory @ p["attention.memory_layer.weight"].T

        def step(state: Any, word: Any) -> Any:
            query = state[0] @ p["attention.query_layer.weight"].T
            scores = jnp.tanh(keys + query[:, None]) @ p["attention.v"]
            context = jnp.einsum("bs,bsh->bh", jax.nn.softmax(scores), memory)
            x = jnp.concatenate([word, context], -1) @ p["cell.weight_ih"].T
            h, c = lstm_step(x + p["cell.bias_ih"], *state, p["cell.weight_hh"], p["cell.bias_hh"])
            return (h, c), jnp.concatenate([h, context], -1)

        start = (states[-1], jnp.zeros_like(states[-1]))
        _, features = jax.lax.scan(step, start, p["target_embedding.weight"][target])
        return cross_entropy(linear(p, "head", features), after)

    return loss


def in_plain(F: Any, s: Size) -> Any:
    """The same op by op."""

    def loss(p: Any, source: Any, target: Any, after: Any) -> Any:
        steps = [F.take(p["source_embedding.weight"], ids) for ids in source]
        states = F.gru(p, "encoder", "_l0", steps)
        memory = F.stack(states)  # (B, S, H)
        keys = F.matmul(F.reshape(memory, (-1, s.H)), p["attention.memory_layer.weight"])
        keys = F.reshape(keys, (s.B, s.S, s.H))
        h, c, parts = states[-1], F.leaf(0 * F.data(states[-1])), []
        v, cell = F.reshape(p["attention.v"], (s.H, 1)), F.lstm_cell(p, "cell", "")
        for ids, next_ids in zip(target, after, strict=True):
            query = F.reshape(F.matmul(h, p["attention.query_layer.weight"]), (s.B, 1, s.H))
            scores = F.matmul(F.reshape(F.tanh(F.add(keys, query)), (-1, s.H)), v)
            weights = F.reshape(F.softmax(F.reshape(scores, (s.B, s.S))), (s.B, s.S, 1))
            context = F.sum(F.multiply(memory, weights), 1)
            word = F.take(p["target_embedding.weight"], ids)
            h, c = cell(F.concat([word, context]), h, c)
            logits = F.linear(p, "head", F.concat([h, context]))
            parts.append(F.cross_entropy(logits, next_ids))
        return F.mean(parts)

    return loss
