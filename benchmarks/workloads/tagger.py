"""Embedding → BiLSTM over sentences of different lengths → one tag per word (W3)."""

from __future__ import annotations

from types import SimpleNamespace as Size
from typing import Any

import numpy as np

from . import Batch, linear, recurrent

axes = (1, 0, 1)
names = ("words", "lengths", "tags")
IGNORED = -100


def shapes(s: Size) -> dict[str, tuple[int, ...]]:
    """The weights."""
    return dict([
        ("word_embedding.weight", (s.V, s.E)),
        *recurrent("lstm", 4, s.E, s.H, "_l0", "_l0_reverse"),
        *linear("head", 2 * s.H, s.C),
    ])  # fmt: skip


def batch(s: Size, rng: Any) -> Batch:
    """Words (T, B) with zeros after a sentence's end, lengths (B,) in any order, tags."""
    lengths = rng.integers(s.shortest, s.T + 1, s.B)
    lengths[0] = s.T
    inside = np.arange(s.T)[:, None] < lengths
    words = np.where(inside, rng.integers(1, s.V, (s.T, s.B)), 0)
    return words, lengths, np.where(inside, rng.integers(0, s.C, (s.T, s.B)), IGNORED)


def by_length(batch: Batch) -> Batch:
    """From long to short, for those who want it so: the same loss, the same gradients."""
    order = np.argsort(-batch[1], kind="stable")
    return tuple(np.ascontiguousarray(array[..., order]) for array in batch)


def shares(words: Any, lengths: Any, tags: Any) -> Any:
    """What a piece of a split batch counts in the mean over all words."""
    return (tags != IGNORED).astype("float32").sum()


def in_minigrad(s: Size) -> Any:
    """The model that the example trains, without its characters."""
    from minigrad.nn.functional import cross_entropy
    from models.tagger import Tagger, TaggerBatch

    sizes = {"word_size": s.E, "char_hidden": 0, "hidden_size": s.H, "dropout": 0.0}
    model = Tagger(s.V, 0, s.C, **sizes)

    def loss(model: Any, words: Any, lengths: Any, tags: Any) -> Any:
        none: Any = None  # no spelling
        logits = model(TaggerBatch(words, lengths, none, none, none, tags))
        return cross_entropy(logits.reshape((-1, s.C)), tags.reshape((-1,)), ignore_index=IGNORED)

    return model, loss


def in_torch(s: Size) -> Any:
    """The same in PyTorch, whose way to lengths is packing."""
    from torch import nn
    from torch.nn.utils import rnn

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.word_embedding = nn.Embedding(s.V, s.E, padding_idx=0)
            self.lstm = nn.LSTM(s.E, s.H, bidirectional=True)
            self.head = nn.Linear(2 * s.H, s.C)

        def forward(self, words: Any, lengths: Any) -> Any:
            packed = rnn.pack_padded_sequence(self.word_embedding(words), lengths)
            return self.head(rnn.pad_packed_sequence(self.lstm(packed)[0])[0])

    def loss(model: Any, words: Any, lengths: Any, tags: Any) -> Any:
        logits = model(words, lengths).view(-1, s.C)
        return nn.functional.cross_entropy(logits, tags.view(-1), ignore_index=IGNORED)

    return Model(), loss


def in_jax(s: Size) -> Any:
    """The same in JAX, whose shapes are fixed: padded, with a mask."""
    import jax.numpy as jnp

    from benchmarks.frameworks.jax import cross_entropy, linear, lstm

    def loss(p: Any, words: Any, lengths: Any, tags: Any) -> Any:
        x = p["word_embedding.weight"][words]
        inside = jnp.arange(s.T)[:, None] < lengths
        both = [lstm(p, "lstm", x, "_l0"), lstm(p, "lstm", x, "_l0_reverse", inside=inside)]
        logits = linear(p, "head", jnp.concatenate(both, -1))
        return cross_entropy(logits, tags, weights=inside)

    return loss


def in_plain(F: Any, s: Size) -> Any:
    """The same op by op, the head on the steps inside a sentence."""

    def loss(p: Any, words: Any, lengths: Any, tags: Any) -> Any:
        steps = [F.take(p["word_embedding.weight"], ids) for ids in words]
        forward = F.lstm(p, "lstm", "_l0", steps, lengths=lengths)
        back = F.lstm(p, "lstm", "_l0_reverse", steps, lengths=lengths)
        count = [int((lengths > t).sum()) for t in range(s.T)]  # sorted: a prefix of the batch
        parts = []
        for t, n in enumerate(count):
            h = F.concat([forward[t][:n], back[t][:n]])
            parts.append(F.cross_entropy(F.linear(p, "head", h), tags[t, :n]) * (n / sum(count)))
        return F.total(parts)

    return loss
