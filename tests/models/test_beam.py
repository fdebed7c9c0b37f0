"""Beam search against every sentence there is, and against a plain one on lists."""

import itertools

import numpy as np
import pytest

from minigrad.errors import ConfigError
from models.beam import beam_search

BOS, EOS = 1, 2


class Table:
    """Log probabilities that depend on all words so far: a sentence's beginning is its state."""

    def __init__(self, seed, sentences, vocabulary):
        self.seed, self.vocabulary = seed, vocabulary
        self.sentences = sentences
        self.prefixes = None

    def log_p(self, sentence, prefix):
        logits = np.random.default_rng([self.seed, sentence, *prefix]).normal(
            scale=2, size=self.vocabulary
        )
        return logits - np.log(np.exp(logits).sum())

    def step(self, words, rows):
        beam = len(words) // self.sentences
        if self.prefixes is None:
            self.prefixes = [()] * len(words)
        else:
            self.prefixes = [
                (*self.prefixes[row], int(word)) for row, word in zip(rows, words, strict=True)
            ]
        return np.stack([self.log_p(i // beam, p) for i, p in enumerate(self.prefixes)])

    def score(self, sentence, ids):
        """Log probability per word."""
        total = sum(self.log_p(sentence, ids[:t])[word] for t, word in enumerate(ids))
        return total / len(ids)


def all_sentences(vocabulary, max_length, forbidden=()):
    """Every sentence that ends with EOS, or is as long as allowed without it."""
    words = [w for w in range(vocabulary) if w != EOS and w not in forbidden]
    for length in range(max_length):
        for ids in itertools.product(words, repeat=length):
            yield (*ids, EOS)
    yield from itertools.product(words, repeat=max_length)


def plain_search(table, sentence, beam, max_length):
    """The same search for one sentence, with lists of (total, ids)."""
    beams = [(0.0, ())]
    for _ in range(max_length):
        longer = []
        for total, ids in beams:
            if ids and ids[-1] == EOS:
                longer.append((total, ids))
                continue
            log_p = table.log_p(sentence, ids)
            longer += [(total + log_p[w], (*ids, w)) for w in range(table.vocabulary)]
        beams = sorted(longer, key=lambda b: -b[0])[:beam]
        if all(ids[-1] == EOS for _, ids in beams):
            break
    return max(((total / len(ids), ids) for total, ids in beams), key=lambda b: b[0])


def search(table, beam, max_length, **options):
    return beam_search(
        table.step, table.sentences, beam=beam, bos=BOS, eos=EOS, max_length=max_length, **options
    )


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("forbidden", [(), (0, BOS)])
def test_a_wide_beam_finds_the_best_of_all_sentences(seed, forbidden):
    table = Table(seed, sentences=3, vocabulary=4)
    paths = search(table, beam=4**3, max_length=3, forbidden=forbidden)
    for sentence, path in enumerate(paths):
        best = max(all_sentences(4, 3, forbidden), key=lambda ids: table.score(sentence, ids))
        assert path.ids == [w for w in best if w != EOS]
        assert path.score == pytest.approx(table.score(sentence, best))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("beam", [1, 2, 3, 7])
def test_a_narrow_beam_is_the_plain_search(seed, beam):
    table = Table(seed, sentences=2, vocabulary=5)
    for sentence, path in enumerate(search(table, beam, max_length=6)):
        score, ids = plain_search(table, sentence, beam, 6)
        assert path.ids == [w for w in ids if w != EOS]
        assert path.score == pytest.approx(score)


def test_beam_1_takes_the_best_word_each_time():
    table = Table(3, sentences=4, vocabulary=6)
    for sentence, path in enumerate(search(table, 1, max_length=8)):
        ids = ()
        while len(ids) < 8 and EOS not in ids:
            ids = (*ids, int(table.log_p(sentence, ids).argmax()))
        assert path.ids == [w for w in ids if w != EOS]


def test_a_wider_beam_finds_likelier_sentences_on_average():
    means = [
        np.mean([p.score for p in search(Table(0, 60, 6), beam, max_length=8)])
        for beam in (1, 2, 5)
    ]
    assert means[0] < means[1] < means[2]


def test_the_rows_say_which_beam_wrote_each_word():
    table = Table(7, sentences=2, vocabulary=5)
    seen = []

    def step(words, rows):
        log_p = table.step(words, rows)
        seen.append(list(table.prefixes))
        return log_p

    paths = beam_search(step, 2, beam=3, bos=BOS, eos=EOS, max_length=6)
    for path in paths:
        assert len(path.rows) == len(path.ids)
        for t, row in enumerate(path.rows):
            assert seen[t][row] == tuple(path.ids[:t])


def test_the_first_words_are_begin_marks_and_forbidden_ones_are_never_written():
    first = []

    def step(words, rows):
        first.append(words)
        return np.log(np.full((len(words), 4), 0.25))

    (path,) = beam_search(step, 1, beam=2, bos=BOS, eos=EOS, max_length=3, forbidden=(0, BOS, EOS))
    assert first[0].tolist() == [BOS, BOS]
    assert path.ids == [3, 3, 3]


@pytest.mark.parametrize("options", [{"beam": 0, "max_length": 3}, {"beam": 2, "max_length": 0}])
def test_options_without_a_meaning(options):
    with pytest.raises(ConfigError, match="at least 1"):
        search(Table(0, 1, 4), **options)
