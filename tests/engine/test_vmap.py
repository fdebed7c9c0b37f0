"""vmap with the meaning of JAX's and PyTorch's: all examples at once; gradients per example."""

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
    np.testing.assert_allclose(
        a.numpy(), b.numpy(), **(tolerance or {"rtol": 1e-10, "atol": 1e-13})
    )


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


# -- how often the function is called --------------------------------------------------------------


def counted(f):
    """f, and the list of its calls."""
    calls = []

    def call(*args, **kwargs):
        calls.append(args)
        return f(*args, **kwargs)

    return call, calls


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_recurrent_layers_are_called_once(kind):
    model = kind(3, 4, dtype="float64")
    head = nn.Linear(4, 2, dtype="float64")
    params = dict(model.named_parameters()), dict(head.named_parameters())

    def loss(params, x, y):
        out, _ = nn.functional_call(model, params[0], x)
        return mg.cross_entropy(nn.functional_call(head, params[1], out[-1]), y)

    f, calls = counted(lambda p, x, y: mg.value_and_grad(loss)(p, x, y)[1])
    x, y = draw(5, 7, 2, 3), mg.tensor([[0, 1]] * 5)
    found = mg.vmap(f, in_axes=(None, 0, 0))(params, x, y)
    assert len(calls) == 1
    for b in range(5):
        expected = mg.value_and_grad(loss)(params, x[b], y[b])[1]
        for part, other in zip(found, expected, strict=True):
            for name, g in part.items():
                same(g[b], other[name], rtol=1e-9, atol=1e-12)


def test_transformers_are_called_once():
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, dtype="float64")
    params = list(layer.parameters())
    f, calls = counted(lambda x: mg.grad((layer(x) ** 2).sum(), params))
    x = draw(4, 1, 5, 8)
    found = mg.vmap(f)(x)
    assert len(calls) == 1
    for b in range(4):
        for mine, expected in zip(found, f(x[b]), strict=True):
            same(mine[b], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "look",
    [
        lambda x: float(x[0]),
        lambda x: bool(x[0] > 0),
        lambda x: x[0].item(),
        lambda x: x.numpy(),
        lambda x: x.tolist(),
        lambda x: x[x > -9],
        repr,
    ],
)
def test_who_looks_at_values_is_called_for_each_example(look):
    def f(x):
        look(x)
        return x * 2

    f, calls = counted(f)
    x = draw(3, 2)
    same(mg.vmap(f)(x), x * 2)
    assert len(calls) == 4


def test_what_all_examples_share_may_be_looked_at():
    w = mg.tensor([2.0])
    f, calls = counted(lambda x, w: x * float(w) if w[0] > 1 else x)
    same(mg.vmap(f, (0, None))(draw(3, 2), w), draw(3, 2) * 2)
    assert len(calls) == 1


# -- nested, and what is captured ------------------------------------------------------------------


def test_vmaps_in_each_other_are_called_once():
    x, y, w = draw(3, 4), draw(5, 4, seed=1), draw(4, seed=2).requires_grad_()
    f, calls = counted(lambda a, b: mg.tanh(a * b + w).sum() * (a @ b))
    found = mg.vmap(lambda a: mg.vmap(lambda b: f(a, b))(y))(x)
    assert len(calls) == 1
    expected = mg.tanh(x[:, None] * y + w).sum(axis=-1) * (x @ y.T)
    same(found, expected)
    for a, b in zip(mg.grad((found**2).sum(), [w]), mg.grad((expected**2).sum(), [w]), strict=True):
        same(a, b, rtol=1e-9)


def test_gradients_in_vmaps_in_each_other():
    """For each pair of examples, of a captured leaf."""
    x, y, w = draw(3, 4), draw(2, 4, seed=1), draw(4, seed=2).requires_grad_()

    def f(a, b):
        return mg.grad((mg.sin(w * a) * b).sum(), w)

    found = mg.vmap(lambda a: mg.vmap(lambda b: f(a, b))(y))(x)
    assert found.shape == (3, 2, 4)
    expected = mg.stack([mg.stack([f(a, b) for b in y]) for a in x])
    same(found, expected)


