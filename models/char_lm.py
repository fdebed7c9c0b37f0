"""A recurrent language model over characters (or words): Embedding → RNN/LSTM/GRU → softmax.

Graves, "Generating sequences with recurrent neural networks" (2013); Karpathy, "The unreasonable
effectiveness of recurrent neural networks" (2015).
"""

from __future__ import annotations

from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError
from models.modes import inference

LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}


class CharLM(nn.Module):
    """p(next symbol | all symbols so far).

    Shapes: ids (T, B) → logits (T, B, vocab_size), and the recurrent state after the last step,
    which continues the text when handed back in.

    Args:
        vocab_size: number of symbols.
        embedding_size: length of a symbol's vector.
        hidden_size, num_layers, kind: of the recurrent layer, `kind` being "rnn", "lstm" or "gru".
        dropout: on the vectors, between the layers and before the softmax.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        embedding_size: int = 64,
        hidden_size: int = 128,
        num_layers: int = 2,
        kind: str = "lstm",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if kind not in LAYERS:
            raise ConfigError(f"CharLM: kind is one of {sorted(LAYERS)}, got {kind!r}")
        self.embedding = nn.Embedding(vocab_size, embedding_size)
        between = dropout if num_layers > 1 else 0.0
        self.rnn = LAYERS[kind](embedding_size, hidden_size, num_layers, dropout=between)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, ids: Any, state: Any = None) -> tuple[mg.Tensor, Any]:
        hidden, state = self.rnn(self.dropout(self.embedding(ids)), state)
        return self.head(self.dropout(hidden)), state

    def generate(
        self,
        prompt: np.ndarray,
        length: int,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """`length` more symbols after the ids of `prompt`, drawn one at a time.

        Args:
            prompt: ids to read first, at least one.
            length: how many to write.
            seed: of the draw.
            temperature: the logits are divided by it: below 1 plays safe, above 1 takes risks, 0
                always takes the most likely symbol.
            top_k: choose among the k most likely symbols only.
        """
        if len(prompt) == 0:
            raise ConfigError("generate: the prompt needs at least one symbol")
        if temperature < 0 or (top_k is not None and top_k < 1):
            raise ConfigError("generate: needs temperature ≥ 0 and top_k ≥ 1")
        rng = np.random.default_rng(seed)
        drawn: list[int] = []
        state, ids = None, np.asarray(prompt, dtype=np.int64).reshape(-1, 1)
        with inference(self):
            for _ in range(length):
                logits, state = self(ids, state)
                drawn.append(choose(logits[-1, 0].numpy(), temperature, top_k, rng))
                ids = np.array([[drawn[-1]]])
        return np.array(drawn, dtype=np.int64)


def choose(
    logits: np.ndarray, temperature: float, top_k: int | None, rng: np.random.Generator
) -> int:
    """Draw an index from softmax(logits / temperature), among the `top_k` largest."""
    if temperature == 0:
        return int(np.argmax(logits))
    scores = logits.astype(np.float64) / temperature
    if top_k is not None:
        scores[np.argsort(-scores, kind="stable")[top_k:]] = -np.inf
    p = np.exp(scores - scores.max())
    return int(rng.choice(len(p), p=p / p.sum()))
