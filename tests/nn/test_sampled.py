"""The output losses for word vectors: their formulas in NumPy, the noise, the tree."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, DataError, IndexRangeError, ShapeError
from minigrad.nn.alias import alias_table
from minigrad.nn.hierarchical import huffman_tree
from minigrad.testing import gradcheck, gradgradcheck, strict

COUNTS = np.array([40.0, 0, 7, 1, 12, 3])
KINDS = [nn.NegativeSampling, nn.NCELoss, nn.SampledSoftmax]


def array(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def layer(kind, **options):
    made = kind(3, COUNTS, 4, **{"bias": True, **options}).to("float64")
    for i, p in enumerate(made.parameters()):
        p.assign_(array(*p.shape, seed=i + 10))
    return made


X = array(5, 3)
TARGET = np.array([0, 2, 5, 0, 4])
NOISE = np.array([[0, 2, 2, 4], [3, 5, 0, 0], [5, 5, 0, 3], [2, 3, 4, 5], [0, 0, 2, 4]])


class TestAliasSampler:
    @pytest.mark.parametrize("power", [0, 0.75, 1])
    def test_the_table_holds_the_probabilities(self, power):
        for counts in (COUNTS, np.arange(1.0, 301), np.ones(7), np.array([5.0])):
            q = np.where(counts > 0, np.where(counts > 0, counts, 1) ** power, 0)
            q /= q.sum()
            threshold, alias = alias_table(q)
            held = threshold / len(q)
            np.add.at(held, alias, (1 - threshold) / len(q))
            np.testing.assert_allclose(held, q, rtol=1e-10, atol=1e-15)
            assert ((threshold >= 0) & (threshold <= 1)).all()
            log_q = nn.AliasSampler(counts, power).log_q.numpy()
            np.testing.assert_allclose(np.exp(log_q), q, rtol=1e-12)

    def test_draws_have_these_frequencies_and_repeat(self):
        sampler = nn.AliasSampler(COUNTS)
        mg.manual_seed(3)
        ids = sampler((200, 300))
        assert ids.dtype == mg.int64
        found = np.bincount(ids.numpy().ravel(), minlength=6) / ids.size
        q = np.exp(sampler.log_q.numpy())
        assert found[1] == 0
        assert np.abs(found - q).max() < 5 * math.sqrt(0.25 / ids.size)
        mg.manual_seed(3)
        assert (sampler((200, 300)).numpy() == ids.numpy()).all()

    def test_it_is_shared_and_no_part_of_the_state(self):
        sampler = nn.AliasSampler(COUNTS)
        losses = [kind(3, sampler) for kind in KINDS]
        assert all(loss.sampler is sampler for loss in losses)
        assert list(losses[0].state_dict()) == ["weight"]
        assert list(losses[1].state_dict()) == ["weight", "bias"]

    @pytest.mark.parametrize("counts", [[], [[1, 2]], [1, -1], [0, 0], [1, np.nan], [np.inf]])
    def test_counts_that_are_none(self, counts):
        with pytest.raises(DataError, match="counts"):
            nn.AliasSampler(counts)
        with pytest.raises(ConfigError, match="power"):
            nn.AliasSampler([1], power=-1)


# -- the formulas ----------------------------------------------------------------------------------


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


def reference(kind, made, x, target, noise, *, hits=True):
    w, b = made.weight.numpy(), made.bias.numpy()
    noise = np.broadcast_to(noise, (len(x), np.shape(noise)[-1]))
    true = (x * w[target]).sum(-1) + b[target]
    drawn = np.einsum("nd,nkd->nk", x, w[noise]) + b[noise]
    if kind is not nn.NegativeSampling:
        q = np.where(COUNTS > 0, np.where(COUNTS > 0, COUNTS, 1) ** 0.75, 0)
        log_kq = np.log(4 * q / q.sum(), where=q > 0, out=np.full(6, -np.inf))
        true, drawn = true - log_kq[target], drawn - log_kq[noise]
    keep = noise != target[:, None] if hits else np.ones(noise.shape, bool)
    if kind is nn.SampledSoftmax:
        return np.log(np.exp(true) + (np.exp(drawn) * keep).sum(-1)) - true
    return -log_sigmoid(true) - (log_sigmoid(-drawn) * keep).sum(-1)


@pytest.mark.parametrize("hits", [True, False])
@pytest.mark.parametrize("noise", [NOISE, NOISE[3]], ids=["own", "shared"])
@pytest.mark.parametrize("kind", KINDS)
def test_formula(kind, noise, hits):
    made = layer(kind, reduction="none", remove_accidental_hits=hits)
    found = made(mg.asarray(X), mg.asarray(TARGET), samples=noise)
    expected = reference(kind, made, X, TARGET, noise, hits=hits)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-12)
    for reduction, value in [("sum", expected.sum()), ("mean", expected.mean())]:
        made.reduction = reduction
        got = made(mg.asarray(X), TARGET, samples=noise).item()
        np.testing.assert_allclose(got, value, rtol=1e-12)


@pytest.mark.parametrize("noise", [NOISE, NOISE[0]], ids=["own", "shared"])
@pytest.mark.parametrize("kind", KINDS)
def test_derivatives(kind, noise):
    """NOISE has accidental hits: what is left out has no gradient, and no NaN."""
    made = layer(kind)

    def f(x, weight, bias):
        given = {"weight": weight, "bias": bias}
        return nn.functional_call(made, given, x, TARGET, samples=noise)

    inputs = X, made.weight.numpy(), made.bias.numpy()
    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)


@pytest.mark.parametrize("kind", KINDS)
def test_any_leading_axes_and_targets_that_do_not_count(kind):
    made = layer(kind, ignore_index=-1)
    x, target = array(2, 3, 3), np.array([[0, -1, 5], [2, 2, -1]])
    counts = target.ravel() >= 0
    noise = np.random.default_rng(0).integers(0, 6, (2, 3, 4)).clip(2)
    ids = np.where(counts, target.ravel(), 0)
    expected = reference(kind, made, x.reshape(6, 3), ids, noise.reshape(6, 4)) * counts
    leaf = mg.tensor(x, requires_grad=True)
    loss = made(leaf, target, samples=noise)
    np.testing.assert_allclose(loss.item(), expected.sum() / 4, rtol=1e-12)
    loss.backward()
    assert not leaf.grad.numpy().reshape(6, 3)[~counts].any()
    made.reduction = "none"
    found = made(mg.asarray(x), target, samples=noise)
    np.testing.assert_allclose(found.detach().numpy(), expected.reshape(2, 3), rtol=1e-12)
    made.reduction = "mean"
    assert made(mg.asarray(x), np.full((2, 3), -1), samples=noise).item() == 0


@pytest.mark.parametrize("kind", [*KINDS, nn.HierarchicalSoftmax])
def test_row_sparse_gradients(kind):
    dense = []
    for sparse in (False, True):
        if kind is nn.HierarchicalSoftmax:
            made = kind(3, COUNTS, sparse=sparse, dtype="float64")
            loss = made(mg.asarray(X), TARGET)
        else:
            made = layer(kind, sparse=sparse)
            loss = made(mg.asarray(X), TARGET, samples=NOISE)
        loss.backward()
        assert isinstance(made.weight.grad, mg.RowSparse) == sparse
        dense.append(mg.asarray(made.weight.grad.to_dense() if sparse else made.weight.grad))
    np.testing.assert_allclose(dense[1].numpy(), dense[0].numpy(), rtol=1e-12, atol=1e-15)


def test_the_sampled_softmax_approaches_the_full_one():
    """With each class drawn once, and the correction for a uniform noise, it is the full one."""
    made = nn.SampledSoftmax(3, np.ones(6), 6, dtype="float64")
    found = made(mg.asarray(X), TARGET, samples=np.arange(6)).item()
    expected = mg.cross_entropy(made.scores(mg.asarray(X)), mg.asarray(TARGET)).item()
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_nce_finds_normalised_probabilities():
    """At exp(s) = p, the expected gradient over data and noise vanishes."""
    p, k = np.array([0.5, 0.2, 0.2, 0.1]), 3
    made = nn.NCELoss(1, [4, 2, 1, 1], k, 1.0, reduction="none", dtype="float64")
    made.weight.assign_(np.zeros((4, 1)))
    made.bias.assign_(np.log(p))
    q = np.exp(made.sampler.log_q.numpy())
    made.remove_accidental_hits = False
    total = 0.0
    for w in range(4):
        for v in range(4):  # k draws of one class each, weighted: the loss is a sum over the draws
            loss = made(mg.zeros((1, 1), dtype="float64"), [w], samples=[[v] * k])
            total = total + loss.sum() * (p[w] * q[v])
    total.backward()
    np.testing.assert_allclose(made.bias.grad.numpy(), 0, atol=1e-15)


def test_drawn_samples():
    for kind, shape in [(nn.NegativeSampling, (5, 4)), (nn.NCELoss, (4,))]:
        made, drawn = layer(kind), []
        given = made.sampler.forward
        object.__setattr__(made.sampler, "forward", lambda s, f=given, d=drawn: d.append(s) or f(s))
        mg.manual_seed(1)
        assert np.isfinite(made(mg.asarray(X), TARGET).item())
        assert drawn == [shape]


@pytest.mark.parametrize("kind", [*KINDS, nn.HierarchicalSoftmax])
def test_on_the_strict_device(kind):
    """Drawing included: without waiting for the device, and with the CPU's numbers if given."""
    made = kind(3, COUNTS, dtype="float64") if kind is nn.HierarchicalSoftmax else layer(kind)
    given = {} if kind is nn.HierarchicalSoftmax else {"samples": NOISE}
    found = []
    for device in ("cpu", "strict"):
        made.to(device)
        made.zero_grad()
        x = mg.asarray(X, device=device).requires_grad_()
        target = mg.asarray(TARGET, device=device)
        loss = made(x, target, **{k: mg.asarray(v, device=device) for k, v in given.items()})
        loss.backward()
        found.append([loss.item(), x.grad.numpy(), *(p.grad.numpy() for p in made.parameters())])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)
    with strict.no_sync():
        made(x, target).backward()