def test_a_captured_result_has_the_sum_of_its_gradients():
    x, w = draw(3, 4), draw(4, seed=1).requires_grad_()

    def total(mapped):
        scaled = w * w
        if mapped:
            return (mg.vmap(lambda v: (v * scaled).sum())(x) ** 2).sum() + scaled.sum()
        return ((x * scaled).sum(axis=1) ** 2).sum() + scaled.sum()

    same(mg.grad(total(True), w), mg.grad(total(False), w))
    same(mg.hvp(lambda v: (mg.vmap(lambda a: (a * v).sum())(x) ** 3).sum(), w, w),
         mg.hvp(lambda v: ((x @ v) ** 3).sum(), w, w), rtol=1e-10)  # fmt: skip


def test_a_leaf_that_is_used_inside_and_outside():
    x, w = draw(3, 4), draw(4, seed=1).requires_grad_()
    y = mg.vmap(lambda v: (v * w).sum())(x).sum() + (w**3).sum()
    y.backward()
    same(w.grad, x.sum(axis=0) + 3 * w.detach() ** 2)


def test_gradients_of_what_was_computed_from_a_captured_leaf():
    """Before the examples come in: only one by one has it a gradient per example."""
    x, w = draw(3, 4), draw(4, seed=2).requires_grad_()

    def f(v):
        scaled = mg.exp(w)
        return mg.grad((scaled * v).sum(), w)

    same(mg.vmap(f)(x), mg.stack([f(v) for v in x]))


def test_backward_inside_adds_up():
    x, w = draw(3, 4), draw(4, seed=1).requires_grad_()

    def f(v):
        loss = ((v * w) ** 2).sum()
        loss.backward()
        return loss

    mg.vmap(f)(x)
    same(w.grad, (2 * x * x * w.detach()).sum(axis=0))


def test_constants_beside_examples():
    x = draw(3, 4)
    a = np.arange(4.0)
    found = mg.vmap(lambda v: mg.where(v > 0, v * a, mg.zeros(4, dtype="float64")) + mg.tensor(a))(
        x
    )
    same(found, mg.where(x > 0, x * mg.tensor(a), 0) + mg.tensor(a))
    same(mg.vmap(lambda v: mg.ones(2))(x), mg.ones((3, 2)))
    same(mg.vmap(lambda v: v.sum(), out_axes=None)(x), x[0].sum())


def test_random_numbers_are_those_of_their_own_shape():
    mg.manual_seed(0)
    found = mg.vmap(nn.Dropout(0.5))(mg.ones((4, 100)))
    assert len({tuple(row) for row in found.tolist()}) == 4
    mg.manual_seed(0)
    noise = mg.vmap(lambda x: x + mg.rand(3, device=x.device))(mg.zeros((2, 3)))
    mg.manual_seed(0)
    same(noise, mg.rand(2, 3))


def test_on_the_strict_device():
    cell = nn.LSTM(3, 4, dtype="float64").to("strict")
    params = list(cell.parameters())
    x = mg.asarray(draw(3, 5, 1, 3).numpy(), device="strict")
    f, calls = counted(lambda v: mg.grad((cell(v)[0] ** 2).sum(), params))
    found = mg.vmap(f)(x)
    assert len(calls) == 1
    for b in range(3):
        for mine, expected in zip(found, f(x[b]), strict=True):
            assert mine.device.name == "strict"
            same(mine[b], expected, rtol=1e-9, atol=1e-12)


def test_devices_do_not_mix():
    w = mg.ones(4, device="strict")
    with pytest.raises(errors.DeviceError, match="strict"):
        mg.vmap(lambda v: v * w)(mg.ones((2, 4)))


def test_an_error_of_the_function_is_that_of_one_example():
    with pytest.raises(errors.ShapeError, match=r"\(4,\)"):
        mg.vmap(lambda v: mg.reshape(v, (3, 2)))(mg.ones((2, 4)))
