"""Casts, moves, and NumPy's functions on tensors."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg


class TestAstype:
    def test_gradient_comes_back_in_the_old_dtype(self):
        x = mg.ones(2, requires_grad=True)
        y = x.astype("float64")
        (y * y).sum().backward()
        assert y.dtype == mg.float64
        assert x.grad.dtype == mg.float32
        assert x.grad.tolist() == [2, 2]

    def test_copy(self):
        x = mg.ones(2)
        assert mg.astype(x, "float32", copy=False) is x
        y = mg.astype(x, "float32")
        y.assign_(3)
        assert x.tolist() == [1, 1]

    def test_integers_have_no_gradient(self):
        assert not mg.ones(2, requires_grad=True).astype(int).requires_grad

    def test_aliases(self):
        x = mg.ones(2, dtype="float16")
        assert x.double().dtype == mg.float64
        assert x.float().dtype == mg.float32
        assert x.to("int32").dtype == mg.int32


class TestToDevice:
    def test_there_and_the_gradient_back(self):
        x = mg.ones(2, requires_grad=True)
        y = mg.to_device(x, "strict")
        (y * 3).sum().backward()
        assert y.device.name == "strict"
        assert x.grad.device.name == "cpu"
        assert x.grad.tolist() == [3, 3]

    def test_already_there(self):
        x = mg.ones(2)
        assert mg.to_device(x, "cpu") is x
        assert x.to("cpu") is x

    def test_nothing_moves_by_itself(self):
        with pytest.raises(mg.errors.DeviceError, match=r"\.to\(device\)"):
            mg.ones(2) + mg.ones(2, device="strict")
        with pytest.raises(mg.errors.DeviceError, match="cross_entropy"):
            mg.cross_entropy(mg.ones((1, 2)), mg.asarray([0], device="strict"))


class TestCopy:
    def test_is_differentiable(self):
        x = mg.ones(2, requires_grad=True)
        y = x.copy()
        y.sum().backward()
        assert x.grad.tolist() == [1, 1]
        assert not np.shares_memory(y.data, x.data)


class TestNumpy:
    def test_functions_are_differentiable(self):
        x = mg.tensor([0.5, 1.0], requires_grad=True)
        y = np.sin(x) + np.array([1.0, 2.0], "float32") * x
        assert isinstance(y, mg.Tensor)
        y.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), np.cos([0.5, 1.0]) + [1, 2], rtol=1e-6)

    @pytest.mark.parametrize(
        ("ufunc", "ours"),
        [
            (np.absolute, mg.abs),
            (np.arccosh, mg.acosh),
            (np.arctan, mg.atan),
            (np.power, None),
            (np.true_divide, None),
            (np.fabs, mg.abs),
            (np.sqrt, mg.sqrt),
            (np.isnan, mg.isnan),
        ],
    )
    def test_other_names(self, ufunc, ours):
        x = mg.tensor([1.5, 2.0])
        args = (x,) if ours else (x, 2.0)
        y = ufunc(*args)
        assert isinstance(y, mg.Tensor)
        np.testing.assert_allclose(y.numpy(), ufunc(x.numpy(), *args[1:]))

    def test_array_on_the_left(self):
        x = mg.tensor([1.0, 2.0], requires_grad=True)
        for y in (np.ones(2) + x, np.ones(2) - x, np.ones(2) / x, np.ones(2) ** x, np.ones(2) < x):
            assert isinstance(y, mg.Tensor)
        assert (np.float64(2) * x).dtype == mg.float32

    def test_reductions(self):
        x = mg.tensor([[1.0, 2.0], [3.0, 4.0]])
        assert np.add.reduce(x).tolist() == [4, 6]
        assert np.maximum.reduce(x, axis=None).item() == 4
        assert np.multiply.reduce(x, axis=1, keepdims=True).tolist() == [[2], [12]]

    @pytest.mark.parametrize(
        ("call", "hint"),
        [
            (lambda x: np.add(x, 1, out=np.ones(2)), "never written into"),
            (lambda x: np.add(x, 1, where=np.array([True, False])), "mg.add without where"),
            (np.frexp, "t.detach"),
            (np.add.accumulate, "accumulate"),
            (lambda x: np.add.reduce(x, initial=3), "mg.sum"),
            (lambda x: np.gcd(x, 2), "t.detach"),
        ],
    )
    def test_what_is_not_there_says_what_is(self, call, hint):
        with pytest.raises(TypeError, match=hint):
            call(mg.ones(2))

    def test_in_place_on_an_array(self):
        a = np.ones(2)
        with pytest.raises(TypeError, match="never written into"):
            a += mg.ones(2)


class TestNamespace:
    def test_is_minigrad(self):
        assert mg.ones(1).__array_namespace__() is mg
        assert mg.ones(1).__array_namespace__(api_version="2023.12") is mg
        with pytest.raises(mg.errors.ConfigError, match="9999"):
            mg.ones(1).__array_namespace__(api_version="9999.12")

    def test_info(self):
        info = mg.__array_namespace_info__()
        assert info.default_device() in info.devices()
        assert info.capabilities()["boolean indexing"]
        assert info.default_dtypes()["real floating"] == mg.float32
        assert info.dtypes(kind="real floating") == {"float32": mg.float32, "float64": mg.float64}
        assert set(info.dtypes(kind=("bool", "signed integer"))) == {
            "bool", "int8", "int16", "int32", "int64",
        }  # fmt: skip
        assert len(info.dtypes()) == 11
        with pytest.raises(mg.errors.ConfigError, match="no kind 'text'"):
            info.dtypes(kind="text")

    def test_code_written_for_the_standard_is_differentiable(self):
        def softmax(x, axis):  # knows nothing of minigrad
            xp = x.__array_namespace__()
            e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
            return e / xp.sum(e, axis=axis, keepdims=True)

        x = mg.randn(3, 4, requires_grad=True)
        v = mg.randn(3, 4)
        (theirs,) = mg.vjp(lambda x: softmax(x, 1), x)[1](v)
        (ours,) = mg.vjp(lambda x: mg.softmax(x, axis=1), x)[1](v)
        assert mg.allclose(theirs, ours, atol=1e-6)

    def test_einops(self):
        array_api = pytest.importorskip("einops.array_api")
        x = mg.ones((2, 3, 4), requires_grad=True)
        y = array_api.rearrange(x, "a b c -> c (a b)")
        y.sum().backward()
        assert y.shape == (4, 6)
        assert x.grad.shape == (2, 3, 4)
