"""Products of one weight with rows side by side: one product, where nothing changes between."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.engine.program.test_memory import peak
from tests.engine.program.test_sums import B, H, T, both, close, products


def inputs(seed=1, shape=(T, B, H)):
    return mg.asarray(np.random.default_rng(seed).standard_normal(shape))


def weight(seed=0, shape=(H, H)):
    return mg.tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize("steps", [range(T), range(T - 1, -1, -1)], ids=["forwards", "backwards"])
def test_products_of_a_loops_inputs_are_one(steps):
    layer, recurrent = nn.Linear(H, H, dtype="float64"), weight()

    def loss(x):
        h = mg.zeros((B, H), dtype="float64")
        for t in steps:
            h = mg.tanh(layer(x[t]) + h @ recurrent)
        return (h * h).sum()

    eager, compiled, program = both(loss, [*layer.parameters(), recurrent], inputs())
    close(eager, compiled)
    (product,) = products(program, (T * B, H))
    assert product.times == T
    assert product.args[0].memory.owner is not None  # the argument itself, no copy
    assert f"linear ×{T}" in str(program)
    biased = [line for line in program.lines if line.function is np.add and line.op == "linear"]
    assert [line.args[2].shape for line in biased] == [(T * B, H)]


def test_what_all_rows_are_there_for_is_one_product_in_the_backward_pass():
    head = nn.Linear(H, 5, dtype="float64")
    recurrent = weight()

    def loss(x):
        h, found = mg.zeros((B, H), dtype="float64"), []
        for t in range(T):
            h = mg.tanh(x[t] + h @ recurrent)
            found.append(head(h))
        return mg.exp(mg.stack(found)).sum()

    eager, compiled, program = both(loss, [*head.parameters(), recurrent], inputs())
    close(eager, compiled)
    (product,) = products(program, (T * B, H))
    assert (product.times, product.args[0].shape) == (T, (T * B, 5))


def test_long_products_are_left_and_groups_are_no_longer_than_needed():
    w = weight()

    def loss(x):
        return sum((mg.tanh(x[t] @ w).sum() for t in range(T)), mg.asarray(0.0, dtype="float64"))

    _, _, program = both(loss, [w], inputs(shape=(T, 100, H)))
    assert [line.times for line in products(program, (300, H))] == [3, 3]
    _, _, program = both(loss, [w], inputs(shape=(T, 200, H)))
    assert len(products(program, (200, H))) == T


def test_a_weight_that_changes_between_is_read_each_time():
    w = weight()

    def step(x):
        total = mg.asarray(0.0, dtype="float64")
        for t in range(4):
            w.grad = None
            loss = mg.tanh(x[t] @ w).sum()
            loss.backward()
            with mg.no_grad():
                w.assign_(w - 0.1 * w.grad)
            total = total + loss.detach()
        return total

    compiled, start = mg.compile(step), w.numpy().copy()
    compiled(inputs(3))
    found = []
    for run in (step, compiled):
        w.assign_(start)
        found.append([run(inputs()).item(), w.numpy().copy()])
    close(*found)


def test_rows_that_are_made_one_after_another_are_multiplied_one_after_another():
    w, buffer = weight(), mg.zeros((T, B, H), dtype="float64")

    @mg.compile
    def step(x):
        rows, h = mg.zeros((T, B, H), dtype="float64") + buffer, x[0]
        results = []
        for t in range(T):
            rows[t] = h
            h = mg.tanh(rows[t] @ w + x[t])
            results.append(h)
        return mg.stack(results)

    def plain(x):
        h, results = x[0], []
        for t in range(T):
            h = np.tanh(h @ w.numpy() + x[t])
            results.append(h)
        return np.stack(results)

    with mg.no_grad():
        for seed in (1, 2):
            x = inputs(seed)
            np.testing.assert_allclose(step(x).numpy(), plain(x.numpy()), rtol=1e-12)


def test_rows_that_are_overwritten_are_multiplied_before():
    w = weight()

    def step(x):
        rows = x + 1.0
        array = rows.data
        results = [rows[t] @ w for t in range(T)]
        array[:] = 0.0
        return mg.stack(results)

    compiled = mg.compile(step)
    with mg.no_grad():
        compiled(inputs(2))
        close([step(inputs()).numpy()], [compiled(inputs()).numpy()])


def test_a_bias_that_changes_between_is_added_each_time():
    w, bias = weight(), weight(1, (H,))

    def step(x):
        results = []
        for t in range(4):
            results.append(mg.exp(mg.linear(x[t], w, bias)))
            bias.assign_(bias * 0.5)
        return mg.stack(results)

    compiled, start, found = mg.compile(step), bias.numpy().copy(), []
    with mg.no_grad():
        compiled(inputs(3))
        for run in (step, compiled):
            bias.assign_(start)
            found.append([run(inputs()).numpy()])
    close(*found)
    assert products(compiled.program, (4 * B, H))


def test_a_hand_written_cell_needs_no_more_memory_than_eager():
    gates, recurrent = [nn.Linear(32, 64) for _ in range(4)], [nn.Linear(64, 64) for _ in range(4)]
    x = mg.asarray(np.random.default_rng(1).standard_normal((40, 16, 32), np.float32))

    def step(x):
        for layer in (*gates, *recurrent):
            layer.zero_grad()
        h = c = mg.zeros((16, 64))
        for t in range(40):
            i, f, g, o = (a(x[t]) + b(h) for a, b in zip(gates, recurrent, strict=True))
            c = mg.sigmoid(f) * c + mg.sigmoid(i) * mg.tanh(g)
            h = mg.sigmoid(o) * mg.tanh(c)
        (h**2).sum().backward()

    compiled = mg.compile(step)
    compiled(x)
    assert len(products(compiled.program, (256, 64))) >= 4
    assert compiled.program.nbytes <= peak(step, x)
