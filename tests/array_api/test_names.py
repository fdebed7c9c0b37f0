"""Names and signatures of the standard, and what a Tensor has to have."""

from __future__ import annotations

import inspect
import operator

import numpy as np
import pytest

import minigrad as mg

pytest.importorskip("array_api_strict")

from tests.array_api.names import VERSION, find, functions, names, strict

strict.set_array_api_strict_flags(api_version=VERSION)
ANY = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD


@pytest.mark.parametrize("name", names())
def test_is_there(name):
    assert find(mg, name) is not NotImplemented


@pytest.mark.parametrize("name", functions())
def test_signature(name):
    """Whoever calls it as the standard says is understood."""
    if name in ("broadcast_arrays", "meshgrid", "result_type"):  # variadic, and called elsewhere
        assert inspect.Parameter.VAR_POSITIONAL in [p.kind for p in _parameters(find(mg, name))]
        return
    theirs, ours = _parameters(find(strict, name)), _parameters(find(mg, name))
    mine = {p.name: p for p in ours}
    for i, p in enumerate(theirs):
        if p.kind is p.POSITIONAL_ONLY:
            assert ours[i].kind in ANY
            assert (ours[i].default is p.empty) == (p.default is p.empty)
        elif p.kind is p.POSITIONAL_OR_KEYWORD:
            assert (ours[i].name, ours[i].kind) == (p.name, p.kind)
        elif p.kind is p.KEYWORD_ONLY:
            assert mine[p.name].kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
        if p.default is not p.empty and "UNDEF" not in str(p.default):
            assert (mine[p.name] if p.name in mine else ours[i]).default == p.default
    extra = [p for p in ours[len(theirs) :] if p.kind in ANY and p.default is p.empty]
    assert not extra


def _parameters(f):
    return list(inspect.signature(f).parameters.values())


OPERATORS = [
    "abs",
    "add",
    "and_",
    "eq",
    "floordiv",
    "ge",
    "gt",
    "invert",
    "le",
    "lshift",
    "lt",
    "matmul",
    "mod",
    "mul",
    "ne",
    "neg",
    "or_",
    "pos",
    "pow",
    "rshift",
    "sub",
    "truediv",
    "xor",
    "iadd",
    "isub",
    "imul",
    "itruediv",
    "ifloordiv",
    "ipow",
    "imod",
    "imatmul",
    "iand",
    "ior",
    "ixor",
    "ilshift",
    "irshift",
]


class TestObject:
    @pytest.mark.parametrize("name", OPERATORS)
    def test_operator(self, name):
        bits = (
            name.strip("_i") in ("and", "or", "xor", "lshift", "rshift", "nvert")
            or name == "invert"
        )
        x = np.array([[5, 3], [2, 1]]) if bits else np.array([[5.0, -3.0], [2.0, 1.0]])
        f = getattr(operator, name)
        args = (
            [x]
            if name in ("abs", "invert", "neg", "pos")
            else [x, np.array([[1, 2], [3, 1]], x.dtype)]
        )
        got = f(*[mg.asarray(a.copy()) for a in args])
        expected = f(*[strict.asarray(a.copy()) for a in args])
        assert isinstance(got, mg.Tensor)
        np.testing.assert_allclose(got.numpy(), np.asarray(expected._array))
        assert got.dtype == expected._array.dtype

    def test_attributes(self):
        x = mg.ones((2, 3))
        assert (x.dtype, x.device, x.ndim, x.shape, x.size) == (
            mg.float32, mg.device("cpu"), 2, (2, 3), 6,
        )  # fmt: skip
        assert x.T.shape == (3, 2)
        assert mg.ones((2, 3, 4)).mT.shape == (2, 4, 3)

    def test_conversions(self):
        assert (bool(mg.asarray(3)), int(mg.asarray(3)), float(mg.asarray(3.0))) == (True, 3, 3.0)
        assert complex(mg.asarray(3.0)) == 3 + 0j
        assert operator.index(mg.asarray(3)) == 3
        with pytest.raises(TypeError):
            operator.index(mg.asarray(3.0))

    def test_to_device(self):
        x = mg.ones(2)
        assert x.to_device("cpu") is x
        assert x.to_device(mg.device("strict")).device.name == "strict"
        with pytest.raises(mg.errors.ConfigError, match="stream"):
            x.to_device("cpu", stream=1)

    def test_namespace(self):
        assert mg.ones(1).__array_namespace__(api_version=VERSION) is mg
        assert mg.__array_api_version__ == VERSION

    def test_dlpack(self):
        x = mg.ones(3)
        assert x.__dlpack_device__() == (1, 0)
        assert np.from_dlpack(x).tolist() == [1, 1, 1]
        assert np.from_dlpack(x, copy=True).flags.writeable

    @pytest.mark.parametrize(
        "key",
        [0, -1, (1, 2), slice(None, None, -1), (..., 0), (None, 1), (slice(0, 1), None, 2), ()],
        ids=str,
    )
    def test_indexing(self, key):
        x = np.arange(6.0).reshape(2, 3)
        assert mg.asarray(x)[key].tolist() == x[key].tolist()
        y, z = mg.asarray(x.copy()), x.copy()
        y[key], z[key] = 7.0, 7.0
        assert y.tolist() == z.tolist()

    def test_masks(self):
        x = np.arange(6.0).reshape(2, 3)
        y = mg.asarray(x.copy())
        assert y[y > 2].tolist() == [3, 4, 5]
        y[y > 2] = 0.0
        assert y.tolist() == [[0, 1, 2], [0, 0, 0]]


class TestInspection:
    info = mg.__array_namespace_info__()

    def test_capabilities(self):
        assert set(self.info.capabilities()) == {
            "boolean indexing", "data-dependent shapes", "max dimensions",
        }  # fmt: skip

    def test_devices(self):
        assert self.info.default_device() in self.info.devices()

    @pytest.mark.parametrize("device", [None, *mg.__array_namespace_info__().devices()], ids=str)
    def test_dtypes(self, device):
        assert set(self.info.default_dtypes(device=device)) >= {
            "real floating", "integral", "indexing",
        }  # fmt: skip
        for kind in (None, "bool", "numeric", ("integral", "real floating")):
            theirs = strict.__array_namespace_info__().dtypes(kind=kind)
            ours = self.info.dtypes(device=device, kind=kind)
            assert set(ours) == {n for n in theirs if not n.startswith("complex")}
            assert all(ours[n] == getattr(mg, n) for n in ours)
