"""Ops written by users: rules, composites, arguments, and the errors they meet."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors
from minigrad.engine import OPS
from minigrad.testing import gradcheck, gradgradcheck


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


@pytest.fixture(autouse=True)
def _forget_ops():
    """Ops defined by a test do not stay in the table."""
    before = dict(OPS)
    yield
    for name in set(OPS) - set(before):
        del OPS[name]
        delattr(mg.engine.ops, name)


# -- plain ops -----------------------------------------------------------------------------------


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
    assert node.inputs[2] == ((1,), np.float64)
    assert node.outputs is None
    only_a = user_mix(a, b.detach(), c.detach()).node  # only the rule for a will run
    assert only_a.inputs[0] == ((1,), np.float64)
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


# -- fused ops -----------------------------------------------------------------------------------


def make_fused(log, composite=True):
    @mg.fused
    def user_cell(xp, x, w, b, *, gain=1.0, keep):
        h = xp.tanh(x @ w + (0 if b is None else b)) * gain
        log.append(("keep", keep))
        return (h, h.sum(axis=0)), (h / gain if keep else None)

    @user_cell.backward
    def _(xp, gs, ys, inputs, residual, needs, *, gain):
        x, w, b = inputs
        log.append(("gs", tuple(g is None for g in gs), "needs", needs))
        assert len(ys) == 2
        g = xp.zeros(residual.shape) if gs[0] is None else gs[0]
        if gs[1] is not None:
            g = g + gs[1]
        g = g * (1 - residual * residual) * gain
        return (
            g @ w.T if needs[0] else None,
            x.T @ g if needs[1] else None,
            None if b is None or not needs[2] else g.sum(axis=0),
        )

    if composite:

        @user_cell.composite
        def _(x, w, b, *, gain):
            h = mg.tanh(x @ w + (0 if b is None else b)) * gain
            return h, h.sum(axis=0)

    return user_cell


def test_a_fused_op_is_its_composite():
    log = []
    cell = make_fused(log)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in ((4, 3), (3, 2), (2,))]
    args = [leaf(a) for a in arrays]
    for f in (lambda *a: cell(*a, gain=1.5), lambda *a: cell.plain(*a, gain=1.5)):
        assert gradcheck(f, args)
    assert gradgradcheck(lambda *a: cell(*a, gain=1.5), args)
    outs = cell(*args, gain=1.5)
    expected = cell.plain(*args, gain=1.5)
    for a, b in zip(outs, expected, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_fused_op_is_told_what_is_needed():
    log = []
    cell = make_fused(log)
    x, w = mg.tensor(np.ones((4, 3))), leaf(np.ones((3, 2)))
    with mg.no_grad():
        cell(x, w, None)
    assert log == [("keep", False)]
    h, s = cell(x, w, None)
    assert h.node.residual is not None
    s.sum().backward()
    assert log[1:] == [("keep", True), ("gs", (True, False), "needs", (False, True, False))]
    assert w.grad.shape == (3, 2)
    assert type(cell(np.ones((4, 3)), np.ones((3, 2)), None)[0]) is np.ndarray


def test_a_fused_op_without_a_composite_says_so_in_higher_order():
    cell = make_fused([], composite=False)
    x, w = leaf(np.ones((4, 3))), leaf(np.ones((3, 2)))
    mg.grad(cell(x, w, None)[0].sum(), [x, w])
    with pytest.raises(errors.GradError, match=r"user_cell.*composite"):
        mg.grad(cell(x, w, None)[0].sum(), [x, w], create_graph=True)


def test_the_same_tensor_twice_in_a_fused_op():
    cell = make_fused([])
    w = leaf(np.random.default_rng(1).standard_normal((2, 2)))
    assert gradcheck(lambda t: cell(t, t, None), w)
    assert gradgradcheck(lambda t: cell(t, t, None), w)


# -- wrong ops -----------------------------------------------------------------------------------


def test_one_rule_per_argument():
    @mg.op
    def user_three(xp, a, b, c):
        return a + b + c

    with pytest.raises(TypeError, match=r"user_three\.defvjp.*3"):
        user_three.defvjp(lambda g, y, a, b, c: g)


def test_a_rule_of_the_wrong_shape():
    @mg.op
    def user_wrong(xp, x):
        return x.sum()

    user_wrong.defvjp(lambda g, _y, _x: g)
    with pytest.raises(errors.GradError, match=r"user_wrong.*\(\).*\(2,\)"):
        user_wrong(leaf([1.0, 2.0])).backward()


@pytest.mark.parametrize("result", [0, 1.0, [1.0, 1.0], "g"])
def test_a_rule_that_returns_no_array(result):
    @mg.op
    def user_wrong(xp, x):
        return x * 1

    user_wrong.defvjp(lambda g, _y, _x: result)
    with pytest.raises(errors.GradError, match=f"user_wrong.*{type(result).__name__}"):
        user_wrong(leaf([1.0, 2.0])).sum().backward()


def test_a_fused_backward_with_too_few_gradients():
    @mg.fused
    def user_wrong(xp, a, b, *, keep):
        return a * b, None

    @user_wrong.backward
    def _(xp, gs, ys, inputs, residual, needs):
        return (gs,)

    with pytest.raises(errors.GradError, match=r"user_wrong.*1 gradients for 2"):
        user_wrong(leaf([1.0]), leaf([1.0])).sum().backward()


def test_a_rule_in_another_dtype_is_brought_back():
    @mg.op
    def user_wide(xp, x):
        return x * 2

    user_wide.defvjp(lambda g, _y, _x: g.astype("float64") * 2)
    x = leaf([1.0], "float32")
    user_wide(x).sum().backward()
    assert x.grad.dtype == "float32"


def test_names_of_minigrad_are_taken():
    for name in ("exp", "getitem", "backward", "astype"):

        def kernel(xp, x):
            return x

        kernel.__name__ = name
        before = getattr(mg.engine.ops, name)
        with pytest.raises(errors.MinigradError, match=f"{name}.*taken by minigrad"):
            mg.op(kernel)
        assert getattr(mg.engine.ops, name) is before


def test_a_users_op_may_be_defined_again():
    first, second = make_cube(), make_cube()
    assert OPS["user_cube"] is second
    assert first(2.0 * mg.ones(1)).item() == 8


def test_errors_of_a_kernel_name_the_op_and_its_arguments():
    with pytest.raises(errors.ShapeError, match=r"add\(float32\(2,\), float32\(3,\)\)"):
        mg.ones(2) + mg.ones(3)

    @mg.op
    def user_fails(xp, x, *, mode):
        raise ValueError("no good")

    with pytest.raises(errors.ShapeError, match=r"user_fails\(float32\(2,\), mode='a'\): no good"):
        user_fails(mg.ones(2), mode="a")
    with pytest.raises(ValueError):
        user_fails(mg.ones(2), mode="a")
