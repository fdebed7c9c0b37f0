import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import minigrad.testing
from minigrad.testing import generate_cupy_api
from minigrad.testing.cupy_api import Parameters, api, method_parameters, parameters

COMMITTED = Path(minigrad.testing.__file__).with_name("cupy_api.json")


def test_the_table_knows_cupy():
    assert api().version.startswith("14.")
    for name in ("sum", "exp", "linalg.norm", "float32", "lib.stride_tricks.as_strided", "pi"):
        assert name in api()
    for name in ("errstate", "einsum_path", "insert", "linalg.multi_dot", "vecdot", "random.rand"):
        assert name not in api()
    assert "ff->f" in api().ufuncs["add"]
    assert {"sum", "astype", "reshape"} <= set(api().methods)
    assert {"shape", "dtype", "T", "mT"} <= api().attributes
    assert "setflags" not in api().methods


def test_every_function_has_a_counterpart_in_numpy():
    for name in (*api().functions, *api().ufuncs, *api().constants):
        found = np
        for part in name.split("."):
            found = getattr(found, part)


@pytest.mark.parametrize(
    ("text", "args", "kwargs", "bound"),
    [
        ("a, axis=", (1,), {"axis": 2}, {"a": 1, "axis": 2}),
        ("a, axis=", (1, 2), {}, {"a": 1, "axis": 2}),
        ("a, *, dtype=", (1,), {"dtype": 3}, {"a": 1, "dtype": 3}),
        ("*shape, order=", (1, 2), {"order": "C"}, {"shape": (1, 2), "order": "C"}),
        ("a, **kwargs", (1,), {"x": 2}, {"a": 1, "kwargs": {"x": 2}}),
        ("x, dtype, /, *, copy=", (1, 2), {}, {"x": 1, "dtype": 2}),
        ("", (), {}, {}),
    ],
)
def test_arguments_are_bound(text, args, kwargs, bound):
    assert Parameters(text).bind("f", args, kwargs) == bound


@pytest.mark.parametrize(
    ("text", "args", "kwargs"),
    [
        ("a, axis=", (), {}), ("a, axis=", (1, 2, 3), {}), ("a, axis=", (1,), {"initial": 0}),
        ("a, *, dtype=", (1, 2), {}), ("x, dtype, /, *, copy=", (1,), {"dtype": 2}), ("", (1,), {}),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit(text, args, kwargs):
    with pytest.raises(TypeError, match=r"cupy\.f: .*; CuPy takes \("):
        Parameters(text).bind("f", args, kwargs)


def test_keywords_and_variadic_names():
    assert parameters("sum").keywords == {"a", "axis", "dtype", "out", "keepdims"}
    assert parameters("astype").keywords == {"copy"}
    assert parameters("pad").keywords is None
    assert parameters("pad").variadic == {"kwargs"}
    assert method_parameters("reshape").variadic == {"shape"}


class Documented:
    def method(*args):
        """Documented.method(self, axis=None, int n=-1) -> thing

        More."""

    method.__signature__ = "none"


def test_parameters_are_read_from_signatures_and_from_cythons_docstrings():
    def f(a, /, b, c=1, *, d, e=2, **rest): ...

    def g(*shape, order="C"): ...

    assert generate_cupy_api.parameters(f) == "a, /, b, c=, *, d, e=, **rest"
    assert generate_cupy_api.parameters(g) == "*shape, order="
    assert generate_cupy_api.parameters(Documented.method) == "axis=, n="
    assert generate_cupy_api.parameters(Parameters("a, /, b, *, c=").signature) is None


class ufunc:  # by this name the generator knows CuPy's
    types = ("ff->f", "dd->d")


def fake_cupy():
    """A CuPy with a few of NumPy's names, one it does not have, and one ufunc."""
    cupy = types.ModuleType("cupy")
    cupy.__version__ = "14.2.0"
    cupy.ndarray, cupy.float32, cupy.pi, cupy.add = np.ndarray, np.float32, np.pi, ufunc()
    cupy.sum = lambda a, axis=None, dtype=None, out=None, keepdims=False: None
    cupy.scatter = cupy._hidden = lambda a: None
    cupy.linalg = types.ModuleType("linalg")
    cupy.linalg.norm = lambda x, ord=None: None
    cupy.random = types.ModuleType("random")
    cupy.random.normal = lambda loc=0: None
    return cupy


def test_the_generator_keeps_what_numpy_and_cupy_share(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    monkeypatch.setattr(generate_cupy_api, "__file__", str(tmp_path / "generate_cupy_api.py"))
    generate_cupy_api.main()
    table = json.loads((tmp_path / "cupy_api.json").read_text())
    assert table["cupy"] == "14.2.0"
    assert table["functions"] == {
        "linalg.norm": "x, ord=", "sum": "a, axis=, dtype=, out=, keepdims="
    }  # fmt: skip
    assert table["ufuncs"] == {"add": ["ff->f", "dd->d"]}
    assert table["constants"] == ["float32", "linalg", "ndarray", "pi"]
    assert table["methods"]["transpose"].endswith("*axes")  # as NumPy says it
    assert {"shape", "dtype"} <= set(table["attributes"])


def test_the_generator_writes_the_committed_table(tmp_path, monkeypatch):
    pytest.importorskip("ml_dtypes")  # CuPy's loops over bfloat16 are there with it
    pytest.importorskip("cupy")
    api_now = generate_cupy_api.generate()
    table = json.loads(COMMITTED.read_text(encoding="utf-8"))
    if (api_now["cupy"], api_now["numpy"]) != (table["cupy"], table["numpy"]):
        pytest.skip("other versions than the table's")
    monkeypatch.setattr(generate_cupy_api, "__file__", str(tmp_path / "generate_cupy_api.py"))
    generate_cupy_api.main()
    assert (tmp_path / "cupy_api.json").read_text() == COMMITTED.read_text()
