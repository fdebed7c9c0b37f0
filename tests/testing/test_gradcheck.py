import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, GradError
from minigrad.testing import GradcheckError, check_jvp, gradcheck, gradgradcheck

CHECKS = [gradcheck, gradgradcheck, check_jvp]
RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((2, 3)), RNG.standard_normal((2, 3))


@mg.op
def wrong(xp, x):
    """x² with a derivative that is 5 % off."""
    return x * x


wrong.defvjp(lambda g, y, x: g * x * 1.9)


@mg.op
def wrong_twice(xp, x):
    """sin x, whose rule loses the way to its own derivative."""
    return xp.sin(x)


wrong_twice.defvjp(lambda g, y, x: g * mg.cos(x.detach() if isinstance(x, mg.Tensor) else x))


@mg.op
def wrong_in_one_place(xp, x):
    """2 x, whose derivative misses the last element."""
    return 2 * x


def _all_but_the_last(g, y, x):
    mask = np.ones(x.shape)
    mask.flat[-1] = 0
    return g * 2 * mask


wrong_in_one_place.defvjp(_all_but_the_last)


@pytest.mark.parametrize("check", CHECKS)
def test_right_derivatives_pass(check):
    assert check(lambda x: mg.tanh(x) * x, A)
    assert check(lambda x: mg.tanh(x) * x, mg.tensor(A, requires_grad=True))
    assert check(lambda a, b: (a * b, mg.exp(a)), [A, B])
    assert check(lambda a, b: a @ mg.permute_dims(b, (1, 0)), (A, B))
    assert check(lambda x: (x * x).sum(), 3.0)


@pytest.mark.parametrize("check", CHECKS)
def test_they_run_on_the_strict_device(check):
    x = mg.tensor(A, device="strict", requires_grad=True)
    w = mg.tensor(B, device="strict", requires_grad=True)
    assert check(lambda a, b: mg.tanh(a * b).sum(axis=0), [x, w])


@pytest.mark.parametrize("check", [gradcheck, check_jvp])
def test_a_wrong_derivative_is_found(check):
    with pytest.raises(GradcheckError):
        check(wrong, A)
    assert issubclass(GradcheckError, GradError)
    assert issubclass(GradcheckError, AssertionError)


def test_a_wrong_second_derivative_is_found():
    assert gradcheck(wrong_twice, A)
    with pytest.raises(GradcheckError, match="gradgradcheck: input 0"):
        gradgradcheck(wrong_twice, A)


def test_a_rule_that_is_another_one_with_create_graph_is_found():
    @mg.op
    def moody(xp, x):
        """x², differentiated well on arrays and badly on Tensors."""
        return x * x

    moody.defvjp(lambda g, y, x: g * x * (3 if isinstance(x, mg.Tensor) else 2))
    assert gradcheck(moody, A)
    with pytest.raises(GradcheckError, match="with create_graph=True the gradient is"):
        gradgradcheck(moody, A)


def test_a_gradient_of_another_shape_is_found():
    @mg.op
    def careless(xp, x):
        """2 x, whose rule forgets an axis."""
        return 2 * x

    careless.defvjp(lambda g, y, x: 2 * g.sum(axis=0))
    with pytest.raises((GradcheckError, GradError), match=r"\(3,\)"):
        gradcheck(careless, A)


def test_a_constant_function_has_no_second_derivative():
    assert gradgradcheck(lambda a: mg.asarray(np.ones(2)), A)


def test_the_message_names_input_element_and_both_values():
    x = mg.tensor(np.ones((2, 3)), requires_grad=True, name="weights")
    with pytest.raises(GradcheckError) as info:
        gradcheck(lambda a, y: (y * 3, wrong_in_one_place(y)), [A, x])
    message = str(info.value)
    assert "gradcheck: input 1 (weights) of shape (2, 3), element (1, 2): analytic" in message
    assert "1 of 6 elements differ" in message
    assert message.endswith("Output 1, element (1, 2): analytic 0, numeric 2")


def test_forward_modes_message_names_output_and_element():
    where = r"check_jvp: output 1 of shape \(2, 3\), element \(0, 0\): forward mode gives"
    with pytest.raises(GradcheckError, match=where):
        check_jvp(lambda x: (x, wrong(x)), A)


def test_an_input_that_plays_no_part_has_gradient_zero():
    assert gradcheck(lambda a, b: a * 2, [A, B])
    assert gradgradcheck(lambda a, b: a * 2, [A, B])
    assert check_jvp(lambda a, b: a * 2, [A, B])
    assert gradcheck(lambda a: mg.asarray(np.ones(2)), A)


def test_a_gradient_that_is_lost_is_found():
    with pytest.raises(GradcheckError, match="analytic 0, numeric"):
        gradcheck(lambda a: a.detach() * 2, A)


def test_only_tensors_that_require_grad_are_checked():
    x = mg.tensor(A, requires_grad=True)
    assert gradcheck(lambda a, b: a * mg.asarray(b).detach(), [x, B])
    assert gradcheck(lambda a, n, s: a * n, [x, 3, "text"])


def test_integer_outputs_are_not_differentiated():
    assert gradcheck(lambda a: (a * 2, mg.argmax(a, axis=1), None), A)


@pytest.mark.parametrize("check", CHECKS)
def test_float32_is_refused(check):
    with pytest.raises(DTypeError, match="input 0 is float32; central differences need float64"):
        check(mg.tanh, A.astype("float32"))
    with pytest.raises(DTypeError, match="output 0 is float32 for float64 inputs"):
        check(lambda x: mg.tanh(x).astype(mg.float32), A)


@pytest.mark.parametrize("check", CHECKS)
def test_nothing_to_check_is_an_error(check):
    with pytest.raises(DTypeError, match="no floating input"):
        check(lambda x: x, np.arange(3))
    with pytest.raises(GradError, match="returned float, expected a Tensor"):
        check(lambda x: 1.0, A)


@pytest.mark.parametrize("check", CHECKS)
def test_random_functions_are_refused(check):
    generator = np.random.default_rng(0)
    with pytest.raises(GradcheckError, match="differs between two calls"):
        check(lambda x: x * generator.standard_normal(), A)


def test_a_function_that_overwrites_its_input_is_found():
    def f(x):
        y = x * 2
        x.data[...] += 1
        return y

    with pytest.raises(GradcheckError, match="overwrote its input 0"):
        gradcheck(f, A)


def test_the_inputs_are_left_as_they_were():
    x = mg.tensor(A, requires_grad=True)
    for check in CHECKS:
        check(lambda a: mg.exp(a), x)  # noqa: PLW0108  an op has no plain signature
    assert np.array_equal(x.numpy(), A)
    assert x.grad is None


def test_row_sparse_gradients_are_compared_densely():
    ids = np.array([1, 1, 0])
    assert gradcheck(lambda w: mg.embedding(w, ids, sparse=True) * 2, A)