@pytest.mark.parametrize("kind", KINDS)
def test_errors(kind):
    made = layer(kind)
    with pytest.raises(ShapeError, match=kind.__name__):
        made(mg.asarray(X), TARGET[:2])
    with pytest.raises(ShapeError, match="samples"):
        made(mg.asarray(X), TARGET, samples=NOISE[:2])
    with pytest.raises(IndexRangeError):
        made(mg.asarray(X), TARGET + 5)
    with pytest.raises(ConfigError, match="sample_size"):
        kind(3, COUNTS, 0)
    with pytest.raises(ConfigError, match="reduction"):
        kind(3, COUNTS, reduction="some")


# -- the tree --------------------------------------------------------------------------------------


class TestHierarchicalSoftmax:
    def made(self, tree=COUNTS, **options):
        made = nn.HierarchicalSoftmax(3, tree, dtype="float64", **options)
        made.weight.assign_(array(*made.weight.shape, seed=3))
        return made

    @pytest.mark.parametrize("n", [2, 3, 6, 50])
    def test_probabilities_sum_to_one(self, n):
        made = self.made(np.random.default_rng(n).integers(0, 100, n))
        p = np.exp(made.log_prob(mg.asarray(array(2, 4, 3))).detach().numpy())
        assert p.shape == (2, 4, n)
        np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-12)

    def test_the_loss_is_the_log_probability(self):
        made = self.made(reduction="none")
        losses = made(mg.asarray(X), TARGET).detach().numpy()
        expected = -made.log_prob(mg.asarray(X)).detach().numpy()[np.arange(5), TARGET]
        np.testing.assert_allclose(losses, expected, rtol=1e-12)

    def test_by_hand(self):
        made = self.made(((2, 0), 1), reduction="none")
        v = made.weight.numpy()
        assert v.shape == (2, 3)
        x = X[:3]
        root, left = x @ v[0], x @ v[1]
        expected = -np.array([
            log_sigmoid(root[0]) + log_sigmoid(-left[0]),
            log_sigmoid(-root[1]),
            log_sigmoid(root[2]) + log_sigmoid(left[2]),
        ])  # fmt: skip
        found = made(mg.asarray(x), [0, 1, 2]).detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-12)

    def test_derivatives(self):
        made = self.made()

        def f(x, weight):
            return nn.functional_call(made, {"weight": weight}, x, TARGET)

        assert gradcheck(f, [X, made.weight.numpy()])
        assert gradgradcheck(f, [X, made.weight.numpy()])

    def test_huffman_codes_are_optimal(self):
        counts = np.random.default_rng(0).integers(1, 1000, 200)
        made = nn.HierarchicalSoftmax(1, counts)
        length = np.abs(made.signs.numpy()).sum(axis=1)
        p = counts / counts.sum()
        entropy = -(p * np.log2(p)).sum()
        assert entropy <= (p * length).sum() < entropy + 1
        assert (2.0**-length).sum() == 1
        assert (np.diff(length[np.argsort(counts, kind="stable")]) <= 0).all()
        assert huffman_tree([5, 5, 5, 5]) == ((0, 1), (2, 3))

    @pytest.mark.parametrize(
        "tree", [[3], [1, -1], ((0, 1), 1), ((0, 1), 3), ((0, 1, 2), 3), (((0,), 1), 2), [[1.0]]]
    )
    def test_trees_that_are_none(self, tree):
        with pytest.raises(DataError):
            nn.HierarchicalSoftmax(3, tree)

    def test_a_target_that_is_none(self):
        with pytest.raises(IndexRangeError):
            self.made()(mg.asarray(X), TARGET + 5)


