import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.errors import ConfigError
from models.char_lm import LAYERS, CharLM, choose
from models.modes import inference


def small(**options):
    mg.manual_seed(0)
    return CharLM(9, **{"embedding_size": 5, "hidden_size": 6, **options})


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("num_layers", [1, 3])
def test_shapes_and_gradients(kind, num_layers):
    model = small(kind=kind, num_layers=num_layers, dropout=0.2)
    ids = np.arange(12).reshape(4, 3) % 9
    logits, _ = model(ids)
    assert logits.shape == (4, 3, 9)
    mg.cross_entropy(logits, ids).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.parametrize("kind", LAYERS)
def test_the_state_continues_the_text(kind):
    model = small(kind=kind).to("float64").eval()
    ids = np.random.default_rng(0).integers(0, 9, (7, 2))
    whole, last = model(ids)
    first, state = model(ids[:3])
    second, end = model(ids[3:], state)
    assert np.allclose(mg.concat([first, second]).numpy(), whole.numpy(), atol=1e-12)
    for a, b in zip(*([s] if kind != "lstm" else s for s in (end, last)), strict=True):
        assert np.allclose(a.numpy(), b.numpy(), atol=1e-12)


def test_sequences_do_not_see_each_other():
    model = small().to("float64").eval()
    ids = np.random.default_rng(0).integers(0, 9, (7, 4))
    together, _ = model(ids)
    for b in range(4):
        alone, _ = model(ids[:, b : b + 1])
        assert np.allclose(alone.numpy()[:, 0], together.numpy()[:, b], atol=1e-12)


def test_an_unknown_kind():
    with pytest.raises(ConfigError, match=r"one of \['gru', 'lstm', 'rnn'\], got 'mlp'"):
        small(kind="mlp")


# -- writing ---------------------------------------------------------------------------------------


def test_equal_seeds_write_equal_texts_and_others_do_not():
    model = small()
    texts = [model.generate([1, 2], 30, seed=seed).tolist() for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0]) == 30
    assert set(texts[0]) <= set(range(9))


def test_writing_is_in_eval_mode_and_leaves_everything_as_it_was():
    model = small(dropout=0.9)
    state = mg.get_rng_state()
    first = model.generate([1], 20, seed=3)
    assert model.training
    assert mg.is_grad_enabled()
    assert mg.get_rng_state() == state  # training goes on as if nothing had been written
    assert first.tolist() == model.eval().generate([1], 20, seed=3).tolist()
    assert not model.training


def test_temperature_0_is_the_most_likely_symbol_each_time():
    model = small().eval()
    ids = [4, 2]
    with inference(model):
        for _ in range(12):
            logits, _ = model(np.array(ids)[:, None])
            ids.append(int(logits.numpy()[-1, 0].argmax()))
    for seed in (0, 1):
        assert model.generate([4, 2], 12, temperature=0, seed=seed).tolist() == ids[2:]
        assert model.generate([4, 2], 12, temperature=1e-6, seed=seed).tolist() == ids[2:]
        assert model.generate([4, 2], 12, top_k=1, seed=seed).tolist() == ids[2:]


LOGITS = np.array([1.0, 3.0, 2.0, 2.0, -1.0], dtype="f4")


def frequencies(temperature, top_k=None, draws=20_000):
    rng = np.random.default_rng(0)
    drawn = [choose(LOGITS, temperature, top_k, rng) for _ in range(draws)]
    return np.bincount(drawn, minlength=5) / draws


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax_at_that_temperature(temperature):
    p = np.exp(LOGITS / temperature)
    assert np.allclose(frequencies(temperature), p / p.sum(), atol=0.012)  # 3 σ of a frequency


@pytest.mark.parametrize(("top_k", "kept"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (9, range(5))])
def test_top_k_keeps_k_symbols_also_among_equals(top_k, kept):
    p = np.zeros(5)
    p[list(kept)] = np.exp(LOGITS[list(kept)])
    assert np.allclose(frequencies(1.0, top_k), p / p.sum(), atol=0.012)


@pytest.mark.parametrize(
    ("prompt", "options", "says"),
    [
        ([], {}, "at least one symbol"),
        ([1], {"temperature": -1}, "temperature ≥ 0"),
        ([1], {"top_k": 0}, "top_k ≥ 1"),
    ],
)
def test_options_without_a_meaning(prompt, options, says):
    with pytest.raises(ConfigError, match=says):
        small().generate(prompt, 3, **options)


def test_it_learns_a_pattern_and_writes_it_on():
    model = small(num_layers=1, hidden_size=16)
    text = np.tile([1, 2, 3, 1, 2, 4], 20)[: 2 * 58].reshape(2, 58).T
    rule = optim.Adam(model.parameters(), lr=0.03)
    for _ in range(120):
        rule.zero_grad()
        logits, _ = model(text[:-1])
        loss = mg.cross_entropy(logits, text[1:])
        loss.backward()
        rule.step()
    assert loss.item() < 0.1
    assert model.generate([1, 2, 3], 6, temperature=0).tolist() == [1, 2, 4, 1, 2, 3]
