"""Beam search, over anything that predicts one word after the other.

Graves, "Sequence transduction with recurrent neural networks" (2012), section 2.3;
Sutskever et al., "Sequence to sequence learning with neural networks" (2014), section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minigrad.errors import ConfigError

NEVER = -1e9  # a score that no beam survives

# step(words (N,), rows (N,)) → log probabilities (N, V) of what follows. Beam i wrote words[i] last
# and goes on from the state of beam rows[i] after the step before. N is sentences × beams.
Step = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Path(NamedTuple):
    """A finished sentence: its ids without marks, the beam that wrote each of them, its score."""

    ids: list[int]
    rows: np.ndarray  # as many as ids
    score: float


def beam_search(
    step: Step,
    sentences: int,
    *,
    beam: int,
    bos: int,
    eos: int,
    max_length: int,
    forbidden: Sequence[int] = (),
) -> list[Path]:
    """The best sentence found for each of `sentences` inputs.

    The `beam` beginnings of highest probability are kept; 1 takes the best word each time. At the
    end the sentence of highest score is taken: log probability per word, the end mark included.
    A sentence has at most `max_length` words, the end mark included; ids in `forbidden` are never
    written.
    """
    if beam < 1 or max_length < 1:
        raise ConfigError(
            f"beam_search: beam and max_length are at least 1, got {beam} and {max_length}"
        )
    first = np.arange(sentences)[:, None] * beam  # beams of a sentence lie side by side
    words, rows = np.full(sentences * beam, bos), np.arange(sentences * beam)
    scores = np.full((sentences, beam), NEVER)
    scores[:, 0] = 0.0  # all beams begin alike: only one of them counts
    lengths = np.zeros((sentences, beam), dtype=np.int64)
    done = np.zeros((sentences, beam), dtype=bool)
    written: list[tuple[np.ndarray, np.ndarray]] = []
    for _ in range(max_length):
        log_p = step(words, rows).astype(np.float64).reshape(sentences, beam, -1)
        log_p[:, :, list(forbidden)] = NEVER
        log_p[done] = NEVER  # a finished sentence goes on as itself, for nothing
        log_p[done, eos] = 0.0
        total = (scores[:, :, None] + log_p).reshape(sentences, -1)
        best = np.argsort(-total, axis=1, kind="stable")[:, :beam]
        parent, word = np.divmod(best, log_p.shape[-1])
        scores = np.take_along_axis(total, best, axis=1)
        lengths = np.take_along_axis(lengths + ~done, parent, axis=1)
        done = np.take_along_axis(done, parent, axis=1) | (word == eos)
        words, rows = word.reshape(-1), (first + parent).reshape(-1)
        written.append((words, rows))
        if done.all():
            break
    per_word = scores / lengths
    chosen = per_word.argmax(axis=1)
    return [
        _trace(written, i * beam + int(b), eos, float(per_word[i, b])) for i, b in enumerate(chosen)
    ]


def _trace(written: list[tuple[np.ndarray, np.ndarray]], row: int, eos: int, score: float) -> Path:
    """Follow a beam back from its end."""
    ids, rows = [], []
    for words, parents in reversed(written):
        ids.append(int(words[row]))
        row = int(parents[row])
        rows.append(row)
    ids, rows = ids[::-1], rows[::-1]
    end = ids.index(eos) if eos in ids else len(ids)
    return Path(ids[:end], np.array(rows[:end], dtype=np.int64), score)
