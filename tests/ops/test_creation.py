"""New tensors: dtypes, devices, sharing, errors."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ConfigError, DTypeError, ShapeError


@pytest.fixture
def double():
    mg.set_default_dtype("float64")
    yield
    mg.set_default_dtype("float32")


class TestTensor:
    @pytest.mark.parametrize(
        ("obj", "dtype"),
        [
            (1.5, "float32"),
            ([1, 2.5], "float32"),
            ([[1.0], [2.0]], "float32"),
            ([], "float32"),
            ((1, 2), "int64"),
            (True, "bool"),
            ([True, False], "bool"),
            (np.float64(1.5), "float64"),
            ([np.float64(1.5)], "float64"),
            (np.ones(2), "float64"),
            (np.ones(2, "float16"), "float16"),
            (np.ones(2, "int8"), "int8"),
        ],
        ids=str,
    )
    def test_dtype(self, obj, dtype):
        assert mg.tensor(obj).dtype == dtype
        assert mg.asarray(obj).dtype == dtype

    def test_given_dtype(self):
        assert mg.tensor([1, 2], dtype="float16").dtype == "float16"
        assert mg.tensor([1.7], dtype=mg.int32).tolist() == [1]

    def test_default_dtype(self, double):
        assert mg.tensor([1.5]).dtype == mg.zeros(2).dtype == mg.rand(2).dtype == mg.float64
        assert mg.full(2, 1.5).dtype == mg.arange(0, 1, 0.5).dtype == mg.float64

    def test_default_dtype_is_floating(self):
        with pytest.raises(DTypeError, match="int64"):
            mg.set_default_dtype("int64")

    def test_copies(self):
        a = np.ones(3)
        t = mg.tensor(a)
        a[:] = 2
        assert t.tolist() == [1, 1, 1]
        u = mg.tensor(t, requires_grad=True)
        t.assign_(5)
        assert u.tolist() == [1, 1, 1]
        assert u.is_leaf

    def test_leaf_options(self):
        t = mg.tensor([1.0], requires_grad=True, name="w")
        assert t.requires_grad
        assert t.name == "w"
        with pytest.raises(DTypeError, match="floating"):
            mg.tensor([1], requires_grad=True)

    @pytest.mark.parametrize(
        "obj", ["text", [1j], [None], object()], ids=lambda obj: type(obj).__name__
    )
    def test_not_numbers(self, obj):
        with pytest.raises(DTypeError, match="tensor"):
            mg.tensor(obj)

    def test_ragged(self):
        with pytest.raises(ShapeError, match=r"tensor: .*data\.pad"):
            mg.tensor([[1, 2], [3]])

    def test_host_data_go_to_the_default_device(self):
        with mg.use_device("strict"):
            assert mg.tensor(np.ones(2)).device.name == "strict"
            assert mg.zeros(2).device.name == "strict"
            here = mg.tensor([1.0], device="cpu")
            assert mg.tensor(here).device.name == "cpu"
        assert mg.tensor(mg.zeros(2, device="strict").data).device.name == "strict"


class TestAsarray:
    def test_shares(self):
        a = np.ones(3)
        assert np.shares_memory(mg.asarray(a).data, a)
        t = mg.ones(2)
        assert mg.asarray(t) is t

    def test_copy(self):
        a = np.ones(3)
        assert not np.shares_memory(mg.asarray(a, copy=True).data, a)
        assert mg.asarray(a, copy=False).data is a
        with pytest.raises(ConfigError, match="copy=False"):
            mg.asarray(a, dtype="float32", copy=False)
        with pytest.raises(ConfigError, match="copy=False"):
            mg.asarray([1.0], copy=False)

    def test_keeps_the_history_of_a_tensor(self):
        x = mg.ones(2, requires_grad=True)
        mg.asarray(x, dtype="float64", device="strict", copy=True).sum().backward(
            mg.asarray(1.0, dtype="float64", device="strict")
        )
        assert x.grad.tolist() == [1, 1]
        assert x.grad.dtype == mg.float32

    def test_from_numpy(self):
        a = np.ones(2)
        assert mg.from_numpy(a).data is a
        with pytest.raises(DTypeError, match="list"):
            mg.from_numpy([1.0])

    def test_from_dlpack(self):
        torch = pytest.importorskip("torch")
        theirs = torch.ones(3)
        ours = mg.from_dlpack(theirs)
        theirs[0] = 7
        assert ours.tolist() == [7, 1, 1]
        assert torch.from_dlpack(mg.ones(2)).tolist() == [1, 1]
        with pytest.raises(DTypeError, match="__dlpack__"):
            mg.from_dlpack([1.0])


class TestShapes:
    @pytest.mark.parametrize("name", ["zeros", "ones", "empty"])
    def test_makers(self, name):
        make = getattr(mg, name)
        assert make(3).shape == (3,)
        assert make([2, np.int64(3)]).shape == (2, 3)
        assert make(()).shape == ()
        assert make(2, dtype="int32", device="strict").dtype == "int32"
        assert make(2, requires_grad=True).requires_grad
        for wrong in (-1, (2, -1), 1.5, "2"):
            with pytest.raises(ShapeError, match=name):
                make(wrong)

    def test_full(self):
        assert mg.full(2, 3).dtype == mg.int64
        assert mg.full(2, 3.0).dtype == mg.float32
        assert mg.full(2, True).dtype == bool
        assert mg.full(2, 3, dtype="float64").tolist() == [3, 3]

    @pytest.mark.parametrize("name", ["zeros_like", "ones_like", "empty_like"])
    def test_like(self, name):
        x = mg.ones((2, 3), dtype="float16", device="strict")
        y = getattr(mg, name)(x)
        assert (y.shape, y.dtype, y.device) == (x.shape, x.dtype, x.device)
        z = getattr(mg, name)(x, dtype="float32", device="cpu", requires_grad=True)
        assert z.dtype == "float32"
        assert z.device.name == "cpu"
        assert z.requires_grad
        assert isinstance(getattr(mg, name)(np.ones(2)), np.ndarray)

    def test_full_like(self):
        assert mg.full_like(mg.ones(2), 7).tolist() == [7, 7]


class TestRanges:
    def test_arange(self):
        assert mg.arange(4).tolist() == [0, 1, 2, 3]
        assert mg.arange(4, 0, -2).tolist() == [4, 2]
        assert mg.arange(3, dtype="float64").dtype == mg.float64
        assert mg.arange(2.0).dtype == mg.float32
        with pytest.raises(ConfigError, match="step"):
            mg.arange(0, 3, 0)

    def test_linspace(self):
        assert mg.linspace(0, 1, 3).tolist() == [0, 0.5, 1]
        assert mg.linspace(0, 1, 2, endpoint=False).tolist() == [0, 0.5]

    def test_eye(self):
        assert mg.eye(2, 3, k=1).tolist() == [[0, 1, 0], [0, 0, 1]]
        assert mg.eye(2).dtype == mg.float32

    @pytest.mark.parametrize("indexing", ["xy", "ij"])
    def test_meshgrid(self, indexing):
        vectors = [np.arange(2.0), np.arange(3.0), np.arange(4.0)]
        ours = mg.meshgrid(*[mg.asarray(v) for v in vectors], indexing=indexing)
        for a, b in zip(ours, np.meshgrid(*vectors, indexing=indexing), strict=True):
            np.testing.assert_array_equal(a.numpy(), b)

    def test_meshgrid_is_differentiable(self):
        x = mg.ones(3, requires_grad=True)
        a, _ = mg.meshgrid(x, mg.ones(4))
        a.sum().backward()
        assert x.grad.tolist() == [4, 4, 4]

    def test_meshgrid_errors(self):
        with pytest.raises(ConfigError, match="'ij'"):
            mg.meshgrid(mg.ones(2), indexing="yx")
        with pytest.raises(ShapeError, match="vectors"):
            mg.meshgrid(mg.ones((2, 2)))


class TestRandom:
    @pytest.mark.parametrize(
        "make",
        [
            lambda **k: mg.rand(3, 4, **k),
            lambda **k: mg.randn((3, 4), **k),
            lambda **k: mg.uniform(-1, 1, (3, 4), **k),
            lambda **k: mg.normal(5, 2, (3, 4), **k),
            lambda **k: mg.bernoulli(0.5, (3, 4), **k),
            lambda **k: mg.randint(0, 9, (3, 4), **k),
        ],
    )
    def test_shape_seed_device(self, make):
        mg.manual_seed(1)
        first = make()
        mg.manual_seed(1)
        assert first.shape == (3, 4)
        assert mg.array_equal(first, make())
        assert make(device="strict").device.name == "strict"

    def test_ranges(self):
        x = mg.uniform(2, 3, 1000)
        assert 2 <= x.min().item() <= x.max().item() < 3
        i = mg.randint(2, 5, 1000)
        assert set(i.tolist()) == {2, 3, 4}
        assert i.dtype == mg.int64
        assert sorted(mg.randperm(10).tolist()) == list(range(10))
        assert set(mg.bernoulli(0.3, 1000).tolist()) == {0, 1}
        assert abs(mg.normal(5, 2, 20000).mean().item() - 5) < 0.1
        assert mg.rand(2, requires_grad=True).requires_grad
        assert mg.rand().shape == ()

    def test_errors(self):
        with pytest.raises(ConfigError, match="std"):
            mg.normal(0, -1, 3)
        with pytest.raises(ConfigError, match="randint"):
            mg.randint(3, 3)
        with pytest.raises(ConfigError, match="bernoulli"):
            mg.bernoulli(2.0)
        with pytest.raises(ShapeError, match="normal"):
            mg.randn(2, -3)


class TestDtypes:
    def test_questions(self):
        x = mg.ones(2)
        assert mg.finfo(x).eps == np.finfo("float32").eps
        assert mg.iinfo(mg.int8).max == 127
        assert mg.isdtype(x.dtype, "real floating")
        assert mg.can_cast(x, "float64")
        assert not mg.can_cast(mg.float64, "float32")
        assert mg.result_type(x, 2.0) == mg.float32
        assert mg.result_type(x, mg.float64) == mg.float64

    def test_constants(self):
        assert mg.tensor([1.0, 2.0])[mg.newaxis].shape == (1, 2)
        assert mg.pi == np.pi
        assert mg.e == np.e
        assert mg.inf == -float("-inf")
        assert mg.nan != mg.nan


@pytest.mark.parametrize(
    ("draw", "instead"),
    [
        (mg.bernoulli, r"p is one number.*mg\.rand\(p\.shape\) < p"),
        (lambda p: mg.normal(0.0, p), r"std is one number.*mg\.randn"),
        (lambda p: mg.uniform(p, 1.0), r"low is one number.*mg\.rand"),
    ],
)
def test_one_distribution_for_all(draw, instead):
    with pytest.raises(ShapeError, match=instead):
        draw(mg.zeros(3))
