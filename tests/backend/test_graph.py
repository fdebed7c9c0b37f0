"""Captured training steps, on the strict device: it bakes in and forbids what a CUDA graph does."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.backend import device, matmul
from minigrad.backend.graph import capture
from minigrad.errors import DeviceError, ShapeError
from minigrad.testing import strict

STRICT = device("strict")
V, T, B = 11, 6, 4


@pytest.fixture(autouse=True)
def _restored():
    before = mg.get_rng_state()
    yield
    mg.set_rng_state(before)


class Model(nn.Module):
    """A language model with dropout, layer normalisation, and two layers of LSTM."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(V, 8)
        self.lstm = nn.LSTM(8, 7, num_layers=2, dropout=0.2)
        self.norm = nn.LayerNorm(7)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(7, V)

    def forward(self, ids):
        return self.out(self.drop(self.norm(self.lstm(self.table(ids))[0])))


def batches(count):
    rng = np.random.default_rng(0)
    ids = rng.integers(0, V, (count, T + 1, B))
    return [(mg.tensor(x[:-1]), mg.tensor(x[1:])) for x in ids]


def train(where, compiled, steps=6, make=lambda p: optim.Adam(p, lr=0.05)):
    """(losses, the parameters afterwards) of a few steps; the rate changes after each."""
    mg.manual_seed(5)
    model = Model().to(where)
    optimizer = make(model.parameters())
    schedule = optim.schedules.StepLR(optimizer, 2, 0.5)

    def step(x, y):
        optimizer.zero_grad()
        loss = mg.cross_entropy(model(x), y)
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss

    run = mg.compile(step) if compiled else step
    losses = []
    for x, y in batches(steps):
        losses.append(run(x.to(where), y.to(where)).item())
        schedule.step()
    if compiled:
        assert [each.graph is not None for each in run.programs.values()] == [True]
    return losses, [p.numpy() for p in model.parameters()]


@pytest.mark.parametrize(
    "make",
    [
        lambda p: optim.Adam(p, lr=0.05),
        lambda p: optim.AdamW(p, lr=0.05, weight_decay=0.1),
        lambda p: optim.SGD(p, lr=0.3, momentum=0.9),
    ],
    ids=["Adam", "AdamW", "SGD"],
)
def test_a_captured_training_step_is_the_eager_one(make, caplog):
    eager, weights = train("cpu", False, make=make)
    captured, same = train("strict", True, make=make)
    assert not caplog.records, caplog.text  # no fall back to eager
    np.testing.assert_allclose(captured, eager, rtol=2e-4)
    for ours, theirs in zip(same, weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)


def regression(x, y, w, m, rate):
    """Momentum SGD on a linear model, with dropout: what is written, is written in place."""
    mask = STRICT.rng.bernoulli(0.8, x.shape)
    e = matmul(x * mask, w) - y
    m *= 0.9
    m += matmul((x * mask).T, e)
    w -= rate * m
    return (e * e).mean()


def linear(seed=0):
    rng = np.random.default_rng(seed)
    data = [rng.standard_normal((8, n)).astype("float32") for n in (5, 1)]
    return data, [STRICT.asarray(np.full((5, 1), v, "float32")) for v in (1, 0)]


def test_a_graphed_callable_is_the_function():
    (x, y), (w, m) = linear()
    rate = STRICT.asarray(np.float32(0))
    rates = iter([0.1] * 3 + [0.1, 0.05, 0.02])  # three warm-ups
    mg.manual_seed(2)
    inputs = STRICT.asarray(x), STRICT.asarray(y)
    step = capture(
        lambda x, y: regression(x, y, w, m, rate), inputs, (w, m),
        refresh=[lambda: rate.fill(next(rates))],
    )  # fmt: skip
    losses = []
    for k in range(3):
        with strict.count() as seen:
            loss = step(x + k, STRICT.asarray(y))
        losses.append(loss.item())
        assert (seen.sync, seen.download) == (0, 0)
    mg.manual_seed(2)
    _, (v, n) = linear()
    for k, r in enumerate([0.1, 0.05, 0.02]):
        rate.fill(r)
        expected = regression(STRICT.asarray(x + k), STRICT.asarray(y), v, n, rate)
        assert expected.item() == losses[k]
    assert (w.tolist(), m.tolist()) == (v.tolist(), n.tolist())


def test_what_a_step_may_not_do():
    (x, _), (w, _) = linear()
    inputs = (STRICT.asarray(x),)
    for function in (
        lambda x: x.sum().item(), lambda x: x[x > 0], lambda x: x + STRICT.asarray(np.ones(5)),
        lambda x: STRICT.rng.normal(shape=3),
    ):  # fmt: skip
        before, state = w.tolist(), mg.get_rng_state()

        def step(x, function=function):
            nonlocal w
            w += 1
            return function(x)

        with pytest.raises(DeviceError, match="not allowed while a graph is captured"):
            capture(step, inputs, (w,), warmups=0)
        assert (w.tolist(), mg.get_rng_state()) == (before, state)


def test_shapes_and_places_are_held():
    (x, _), (w, _) = linear()
    step = capture(lambda x: matmul(x, w), (STRICT.asarray(x),), (w,))
    with pytest.raises(ShapeError, match=r"takes \[\(8, 5\)\], got \[\(7, 5\)\]"):
        step(x[:7])
    step.state[0] = w.copy()
    with pytest.raises(DeviceError, match=r"array 0 \(5, 1\) of the state was moved"):
        step(x)


def test_a_step_that_cannot_be_captured_runs_as_always_and_names_the_line(caplog):
    w = mg.tensor([1.0, 2.0], device="strict", requires_grad=True)

    @mg.compile
    def step(x):
        w.grad = None
        loss = (w * x).sum()
        if loss.item() > 100:  # the culprit
            loss = loss * 2
        loss.backward()
        return loss

    results = [step(mg.tensor([1.0, k], device="strict")).item() for k in (1.0, 2.0, 3.0)]
    assert results == [3, 5, 7]
    assert w.grad.numpy().tolist() == [1, 3]
    (record,) = caplog.records
    assert "cannot be captured at" in record.message
    assert "test_graph.py" in record.message
    assert ".item() makes the host wait" in record.message
