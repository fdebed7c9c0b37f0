"""Linear-chain CRF: against all paths counted one by one, and each sequence alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, DTypeError, IndexRangeError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck

T, B, K = 4, 4, 3
LENGTHS = [4, 0, 1, 3]
EMISSIONS = np.random.default_rng(0).standard_normal((T, B, K))
TAGS = np.random.default_rng(1).integers(0, K, (T, B))


@pytest.fixture
def crf():
    layer = nn.CRF(K).to("float64")
    for i, p in enumerate(layer.parameters()):
        p.assign_(np.random.default_rng(i + 5).standard_normal(p.shape))
    return layer


def score(crf, emissions, path):
    if not len(path):
        return 0.0
    start, end, transitions = (p.numpy() for p in crf.parameters())
    total = start[path[0]] + end[path[-1]]
    total += sum(emissions[t, k] for t, k in enumerate(path))
    return total + sum(transitions[pair] for pair in itertools.pairwise(path))


def paths(crf, b):
    """(path, score) of all paths of sequence b."""
    n = LENGTHS[b]
    return [(p, score(crf, EMISSIONS[:n, b], p)) for p in itertools.product(range(K), repeat=n)]


def expected(crf):
    found = []
    for b, n in enumerate(LENGTHS):
        z = np.log(sum(np.exp(s) for _, s in paths(crf, b)))
        found.append(score(crf, EMISSIONS[:n, b], TAGS[:n, b].tolist()) - z)
    return np.array(found)


def test_log_likelihood(crf):
    wanted = expected(crf)
    x, tags = mg.asarray(EMISSIONS), mg.asarray(TAGS)
    for reduction, value in (
        ("none", wanted),
        ("sum", wanted.sum()),
        ("mean", wanted.mean()),
        ("token_mean", wanted.sum() / sum(LENGTHS)),
    ):
        found = crf(x, tags, reduction=reduction, lengths=LENGTHS).detach().numpy()
        np.testing.assert_allclose(found, value, rtol=1e-10, atol=1e-12)
    mask = mg.asarray(np.arange(T)[:, None] < np.array(LENGTHS))
    np.testing.assert_allclose(crf(x, tags, mask).item(), wanted.sum(), rtol=1e-10)
    crf.batch_first = True
    first = crf(mg.asarray(EMISSIONS.swapaxes(0, 1)), TAGS.T.tolist(), mg.asarray(mask.numpy().T))
    np.testing.assert_allclose(first.item(), wanted.sum(), rtol=1e-10)


def test_decode(crf):
    found = crf.decode(mg.asarray(EMISSIONS), lengths=LENGTHS)
    best = [list(max(paths(crf, b), key=lambda pair: pair[1])[0]) for b in range(B)]
    assert found == best
    _, scores = mg.viterbi(
        mg.asarray(EMISSIONS), crf.transitions, crf.start_transitions, crf.end_transitions, LENGTHS
    )
    top = [max(s for _, s in paths(crf, b)) for b in range(B)]
    np.testing.assert_allclose(scores.numpy(), top, rtol=1e-12)
    everything = crf.decode(mg.asarray(EMISSIONS))
    assert [len(path) for path in everything] == [T] * B


def test_marginals(crf):
    found = crf.marginals(mg.asarray(EMISSIONS), lengths=LENGTHS).numpy()
    wanted = np.zeros((T, B, K))
    for b in range(B):
        z = sum(np.exp(s) for _, s in paths(crf, b))
        for path, s in paths(crf, b):
            for t, k in enumerate(path):
                wanted[t, b, k] += np.exp(s) / z
    np.testing.assert_allclose(found, wanted, rtol=1e-10, atol=1e-14)


def test_padding_never_counts(crf):
    padded, tags = EMISSIONS.copy(), TAGS.copy()
    for b, n in enumerate(LENGTHS):
        padded[n:, b], tags[n:, b] = np.nan, -1
    x = mg.tensor(padded, requires_grad=True)
    loss = -crf(x, mg.asarray(tags), lengths=LENGTHS)
    loss.backward()
    np.testing.assert_allclose(loss.item(), -expected(crf).sum(), rtol=1e-10)
    for b, n in enumerate(LENGTHS):
        assert not x.grad.numpy()[n:, b].any()
    assert all(np.isfinite(p.grad.numpy()).all() for p in crf.parameters())
    assert crf.decode(x, lengths=LENGTHS) == crf.decode(mg.asarray(EMISSIONS), lengths=LENGTHS)


def test_a_forbidden_transition_never_happens(crf):
    values = crf.transitions.numpy().copy()
    values[0, 1] = -np.inf
    crf.transitions.assign_(values)
    x = EMISSIONS.copy()
    x[0, :, 0] = x[1, :, 1] = 50
    for path in crf.decode(mg.asarray(x)):
        assert (0, 1) not in itertools.pairwise(path)
    total = mg.crf_log_partition(
        mg.asarray(x), crf.transitions, crf.start_transitions, crf.end_transitions
    )
    total.sum().backward()
    assert crf.transitions.grad.numpy()[0, 1] == 0
    assert np.isfinite(crf.transitions.grad.numpy()).all()


def test_derivatives(crf):
    def f(x, *parameters):
        return mg.crf_log_likelihood(x, mg.asarray(TAGS[:3]), *parameters, [3, 0, 1, 2])

    inputs = [EMISSIONS[:3], *(p.numpy() for p in (crf.transitions, crf.start_transitions,
                                                   crf.end_transitions))]  # fmt: skip
    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)


def test_it_learns():
    mg.manual_seed(0)
    crf = nn.CRF(2)
    x, tags = mg.zeros((6, 8, 2)), mg.asarray(np.arange(6)[:, None] % 2 + np.zeros((1, 8), int))
    opt = mg.optim.Adam(crf.parameters(), lr=0.3)
    for _ in range(30):
        opt.zero_grad()
        (-crf(x, tags)).backward()
        opt.step()
    assert crf.decode(x[:, :1]) == [[0, 1, 0, 1, 0, 1]]


def test_strict_device(crf):
    parity = pytest.importorskip("tests.nn.parity")
    parity.assert_same_on_the_strict_device(crf, EMISSIONS, TAGS, lengths=LENGTHS)
    there = crf.to("strict").decode(mg.asarray(EMISSIONS, device="strict"), lengths=LENGTHS)
    assert there == crf.to("cpu").decode(mg.asarray(EMISSIONS), lengths=LENGTHS)


def test_nothing_to_tag(crf):
    x = mg.zeros((0, 2, K), dtype="float64").requires_grad_()
    assert crf(x, mg.zeros((0, 2), dtype="int64"), reduction="none").tolist() == [0, 0]
    assert crf.decode(x) == [[], []]
    assert crf.marginals(x).shape == (0, 2, K)


def test_errors(crf):
    x, tags = mg.asarray(EMISSIONS), mg.asarray(TAGS)
    with pytest.raises(ShapeError, match="K = 3"):
        crf(x[..., :2], tags)
    with pytest.raises(ShapeError, match="tags"):
        crf(x, tags[1:])
    with pytest.raises(DTypeError, match="tags"):
        crf(x, tags.astype("float64"))
    with pytest.raises(IndexRangeError, match="tag 3"):
        crf(x, tags * 0 + 3)
    with pytest.raises(ShapeError, match="lengths"):
        crf(x, tags, lengths=[5, 1, 1, 1])
    with pytest.raises(ConfigError, match="not both"):
        crf(x, tags, mg.asarray(TAGS >= 0), lengths=LENGTHS)
    with pytest.raises(ShapeError, match="gaps"):
        crf(x, tags, mg.asarray(np.arange(T)[:, None] + np.zeros((1, B)) != 1))
    with pytest.raises(ShapeError, match="mask"):
        crf(x, tags, mg.ones((T, 1), dtype=bool))
    with pytest.raises(DTypeError, match="mask"):
        crf(x, tags, mg.ones((T, B)))
    with pytest.raises(ConfigError, match="reduction"):
        crf(x, tags, reduction="median")
    with pytest.raises(ConfigError, match="num_tags"):
        nn.CRF(0)
    with pytest.raises(ShapeError, match="transitions"):
        mg.viterbi(x, mg.zeros((2, 2)), mg.zeros(3), mg.zeros(3))
