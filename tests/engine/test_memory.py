"""Depth without recursion, memory without reference cycles."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors

DEPTH = 100_000


@pytest.fixture
def no_gc():
    """What is freed here is freed by reference counts alone."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def chain(x, depth=DEPTH):
    for _ in range(depth):
        x = x + 1.0
    return x


def test_a_deep_chain_differentiates_and_is_freed(no_gc):
    assert sys.getrecursionlimit() < DEPTH
    x = leaf(1.0)
    y = chain(x)
    y.backward()
    assert x.grad.item() == 1
    del y


def test_a_deep_chain_is_freed_without_backward_and_with_its_values_kept(no_gc):
    x = leaf(1.0)
    y = x
    for _ in range(DEPTH):
        y = mg.sin(y)  # keeps its argument
    y.backward(retain_graph=True)
    assert x.grad is not None
    last = weakref.ref(y.data)
    del y
    assert last() is None


def test_a_deep_chain_is_freed_after_an_exception(no_gc):
    x = leaf(1.0)

    def fails():
        y = chain(x)
        alive.append(weakref.ref(y.data))
        raise RuntimeError("boom")

    alive = []
    with pytest.raises(RuntimeError):
        fails()
    assert alive[0]() is None


def test_a_deep_chain_in_grad_and_in_second_order(no_gc):
    x = leaf(1.5)
    y = x
    for _ in range(DEPTH // 10):
        y = y * 1.0
    y = y * y * y
    g = mg.grad(y, x, create_graph=True)
    h = mg.grad(g, x)
    np.testing.assert_allclose([g.item(), h.item()], [3 * 1.5**2, 6 * 1.5])
    del y, g, h


def test_a_wide_and_deep_graph_takes_time_in_its_lines_not_in_its_paths():
    x = leaf(1.0)
    y = x
    for _ in range(60):  # 2⁶⁰ paths
        y = (y + y) * 0.5
    y.backward()
    assert x.grad.item() == 1


def lines(x, w):
    """A graph with every kind of line: kept values, views, several outputs, fused ops, hooks."""
    h = mg.tanh(x @ w) * 2
    h.register_hook(lambda g: g)
    first, second = mg.unstack(h[:2])
    h = mg.concat([mg.expand_dims(first, axis=0), mg.expand_dims(second, axis=0)])
    h = mg.checkpoint(lambda t: mg.exp(t * 0.1), h)
    h.name = "hidden"
    loss = mg.cross_entropy(h, mg.tensor([0, 1]))
    return h, loss


ACTIONS = {
    "nothing": lambda loss, x, w: None,
    "backward": lambda loss, x, w: loss.backward(),
    "backward, retained": lambda loss, x, w: loss.backward(retain_graph=True),
    "grad": lambda loss, x, w: mg.grad(loss, [x, w]),
    "grad, recorded": lambda loss, x, w: mg.grad(loss, [x, w], create_graph=True),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_no_reference_cycles(no_gc, action):
    x, w = leaf(np.ones((3, 4))), leaf(np.ones((4, 3)))
    h, loss = lines(x, w)
    alive = [weakref.ref(t) for t in (h, loss)] + [weakref.ref(t.data) for t in (h, loss)]
    ACTIONS[action](loss, x, w)
    del h, loss
    assert [ref() for ref in alive] == [None] * 4
    assert gc.collect() == 0


def test_no_cycles_after_failures(no_gc):
    x = leaf([1.0, 2.0])
    alive = []

    def failures():
        y = mg.exp(x)
        alive.append(weakref.ref(y.data))
        loss = y.sum()
        loss.backward()
        with pytest.raises(errors.GraphFreedError):
            loss.backward()
        with pytest.raises(errors.ShapeError):
            y @ mg.ones((3, 3), dtype="float64")
        with pytest.raises(errors.GradError):
            y.backward()

    failures()
    assert [ref() for ref in alive] == [None]


def test_training_does_not_grow(no_gc):
    w = leaf(np.ones((50, 50)))
    opt = mg.optim.Adam([w])
    x = mg.tensor(np.ones((50, 50)))

    def step():
        opt.zero_grad()
        loss = (mg.tanh(x @ w) ** 2).mean()
        loss.backward()
        opt.step()

    for _ in range(3):
        step()
    tracemalloc.start()
    step()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(20):
        step()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000  # one matrix


def test_backward_frees_values_as_it_goes(no_gc):
    """At the peak of backward there is one step's worth of cotangents, not all of them."""
    n, size = 50, 100_000
    x = leaf(np.ones(size))
    y = x
    for _ in range(n):
        y = mg.sin(y)
    seen = []
    y.register_hook(lambda g: seen.append(tracemalloc.get_traced_memory()[0]))
    loss = y.sum()
    del y
    tracemalloc.start()
    base = tracemalloc.get_traced_memory()[0]
    loss.backward()
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - base < 5 * 8 * size
    assert now - base < 2 * 8 * size
    assert len(seen) == 1


def test_values_that_no_rule_reads_are_not_kept(no_gc):
    x = leaf(np.ones(10))
    a = x * 2.0  # keeps x? no: only the number
    b = a + 1.0  # keeps nothing
    alive = [weakref.ref(a.data), weakref.ref(b.data)]
    c = mg.exp(b)  # keeps its result, not b
    del a, b
    assert [ref() for ref in alive] == [None, None]
    c.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(3.0))


def test_constants_are_not_kept_alive_by_the_picture(no_gc):
    x, c = leaf([1.0]), mg.tensor([2.0], dtype="float64")
    y = x + c
    alive = weakref.ref(c)
    assert y.node.parents[1]() is c
    del c
    assert alive() is None
    assert y.node.parents[1]() is None
    y.sum().backward()
    assert x.grad.tolist() == [1]
