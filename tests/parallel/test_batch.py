import tracemalloc

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, parallel
from minigrad.engine import RowSparse
from minigrad.errors import ConfigError, GradError, ShapeError
from minigrad.parallel import batch

WORKERS = [1, 2, 3, 5, 8]
RNG = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def threads():
    before = mg.get_num_threads()
    mg.set_num_threads(4)
    mg.manual_seed(0)
    yield
    mg.set_num_threads(before)


def gradients(model):
    return {name: p.grad.numpy().copy() for name, p in model.named_parameters()}


def reference(model, loss):
    model.zero_grad()
    loss.backward()
    found = gradients(model)
    model.zero_grad()
    return loss.item(), found


def assert_same(model, loss, expected, tolerance=2e-6):
    value, grads = expected
    assert loss.item() == pytest.approx(value, rel=1e-5)
    assert not loss.requires_grad
    for name, p in model.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), grads[name], atol=tolerance, err_msg=name)


class Tagger(nn.Module):
    """Word ids (T, B) to one of 4 tags each, with true lengths."""

    def __init__(self, sparse=False):
        super().__init__()
        self.embedding = nn.Embedding(9, 5, sparse=sparse)
        self.lstm = nn.LSTM(5, 4, bidirectional=True)
        self.head = nn.Linear(8, 4)

    def forward(self, ids, lengths=None, state=None):
        y, state = self.lstm(self.embedding(ids), state, lengths)
        return self.head(y), state


T, B = 6, 7
IDS, TAGS = RNG.integers(0, 9, (T, B)), RNG.integers(0, 4, (T, B))
LENGTHS = [6, 1, 3, 5, 2, 6, 4]
TAGS[np.arange(T)[:, None] >= np.array(LENGTHS)] = -100


def tagger_loss(model):
    def loss(ids, tags, lengths):
        logits, _ = model(ids, lengths)
        return mg.cross_entropy(logits, tags)

    return loss


@pytest.mark.parametrize("workers", WORKERS)
def test_the_pieces_add_up_to_the_batch(workers):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x, y = RNG.normal(size=(7, 3)).astype("f4"), RNG.normal(size=(7, 2)).astype("f4")

    def loss(x, y):
        return ((model(mg.tensor(x)) - mg.tensor(y)) ** 2).mean()

    expected = reference(model, loss(x, y))
    found = parallel.backward(loss, (x, y), axes=(0, 0), params=model.parameters(), workers=workers)
    assert_same(model, found, expected)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize("kind", ["list", "array", "tensor", "function", "function of tensors"])
def test_a_mean_over_tokens_is_weighted_by_tokens(kind, workers, sparse):
    model = Tagger(sparse)
    loss = tagger_loss(model)
    expected = loss(IDS, TAGS, LENGTHS)
    model.zero_grad()
    expected.backward()
    grads = {
        n: p.grad.to_dense() if isinstance(p.grad, RowSparse) else p.grad.numpy()
        for n, p in model.named_parameters()
    }
    weights = {
        "list": LENGTHS,
        "array": np.array(LENGTHS),
        "tensor": mg.tensor(np.array(LENGTHS, "f4")),
        "function": lambda ids, tags, lengths: sum(lengths),
        "function of tensors": lambda ids, tags, lengths: mg.tensor((tags != -100).sum()),
    }[kind]
    model.zero_grad()
    found = parallel.backward(
        loss, (IDS, TAGS, LENGTHS), axes=(1, 1, 0), params=model.parameters(), workers=workers,
        weights=weights,
    )  # fmt: skip
    for p in model.parameters():
        if isinstance(p.grad, RowSparse):
            p.grad = mg.Tensor(p.grad.to_dense())
    assert_same(model, found, (expected.item(), grads))


@pytest.mark.parametrize("workers", WORKERS)
def test_sums_are_added(workers):
    w = mg.tensor(RNG.normal(size=3), requires_grad=True)
    x = mg.tensor(RNG.normal(size=(7, 3)))

    def loss(x):
        return mg.tanh(x @ w).sum()

    loss(x).backward()
    expected, w.grad = w.grad.numpy(), None
    found = parallel.backward(loss, (x,), axes=(0,), params=[w], workers=workers, weights="sum")
    np.testing.assert_allclose(w.grad.numpy(), expected, atol=1e-12)
    assert found.item() == pytest.approx(loss(x).item(), abs=1e-12)


