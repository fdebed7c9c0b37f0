"""Copies that are left out: random code on arrays, replayed, gives what NumPy gives."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.backend import namespace
from minigrad.engine.program import copies
from minigrad.engine.recording import kernel

SIZE = 6


def code(seed):
    """A function of two arrays that copies, writes and reads here and there."""
    rng = np.random.default_rng(seed)
    plan = [(int(rng.integers(9)), *map(int, rng.integers(0, 100, 5))) for _ in range(30)]

    def run(x, y):
        pool = [x * 1, y * 1]
        for what, i, j, k, m, n in plan:
            a, b = pool[i % len(pool)], pool[j % len(pool)]
            if what == 0:
                pool.append(a.copy())
            elif what == 1:
                pool.append(a.T.copy())
            elif what == 2:
                a[...] = b
            elif what == 3:
                a[...] = b.T
            elif what == 4:
                start, stop, step = k % 4, m % 4, 1 + n % 2
                a[start : start + 2] = b[stop : stop + 2 * step : step]
            elif what == 5:
                a[:, k % SIZE] = b[m % SIZE]
            elif what == 6:
                np.add(a, b, out=pool[k % len(pool)])
            elif what == 7:
                pool.append(a * b)
            else:
                np.multiply(a[k % SIZE], 0.5, out=b[m % SIZE])
        return np.concatenate([p.reshape(-1) for p in pool]) if n % 2 else pool[-1] + pool[0]

    return run


@pytest.mark.parametrize("seed", [*range(60), 479, 1155])
def test_random_code(seed):
    run = code(seed)
    compiled = mg.compile(lambda x, y: mg.Tensor(kernel(run, x.data, y.data)))
    for again in range(3):
        x, y = np.random.default_rng(again).standard_normal((2, SIZE, SIZE))
        found = compiled(mg.asarray(x), mg.asarray(y)).numpy()
        np.testing.assert_array_equal(found, run(x, y))


def test_what_is_copied_twice_is_computed_once_in_place():
    def run(x):
        a = x * 2
        b = a.copy()
        return b.T.copy() + 1

    compiled = mg.compile(lambda x: mg.Tensor(kernel(run, x.data)))
    x = mg.asarray(np.arange(6.0).reshape(2, 3))
    compiled(x)
    np.testing.assert_array_equal(compiled(x).numpy(), x.numpy().T * 2 + 1)
    assert len(compiled.program.lines) == 3  # the product, the copy with other strides, the sum


def test_what_is_added_to_zeros_is_written():
    def run(xp, x):
        total = xp.zeros((3,))
        total += x
        return total * 2

    compiled = mg.compile(lambda x: mg.Tensor(kernel(run, namespace(x.data), x.data)))
    compiled(mg.ones(3, dtype="float64"))
    np.testing.assert_array_equal(compiled(mg.asarray(np.arange(3.0))).numpy(), [0, 2, 4])
    assert len(compiled.program.lines) == 1


def test_a_loop_is_united_in_as_many_changes_as_it_has_steps(monkeypatch):
    """The lines of a step are not changed once more by each step that follows."""
    changes = []
    moved = copies._moved
    monkeypatch.setattr(copies, "_moved", lambda *args: changes.append(args) or moved(*args))
    cell = nn.LSTMCell(3, 4)

    def count(T):
        @mg.compile
        def step(x):
            cell.zero_grad()
            state = None
            for t in range(T):
                state = cell(x[t], state)
            (state[0] ** 2).sum().backward()

        changes.clear()
        step(mg.zeros((T, 2, 3)))
        return len(changes)

    few, many = count(10), count(40)
    assert many < 5 * few
