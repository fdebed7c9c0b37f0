"""`parallel.backward` in `mg.compile`: what is recorded once is replayed on threads."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, parallel

RNG = np.random.default_rng(8)


@pytest.fixture(autouse=True)
def threads():
    before = mg.get_num_threads()
    mg.set_num_threads(2)
    yield
    mg.set_num_threads(before)


class LM(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.embedding, self.dropout = nn.Embedding(11, 5), nn.Dropout(dropout)
        self.lstm, self.head = nn.LSTM(5, 6), nn.Linear(6, 11)

    def forward(self, ids, state=None):
        y, state = self.lstm(self.dropout(self.embedding(ids)), state)
        return self.head(y), state


def run(compiled, *, dropout=0.0, weights=None, steps=4):
    """Losses, states and parameters after a few steps, batches of other numbers each."""
    mg.manual_seed(1)
    model = LM(dropout)
    adam = optim.Adam(model.parameters(), lr=0.05)

    def loss_fn(x, y, state):
        logits, state = model(x, state)
        return mg.cross_entropy(logits, y), state

    def step(x, y, state):
        adam.zero_grad()
        loss, state = parallel.backward(
            loss_fn, (x, y, state), axes=(1, 1, 1), params=model.parameters(), workers=2,
            weights=weights, out_axes=(1,),
        )  # fmt: skip
        adam.step()
        return loss, state

    step = mg.compile(step) if compiled else step
    rng, losses = np.random.default_rng(2), []
    state = mg.zeros((1, 4, 6)), mg.zeros((1, 4, 6))
    for _ in range(steps):
        x, y = (mg.tensor(rng.integers(0, 11, (5, 4))) for _ in range(2))
        loss, state = step(x, y, state)
        losses.append(loss.item())
    return losses, [s.numpy().copy() for s in state], [p.numpy().copy() for p in model.parameters()]


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_program_does_what_the_plain_step_does(dropout):
    """Bit for bit, with the same masks."""
    plain, recorded = run(False, dropout=dropout), run(True, dropout=dropout)
    assert recorded[0] == plain[0]
    for a, b in zip(plain[1] + plain[2], recorded[1] + recorded[2], strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_may_be_computed_in_the_program():
    def tokens(x, y, state):
        return (y != 3).astype("float32").sum()

    plain, recorded = run(False, weights=tokens), run(True, weights=tokens)
    assert recorded[0] == pytest.approx(plain[0], rel=1e-6)
    assert run(False)[0] != pytest.approx(plain[0], rel=1e-6)


@pytest.mark.parametrize("kind", ["array", "tensor", "function"])
def test_weights_may_be_an_argument(kind):
    model = nn.Linear(3, 2)

    def step(x, weights):
        model.zero_grad()
        given = {
            "array": weights,
            "tensor": mg.Tensor(weights),
            "function": lambda x: (x.data * 0 + 1).sum(),
        }[kind]
        loss = parallel.backward(
            lambda x: (model(x) ** 2).mean(),
            (x,),
            axes=(0,),
            params=model.parameters(),
            workers=2,
            weights=given,
        )
        return loss, model.weight.grad

    compiled = mg.compile(step)
    x = mg.asarray(RNG.normal(size=(6, 3)).astype("f4"))
    for weights in (np.array([1, 2, 3, 4, 5, 6]), np.array([6, 0, 0, 1, 1, 1])):
        loss, gradient = step(x, weights)
        gradient = gradient.numpy().copy()
        again, same = compiled(x, weights)
        assert again.item() == pytest.approx(loss.item(), rel=1e-6)
        np.testing.assert_allclose(same.numpy(), gradient, rtol=1e-5)
    assert len(compiled.programs) == 1


def test_the_program_forks():
    model = nn.Linear(3, 2)

    @mg.compile
    def step(x):
        model.zero_grad()
        return parallel.backward(
            lambda x: (model(x) ** 2).mean(), (x,), axes=(0,), params=model.parameters(), workers=2
        )

    x = mg.tensor(RNG.normal(size=(6, 3)).astype("f4"))
    assert step(x).item() == pytest.approx((model(x) ** 2).mean().item(), rel=1e-6)
    (recorded,) = step.programs.values()
    assert "fork into 2 threads" in str(recorded.program)