def test_gradients_are_added_to_those_there_and_unused_parameters_stay():
    w, unused = mg.tensor([1.0, 2.0], requires_grad=True), mg.tensor(1.0, requires_grad=True)
    frozen = mg.tensor(3.0)
    x = mg.tensor(np.arange(8.0, dtype="f4").reshape(4, 2))
    for _ in range(2):
        parallel.backward(
            lambda x: (x @ w).mean() * frozen, (x,), axes=(0,), params=[w, unused, frozen]
        )
    np.testing.assert_allclose(w.grad.numpy(), 2 * 3 * x.numpy().mean(axis=0), rtol=1e-6)
    assert unused.grad is None
    assert frozen.grad is None


def test_large_gradients_are_added_up_by_several_threads(monkeypatch):
    monkeypatch.setattr("minigrad.parallel.batch.LARGE", 1)
    model = nn.Sequential(*(nn.Linear(5, 5) for _ in range(4)))
    x = mg.tensor(RNG.normal(size=(9, 5)).astype("f4"))
    expected = reference(model, (model(x) ** 2).mean())
    found = parallel.backward(
        lambda x: (model(x) ** 2).mean(), (x,), axes=(0,), params=model.parameters(), workers=3
    )
    assert_same(model, found, expected)


def test_gradients_give_their_memory_back_as_they_are_added_up():
    n = 1 << 16
    tracemalloc.start()
    try:
        grads = [[np.full(n, k, np.float32) for _ in range(16)] for k in (1, 2)]
        before, _ = tracemalloc.get_traced_memory()
        sums = batch._sums(grads)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all((total == 3).all() for total in sums)
    assert peak - before < 5 * sums[0].nbytes


def test_hooks_see_the_whole_gradient_once():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    seen = []

    def hook(g):
        seen.append(g.numpy().tolist())
        return g * 10

    w.register_hook(hook)
    x = mg.tensor([[1.0, 0.0], [0.0, 1.0]])
    parallel.backward(
        lambda x: (x @ w).sum(), (x,), axes=(0,), params=[w], workers=2, weights="sum"
    )
    assert seen == [[1.0, 1.0]]
    assert w.grad.numpy().tolist() == [10.0, 10.0]


def test_what_follows_the_loss_is_put_together():
    model = Tagger()
    h = tuple(mg.tensor(RNG.normal(size=(2, B, 4)).astype("f4")) for _ in range(2))

    def loss(ids, state):
        logits, state = model(ids, None, state)
        return logits.mean(), state, {"ids": ids.tolist(), "sums": ids.sum(axis=0)}, len(ids)

    whole = loss(IDS, h)
    found = parallel.backward(
        loss, (IDS, h), axes=(1, (1, 1)), params=model.parameters(), workers=3,
        out_axes=(1, {"ids": None, "sums": 0}, None),
    )  # fmt: skip
    for a, b in zip(found[1], whole[1], strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-6)
        assert not a.requires_grad
    assert found[2]["sums"].tolist() == IDS.sum(axis=0).tolist()
    assert np.concatenate(found[2]["ids"], axis=1).tolist() == IDS.tolist()
    assert found[3] == [T] * 3
    alone = parallel.backward(
        loss, (IDS, h), axes=(1, 1), params=model.parameters(), workers=1, out_axes=None
    )
    assert alone[3] == [T]


def dropped(x):
    return mg.dropout(x, 0.5)


def test_each_piece_draws_its_own_random_numbers_and_a_seed_repeats_them():
    w = mg.tensor(1.0, requires_grad=True)
    x = mg.ones((4, 64))

    def masks(workers=4):
        out = parallel.backward(
            lambda x: ((y := dropped(x * w)).mean(), y), (x,), axes=(0,), params=[w],
            workers=workers, out_axes=(0,),
        )  # fmt: skip
        return out[1].numpy()

    mg.manual_seed(7)
    first, second, state = masks(), masks(), mg.get_rng_state()
    third = masks()
    mg.manual_seed(7)
    assert np.array_equal(masks(), first)
    assert np.array_equal(masks(), second)
    assert not np.array_equal(first, second)
    assert len({row.tobytes() for row in first}) == 4
    mg.set_rng_state(state)  # as a resumed run does
    assert np.array_equal(masks(), third)
    assert not np.array_equal(masks(2), masks(2))


