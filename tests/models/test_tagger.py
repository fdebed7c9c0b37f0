import numpy as np
import pytest

import minigrad as mg
from minigrad import data
from models.tagger import Tagger, TaggerBatch

SPELLING = {w: np.random.default_rng(w).integers(1, 7, 1 + w % 5) for w in range(1, 12)}
SENTENCES = [np.array(s) for s in ([3, 5, 3, 8, 2, 9, 11], [4], [1, 2], [7, 7, 10, 6])]


def batch_of(sentences):
    order = {}
    which = [np.array([order.setdefault(int(w), len(order)) for w in s]) for s in sentences]
    words, lengths = data.pad(sentences)
    spelling, spelling_lengths = data.pad([SPELLING[w] for w in order])
    tags, _ = data.pad([s % 4 for s in sentences], value=-100)
    return TaggerBatch(words, lengths, spelling, spelling_lengths, data.pad(which).data, tags)


def small(**options):
    mg.manual_seed(1)
    sizes = {"word_size": 5, "char_size": 3, "char_hidden": 4, "hidden_size": 6, "dropout": 0.5}
    return Tagger(12, 7, 4, **{**sizes, **options}).to("float64")


@pytest.mark.parametrize("char_hidden", [0, 4])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_shapes_and_gradients(char_hidden, num_layers):
    model = small(char_hidden=char_hidden, num_layers=num_layers)
    batch = batch_of(SENTENCES)
    logits = model(batch)
    assert logits.shape == (7, 4, 4)
    mg.cross_entropy(logits, batch.tags).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("char_hidden", [0, 4])
def test_a_sentences_tags_do_not_depend_on_its_batch(char_hidden):
    model = small(char_hidden=char_hidden, num_layers=2).eval()
    together = model(batch_of(SENTENCES)).numpy()
    turned = model(batch_of(SENTENCES[::-1])).numpy()
    for b, sentence in enumerate(SENTENCES):
        n = len(sentence)
        alone = model(batch_of([sentence])).numpy()[:, 0]
        assert np.allclose(together[:n, b], alone, atol=1e-12)
        assert np.allclose(turned[:n, -1 - b], alone, atol=1e-12)


def test_padding_does_not_reach_the_gradient():
    model = small(dropout=0.0)

    def gradients(sentences):
        model.zero_grad()
        batch = batch_of(sentences)
        mg.cross_entropy(model(batch), batch.tags, reduction="sum").backward()
        return {name: dense(p.grad) for name, p in model.named_parameters()}

    def dense(grad):
        return np.asarray(grad.to_dense() if hasattr(grad, "to_dense") else grad)

    parts = [gradients([s]) for s in SENTENCES]
    for name, whole in gradients(SENTENCES).items():
        assert np.allclose(whole, sum(part[name] for part in parts), atol=1e-10), name


def test_the_spelling_tells_words_of_one_vector_apart():
    model = small().eval()
    batch = batch_of([np.array([3])])
    other = batch._replace(spelling=batch.spelling[::-1] % 6 + 1)
    assert not np.allclose(model(batch).numpy(), model(other).numpy())


def test_predictions_are_the_most_likely_tags_in_eval_mode():
    model = small(dropout=0.9)
    batch = batch_of(SENTENCES)
    predicted = model.predict(batch)
    assert model.training
    assert np.array_equal(predicted == -100, batch.tags == -100)
    best = model.eval()(batch).numpy().argmax(axis=-1)
    assert np.array_equal(predicted[batch.tags != -100], best[batch.tags != -100])
