"""The strict device: each rule of CuPy's that it stands for is broken once, and noticed."""

import operator

import numpy as np
import pytest

from minigrad.backend import device, matmul, namespace
from minigrad.testing import strict
from minigrad.testing.strict.ufunc import AT, StrictUfunc, ufunc

DEV = device("strict")
xp = DEV.xp


def dev(values, dtype=None):
    return DEV.asarray(np.asarray(values), dtype)


MIXING = {
    "np.asarray": (lambda d, h: np.asarray(d), "Implicit conversion"),
    "device + host": (lambda d, h: d + h, "host array among device arrays"),
    "host + device": (lambda d, h: h + d, "host array among device arrays"),
    "device += host": (operator.iadd, "host array among device arrays"),
    "xp.exp(host)": (lambda d, h: xp.exp(h), "host array among device arrays"),
    "np.exp(device)": (lambda d, h: np.exp(d), "use xp.exp"),
    "np.sum(device)": (lambda d, h: np.sum(d), "use xp.sum"),
    "xp.concatenate": (lambda d, h: xp.concatenate([d, h]), "host array among device arrays"),
    "xp.sum(host)": (lambda d, h: xp.sum(h), "host array among device arrays"),
    "xp.sum(list)": (lambda d, h: xp.sum([1.0, 2.0]), "Unsupported type <class 'list'> of a"),
    "xp.add(list)": (lambda d, h: xp.add(d, [1.0]), "Unsupported type <class 'list'>"),
    "device + list": (lambda d, h: d + [1.0], "unsupported operand"),
    "device += list": (lambda d, h: operator.iadd(d, [1.0]), "unsupported operand"),
    "xp.add.reduce(host)": (lambda d, h: xp.add.reduce(h), "host array"),
    "xp.add.reduce(list)": (lambda d, h: xp.add.reduce([1]), "Unsupported type <class 'list'>"),
    "assign host": (lambda d, h: operator.setitem(d, 0, h[0]), "host data assigned"),
    "assign list": (lambda d, h: operator.setitem(d, 0, [1, 2, 3, 4]), "host data assigned"),
    "no array": (lambda d, h: xp.sum(2.0), "no device array"),
    "device axis": (lambda d, h: d.sum(axis=dev(0)), "axis is read on the host"),
    "device repeats": (lambda d, h: xp.repeat(d, dev([1, 2, 3]), axis=0), "repeats is read on"),
    "range(device)": (lambda d, h: range(dev(3)), "cannot be interpreted as an integer"),
    "slice": (lambda d, h: d[: dev(2)], "no __index__"),
    "in": (lambda d, h: 1.0 in d, "`in` on a device array"),
}
LACKING = {
    "sum(initial=)": (lambda d: xp.sum(d, initial=0), "unexpected keyword argument 'initial'"),
    ".sum(where=)": (lambda d: d.sum(where=d > 0), "unexpected keyword argument 'where'"),
    "add(where=)": (lambda d: xp.add(d, d, where=d > 0), "take 2 arguments and out, dtype"),
    "exp()": (lambda d: xp.exp(), "got 0"),
    "take(mode=)": (lambda d: xp.take(d, dev([0]), mode="clip"), "CuPy takes"),
    "clip(min=)": (lambda d: xp.clip(d, min=0, max=1), "CuPy takes"),
    "reshape(shape=)": (lambda d: xp.reshape(d, shape=(12,)), "CuPy takes"),
    "asarray(device=)": (lambda d: xp.asarray(d, device="cpu"), "CuPy takes"),
    "reduceat": (lambda d: xp.maximum.at(d.astype("float16"), dev([0]), 1.0), "maximum.at takes"),
    "add.at bool": (lambda d: xp.add.at(d > 0, dev([0]), True), "add.at takes"),
    "reduce(initial=)": (lambda d: xp.add.reduce(d, initial=0), "no .'initial'. in CuPy"),
    "object": (lambda d: xp.asarray(np.array([{}])), "Unsupported dtype object"),
    "strings": (lambda d: xp.asarray(["a"]), "Unsupported dtype <U1"),
    "longdouble": (lambda d: d.astype(np.longdouble), "Unsupported dtype"),
    "@": (lambda d: d @ d.T, "multiply through minigrad.backend.matmul"),
    "@=": (lambda d: operator.imatmul(d, d), "multiply through minigrad.backend.matmul"),
    "complex and": (lambda d: xp.logical_and(d * 1j, d), "logical_and does not take complex64"),
    "complex %": (lambda d: d.astype("complex64") % 2, "remainder"),
}


@pytest.mark.parametrize("name", MIXING)
def test_host_and_device_do_not_mix(name, d, h):
    call, message = MIXING[name]
    with pytest.raises(TypeError, match=message):
        call(d, h)