def test_checkpointed_dropout_repeats_its_own_mask():
    w = mg.tensor(RNG.normal(size=(5, 5)), requires_grad=True)
    x = mg.tensor(RNG.normal(size=(8, 5)))

    def run(f):
        mg.manual_seed(1)
        w.grad = None
        parallel.backward(lambda x: f(x).sum(), (x,), axes=(0,), params=[w], workers=4)
        return w.grad.numpy()

    plain = run(lambda x: dropped(mg.tanh(x @ w)))
    again = run(lambda x: mg.checkpoint(lambda x: dropped(mg.tanh(x @ w)), x))
    np.testing.assert_allclose(again, plain, atol=1e-12)


def test_threads_do_not_disturb_one_another():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    tagger = Tagger()
    loss = tagger_loss(tagger)
    options = {"axes": (1, 1, 0), "params": list(tagger.parameters()), "workers": 4}
    parallel.backward(loss, (IDS, TAGS, LENGTHS), weights=LENGTHS, **options)
    first = gradients(tagger)
    for _ in range(30):
        tagger.zero_grad()
        parallel.backward(loss, (IDS, TAGS, LENGTHS), weights=LENGTHS, **options)
        for name, p in tagger.named_parameters():
            assert np.array_equal(p.grad.numpy(), first[name])  # the same sums, bit for bit
    assert all(p.grad is None for p in model.parameters())


def test_an_error_in_a_piece_is_raised_and_no_gradient_is_touched():
    w = mg.tensor([1.0, 2.0], requires_grad=True)

    def loss(x, i):
        if i[0] == 3:
            raise KeyError("piece")
        return (x @ w).sum()

    with pytest.raises(KeyError, match="piece"):
        parallel.backward(loss, (mg.ones((4, 2)), [0, 1, 2, 3]), axes=(0, 0), params=[w], workers=4)
    assert w.grad is None


def test_no_grad_outside_does_not_reach_the_loss():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    with mg.no_grad():
        parallel.backward(lambda x: (x @ w).sum(), (mg.ones((4, 2)),), axes=(0,), params=[w])
    assert w.grad is not None


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"axes": (0, 1)}, ShapeError, "one length, got lengths"),
        ({"axes": (None, None)}, ShapeError, "got none"),
        ({"axes": (0,)}, ConfigError, "do not fit 2 entries"),
        ({"axes": (0, 5)}, ShapeError, "has no axis 5"),
        ({"axes": (0, "batch")}, ConfigError, "an axis is an integer"),
        ({"batch": (np.ones((0, 3)), np.ones((0, 3)))}, ShapeError, "the batch is empty"),
        ({"weights": [1, 2]}, ShapeError, "2 weights for a batch of 4"),
        ({"weights": [0, 0, 0, 0]}, ConfigError, "expected more than 0"),
        ({"weights": "mean"}, ConfigError, "'sum' alone"),
        ({"workers": 0}, ConfigError, "workers is an integer"),
        ({"params": [mg.tensor(1.0)]}, GradError, "none of the params"),
        ({"loss_fn": lambda x, y: 1.0}, ShapeError, "a loss of float"),
        ({"loss_fn": lambda x, y: mg.tensor(x).sum(axis=1)}, ShapeError, r"shape \(2,\)"),
        ({"loss_fn": lambda x, y: (mg.tensor(1.0), 2), "out_axes": (0, 0)}, ConfigError, "one for"),
    ],
)
def test_errors(change, error, text):
    w = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = RNG.normal(size=(4, 3))
    options = {"axes": (0, 0), "params": [w], "workers": 2, **change}
    loss = options.pop("loss_fn", lambda x, y: (mg.tensor(x) @ w).sum())
    with pytest.raises(error, match=text):
        parallel.backward(loss, options.pop("batch", (x, x)), **options)


def test_the_strict_device_runs_it_too():
    model = nn.Linear(3, 2)
    x = RNG.normal(size=(6, 3)).astype("f4")
    expected = reference(model, (model(mg.tensor(x)) ** 2).mean())
    model.to("strict")
    found = parallel.backward(
        lambda x: (model(x) ** 2).mean(), (mg.tensor(x).to("strict"),), axes=(0,),
        params=model.parameters(), workers=2,
    )  # fmt: skip
    model.to("cpu")
    assert found.item() == pytest.approx(expected[0], rel=1e-5)
