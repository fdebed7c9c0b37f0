"""CUDA devices, and why there is none, on machines that are described and not there."""

import builtins
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import (
    cuda,
    device,
    device_of,
    from_dlpack,
    namespace,
)
from minigrad.backend import device as open_device
from minigrad.errors import DeviceError, DeviceMemoryError
from tests.backend import fake_cupy

ONE = ["cupy-cuda13x"]
TWO = ["cupy-cuda12x", "cupy-cuda13x"]


def without_cupy(monkeypatch, error):
    real = builtins.__import__

    def fail(name, *args, **kwargs):
        if name == "cupy":
            raise error
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(builtins, "__import__", fail)


def unavailable():
    assert cuda.is_available() is False
    assert cuda.device_count() == 0
    reason = cuda.why_not_available()
    with pytest.raises(DeviceError) as info:
        device("cuda:0")
    assert str(info.value) == f"cuda:0: {reason}"
    with pytest.raises(DeviceError, match=r"^cuda: "):
        cuda.synchronize()
    return reason


def test_cupy_not_installed(monkeypatch):
    without_cupy(monkeypatch, ModuleNotFoundError("No module named 'cupy'", name="cupy"))
    reason = unavailable()
    assert reason.startswith("CuPy is not installed: pip install")
    assert "minigrad[cuda12]" in reason
    assert "minigrad[cuda13]" in reason


def test_cupy_that_does_not_import(monkeypatch):
    monkeypatch.setattr(cuda, "_cupy_distributions", lambda: ONE)
    without_cupy(monkeypatch, ImportError("libcudart.so.13: cannot open shared object file"))
    assert "CuPy cannot be used: ImportError: libcudart.so.13" in unavailable()


def test_cupy_that_needs_a_module_that_is_not_there(monkeypatch):
    monkeypatch.setattr(cuda, "_cupy_distributions", lambda: ONE)
    without_cupy(monkeypatch, ModuleNotFoundError("No module named 'x'", name="x"))
    assert "CuPy cannot be used" in unavailable()


def test_no_driver(machine):
    machine(driver=0)
    assert unavailable().startswith("no NVIDIA driver")


@pytest.mark.parametrize(
    ("driver", "remedy"),
    [(12040, 'pip install "minigrad[cuda12]"; or update'), (11080, "CUDA 13: update the driver")],
)
def test_a_driver_older_than_cupy(machine, driver, remedy):
    machine(driver=driver)
    reason = unavailable()
    assert f"too old: it runs CUDA {driver // 1000}, cupy-cuda13x is built for CUDA 13" in reason
    assert remedy in reason


def test_a_newer_driver_is_fine(machine):
    machine(driver=13000, runtime=12090)
    assert cuda.is_available()


@pytest.mark.parametrize("count", [0, fake_cupy.CUDARuntimeError("cudaErrorNoDevice: none")])
def test_no_device(machine, monkeypatch, count):
    machine(count=count)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert "the NVIDIA driver is loaded but shows none" in unavailable()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "CUDA_VISIBLE_DEVICES='-1' hides all of them" in unavailable()


def test_an_error_nobody_foresaw(machine):
    machine(count=fake_cupy.CUDARuntimeError("cudaErrorUnknown: unknown"))
    assert "CuPy cannot be used: CUDARuntimeError: cudaErrorUnknown" in unavailable()


def test_no_runtime_compiler(machine):
    machine(nvrtc=False)
    assert 'nvrtc, is not there: pip install "minigrad[cuda13]"' in unavailable()


@pytest.mark.parametrize(
    "properties",
    [{"driver": 12040}, {"nvrtc": False}, {"count": RuntimeError("?")}],
    ids=["driver", "nvrtc", "runtime"],
)
def test_two_cupys_are_named_when_something_is_wrong(machine, properties):
    machine(TWO, **properties)
    assert unavailable().startswith("cupy-cuda12x and cupy-cuda13x are both installed")


def test_two_cupys_that_work_are_left_alone(machine):
    machine(TWO)
    assert cuda.is_available()


def test_the_installed_distributions_are_found():
    assert all(name.startswith("cupy") for name in cuda._cupy_distributions())


def test_devices_open_by_number(machine):
    machine(count=2)
    assert cuda.device_count() == 2
    one = device("cuda:1")
    assert (one.name, one.kind, one.index) == ("cuda:1", "cuda", 1)
    assert device("cuda") is device("cuda:0")
    with one.activate():
        assert device("cuda") is one
    with pytest.raises(DeviceError, match="there are 2 CUDA devices here, cuda:0 to cuda:1"):
        device("cuda:2")


