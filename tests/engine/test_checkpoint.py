"""checkpoint: the same values and gradients as without it, for less memory."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def block(x, w):
    return mg.tanh(x * w) + mg.sin(x) * w


def both(f, *leaves, order=1):
    """Gradients of sum f² with and without the checkpoint."""
    found = []
    for call in (f, lambda *xs: mg.checkpoint(f, *xs)):
        y = call(*leaves)
        g = mg.grad((y * y).sum(), leaves, create_graph=order > 1)
        for _ in range(order - 1):
            g = mg.grad(sum((v * v).sum() for v in g), leaves, create_graph=True)
        found.append([y.numpy(), *(v.numpy() for v in g)])
    return found


@pytest.mark.parametrize("order", [1, 2, 3])
def test_gradients_of_arguments(order):
    plain, saved = both(block, leaf([1.0, 2.0]), leaf([0.3, -0.5]), order=order)
    for a, b in zip(plain, saved, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-13)


@pytest.mark.parametrize("create_graph", [False, True])
def test_parameters_and_results_from_outside(create_graph):
    def run(wrapper):
        w, v, x = leaf([0.3, -0.5]), leaf([1.5, 2.5]), leaf([1.0, 2.0])
        between = mg.exp(v)  # recorded before, used inside
        y = wrapper(lambda t: block(t, w) * between + between * between, x)
        total = (y * y).sum() + between.sum()
        if create_graph:
            gs = mg.grad(total, [w, v, x, between], create_graph=True)
            total = sum((g * g).sum() for g in gs)
        total.backward()
        return [t.grad.numpy() for t in (w, v, x)]

    plain = run(lambda f, *xs: f(*xs))
    for a, b in zip(plain, run(mg.checkpoint), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_only_what_is_outside_needs_a_gradient():
    w, x = leaf([0.3, -0.5]), mg.tensor([1.0, 2.0], dtype="float64")
    mg.checkpoint(block, x, w.detach())  # nothing at all
    y = mg.checkpoint(lambda t: block(t, w), x)
    y.sum().backward()
    expected = leaf([0.3, -0.5])
    block(x, expected).sum().backward()
    np.testing.assert_allclose(w.grad.numpy(), expected.grad.numpy())
    assert not mg.checkpoint(block, x, x).requires_grad


def test_the_same_tensor_as_two_arguments_and_from_outside():
    def run(wrapper):
        x = leaf([1.0, 2.0])
        wrapper(lambda a, b: a * mg.sin(b) * x, x, x).sum().backward()
        return x.grad.numpy()

    np.testing.assert_allclose(run(mg.checkpoint), run(lambda f, *xs: f(*xs)))


def test_random_numbers_repeat():
    x, w = leaf(np.ones(1000)), leaf(np.ones(1000))
    mg.manual_seed(1)
    y = mg.checkpoint(lambda t: mg.dropout(t * w, 0.5), x)
    after = mg.rand(3).tolist()
    mask = y.numpy() != 0
    assert 400 < mask.sum() < 600
    state = mg.get_rng_state()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy() != 0, mask)
    np.testing.assert_array_equal(w.grad.numpy() != 0, mask)
    assert mg.get_rng_state() == state  # the stream goes on where it was
    mg.manual_seed(1)
    mg.dropout(x * w, 0.5)
    assert mg.rand(3).tolist() == after


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_random_numbers_repeat_in_each_replay(device):
    w = mg.ones(100, device=device).requires_grad_()
    x = mg.ones(100, device=device)

    def step(x):
        w.grad = None
        y = mg.checkpoint(lambda t: mg.dropout(t * w, 0.5), x)
        y.sum().backward()
        return y, w.grad, mg.rand(3, device=device)

    runs = []
    for function in (step, mg.compile(step)):
        mg.manual_seed(1)
        runs.append([[t.numpy() for t in function(x)] for _ in range(4)])
    for plain, replayed in zip(*runs, strict=True):
        np.testing.assert_array_equal(replayed[1], replayed[0])
        for one, other in zip(plain, replayed, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_stream_is_restored_when_the_recomputation_fails():
    calls = []

    def fails_later(t):
        calls.append(mg.rand(1))
        if len(calls) > 1:
            raise RuntimeError("boom")
        return t * 2

    x = leaf([1.0])
    y = mg.checkpoint(fails_later, x)
    state = mg.get_rng_state()
    with pytest.raises(RuntimeError, match="boom"):
        y.sum().backward()
    assert mg.get_rng_state() == state
    assert x.grad is None
    assert mg.is_grad_enabled()


def test_checkpoints_nest():
    w = leaf([0.3, -0.5])

    def inner(t):
        return block(t, w)

    def outer(t):
        return mg.checkpoint(inner, mg.checkpoint(inner, t)) * w

    def plain(t):
        return inner(inner(t)) * w

    for order in (1, 2):
        results = []
        for f in (plain, outer, lambda t: mg.checkpoint(outer, t)):
            x = leaf([1.0, 2.0])
            gs = mg.grad((f(x) ** 2).sum(), [x, w], create_graph=order > 1)
            if order > 1:
                gs = mg.grad(sum((g * g).sum() for g in gs), [x, w])
            results.append([g.numpy() for g in gs])
        for a, b, c in zip(*results, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)
            np.testing.assert_allclose(a, c, rtol=1e-12)


def test_several_results_some_of_them_integers():
    x = leaf([[1.0, 5.0], [7.0, 2.0]])
    y, index, constant = mg.checkpoint(lambda t: (t * t, mg.argmax(t, axis=1), mg.ones(2)), x)
    assert index.tolist() == [1, 0]
    assert not index.requires_grad
    assert not constant.requires_grad
    y[:, 0].sum().backward()
    assert x.grad.tolist() == [[2, 0], [14, 0]]


def test_results_that_are_arguments_or_come_from_outside():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    same, outside = mg.checkpoint(lambda t: (t, w), x)
    (same * 2 + outside * 3).sum().backward()
    assert x.grad.tolist() == [2, 2]
    assert w.grad.tolist() == [3, 3]


def test_arguments_that_are_no_tensors_come_back_as_they_were():
    seen = []

    def f(t, shape, array, flag, number):
        seen.append((shape, type(array), flag, number))
        return (t * mg.asarray(array)).reshape(shape) * number

    x = leaf(np.ones(4))
    mg.checkpoint(f, x, (2, 2), np.arange(4.0), None, 3.0).sum().backward()
    assert seen == [((2, 2), np.ndarray, None, 3.0)] * 2
    assert x.grad.tolist() == [0, 3, 6, 9]


def test_constants_keep_the_value_they_had():
    x, c = leaf([1.0, 2.0]), mg.tensor([3.0, 4.0], dtype="float64")
    y = mg.checkpoint(lambda t, k: t * k, x, c)
    c[0] = 100.0  # gives the name a new value
    y.sum().backward()
    assert x.grad.tolist() == [3, 4]


def test_modes():
    x = leaf([1.0])
    with mg.no_grad():
        assert not mg.checkpoint(mg.exp, x).requires_grad
    y = mg.checkpoint(mg.exp, x)
    with mg.no_grad():  # the recomputation records all the same
        y.backward()
    np.testing.assert_allclose(x.grad.numpy(), [np.e])


def test_hooks_run_once_with_the_whole_gradient():
    w, x = leaf([2.0]), leaf([3.0])
    middle = w * 1
    seen = {"w": [], "middle": [], "x": []}
    w.register_hook(lambda g: seen["w"].append(g.tolist()))
    middle.register_hook(lambda g: seen["middle"].append(g.tolist()))
    x.register_hook(lambda g: seen["x"].append(g.tolist()))
    y = mg.checkpoint(lambda t: t * middle * w, x) + w * x
    y.sum().backward()
    assert seen == {"w": [[15]], "middle": [[6]], "x": [[6]]}


def test_the_values_inside_are_not_kept():
    kept = []

    def deep(t):
        for _ in range(5):
            t = mg.exp(t * 0.1)
            kept.append(weakref.ref(t.data))
        return t

    gc.disable()
    try:
        x = leaf([1.0])
        y = mg.checkpoint(deep, x)
        assert [r() is None for r in kept] == [True] * 4 + [False]  # the last is the result
        y.sum().backward()
        del y
        assert [r() for r in kept] == [None] * 10
    finally:
        gc.enable()


def test_a_freed_checkpoint():
    x = leaf([1.0])
    y = mg.checkpoint(mg.exp, x).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(errors.GraphFreedError):
        y.backward()
    np.testing.assert_allclose(x.grad.numpy(), [2 * np.e])


@pytest.mark.parametrize("result", [None, 1.0, [mg.tensor(1.0)], (mg.tensor(1.0), 2)], ids=str)
def test_what_the_function_must_return(result):
    with pytest.raises(errors.GradError, match=r"checkpoint.*expected a Tensor"):
        mg.checkpoint(lambda t: result, leaf([1.0]))


def test_errors_inside_pass_through():
    with pytest.raises(errors.ShapeError, match="matmul"):
        mg.checkpoint(lambda t: t @ mg.ones((5, 5)), leaf([1.0, 2.0]))
    assert mg.is_grad_enabled()