# -- GloVe -----------------------------------------------------------------------------------------


class TestGloVe:
    def test_formula(self):
        score, count = array(6), np.array([0.0, 1, 99, 100, 250, 3])
        weight = np.minimum(1, (count / 100) ** 0.75)
        log = np.log(np.where(count > 0, count, 1))
        expected = weight * (score - log) ** 2
        for reduction in ("none", "sum", "mean"):
            found = nn.GloVeLoss(reduction=reduction)(mg.asarray(score), mg.asarray(count))
            value = expected if reduction == "none" else getattr(expected, reduction)()
            np.testing.assert_allclose(found.numpy(), value, rtol=1e-12)
        assert gradcheck(lambda s: nn.GloVeLoss(10, 0.5)(s, count), score)
        assert gradgradcheck(lambda s: nn.GloVeLoss(10, 0.5)(s, count), score)

    def test_errors(self):
        with pytest.raises(DataError, match="below 0"):
            nn.GloVeLoss()(mg.ones(2), [1, -1])
        with pytest.raises(ShapeError):
            nn.GloVeLoss()(mg.ones(2), [1, 1, 1])
        with pytest.raises(ConfigError, match="x_max"):
            nn.GloVeLoss(0)


def test_skip_gram_learns_which_words_occur_together():
    """Words 0–3 occur with each other, and 4–7: two clusters of vectors."""
    mg.manual_seed(0)
    vectors, loss = nn.Embedding(8, 4, sparse=True), nn.NegativeSampling(4, np.ones(8), sparse=True)
    optimizer = mg.optim.SGD([*vectors.parameters(), *loss.parameters()], lr=0.5)
    rng = np.random.default_rng(0)
    for _ in range(150):
        word = rng.integers(0, 8, 32)
        context = word // 4 * 4 + rng.integers(0, 4, 32)
        optimizer.zero_grad()
        loss(vectors(word), context).backward()
        optimizer.step()
    scores = loss.scores(vectors.weight).detach().numpy()
    same = (np.arange(8)[:, None] // 4) == (np.arange(8) // 4)
    assert scores[same].min() > scores[~same].max()
