"""Hooks: on leaves and on results, removed, replacing the gradient, and wrong ones."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def test_a_hook_on_a_result_sees_the_whole_gradient_once():
    x = leaf([1.0, 2.0])
    y = x * 2
    seen = []
    y.register_hook(seen.append)
    (y * y + y).sum().backward()
    assert [g.tolist() for g in seen] == [[5, 9]]
    assert isinstance(seen[0], mg.Tensor)
    assert not seen[0].requires_grad
    assert x.grad.tolist() == [10, 18]


def test_a_hook_on_a_leaf_sees_this_backwards_gradient_not_the_sum():
    x = leaf([1.0, 2.0])
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    for _ in range(2):
        (x * x + x).sum().backward()
    assert seen == [[3, 5], [3, 5]]
    assert x.grad.tolist() == [6, 10]


def test_hooks_replace_the_gradient_one_after_the_other():
    x = leaf([1.0, 2.0])
    y = x * 3
    y.register_hook(lambda g: g + 1)
    y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: -g)
    y.sum().backward()
    assert x.grad.tolist() == [-60, -60]


def test_a_hook_may_return_an_array_or_another_dtype():
    x = leaf([1.0, 2.0], "float32")
    x.register_hook(lambda g: np.array([3.0, 4.0]))
    (x * x).sum().backward()
    assert x.grad.dtype == "float32"
    assert x.grad.tolist() == [3, 4]
    assert (x.grad * x).tolist() == [3, 8]


def test_hooks_are_removed():
    x = leaf([1.0])
    y = x * 2
    handles = [t.register_hook(lambda g: g * 100) for t in (x, y)]
    keep = x.register_hook(lambda g: g + 1)
    for handle in handles:
        handle.remove()
        handle.remove()  # twice is fine
    y.sum().backward()
    assert x.grad.tolist() == [3]
    keep.remove()


def test_a_hook_can_remove_itself():
    x = leaf([1.0])
    calls = []

    def once(g):
        calls.append(1)
        handle.remove()

    handle = x.register_hook(once)
    for _ in range(2):
        (x * 2).sum().backward()
    assert calls == [1]


def test_hooks_run_in_grad_for_targets_and_on_the_way():
    x = leaf([1.0, 2.0])
    y = x * x
    y.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: g + 1)
    gy, gx = mg.grad((y * 3).sum(), [y, x])
    assert gy.tolist() == [30, 30]
    assert gx.tolist() == [61, 121]


def test_hooks_of_a_recorded_backward_are_differentiable():
    x = leaf([1.0, 2.0])
    y = x * x
    handle = y.register_hook(lambda g: g * y)
    g = mg.grad(y.sum(), x, create_graph=True)  # x² · 2x
    handle.remove()
    np.testing.assert_allclose(g.numpy(), [2, 16])
    assert mg.grad(g.sum(), x).tolist() == [6, 24]


def test_hooks_of_a_plain_backward_record_nothing():
    x = leaf([1.0])
    states = []
    x.register_hook(lambda g: states.append((mg.is_grad_enabled(), g.requires_grad)))
    (x * x).sum().backward()
    assert states == [(False, False)]
    assert mg.is_grad_enabled()


def test_each_output_of_an_op_has_its_own_hooks():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    first, second = mg.unstack(x)
    first.register_hook(lambda g: g * 10)
    second.register_hook(lambda g: g * 100)
    (first + second).sum().backward()
    assert x.grad.tolist() == [[10, 10], [100, 100]]


def test_hooks_on_a_named_output_that_nobody_used_are_not_called():
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    first, second = mg.unstack(x)
    second.register_hook(lambda g: 1 / 0)
    first.sum().backward()
    assert x.grad.tolist() == [[1, 1], [0, 0]]


def test_the_gradient_of_a_sparse_embedding_goes_through_hooks():
    table = leaf(np.ones((4, 2)))
    seen = []
    table.register_hook(seen.append)
    table.register_hook(lambda g: g * 2)
    mg.embedding(table, mg.tensor([1, 1, 3]), sparse=True).sum().backward()
    assert isinstance(seen[0], mg.RowSparse)
    assert table.grad.to_dense().tolist() == [[0, 0], [4, 4], [0, 0], [2, 2]]


@pytest.mark.parametrize("result", [1.0, [1.0, 2.0], "g", (1,)])
def test_what_is_no_gradient(result):
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: result)
    with pytest.raises(errors.GradError, match=type(result).__name__):
        (x * x).sum().backward()
    assert x.grad is None


def test_a_gradient_of_the_wrong_shape():
    x = leaf([1.0, 2.0])
    y = x * x
    y.register_hook(lambda g: g.sum())
    with pytest.raises(errors.ShapeError, match=r"\(\).*\(2,\)"):
        y.sum().backward()
    assert x.grad is None


def test_only_what_requires_grad_has_hooks():
    with pytest.raises(errors.GradError, match="require grad"):
        mg.tensor([1.0]).register_hook(print)
