"""What the op table does not say about activations: extremes, accuracy, dropout."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

import minigrad as mg

FAR = np.array([-1e4, -800.0, -100.0, -1.0, 0.0, 1.0, 100.0, 800.0, 1e4])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "name",
    ["sigmoid", "softplus", "silu", "gelu", "elu", "tanh", "softmax", "log_softmax", "logsumexp"],
)
def test_far_out_without_a_warning(name, dtype):
    x = mg.tensor(FAR, dtype=dtype, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = getattr(mg, name)(x)
        y.sum().backward()
    assert np.isfinite(y.numpy()).all()
    assert np.isfinite(x.grad.numpy()).all()


def test_sigmoid_keeps_small_probabilities():
    y = mg.sigmoid(mg.tensor([-80.0, -30.0, 40.0])).numpy()
    np.testing.assert_allclose(y, [math.exp(-80), math.exp(-30), 1.0], rtol=1e-6)


def test_silu_far_below_is_zero():
    x = mg.tensor([-1e38], requires_grad=True)
    mg.silu(x).backward()
    assert mg.silu(x).item() == x.grad.item() == 0


def test_logsumexp_of_nothing():
    x = mg.tensor([[-np.inf, -np.inf], [0.0, -np.inf]], requires_grad=True)
    y = mg.logsumexp(x, axis=1)
    y.backward(mg.ones(2))
    assert y.tolist() == [-np.inf, 0]
    assert x.grad.tolist() == [[0, 0], [1, 0]]
    assert mg.logsumexp(mg.tensor([np.inf, 0.0])).item() == np.inf


def test_softmax_adds_up():
    y = mg.softmax(mg.randn(5, 7) * 10, axis=0)
    np.testing.assert_allclose(y.numpy().sum(axis=0), np.ones(7), rtol=1e-6)


class TestErf:
    def test_double_to_a_few_units_in_the_last_place(self):
        x = np.concatenate([np.linspace(-7, 7, 20001), 10.0 ** -np.arange(1.0, 300, 7)])
        exact = np.vectorize(math.erf)(x)
        off = np.abs(mg.erf(mg.asarray(x)).numpy() - exact) / np.spacing(np.abs(exact))
        assert off.max() <= 8

    def test_single(self):
        x = np.linspace(-6, 6, 20001).astype("float32")
        exact = np.vectorize(math.erf)(x.astype("float64"))
        np.testing.assert_allclose(mg.erf(mg.asarray(x)).numpy(), exact, rtol=4e-7)

    def test_odd(self):
        assert mg.erf(mg.tensor([-0.0, np.inf, -np.inf], dtype="float64")).tolist() == [0, 1, -1]
        assert math.copysign(1, mg.erf(mg.tensor(-0.0, dtype="float64")).item()) == -1

    def test_integers(self):
        np.testing.assert_allclose(mg.erf(mg.tensor([1, 2])).numpy(), [math.erf(1), math.erf(2)])


def test_gelu_wants_a_known_approximation():
    with pytest.raises(mg.errors.ConfigError, match="'tanh'"):
        mg.gelu(mg.ones(2), approximate="sigmoid")


class TestDropout:
    def test_keeps_the_mean(self):
        mg.manual_seed(0)
        y = mg.dropout(mg.ones((200, 200)), 0.3).numpy()
        assert set(np.unique(y)) == {0, np.float32(1 / 0.7)}
        assert abs(y.mean() - 1) < 0.02

    def test_gradient_is_the_mask(self):
        x = mg.ones(100, requires_grad=True)
        y = mg.dropout(x, 0.5)
        y.sum().backward()
        assert mg.array_equal(x.grad, y)

    def test_off(self):
        x = mg.ones(5)
        assert mg.dropout(x, 0.5, training=False) is x
        assert mg.dropout(x, 0.0) is x

    def test_everything(self):
        x = mg.ones(5, requires_grad=True)
        mg.dropout(x, 1.0).sum().backward()
        assert x.grad.tolist() == [0] * 5

    def test_seed_repeats_it(self):
        x = mg.ones(50)
        mg.manual_seed(3)
        first = mg.dropout(x)
        mg.manual_seed(3)
        assert mg.array_equal(first, mg.dropout(x))

    @pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
    def test_no_probability(self, p):
        with pytest.raises(mg.errors.ConfigError, match="between 0 and 1"):
            mg.dropout(mg.ones(2), p)

    def test_on_arrays_and_other_devices(self):
        assert isinstance(mg.dropout(np.ones(4)), np.ndarray)
        x = mg.ones(4, device="strict")
        assert mg.dropout(x).device == x.device
        assert mg.dropout(mg.ones(4, dtype="float16")).dtype == "float16"


@pytest.mark.parametrize("name", ["leaky_relu", "elu", "selu", "celu", "softshrink", "mish"])
def test_rules_compute_in_the_dtype_of_the_gradient(name):
    op = getattr(mg, name)
    x = np.linspace(-3, 3, 7, dtype=np.float32)
    y = op.forward(np, x, **op.defaults)
    assert op.rules[0](x, y, x, **op.defaults).dtype == np.float32  # and not NumPy's float64


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_mish_of_large_numbers_is_the_number(dtype):
    x = mg.tensor(np.array([6e4, 50, 21], dtype), requires_grad=True)
    y = mg.mish(x)
    y.sum().backward()
    np.testing.assert_array_equal(y.numpy(), x.numpy())
    np.testing.assert_allclose(x.grad.numpy(), 1, rtol=1e-7)
