"""vmap: a loop over examples with the meaning of JAX's and PyTorch's; gradients per example."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, nn

Pair = namedtuple("Pair", "a b")


def draw(*shape, seed=0):
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape))


def same(a, b, **tolerance):
    np.testing.assert_allclose(a.numpy(), b.numpy(), **(tolerance or {"rtol": 1e-12}))


def test_axes_are_pytorchs():
    torch = pytest.importorskip("torch")
    x, y = draw(4, 3, 5), draw(5, 4, seed=1)

    def f(a, b):
        return a @ b

    for in_axes, out_axes in [((0, None), 0), ((1, None), 1), ((-3, None), -1), ((1, None), 2)]:
        mine = mg.vmap(f, in_axes, out_axes)(x, y)
        theirs = torch.vmap(f, in_axes, out_axes)(torch.tensor(x.numpy()), torch.tensor(y.numpy()))
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), rtol=1e-12)
    same(mg.vmap(f, (None, 1), 1)(x[0], y), x[0] @ y)


def test_nested_arguments_and_results():
    x = {"left": draw(3, 2), "rest": (draw(2, 3, seed=1), [draw(4, seed=2)])}

    def f(tree, scale):
        left, (right, [shared]) = tree["left"], tree["rest"]
        return Pair(left * scale, {"sum": (right + left).sum(), "shared": shared, "none": None})

    in_axes = ({"left": 0, "rest": (1, None)}, None)
    out = mg.vmap(f, in_axes, Pair(1, {"sum": 0, "shared": None, "none": None}))(x, 2.0)
    assert isinstance(out, Pair)
    same(out.a, x["left"].T * 2)
    same(out.b["sum"], (x["left"] + x["rest"][0].T).sum(axis=1))
    same(out.b["shared"], x["rest"][1][0])
    assert out.b["none"] is None


def test_keywords_are_shared_and_python_numbers_are_results():
    assert (
        mg.vmap(lambda x, *, k: float(x.sum()) + k[0])(mg.ones((3, 2)), k=[1]).tolist() == [3.0] * 3
    )


def test_vmap_of_vmap_and_branches_on_values():
    x = draw(3, 4)
    same(mg.vmap(mg.vmap(lambda v: v * v if float(v) > 0 else -v))(x), mg.where(x > 0, x * x, -x))


def test_the_result_is_differentiable_twice():
    x, w = draw(3, 4), draw(4, seed=1)

    def batched(x, w):
        return mg.vmap(lambda v: mg.tanh(v * w).sum(), in_axes=1)(x.T)

    def plain(x, w):
        return mg.tanh(x * w).sum(axis=1)

    for i in (0, 1):
        same(mg.jacrev(batched, i)(x, w), mg.jacrev(plain, i)(x, w))
    same(
        mg.hvp(lambda t: (batched(x, t) ** 2).sum(), w, w),
        mg.hvp(lambda t: (plain(x, t) ** 2).sum(), w, w),
        rtol=1e-10,
    )


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_gradients_per_example_through_recurrent_layers(kind):
    model = kind(3, 4, 2, bidirectional=True, dtype="float64")
    params = list(model.parameters())
    x, y = draw(6, 5, 3), draw(5, 8, seed=1)  # (T, B, I), (B, 2 H)

    def gradients(x, y):
        out, _ = model(x)
        return mg.grad(((out[-1] - y) ** 2).sum(), params)

    per_example = mg.vmap(gradients, in_axes=(1, 0))(x, y)
    for b in range(5):
        for mine, expected in zip(per_example, gradients(x[:, b], y[b]), strict=True):
            same(mine[b], expected)
    out, _ = model(x)
    whole = mg.grad(((out[-1] - y) ** 2).sum(), params)
    for mine, expected in zip(per_example, whole, strict=True):
        same(mine.sum(axis=0), expected, rtol=1e-9, atol=1e-12)


def test_gradients_per_example_are_pytorchs():
    torch = pytest.importorskip("torch")
    model, twin = nn.Linear(3, 2, dtype="float64"), torch.nn.Linear(3, 2, dtype=torch.float64)
    twin.load_state_dict({k: torch.tensor(v.numpy()) for k, v in model.state_dict().items()})
    x = draw(5, 3)

    def loss(call, net):
        return lambda p, v: (call(net, p, v) ** 2).sum()

    mine = mg.vmap(
        lambda p, v: mg.value_and_grad(loss(nn.functional_call, model))(p, v)[1], (None, 0)
    )(dict(model.named_parameters()), x)
    their_loss = loss(lambda n, p, v: torch.func.functional_call(n, p, (v,)), twin)
    theirs = torch.vmap(torch.func.grad(their_loss), (None, 0))(
        {k: v.detach() for k, v in twin.named_parameters()}, torch.tensor(x.numpy())
    )
    assert set(mine) == set(theirs)
    for key, g in mine.items():
        np.testing.assert_allclose(g.numpy(), theirs[key].numpy(), rtol=1e-12)


def test_rows_of_an_embedding_become_dense():
    table = nn.Embedding(6, 2, sparse=True)
    ids = mg.tensor([[0, 1], [5, 5]])
    grads = mg.vmap(lambda i: mg.grad(table(i).sum(), table.weight))(ids)
    assert grads.shape == (2, 6, 2)
    assert grads.numpy()[1].sum() == 4


def test_each_example_draws_its_own_random_numbers():
    mg.manual_seed(0)
    out = mg.vmap(lambda x: mg.dropout(x, 0.5))(mg.ones((2, 50)))
    assert (out.numpy()[0] != out.numpy()[1]).any()


@pytest.mark.parametrize(
    ("f", "in_axes", "out_axes", "message"),
    [
        (mg.add, (0, 1), 0, r"one length, got \[2, 3\]"),
        (mg.add, (None, None), 0, "one length"),
        (mg.add, (2, None), 0, "no axis 2"),
        (mg.add, (0,), 0, "in_axes"),
        (mg.add, ({"a": 0}, 0), 0, "in_axes"),
        (mg.add, (0, 0), (0, 0), "out_axes"),
        (lambda x, y: x if float(x.sum()) > 1 else (x, y), (0, 0), 0, "structure"),
        (lambda x, y: x[: int(x.sum())], (0, 0), 0, "shapes"),
    ],
)
def test_errors(f, in_axes, out_axes, message):
    x = mg.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    with pytest.raises(errors.ShapeError, match=message):
        mg.vmap(f, in_axes, out_axes)(x, x)


def test_no_examples():
    with pytest.raises(errors.ShapeError, match="length 0"):
        mg.vmap(mg.sin)(mg.zeros((0, 3)))