def test_arrays_go_there_and_come_back(machine):
    cupy = machine()
    zero, one = device("cuda:0"), device("cuda:1")
    host = np.arange(6.0).reshape(2, 3)
    x = zero.asarray(host, "float32")
    assert type(x) is cupy.ndarray
    assert (device_of(x), namespace(x), x.dtype) == (zero, cupy, np.dtype("float32"))
    assert zero.asarray(x) is x
    assert zero.to_host(x).tolist() == host.tolist()
    y = one.asarray(x)
    assert (device_of(y), device_of(one.asarray([1.0]))) == (one, one)
    assert device("cpu").asarray(y).tolist() == host.tolist()
    strict = device("strict").asarray([1.0, 2.0])
    assert zero.to_host(zero.asarray(strict)).tolist() == [1.0, 2.0]
    one.synchronize()
    assert fake_cupy.FakeDevice.waited_for[-1] == 1


def test_the_first_cupy_array_makes_itself_known(machine):
    cupy = machine()
    x = cupy.asarray([1.0])
    cupy.ndarray.__module__ = "cupy._core"
    try:
        assert namespace(x) is cupy
        assert device_of(x).name == "cuda:0"
    finally:
        cupy.ndarray.__module__ = "fake_cupy"


def test_out_of_memory_says_what_was_asked_and_what_was_free(machine, monkeypatch):
    monkeypatch.setattr(fake_cupy, "ALLOCATORS", [])
    machine()
    device("cuda:0")
    (allocate,) = fake_cupy.ALLOCATORS
    assert allocate(100) == 100
    message = r"cuda:0: out of memory: 3.00 GiB asked, 4.00 GiB of 8.00 GiB free; arrays hold 1.00"
    with pytest.raises(DeviceMemoryError, match=message):
        allocate(3 * 2**30)
    with pytest.raises(MemoryError, match=r"1\.50 MiB asked"):
        allocate(3 * 2**19)


def test_ranges_for_profilers(machine, monkeypatch):
    monkeypatch.setattr(fake_cupy, "RANGES", [])
    cupy = machine()
    with pytest.raises(KeyError), cuda.nvtx("step"):
        raise KeyError
    assert fake_cupy.RANGES == ["step", "end"]
    cupy.cuda.nvtx.available = False
    with cuda.nvtx("step"):
        pass
    assert fake_cupy.RANGES == ["step", "end"]


def test_memory(machine, blas):
    machine()
    assert cuda.memory_allocated("cuda:0") == 2**30
    cuda.empty_cache()
    assert fake_cupy.Pool.freed == 1
    assert cuda.memory_reserved("cuda:1") == 3 * 2**30
    one = device("cuda:1")
    graph, _ = one.capture(lambda: None)  # its pool holds a quarter of a GiB
    assert (cuda.memory_reserved("cuda:1"), cuda.memory_reserved("cuda:0")) == (
        3.25 * 2**30,
        3 * 2**30,
    )
    lines = cuda.memory_summary("cuda:1").splitlines()
    assert lines[0] == "cuda:1: 8.00 GiB"
    figures = [float(line[14:].split()[0]) for line in lines[1:]]
    assert figures == [1, 2, 0.25, 0.75, 4]  # arrays, free, graphs, others, free: 8 together
    del graph, _
    assert cuda.memory_reserved("cuda:1") == 3 * 2**30
    with pytest.raises(DeviceError, match="expected a CUDA device such as 'cuda:0', got 'cpu'"):
        cuda.memory_summary("cpu")
    cuda.synchronize("cuda:1")


class OnGpu:
    """Speaks DLPack from the memory of GPU 1."""

    payload = np.array([1.0, 2.0])

    def __dlpack__(self, **kwargs):
        raise AssertionError("CuPy's from_dlpack calls this, not minigrad")

    def __dlpack_device__(self):
        return (2, 1)


def test_dlpack_keeps_the_device(machine):
    machine()
    x = from_dlpack(OnGpu())
    assert device_of(x) is open_device("cuda:1")
    assert x.tolist() == [1.0, 2.0]


def test_dlpack_from_a_gpu_where_there_is_none(monkeypatch):
    without_cupy(monkeypatch, ModuleNotFoundError("No module named 'cupy'", name="cupy"))
    with pytest.raises(DeviceError, match=r"^cuda:1: CuPy is not installed"):
        from_dlpack(OnGpu())


def test_the_facade_is_the_module():
    assert mg.cuda is cuda
    assert sorted(cuda.__all__) == cuda.__all__
