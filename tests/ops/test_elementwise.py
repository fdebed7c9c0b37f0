"""What the op table does not say about elementwise ops: kinks, ties, scalars, errors."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minigrad as mg


def grad(f, *xs):
    ts = [mg.tensor(x, dtype="float64", requires_grad=True) for x in xs]
    found = mg.grad(f(*ts).sum(), ts, allow_unused=True)
    return [None if g is None else g.numpy() for g in found]


class TestPow:
    def test_safe_at_zero(self):
        base, exponent = np.array([0.0, 0.0, 0.0, 2.0]), np.array([0.0, 1.0, 2.0, 0.0])
        da, db = grad(lambda a, b: a**b, base, exponent)
        np.testing.assert_allclose(da, [0, 1, 0, 0])
        np.testing.assert_allclose(db, [0, 0, 0, np.log(2)])

    def test_same_as_torch_at_zero(self):
        torch = pytest.importorskip("torch")
        base, exponent = np.array([0.0, 0.0, 0.0, 2.0]), np.array([0.0, 1.0, 2.0, 0.0])
        a, b = (torch.tensor(v, requires_grad=True) for v in (base, exponent))
        (a**b).sum().backward()
        ours = grad(lambda a, b: a**b, base, exponent)
        np.testing.assert_allclose(ours, [a.grad.numpy(), b.grad.numpy()])

    def test_second_derivative_at_zero(self):
        exponents = mg.tensor([1.0, 2.0, 3.0])
        h = mg.hessian(lambda a: (a**exponents).sum(), mg.zeros(3))
        np.testing.assert_allclose(np.diag(h.numpy()), [0, 2, 0])

    def test_mixed_derivative_where_the_exponent_is_zero(self):
        """∂²aᵇ/∂a∂b = aᵇ⁻¹ (1 + b log a), 1/a at b = 0: a mask on b alone would lose it."""
        a, b = mg.tensor(2.0, requires_grad=True), mg.tensor(0.0, requires_grad=True)
        da = mg.grad(a**b, a, create_graph=True)
        assert mg.grad(da, b).item() == pytest.approx(0.5)

    @pytest.mark.parametrize("exponent", [0, 1, 2, 3, 0.5, -1, 2.0])
    def test_number_as_exponent(self, exponent):
        (g,) = grad(lambda a: a**exponent, [0.5, 2.0])
        np.testing.assert_allclose(g, exponent * np.array([0.5, 2.0]) ** (exponent - 1))

    def test_zero_to_a_number(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert grad(lambda a: a**0, [0.0])[0].item() == 0
            assert grad(lambda b: 0.0**b, [2.0])[0].item() == 0


class TestTies:
    @pytest.mark.parametrize("name", ["maximum", "minimum"])
    def test_half_each(self, name):
        da, db = grad(getattr(mg, name), [1.0, 2.0, 3.0], [1.0, 5.0, 0.0])
        np.testing.assert_array_equal(da + db, np.ones(3))
        assert da[0] == 0.5

    @pytest.mark.parametrize("name", ["maximum", "minimum"])
    def test_nan_passes_both_ways_as_in_torch(self, name):
        torch = pytest.importorskip("torch")
        a, b = np.array([np.nan, 1.0, 2.0]), np.array([0.0, np.nan, 2.0])
        ta, tb = (torch.tensor(v, requires_grad=True) for v in (a, b))
        getattr(torch, name)(ta, tb).sum().backward()
        da, db = grad(getattr(mg, name), a, b)
        np.testing.assert_array_equal(da, ta.grad.numpy())
        np.testing.assert_array_equal(db, tb.grad.numpy())

    def test_clip_passes_the_gradient_on_its_limits(self):
        (g,) = grad(lambda x: mg.clip(x, -1, 1), [-2.0, -1.0, 0.0, 1.0, 2.0])
        np.testing.assert_array_equal(g, [0, 1, 1, 1, 0])

    def test_clip_with_crossed_limits_is_the_upper_one(self):
        x, low, high = [0.5], [2.0], [1.0]
        dx, dlow, dhigh = grad(mg.clip, x, low, high)
        assert (dx.item(), dlow.item(), dhigh.item()) == (0, 0, 1)

    def test_kinks(self):
        assert grad(mg.abs, [0.0])[0].item() == 0
        assert grad(lambda x: mg.hypot(x, x), [0.0])[0].item() == 0
        assert grad(lambda x: mg.atan2(x, x * 0), [0.0])[0].item() == 0
        with np.errstate(all="ignore"):
            assert np.isposinf(grad(mg.sqrt, [0.0])[0].item())

    def test_logaddexp_of_nothing(self):
        da, db = grad(mg.logaddexp, [-np.inf, -np.inf, 0.0], [-np.inf, 1.0, -np.inf])
        np.testing.assert_array_equal(da, [0, 0, 1])
        np.testing.assert_array_equal(db, [0, 1, 0])


def test_where_hides_nan_of_the_branch_not_taken():
    x = mg.tensor([0.0, 4.0], requires_grad=True)
    safe = mg.where(x > 0, mg.sqrt(mg.where(x > 0, x, 1.0)), 0.0)
    safe.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [0, 0.25])


class TestNumbers:
    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    def test_never_promote(self, dtype):
        x = mg.ones(3, dtype=dtype)
        for y in (x + 1.0, 2 - x, x * np.float64(2), np.float64(2) * x, 1 / x, x**2.0, 2.0**x):
            assert y.dtype == dtype
        assert mg.where(x > 0, x, 0.0).dtype == mg.maximum(x, 0.5).dtype == dtype

    def test_two_numbers_to_choose_from(self):
        mask = mg.tensor([True, False])
        assert mg.where(mask, 1.0, 0).dtype == mg.float32
        assert mg.where(mask, 1, 0).dtype == mg.int64

    def test_reflected(self):
        x = mg.tensor([1.0, 2.0, 4.0], dtype="float64")
        np.testing.assert_array_equal((8 - x).numpy(), [7, 6, 4])
        np.testing.assert_array_equal((8 / x).numpy(), [8, 4, 2])
        np.testing.assert_array_equal((2**x).numpy(), [2, 4, 16])
        np.testing.assert_array_equal((9 // x).numpy(), [9, 4, 2])
        np.testing.assert_array_equal((9 % x).numpy(), [0, 1, 1])

    def test_integers_keep_numpys_rules(self):
        i = mg.tensor([1, 2, 3])
        assert (i / 2).dtype == mg.float64
        assert (i // 2).dtype == mg.int64
        assert (~(i > 1)).dtype == bool
        assert (i << 1).tolist() == [2, 4, 6]
        assert (i & 1).tolist() == [1, 0, 1]


def test_shapes_that_do_not_broadcast():
    with pytest.raises(mg.errors.ShapeError, match=r"add\(float32\(2,\), float32\(3,\)\)"):
        mg.ones(2) + mg.ones(3)


def test_bits_of_floats():
    with pytest.raises(mg.errors.DTypeError, match="bitwise_and"):
        mg.ones(2) & mg.ones(2)


def test_comparisons_have_no_history():
    x = mg.ones(2, requires_grad=True)
    assert not (x > 0).requires_grad
    assert not mg.isnan(x).requires_grad


class TestClose:
    def test_allclose(self):
        assert mg.allclose(mg.ones(2), [1, 1 + 1e-9])
        assert not mg.allclose(mg.ones(2), mg.ones(2) * 2)
        assert not mg.allclose(mg.tensor([np.nan]), mg.tensor([np.nan]))
        assert mg.allclose(mg.tensor([np.nan]), mg.tensor([np.nan]), equal_nan=True)
        assert mg.allclose(mg.ones(2, device="strict"), np.ones(2))

    def test_array_equal(self):
        assert mg.array_equal(mg.tensor([1, 2]), [1, 2])
        assert not mg.array_equal(mg.tensor([1, 2]), [1, 2, 3])
