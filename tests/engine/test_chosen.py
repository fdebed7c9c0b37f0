"""What nothing chose has the gradient 0, also where a derivative is infinite or NaN."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import strict
from minigrad.testing.gradcheck import check_jvp, gradcheck, gradgradcheck

POINTS = [-2.0, -1.0, 0.0, 1.0, 4.0]

GUARDED = {
    "sqrt": (lambda x: mg.where(x > 0, mg.sqrt(x), 0), lambda x: 0.5 / x**0.5),
    "log": (lambda x: mg.where(x > 0, mg.log(x), 0.0), lambda x: 1 / x),
    "the other branch": (lambda x: mg.where(x <= 0, 0.0, mg.log(x)), lambda x: 1 / x),
    "chain": (lambda x: mg.where(x > 0, mg.log(mg.sqrt(x) / x), 0), lambda x: -0.5 / x),
    "quotient": (lambda x: mg.where(x > 0, (x * x + x) / x, 0), np.ones_like),
    "masked_fill": (lambda x: mg.masked_fill(mg.sqrt(x), x <= 0, 0.0), lambda x: 0.5 / x**0.5),
    "mask": (lambda x: mg.sqrt(x)[x > 0], lambda x: 0.5 / x**0.5),
    "index": (lambda x: mg.sqrt(x)[[3, 4, 3]] - mg.sqrt(x)[[3]] / 3, lambda x: 0.5 / x**0.5),
    "clip": (lambda x: mg.clip(mg.sqrt(mg.relu(x)), 0.5, 9.0), lambda x: 0.5 / x**0.5),
    "maximum": (lambda x: mg.maximum(mg.sqrt(mg.relu(x)), 0.25), lambda x: 0.5 / x**0.5),
    "minimum": (lambda x: -mg.minimum(-mg.sqrt(mg.relu(x)), -0.25), lambda x: 0.5 / x**0.5),
    "where in where": (
        lambda x: mg.where(x > -1.5, mg.where(x > 0, mg.sqrt(x), 0), 1 / (x + 1)),
        lambda x: 0.5 / x**0.5,
    ),
    "rearranged": (
        lambda x: mg.where(
            mg.permute_dims(mg.reshape(x, (5, 1)), (1, 0)) > 0,
            mg.matrix_transpose(mg.expand_dims(mg.flip(mg.flip(mg.sqrt(x))), axis=1)),
            0,
        ),
        lambda x: 0.5 / x**0.5,
    ),
    "sliced": (lambda x: mg.where(x[1:] > 0, mg.sqrt(x)[1:], 0), lambda x: 0.5 / x**0.5),
    "cast": (
        lambda x: mg.where(x > 0, mg.sqrt(x).astype("float32").copy(), 0),
        lambda x: 0.5 / x**0.5,
    ),
    "numeric condition": (
        lambda x: mg.where((x > 0).astype("int64"), mg.sqrt(x), 0),
        lambda x: 0.5 / x**0.5,
    ),
}


@pytest.mark.parametrize("device", ["cpu", "strict"])
@pytest.mark.parametrize("name", GUARDED)
def test_no_nan(name, device):
    f, derivative = GUARDED[name]
    x = mg.tensor(np.array(POINTS), device=device, requires_grad=True)
    with np.errstate(all="ignore"):
        y = f(x).sum()
    y.backward()  # and no warning
    positive = np.array(POINTS[3:])
    expected = [0, 0, 0, *derivative(positive)]
    if name == "where in where":
        expected[0] = -1.0  # of 1 / (x + 1)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)


@pytest.mark.parametrize("name", [n for n in GUARDED if n != "cast"])
def test_second_order_and_forward_mode(name):
    f, _ = GUARDED[name]
    x = np.array([-2.0, -1.0, -0.5, 1.0, 4.0])
    with np.errstate(all="ignore"):
        assert gradcheck(f, x)
        assert gradgradcheck(f, x)
        assert check_jvp(f, x)


def test_second_order_at_the_edge():
    x = mg.tensor(np.array(POINTS), requires_grad=True)
    with np.errstate(all="ignore"):
        y = mg.where(x > 0, x * mg.sqrt(x), 0)
        (first,) = mg.grad(y.sum(), [x], create_graph=True)
        (second,) = mg.grad(first.sum(), [x])
    np.testing.assert_allclose(first.numpy(), [0, 0, 0, 1.5, 3])
    np.testing.assert_allclose(second.numpy(), [0, 0, 0, 0.75, 0.375])


def test_nan_in_the_data():
    """A loss over padded targets: what is masked may be anything."""
    x = mg.tensor([1.0, np.nan, 3.0], requires_grad=True)
    w = mg.tensor([2.0], requires_grad=True)
    mg.where(~mg.isnan(x), w * x * x, 0).sum().backward()
    assert x.grad.tolist() == [4, 0, 12]
    assert w.grad.tolist() == [10]


def test_broadcast_argument():
    """A row of a table is chosen if one of its uses chose it."""
    x = mg.tensor([[0.0, 4.0, 9.0]], requires_grad=True)
    choice = np.array([[False, True, False], [False, True, True]])
    mg.where(mg.asarray(choice), mg.sqrt(x), 0).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[0, 0.5, 1 / 6]], rtol=1e-6)


def test_other_uses_count():
    x = mg.tensor([0.0, 4.0], requires_grad=True)
    root = mg.sqrt(x)
    with np.errstate(all="ignore"):
        (mg.where(x > 0, root, 0) + root).sum().backward()
    assert x.grad.tolist() == [np.inf, 0.5]


def test_two_choices_of_one_value():
    x = mg.tensor([0.0, 4.0, 16.0], requires_grad=True)
    root = mg.sqrt(x)
    (mg.where(x == 4, root, 0) + mg.where(x == 16, root, 0)).sum().backward()
    assert x.grad.tolist() == [0, 0.25, 0.125]


def test_a_hook_may_bring_values_back():
    x = mg.tensor([1.0, 4.0], requires_grad=True)
    root = mg.sqrt(x)
    root.register_hook(lambda g: g + 1)
    mg.where(x > 2, root, 0).sum().backward()
    assert x.grad.tolist() == [0.5, 0.5]


def test_a_zero_cotangent_is_no_choice():
    """0 · ∞ from a cotangent that happens to be 0 stays NaN: nothing is hidden."""
    x = mg.tensor([0.0, 4.0], requires_grad=True)
    with np.errstate(all="ignore"):
        (mg.sqrt(x) * mg.tensor([0.0, 1.0])).sum().backward()
    assert np.isnan(x.grad.numpy()[0])


def test_never_waits_for_the_device():
    x = mg.tensor([0.0, 4.0], device="strict", requires_grad=True)
    with strict.no_sync():
        with np.errstate(all="ignore"):
            y = mg.where(x > 0, mg.log(mg.sqrt(x)), 0).sum()
        y.backward()
    assert x.grad.tolist() == [0, 0.125]
