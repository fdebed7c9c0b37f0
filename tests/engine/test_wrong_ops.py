"""The errors that an op meets whose rules or arguments are wrong."""

from __future__ import annotations

import pytest

import minigrad as mg
from minigrad import errors

pytestmark = pytest.mark.usefixtures("forget_ops")


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


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


def test_an_elementwise_rule_of_a_shape_that_does_not_sum_to_the_arguments():
    @mg.elementwise
    def user_wrong(xp, x):
        return x * 1

    user_wrong.defvjp(lambda g, _y, _x: g[:1])
    with pytest.raises(errors.GradError, match=r"user_wrong.*\(1,\).*\(2,\)"):
        user_wrong(leaf([1.0, 2.0])).sum().backward()


def test_a_composite_of_another_shape():
    @mg.fused
    def user_wrong(xp, x, *, keep):
        return x * 1, None

    user_wrong.composite(lambda x: x.sum())
    user_wrong.backward(lambda *_: (None,))
    x = leaf([1.0, 2.0])
    with pytest.raises(errors.GradError, match=r"\(2,\).*\(\).*composite"):
        mg.grad(user_wrong(x).sum(), x, create_graph=True)


@pytest.mark.parametrize("mode", [mg.enable_grad, mg.detect_anomaly])
@pytest.mark.parametrize("result", [0, 1.0, [1.0, 1.0], "g"])
def test_a_rule_that_returns_no_array(result, mode):
    @mg.op
    def user_wrong(xp, x):
        return x * 1

    user_wrong.defvjp(lambda g, _y, _x: result)
    with (
        mode(),
        pytest.raises(errors.GradError, match=f"user_wrong.*{type(result).__name__}"),
    ):
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


def test_a_rule_that_reads_what_it_says_it_does_not_need():
    @mg.op
    def user_liar(xp, x):
        return x * x

    user_liar.defvjp(lambda g, _y, _x: g * 2 * _x)
    with pytest.raises(errors.GradError, match=r"user_liar: .*underscore"):
        user_liar(leaf([1.0])).sum().backward()
    with pytest.raises(TypeError, match="Node"):
        user_liar(leaf([1.0]) * 2.0).sum().backward()
