"""grad(): what it walks, keeps and frees; derivatives of derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def test_grad_touches_no_grad_attribute():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    gx, gy = mg.grad((x * y).sum(), [x, y])
    assert gx.tolist() == [3, 4]
    assert gy.tolist() == [1, 2]
    assert x.grad is None
    assert y.grad is None
    assert not gx.requires_grad


def test_grad_of_several_outputs():
    x = leaf([1.0, 2.0])
    y, z = x * x, mg.exp(x)
    g = mg.grad([y, z, y], x, [[1.0, 1.0], [2.0, 2.0], [0.5, 0.0]])
    np.testing.assert_allclose(g.numpy(), [2 + 2 * np.e + 1, 4 + 2 * np.exp(2)])


def test_grad_with_respect_to_intermediates():
    x = leaf([1.0, 2.0])
    y = x * x
    z = mg.exp(y)
    out = (z * y).sum()
    gz, gy, gx = mg.grad(out, [z, y, x])
    ez = np.exp(y.numpy())
    np.testing.assert_allclose(gz.numpy(), y.numpy())
    np.testing.assert_allclose(gy.numpy(), ez + ez * y.numpy())  # all paths to y, also through z
    np.testing.assert_allclose(gx.numpy(), gy.numpy() * 2 * x.numpy())


def test_grad_of_a_tensor_with_respect_to_itself():
    x = leaf(2.0)
    y = x * x
    assert mg.grad(y, y).item() == 1
    assert [g.item() for g in mg.grad(y, [y, x])] == [1, 4]
    assert mg.grad(x, x).item() == 1


def test_grad_walks_only_the_lines_between():
    @mg.op
    def tripwire(xp, x):
        return x * 1

    walked = []

    def note(g, _y, _x):
        walked.append(1)
        return g

    tripwire.defvjp(note)
    x, w = leaf([1.0]), leaf([2.0])
    y = tripwire(x)
    z = y * w
    mg.grad(z.sum(), w)
    assert not walked
    mg.grad((tripwire(x) * w).sum(), [y], allow_unused=True)
    assert not walked
    mg.grad((tripwire(x) * w).sum(), [x])
    assert walked == [1]


def test_grad_asks_only_the_rules_that_lead_to_an_input():
    @mg.op
    def user_pair(xp, a, b):
        return a * b

    def never(g, _y, a, _b):
        raise AssertionError

    user_pair.defvjp(lambda g, _y, _a, b: g * b, never)
    x, w = leaf([1.0]), leaf([2.0])
    assert mg.grad(user_pair(x * 2, w * 3).sum(), x).tolist() == [12]


def test_grad_frees_only_what_it_walked():
    x, w = leaf([1.0]), leaf([2.0])
    z = (mg.exp(x) * mg.exp(w)).sum()
    mg.grad(z, w)
    with pytest.raises(errors.GraphFreedError):
        mg.grad(z, x)
    y = mg.exp(x)
    out = y * y
    mg.grad(out.sum(), y)
    mg.grad(y.sum(), x)  # the line of y was a target: not walked


def test_inputs_that_play_no_part():
    x, w = leaf([1.0]), leaf([2.0])
    w.name = "weight"
    y = (x * 2).sum()
    with pytest.raises(errors.GradError, match=r"input 1 \(weight\).*allow_unused"):
        mg.grad(y, [x, w])
    y = (x * 2).sum()
    gx, gw = mg.grad(y, [x, w], allow_unused=True)
    assert gx.tolist() == [2]
    assert gw is None
    assert mg.grad(mg.tensor(1.0), x, allow_unused=True) is None
    with pytest.raises(errors.GradError, match="input 0 does not require grad"):
        mg.grad((x * 2).sum(), mg.tensor([1.0]))
    with pytest.raises(errors.GradError, match="value_and_grad"):
        mg.grad(mg.tanh, x)


def test_grad_keeps_the_graph_only_when_asked():
    x = leaf([1.0])
    y = mg.exp(x).sum()
    mg.grad(y, x, retain_graph=True)
    mg.grad(y, x, create_graph=True)
    mg.grad(y, x)
    with pytest.raises(errors.GraphFreedError):
        mg.grad(y, x)


def test_create_graph_records_inside_no_grad():
    x = leaf([3.0])
    y = (x**3).sum()
    with mg.no_grad():
        g = mg.grad(y, x, create_graph=True)
        assert not mg.is_grad_enabled()
    assert g.requires_grad
    assert mg.grad(g.sum(), x).tolist() == [18]


def test_third_derivatives():
    x = leaf([1.0, 2.0])
    g = x**4
    for expected in ([4, 32], [12, 48], [24, 48], [24, 24]):
        g = mg.grad(g.sum(), x, create_graph=True)
        np.testing.assert_allclose(g.numpy(), expected)


def test_gradients_of_gradients_reach_every_input():
    x, w = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (g,) = mg.grad((x * x * w).sum(), [x], create_graph=True)
    gx, gw = mg.grad((g * g).sum(), [x, w])
    np.testing.assert_allclose(gx.numpy(), 8 * x.numpy() * w.numpy() ** 2)
    np.testing.assert_allclose(gw.numpy(), 8 * x.numpy() ** 2 * w.numpy())
