"""Embedding → LSTM → softmax over the next symbol: of characters (W1) and of words (W2)."""

from __future__ import annotations

from types import SimpleNamespace as Size
from typing import Any

from . import Batch, linear, recurrent

axes = (1, 1)  # of a batch (T, B)


def shapes(s: Size) -> dict[str, tuple[int, ...]]:
    """The weights."""
    layers = [
        pair
        for layer in range(s.L)
        for pair in recurrent("rnn", 4, s.H if layer else s.E, s.H, f"_l{layer}")
    ]
    return dict([("embedding.weight", (s.V, s.E)), *layers, *linear("head", s.H, s.V)])


def batch(s: Size, rng: Any) -> Batch:
    """A text, and the same one symbol later: (T, B)."""
    ids = rng.integers(0, s.V, (s.T + 1, s.B))
    return ids[:-1].copy(), ids[1:].copy()


def in_minigrad(s: Size) -> Any:
    """The model that the example trains."""
    from minigrad.nn.functional import cross_entropy
    from models.char_lm import CharLM

    model = CharLM(s.V, embedding_size=s.E, hidden_size=s.H, num_layers=s.L)

    def loss(model: Any, x: Any, y: Any) -> Any:
        logits, _ = model(x)
        return cross_entropy(logits.reshape((-1, s.V)), y.reshape((-1,)))

    return model, loss


def in_torch(s: Size) -> Any:
    """The same in PyTorch."""
    from torch import nn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(s.V, s.E)
            self.rnn = nn.LSTM(s.E, s.H, s.L)
            self.head = nn.Linear(s.H, s.V)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(self.embedding(x))[0])

    def loss(model: Any, x: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(model(x).view(-1, s.V), y.view(-1))

    return Model(), loss


def in_jax(s: Size) -> Any:
    """The same in JAX."""
    from benchmarks.frameworks.jax import cross_entropy, linear, lstm

    def loss(p: Any, x: Any, y: Any) -> Any:
        h = p["embedding.weight"][x]
        for layer in range(s.L):
            h = lstm(p, "rnn", h, f"_l{layer}")
        return cross_entropy(linear(p, "head", h), y)

    return loss


def in_plain(F: Any, s: Size) -> Any:
    """The same op by op."""

    def loss(p: Any, x: Any, y: Any) -> Any:
        steps = [F.take(p["embedding.weight"], ids) for ids in x]
        for layer in range(s.L):
            steps = F.lstm(p, "rnn", f"_l{layer}", steps)
        parts = [
            F.cross_entropy(F.linear(p, "head", h), ids) for h, ids in zip(steps, y, strict=True)
        ]
        return F.mean(parts)

    return loss
