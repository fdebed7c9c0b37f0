"""Translation: an encoder reads a sentence, a decoder with attention writes another.

Bahdanau et al., "Neural machine translation by jointly learning to align and translate" (2015);
without attention: Cho et al., "Learning phrase representations using RNN encoder–decoder" (2014).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import minigrad as mg
from minigrad import nn
from models.beam import beam_search
from models.modes import inference


class Memory(NamedTuple):
    """What the decoder reads: encoder states (B, S, 2H), their projection, and where to look."""

    states: mg.Tensor
    keys: mg.Tensor | None
    mask: mg.Tensor  # (B, S), True where there is a word


class Encoder(nn.Module):
    """Embedding → bidirectional GRU.

    Shapes: source (S, B) ids, lengths (B,) → states (B, S, 2 · hidden_size), and a first decoder
    state (B, hidden_size) made of the final states of both directions.
    """

    def __init__(self, vocab_size: int, *, size: int, hidden_size: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, size, padding_idx=0)
        self.dropout = nn.Dropout(dropout)
        self.gru = nn.GRU(size, hidden_size, bidirectional=True)
        self.bridge = nn.Linear(2 * hidden_size, hidden_size, activation="tanh")

    def forward(self, source: np.ndarray, lengths: np.ndarray) -> tuple[mg.Tensor, mg.Tensor]:
        vectors = self.dropout(self.embedding(source))
        states, last = self.gru(vectors, lengths=lengths)
        first = self.bridge(mg.concat([last[0], last[1]], axis=-1))
        return mg.permute_dims(states, (1, 0, 2)), first


class Decoder(nn.Module):
    """One step: attend to the source, update the state, predict a word.

    c_t = attention(h_{t-1}, memory); h_t = GRU([e(w_{t-1}); c_t], h_{t-1});
    p(w_t) = softmax(W [h_t; c_t; e(w_{t-1})]).

    Without attention c_t is always the mean of the encoder's states.
    """

    def __init__(
        self, vocab_size: int, *, size: int, hidden_size: int, dropout: float, attention: bool
    ) -> None:
        super().__init__()
        memory_size = 2 * hidden_size
        self.embedding = nn.Embedding(vocab_size, size, padding_idx=0)
        self.attention = (
            nn.AdditiveAttention(hidden_size, memory_size, hidden_size) if attention else None
        )
        self.cell = nn.GRUCell(size + memory_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(hidden_size + memory_size + size, vocab_size)

    def read(self, states: mg.Tensor, lengths: np.ndarray) -> Memory:
        """Prepare the encoder's states for all steps."""
        mask = nn.lengths_to_mask(lengths, states.shape[1], device=states.device)
        keys = None if self.attention is None else self.attention.project_keys(states)
        return Memory(states, keys, mask)

    def forward(
        self, word: mg.Tensor, state: mg.Tensor, memory: Memory
    ) -> tuple[mg.Tensor, mg.Tensor, mg.Tensor]:
        """vectors of the last words (B, size), state (B, H) → features, state, weights (B, S)."""
        if self.attention is not None:
            context, weights = self.attention(
                state, memory.states, keys=memory.keys, mask=memory.mask
            )
        else:
            inside = memory.mask.astype(state.dtype)
            weights = inside / inside.sum(axis=-1, keepdims=True)
            context = (mg.expand_dims(weights, -1) * memory.states).sum(axis=1)
        state = self.cell(mg.concat([word, context], axis=-1), state)
        return mg.concat([state, context, word], axis=-1), state, weights


class Translation(NamedTuple):
    """Ids without marks, the attention weights (words written, words read), and the score."""

    ids: list[int]
    weights: np.ndarray
    score: float


class Seq2Seq(nn.Module):
    """p(target sentence | source sentence).

    Args:
        source_size, target_size: sizes of the vocabularies; id 0 is padding.
        bos, eos: ids of the target's begin and end marks.
        attention: look at every source word anew at each step (True), or at their mean (False).
    """

    def __init__(
        self,
        source_size: int,
        target_size: int,
        *,
        bos: int,
        eos: int,
        size: int = 128,
        hidden_size: int = 128,
        dropout: float = 0.2,
        attention: bool = True,
    ) -> None:
        super().__init__()
        self.bos, self.eos = bos, eos
        self.encoder = Encoder(source_size, size=size, hidden_size=hidden_size, dropout=dropout)
        self.decoder = Decoder(
            target_size, size=size, hidden_size=hidden_size, dropout=dropout, attention=attention
        )

    def forward(
        self, source: np.ndarray, lengths: np.ndarray, target: np.ndarray
    ) -> tuple[mg.Tensor, mg.Tensor]:
        """Teacher forcing: target (T, B) begins with `bos`.

        Returns logits (T, B, target_size) for the words after each, and weights (T, B, S).
        """
        states, state = self.encoder(source, lengths)
        memory = self.decoder.read(states, lengths)
        words = self.decoder.dropout(self.decoder.embedding(target))
        features, weights = [], []
        for t in range(len(target)):
            feature, state, weight = self.decoder(words[t], state, memory)
            features.append(feature)
            weights.append(weight)
        logits = self.decoder.head(self.decoder.dropout(mg.stack(features)))
        return logits, mg.stack(weights)

    def translate(
        self, source: np.ndarray, lengths: np.ndarray, *, beam: int = 1, max_length: int = 20
    ) -> list[Translation]:
        """Search for a likely translation of each sentence; `beam=1` takes the best word each time.

        The `beam` best beginnings are kept; the score of a sentence is its log probability per
        word, the end mark included. See `models.beam`.
        """
        with inference(self):
            states, state = self.encoder(source, lengths)
            memory = self.decoder.read(states, lengths)
            # Each sentence as often as it has beams
            each = mg.asarray(np.repeat(np.arange(len(lengths)), beam), device=states.device)
            state = state[each]
            memory = Memory(*(None if part is None else part[each] for part in memory))
            looks = []

            def step(words: np.ndarray, rows: np.ndarray) -> np.ndarray:
                nonlocal state
                before = state[mg.asarray(rows, device=state.device)]
                vectors = self.decoder.embedding(words)
                feature, state, weights = self.decoder(vectors, before, memory)
                looks.append(weights.numpy())
                return mg.log_softmax(self.decoder.head(feature)).numpy()

            paths = beam_search(
                step,
                len(lengths),
                beam=beam,
                bos=self.bos,
                eos=self.eos,
                max_length=max_length,
                forbidden=(0, self.bos),  # padding and the begin mark are never written
            )
        weights = np.stack(looks)  # (T, sentences · beam, S)
        return [
            Translation(p.ids, weights[np.arange(len(p.rows)), p.rows, :length], p.score)
            for p, length in zip(paths, lengths, strict=True)
        ]
