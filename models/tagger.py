"""A sequence tagger: word and character features → BiLSTM → one tag per word.

Plank et al., "Multilingual part-of-speech tagging with bidirectional LSTMs and auxiliary loss"
(2016); Huang et al., "Bidirectional LSTM-CRF models for sequence tagging" (2015).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

import minigrad as mg
from minigrad import nn
from models.modes import inference


class TaggerBatch(NamedTuple):
    """Sentences of different lengths, side by side; every word's spelling once.

    Shapes: words (T, B) ids; lengths (B,); spelling (C, U) character ids of the U distinct words;
    spelling_lengths (U,); which (T, B): the position of each word in `spelling`; tags (T, B),
    -100 after a sentence's end.
    """

    words: np.ndarray
    lengths: np.ndarray
    spelling: np.ndarray
    spelling_lengths: np.ndarray
    which: np.ndarray
    tags: np.ndarray


class Tagger(nn.Module):
    """p(tag | the whole sentence) for each word.

    A word is its vector, learned from scratch, next to the two final states of a BiLSTM that reads
    its characters: so a word never seen before still has a shape.

    Args:
        num_words, num_chars, num_tags: sizes of the vocabularies; id 0 is padding.
        char_hidden: states of the character LSTM in each direction; 0 leaves the characters out.
    """

    def __init__(
        self,
        num_words: int,
        num_chars: int,
        num_tags: int,
        *,
        word_size: int = 100,
        char_size: int = 32,
        char_hidden: int = 50,
        hidden_size: int = 128,
        num_layers: int = 1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.word_embedding = nn.Embedding(num_words, word_size, padding_idx=0)
        self.char_hidden = char_hidden
        if char_hidden:
            self.char_embedding = nn.Embedding(num_chars, char_size, padding_idx=0)
            self.char_lstm = nn.LSTM(char_size, char_hidden, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(
            word_size + 2 * char_hidden,
            hidden_size,
            num_layers,
            bidirectional=True,
            dropout=dropout if num_layers > 1 else 0.0,
        )
        self.head = nn.Linear(2 * hidden_size, num_tags)

    def forward(self, batch: TaggerBatch) -> mg.Tensor:
        """The logits (T, B, num_tags)."""
        features = self.word_embedding(batch.words)
        if self.char_hidden:
            shapes = self.shape_of_words(batch.spelling, batch.spelling_lengths)
            which = mg.asarray(batch.which, device=shapes.device)
            features = mg.concat([features, mg.embedding(shapes, which)], axis=-1)
        hidden, _ = self.lstm(self.dropout(features), lengths=batch.lengths)
        return self.head(self.dropout(hidden))

    def shape_of_words(self, spelling: np.ndarray, lengths: np.ndarray) -> mg.Tensor:
        """One vector (U, 2 · char_hidden) per spelling: the BiLSTM's final states."""
        _, (last, _) = self.char_lstm(self.char_embedding(spelling), lengths=lengths)
        return mg.concat([last[0], last[1]], axis=-1)

    def predict(self, batch: TaggerBatch) -> np.ndarray:
        """The most likely tags (T, B), -100 after a sentence's end."""
        with inference(self):
            best = np.argmax(self(batch).numpy(), axis=-1)
        inside = np.arange(len(best))[:, None] < np.asarray(batch.lengths)[None]
        return np.where(inside, best, -100)