@pytest.mark.parametrize("name", LACKING)
def test_what_cupy_does_not_take(name, d):
    call, message = LACKING[name]
    with pytest.raises(TypeError, match=message):
        call(d)


@pytest.mark.parametrize("name", ["maximum", "logical_and", "minimum", "subtract"])
def test_ufuncs_reduce_for_add_and_multiply_only(name, d):
    for how in ("reduce", "accumulate"):
        with pytest.raises(NotImplementedError, match=rf"cupy_{name}\.{how}"):
            getattr(getattr(xp, name), how)(d)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("errstate", "no attribute 'errstate'"), ("einsum_path", "no attribute"), ("insert", "no"),
        ("matmul", "the one GEMM entry"), ("dot", "the one GEMM entry"), ("random", "device.rng"),
        ("linalg.multi_dot", "linalg.multi_dot"), ("mgrid", "not neutral"), ("load", "business"),
        ("no_such", "no attribute 'no_such'"), ("__array_api_version__", "__array_api_version__"),
    ],
)  # fmt: skip
def test_names_that_are_refused(name, message):
    with pytest.raises(AttributeError, match=message):
        operator.attrgetter(name)(xp)


@pytest.mark.parametrize("name", ["__index__", "setflags", "ctypes", "resize", "dot", "tobytes"])
def test_array_attributes_that_are_refused(name, d):
    assert not hasattr(d, name)


def test_a_dtype_that_differs_is_an_error(monkeypatch):
    f = StrictUfunc("floor")  # not the device's own, which remembers what it has taken
    monkeypatch.setattr(f, "_loops", [([np.dtype("d")], [np.dtype("d")])])
    with pytest.raises(TypeError, match=r"cupy\.floor of int64 is float64, NumPy's is int64: cast"):
        f(dev([1, 2]))


def test_ufuncs_without_atomics(d):
    assert set(AT) == {"add", "subtract", "maximum", "minimum"}
    with pytest.raises(TypeError, match=r"multiply\.at takes"):
        xp.multiply.at(d, dev([0]), 2.0)
    with pytest.raises(AttributeError, match="no ufunc 'frobnicate'"):
        ufunc("frobnicate")


def test_add_at_counts_duplicates(d, h):
    xp.add.at(d, (dev([0, 0, 2]),), d[0])
    np.add.at(h, ([0, 0, 2],), h[0].copy())
    assert np.array_equal(d.get(), h)


def test_assignment_with_duplicate_indices(d):
    with pytest.raises(IndexError, match="any of the values may win"):
        d[dev([0, 0])] = d[:2]
    with pytest.raises(IndexError, match="any of the values may win"):
        d[dev([0, 0]), dev([1, 1])] = dev([1.0, 2.0], "float32")
    d[dev([0, 0]), dev([1, 2])] = dev([1.0, 2.0], "float32")
    d[dev([1, 1])] = 9.0  # one value: no matter who wins
    assert d.get()[:2].tolist() == [[0, 1, 2, 3], [9, 9, 9, 9]]


@pytest.mark.parametrize("dtype", ["float16", "float64", "complex64", "int32", "bool"])
def test_empty_is_poisoned(dtype):
    for array in (xp.empty((2, 3), dtype), xp.empty_like(xp.zeros(3, dtype))):
        host = array.get()
        worst = {"int32": 0x5A, "bool": True}.get(dtype)
        assert (np.isnan(host) if worst is None else host == worst).all()


def test_gemm_takes_what_a_gpu_library_does_well(d):
    assert matmul(d, d.T).shape == (3, 3)
    for a, b, out in (
        (dev(np.ones((2, 2, 2, 2))), dev(np.ones((2, 2, 2, 2))), dev(np.ones((2, 2, 2, 2)))),
        (d, d[0], d[0]),
        (dev(np.ones((2, 2))), dev(np.ones((2, 2))), dev(np.ones((2, 2))).T),
        (dev(np.ones((2, 2))), dev(np.ones((2, 2))), dev(np.ones((2, 2), "float32"))),
    ):
        with pytest.raises(TypeError, match="a GEMM of"):
            strict.gpu.product(a, b, out, accumulate=False, precision=None)


def test_kernels_take_device_arrays_and_numbers_of_the_host(d):
    from minigrad.backend.kernels import gates
    from minigrad.backend.kernels.kernel import Launch

    two = xp.zeros((2, 2))
    with pytest.raises(TypeError, match="rnn_forward: out is ndarray"):
        gates.rnn_forward(two, xp.zeros((2, 2)), np.zeros((2, 2)), "tanh")
    with pytest.raises(TypeError, match="rnn_forward: relu is StrictArray"):
        gates.RNN_FORWARD(Launch(1), two, 2, two, 2, two, 2, d[0, 0], 2, 2)


def test_installing_twice_changes_nothing(d):
    strict.install()
    assert namespace(d) is xp
