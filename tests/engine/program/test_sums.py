"""Sums of many terms: one product for many, slices by themselves, and the numbers of eager."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.engine.program.calls import write
from minigrad.engine.program.layout import laid_out

T, B, H = 8, 3, 6


def both(function, parameters, *args):
    """Values and gradients of eager, and of a replay on other arguments; and the program."""

    def step(*args):
        for p in parameters:
            p.grad = None
        loss = function(*args)
        loss.backward()
        return loss

    compiled = mg.compile(step)
    compiled(*[x * 0.5 for x in args])
    found = [[x.numpy().copy() for x in (run(*args), *[p.grad for p in parameters])]
             for run in (step, compiled)]  # fmt: skip
    return *found, compiled.program


def products(program, shape):
    """The products of the program with a result of `shape`."""
    return [
        line for line in program.lines if line.function is np.matmul and line.args[2].shape == shape
    ]


def close(eager, compiled):
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-13)


def test_weight_gradients_of_a_loop_are_one_product():
    w = mg.tensor(np.random.default_rng(0).standard_normal((H, H)), requires_grad=True)
    x = mg.asarray(np.random.default_rng(1).standard_normal((T, B, H)))

    def loss(x):
        h = x[0]
        for t in range(T):
            h = mg.tanh(x[t] + h @ w)
        return (h * h).sum()

    eager, compiled, program = both(loss, [w], x)
    close(eager, compiled)
    (product,) = products(program, (H, H))
    assert f"matmul ×{T}" in str(program)
    a, b, _ = product.args
    assert (a.shape, b.shape) == ((H, T * B), (T * B, H))
    copies = [line for line in program.lines if line.function is write]
    assert len(copies) <= 2  # the operands are computed side by side


@pytest.mark.parametrize("cell", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_cells(cell):
    cell = cell(4, H, dtype="float64")
    xs = mg.asarray(np.random.default_rng(1).standard_normal((T, B, 4)))

    def loss(xs):
        state = None
        for t in range(T):
            out = cell(xs[t], state)
            state = out
        return ((out[0] if isinstance(out, tuple) else out) ** 2).sum()

    eager, compiled, _ = both(loss, list(cell.parameters()), xs)
    close(eager, compiled)


def test_attention_of_a_decoder():
    attention = nn.AdditiveAttention(H, 4, dtype="float64")
    memory = mg.tensor(np.random.default_rng(1).standard_normal((B, 5, 4)), requires_grad=True)
    start = mg.asarray(np.random.default_rng(2).standard_normal((B, H)))
    back = nn.Linear(4, H, dtype="float64")

    def loss(query):
        keys = attention.project_keys(memory)
        for _ in range(T):
            query = back(attention(query, memory, keys=keys)[0]) + query
        return (query**2).sum()

    parameters = [memory, *attention.parameters(), *back.parameters()]
    eager, compiled, program = both(loss, parameters, start)
    close(eager, compiled)
    (product,) = products(program, (B, 5, 4))
    assert product.args[0].shape == (B, 5, T)


def test_biases_are_summed_over_all_steps_at_once():
    b = mg.tensor(np.ones(H), requires_grad=True)
    x = mg.asarray(np.random.default_rng(1).standard_normal((B, H)))

    def loss(x):
        for _ in range(T):
            x = mg.tanh(x + b)
        return x.sum()

    eager, compiled, program = both(loss, [b], x)
    close(eager, compiled)
    sums = [line for line in program.lines if line.function == np.add.reduce]
    assert sorted(line.args[0].shape for line in sums) == [(B, H), (H, T * B)]


def test_long_loops_are_summed_in_parts(monkeypatch):
    monkeypatch.setattr(  # where there is room for it
        "minigrad.engine.program.program.laid_out",
        lambda lines, kept, _: laid_out(lines, kept, 1 << 30),
    )
    w = mg.tensor(np.full((2, 2), 0.1), requires_grad=True)
    x = mg.asarray(np.random.default_rng(1).standard_normal((100, 2)))

    def loss(x):
        for _ in range(25):
            x = mg.tanh(x @ w)
        return x.sum()

    eager, compiled, program = both(loss, [w], x)
    close(eager, compiled)
    shapes = [p.args[0].shape for p in products(program, (2, 2))]
    assert sorted(shapes) == [(2, 100), *[(2, 400)] * 6]


def test_slices_are_added_where_they_belong():
    x = mg.tensor(np.random.default_rng(1).standard_normal((T, B, H)), requires_grad=True)

    def loss(k):
        h = k
        for t in range(T):
            h = h * x[t] + x[T - 1 - t]
        return h.sum()

    eager, compiled, program = both(loss, [x], mg.ones((B, H), dtype="float64"))
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_array_equal(b, a)
    adds = [line.args[2].shape for line in program.lines if line.function is np.add]
    assert adds.count((T, B, H)) == 0


def test_two_sums_of_the_same_are_one():
    b, c = (mg.tensor(np.ones((B, H)), requires_grad=True) for _ in range(2))

    def loss(x):
        for _ in range(T):
            x = mg.tanh(x + b + c)
        return x.sum()

    eager, compiled, program = both(loss, [b, c], mg.ones((B, H), dtype="float64"))
    for x, y in zip(eager, compiled, strict=True):
        np.testing.assert_array_equal(y, x)
    adds = [line for line in program.lines if line.function is np.add]
    assert len(adds) == 2 * T + T - 1


def test_few_products_stay_as_they_are():
    w = mg.tensor(np.random.default_rng(0).standard_normal((H, H)), requires_grad=True)

    def loss(x):
        for _ in range(3):
            x = mg.tanh(x @ w)
        return x.sum()

    x = mg.asarray(np.random.default_rng(1).standard_normal((B, H)))
    eager, compiled, program = both(loss, [w], x)
    for a, b in zip(eager, compiled, strict=True):
        np.testing.assert_array_equal(b, a)
    assert len(products(program, (H, H))) == 3


def test_an_operand_that_changes_between_two_products_is_read_twice():
    """The operands of a group are copied where the products stood."""
    w = mg.tensor(np.zeros((2, 2)), requires_grad=True)

    @mg.compile
    def f(x):
        total = mg.zeros((2, 2), dtype="float64")
        for k in range(6):
            x = x * 2.0
            total = total + x.mT @ (x + k)
        w.assign_(total)
        return total

    def plain(x):
        total = np.zeros((2, 2))
        for k in range(6):
            x = x * 2.0
            total = total + x.T @ (x + k)
        return total

    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal((3, 2))
        np.testing.assert_allclose(f(mg.asarray(x)).numpy(), plain(x), rtol=1e-12)
        np.testing.assert_allclose(w.numpy(), plain(x), rtol=1e-12)
