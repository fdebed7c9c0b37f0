"""Ops written by users: rules, composites, arguments, and the errors they meet."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors
from minigrad.engine import OPS
from minigrad.testing import gradcheck, gradgradcheck

pytestmark = pytest.mark.usefixtures("forget_ops")


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def make_cube():
    @mg.op
    def user_cube(xp, x):
        """x³, elementwise.

        More text.
        """
        return x * x * x

    user_cube.defvjp(lambda g, _y, x: g * 3 * x * x)
    return user_cube


def test_one_rule_gives_every_derivative():
    cube = make_cube()
    x = leaf([1.0, 2.0])
    assert gradcheck(cube, x)
    assert gradgradcheck(cube, x)
    assert mg.jvp(cube, x.detach(), [1.0, 1.0])[1].tolist() == [3, 12]
    assert mg.hessian(lambda t: cube(t).sum(), x).tolist() == [[6, 0], [0, 12]]
    y = mg.checkpoint(cube, x)
    y.sum().backward()
    assert x.grad.tolist() == [3, 12]


def test_an_op_knows_itself():
    cube = make_cube()
    assert isinstance(cube, mg.Op)
    assert repr(cube) == "<op user_cube(x)>"
    assert cube.doc == "x³, elementwise."
    assert cube.differentiable
    assert OPS["user_cube"] is cube


def test_an_op_of_arrays_computes_arrays():
    cube = make_cube()
    result = cube(np.array([1.0, 2.0]))
    assert type(result) is np.ndarray
    assert result.tolist() == [1, 8]


def test_the_tape_keeps_what_the_rules_read_and_no_more():
    @mg.op
    def user_mix(xp, a, b, c):
        return a * b + c

    user_mix.defvjp(
        lambda g, _y, _a, b, _c: g * b,
        lambda g, _y, a, _b, _c: g * a,
        lambda g, _y, _a, _b, _c: g,
    )
    a, b, c = leaf([1.0]), leaf([2.0]), leaf([3.0])
    node = user_mix(a, b, c).node
    assert node.inputs[0].tolist() == [1]
    assert node.inputs[1].tolist() == [2]
    assert node.inputs[2] is c  # its shape and dtype; its values are not read
    assert node.outputs is None
    only_a = user_mix(a, b.detach(), c.detach()).node  # only the rule for a will run
    assert only_a.inputs[0] is a
    assert only_a.inputs[1].tolist() == [2]
    gs = mg.grad(user_mix(a, b, c), [a, b, c])
    assert [g.item() for g in gs] == [2, 1, 1]


def test_shapes_of_values_that_were_not_kept():
    @mg.op
    def user_total(xp, x):
        return x.sum()

    seen = []

    def rule(g, _y, _x):
        seen.append((_y.shape, _x.shape, _x.dtype, _x.ndim, _x.size))
        return mg.broadcast_to(g, _x.shape)

    user_total.defvjp(rule)
    x = leaf(np.ones((2, 3)))
    user_total(x).backward()
    assert seen == [((), (2, 3), np.float64, 2, 6)]
    assert x.grad.tolist() == np.ones((2, 3)).tolist()


def test_arguments_without_a_rule_get_no_gradient():
    @mg.op
    def user_pick(xp, x, index):
        return x[index]

    def put(g, _y, _x, index):
        return mg.setitem(np.zeros(_x.shape), g, key=index)

    user_pick.defvjp(put, None)
    x = leaf([1.0, 2.0, 3.0])
    user_pick(x, mg.tensor([2, 0])).sum().backward()
    assert x.grad.tolist() == [1, 0, 1]


def test_an_op_without_rules_records_nothing():
    @mg.op
    def user_sort_of(xp, x):
        return xp.sort(x)

    y = user_sort_of(leaf([2.0, 1.0]))
    assert not y.requires_grad
    assert not user_sort_of.differentiable


def test_static_parameters_positional_keyword_and_default():
    @mg.op
    def user_power(xp, x, /, n, *, scale=1.0):
        return scale * x**n

    user_power.defvjp(lambda g, _y, x, *, n, scale: g * scale * n * x ** (n - 1))
    x = leaf([2.0])
    for y in (user_power(x, 3), user_power(x, n=3), user_power(x, 3, scale=1.0)):
        assert y.item() == 8
        assert y.node.params == {"n": 3, "scale": 1.0}
    y = user_power(x, 3, scale=2.0)
    y.sum().backward()
    assert x.grad.item() == 24
    with pytest.raises(TypeError, match="'x' is missing"):
        user_power(n=3)
    with pytest.raises(TypeError, match="positional"):
        user_power(x, 3, 4)
    with pytest.raises(TypeError, match="twice"):
        user_power(x, 3, n=3)
    with pytest.raises(errors.ArgumentError, match="user_power"):
        user_power(x, 3, nonsense=1)


def test_arrays_by_keyword_and_by_default():
    @mg.op
    def user_affine(xp, x, scale=2.0, shift=None):
        y = x * scale
        return y if shift is None else y + shift

    user_affine.defvjp(
        lambda g, _y, _x, scale, _shift: g * scale,
        lambda g, _y, x, _scale, _shift: g * x,
        lambda g, _y, _x, _scale, _shift: g,
    )
    x, b = leaf([1.0, 2.0]), leaf([10.0, 20.0])
    assert user_affine(x).tolist() == [2, 4]
    y = user_affine(x, shift=b)
    assert y.tolist() == [12, 24]
    y.sum().backward()
    assert x.grad.tolist() == [2, 2]
    assert b.grad.tolist() == [1, 1]
    assert user_affine(scale=b, x=x).tolist() == [10, 40]


def test_any_number_of_arguments():
    @mg.op
    def user_sum_all(xp, *xs, weight=1.0):
        return weight * sum(xs)

    user_sum_all.defvjp(lambda g, _y, *_xs, i, weight: g * weight * (i + 1))  # i + 1 to tell apart
    xs = [leaf([1.0]) for _ in range(100)]
    y = user_sum_all(*xs, weight=2.0)
    assert y.item() == 200
    y.sum().backward()
    assert [x.grad.item() for x in xs] == [2.0 * (i + 1) for i in range(100)]


def test_several_outputs():
    @mg.op
    def user_minmax(xp, x):
        return x.min(), x.max(), xp.argmax(x)

    def rule(g, y, x):
        assert len(g) == len(y) == 3
        low, high, _ = g
        return low * (x == y[0]) + high * (x == y[1])

    user_minmax.defvjp(rule)
    x = leaf([3.0, 1.0, 2.0])
    low, high, at = user_minmax(x)
    assert (low.requires_grad, at.requires_grad) == (True, False)
    assert at.dtype == "int64"
    high.backward(retain_graph=True)  # low is unused: its cotangent is zero
    assert x.grad.tolist() == [1, 0, 0]
    (low * 10 + high).backward()
    assert x.grad.tolist() == [2, 10, 0]


def test_elementwise_sums_gradients_to_the_shape_of_each_argument():
    @mg.elementwise
    def user_product(xp, a, b):
        return a * b

    user_product.defvjp(lambda g, _y, _a, b: g * b, lambda g, _y, a, _b: g * a)
    a, b = leaf(np.ones((2, 1, 3))), leaf(np.full((4, 1), 2.0))
    assert gradcheck(user_product, (a, b))
    assert gradgradcheck(user_product, (a, b))
    user_product(a, b).sum().backward()
    assert a.grad.shape == (2, 1, 3)
    assert b.grad.shape == (4, 1)
    assert user_product(3.0, a).shape == a.shape


def test_a_composite_takes_over_in_higher_order():
    calls = []

    @mg.op
    def user_gelu(xp, x):
        return 0.5 * x * (1 + xp.tanh(x))

    def rule(g, _y, x):
        calls.append("rule")
        t = np.tanh(x)
        return g * 0.5 * (1 + t + x * (1 - t * t))

    user_gelu.defvjp(rule)

    @user_gelu.composite
    def _(x):
        calls.append("composite")
        return 0.5 * x * (1 + mg.tanh(x))

    x = leaf([0.3, -0.7])
    assert gradcheck(user_gelu, x)
    assert set(calls) == {"rule"}
    assert gradgradcheck(user_gelu, x)
    assert "composite" in calls


def test_views_are_declared():
    @mg.op(view=True)
    def user_first(xp, x):
        return x[0]

    @mg.op(view=True)
    def user_halves(xp, x):
        return x[:1], x[1:]

    user_first.defvjp(lambda g, _y, _x: mg.stack([g, g * 0]))
    user_halves.defvjp(lambda g, _y, _x: mg.concat([g[0], g[1]]))
    for view in (user_first, lambda t: user_halves(t)[0]):
        w = leaf([[1.0, 2.0], [3.0, 4.0]])
        v = view(w)
        y = (v * v).sum()
        w.assign_(0.0)
        with pytest.raises(errors.InPlaceError):
            y.backward()
        with mg.no_grad():
            alias = view(w)
        z = (w * w).sum()
        alias.assign_(1.0)
        with pytest.raises(errors.InPlaceError):
            z.backward()


def test_a_users_op_may_be_defined_again():
    first, second = make_cube(), make_cube()
    assert OPS["user_cube"] is second
    assert first(2.0 * mg.ones(1)).item() == 8
