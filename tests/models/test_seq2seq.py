import numpy as np
import pytest

import minigrad as mg
from minigrad import data
from minigrad.errors import ConfigError
from models.seq2seq import Seq2Seq

PAD, BOS, EOS = 0, 1, 2
SOURCES = [np.array(s) for s in ([5, 3, 8, 4, 9, 2], [4, 2], [7, 6, 5, 2], [2])]


def small(*, attention=True, seed=0, **options):
    mg.manual_seed(seed)
    sizes = {"size": 5, "hidden_size": 6, "dropout": 0.4}
    model = Seq2Seq(10, 7, bos=BOS, eos=EOS, attention=attention, **{**sizes, **options})
    for p in model.decoder.head.parameters():  # sharper than at the start of training
        p.assign_(p.numpy() * 6)
    return model.to("float64")


both = pytest.mark.parametrize("attention", [True, False])


@both
def test_shapes_and_gradients(attention):
    model = small(attention=attention)
    source, lengths = data.pad(SOURCES)
    target, _ = data.pad([[BOS, 3, 4, EOS], [BOS, EOS], [BOS, 5, EOS], [BOS, 6, EOS]])
    logits, weights = model(source, lengths, target[:-1])
    assert logits.shape == (3, 4, 7)
    assert weights.shape == (3, 4, 6)
    mg.cross_entropy(logits, target[1:], ignore_index=PAD).backward()
    assert all(p.grad is not None for p in model.parameters())


@both
def test_the_decoder_looks_at_words_only(attention):
    source, lengths = data.pad(SOURCES)
    _, weights = small(attention=attention)(source, lengths, np.full((2, 4), BOS))
    found = weights.numpy()
    assert np.allclose(found.sum(axis=-1), 1.0)
    for b, n in enumerate(lengths):
        assert not found[:, b, n:].any()
        assert found[:, b, :n].all()
        if not attention:
            assert np.allclose(found[:, b, :n], 1 / n)


@both
def test_padding_does_not_reach_the_loss(attention):
    model = small(attention=attention).eval()
    targets = [[BOS, 3, 4, EOS], [BOS, EOS], [BOS, 5, EOS], [BOS, 6, 6, EOS]]

    def loss(sources, targets):
        source, lengths = data.pad(sources)
        target, _ = data.pad(targets)
        logits, _ = model(source, lengths, target[:-1])
        return mg.cross_entropy(logits, target[1:], ignore_index=PAD, reduction="sum").item()

    alone = sum(loss([s], [t]) for s, t in zip(SOURCES, targets, strict=True))
    assert loss(SOURCES, targets) == pytest.approx(alone, abs=1e-10)


@both
@pytest.mark.parametrize("beam", [1, 3])
def test_a_translation_does_not_depend_on_its_batch(attention, beam):
    model = small(attention=attention)
    together = model.translate(*data.pad(SOURCES), beam=beam, max_length=8)
    for source, found in zip(SOURCES, together, strict=True):
        (alone,) = model.translate(*data.pad([source]), beam=beam, max_length=8)
        assert found.ids == alone.ids
        assert found.score == pytest.approx(alone.score, abs=1e-10)
        assert found.weights.shape == (len(found.ids), len(source))
        assert np.allclose(found.weights, alone.weights, atol=1e-10)


def greedy(model, source, max_length):
    """Word by word, each time from the beginning, with the forward pass of training."""
    ids = [BOS]
    with mg.no_grad():
        while len(ids) <= max_length and ids[-1] != EOS:
            logits, weights = model(
                source[:, None], np.array([len(source)]), np.array(ids)[:, None]
            )
            scores = logits.numpy()[-1, 0]
            scores[[PAD, BOS]] = -np.inf
            ids.append(int(scores.argmax()))
    words = ids[1:-1] if ids[-1] == EOS else ids[1:]
    return ids, words, weights.numpy()[: len(words), 0]


@both
@pytest.mark.parametrize("seed", range(3))
def test_beam_1_is_greedy(attention, seed):
    model = small(attention=attention, seed=seed).eval()
    for source, found in zip(
        SOURCES, model.translate(*data.pad(SOURCES), max_length=6), strict=True
    ):
        _, words, weights = greedy(model, source, 6)
        assert found.ids == words
        assert np.allclose(found.weights, weights, atol=1e-10)


@both
@pytest.mark.parametrize("beam", [1, 4])
def test_the_score_is_the_log_probability_per_word(attention, beam):
    model = small(attention=attention).eval()
    found = model.translate(*data.pad(SOURCES), beam=beam, max_length=6)
    for source, translation in zip(SOURCES, found, strict=True):
        ids = translation.ids if len(translation.ids) == 6 else [*translation.ids, EOS]
        target = np.array([BOS, *ids])[:, None]
        logits, _ = model(source[:, None], np.array([len(source)]), target[:-1])
        expected = -mg.cross_entropy(logits, target[1:]).item()
        assert translation.score == pytest.approx(expected, abs=1e-9)


def test_a_beam_finds_likelier_sentences_than_greedy_on_average():
    rng = np.random.default_rng(0)
    source, lengths = data.pad([rng.integers(3, 10, rng.integers(1, 8)) for _ in range(60)])
    model = small()
    means = [
        np.mean([t.score for t in model.translate(source, lengths, beam=beam, max_length=8)])
        for beam in (1, 5)
    ]
    assert means[0] < means[1]


def test_translating_leaves_the_model_as_it_was():
    model = small()
    state = mg.get_rng_state()
    first = model.translate(*data.pad(SOURCES), beam=2)
    assert model.training
    assert mg.get_rng_state() == state
    assert [t.ids for t in first] == [
        t.ids for t in model.eval().translate(*data.pad(SOURCES), beam=2)
    ]
    assert not {PAD, BOS, EOS} & {word for t in first for word in t.ids}
    assert all(len(t.ids) <= 20 for t in first)


def test_a_beam_of_nothing():
    with pytest.raises(ConfigError, match="beam and max_length are at least 1"):
        small().translate(*data.pad(SOURCES), beam=0)
