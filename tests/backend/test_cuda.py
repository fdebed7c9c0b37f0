"""CUDA devices, and why there is none, on machines that are described and not there."""

import builtins
import gc
import sys
import types

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import (
    accumulate,
    cuda,
    device,
    device_of,
    from_dlpack,
    gemm,
    matmul,
    namespace,
)
from minigrad.backend import device as open_device
from minigrad.backend.cuda import cublas
from minigrad.backend.cuda.feed import Feeder
from minigrad.backend.device_gemm import precision
from minigrad.backend.kernels import attention, draws, persist
from minigrad.backend.kernels.kernel import LAUNCHERS, Launch
from minigrad.errors import DeviceError, DeviceMemoryError, ShapeError
from tests.backend import fake_cupy
from tests.backend.fake_cublas import FakeCublas

ONE = ["cupy-cuda13x"]
TWO = ["cupy-cuda12x", "cupy-cuda13x"]


@pytest.fixture
def machine(monkeypatch):
    """Call it with the machine's properties; what it registers is forgotten afterwards."""
    module = sys.modules["minigrad.backend.device"]
    tables = (
        module.NAMESPACES, module._DEVICE_OF, module._DEVICES, gemm.GEMMS, LAUNCHERS, persist.LIMITS
    )  # fmt: skip
    for table in tables:
        for key in list(table):  # so that monkeypatch remembers all of it
            monkeypatch.setitem(table, key, table[key])
    before = [dict(t) for t in tables]

    def describe(distributions=ONE, **properties):
        cupy = fake_cupy.make(**properties)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.setattr(cuda, "_cupy_distributions", lambda: distributions)
        return cupy

    yield describe
    for table, old in zip(tables, before, strict=True):
        for key in set(table) - set(old):
            del table[key]


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


@pytest.fixture
def blas(monkeypatch):
    fake = FakeCublas()
    monkeypatch.setattr(cublas, "load", lambda: fake)
    return fake


def test_products(machine, blas):
    machine()
    dev = device("cuda:0")
    a, b = np.arange(24.0).reshape(2, 3, 4), np.arange(20.0).reshape(4, 5)
    there = dev.asarray(a), dev.asarray(b)
    for _ in range(2):
        assert dev.to_host(matmul(*there)).tolist() == (a @ b).tolist()
    transposed = matmul(dev.asarray(b).T, there[0].swapaxes(-1, -2))
    assert dev.to_host(transposed).tolist() == (b.T @ a.swapaxes(-1, -2)).tolist()
    assert dev.to_host(accumulate(*there, matmul(*there))).tolist() == (2 * a @ b).tolist()
    assert [call for call in blas.calls if call[0] != "gemm"] == [
        "create", ("mode", 0), ("stream", 0), ("workspace", cublas.WORKSPACE),
    ]  # fmt: skip
    with pytest.raises(DeviceError, match="different devices"):
        matmul(a, there[1])


def test_products_of_integers_and_of_halves(machine, blas):
    machine()
    dev = device("cuda:0")
    integers = dev.asarray(np.arange(6).reshape(2, 3))
    out = matmul(integers, integers.T)
    assert accumulate(integers, integers.T, out).tolist() == [[10, 28], [28, 100]]
    x = dev.asarray(np.array([[1.0, 2049.0]]), "float32")
    with precision("float16"):
        assert matmul(x, x.T).item() == 1 + 2048**2
    with precision("tf32"):
        matmul(x, x.T)
    assert [call[3:] for call in blas.calls[-2:]] == [(68, 0), (77, 0)]


def test_kernels_are_compiled_once_for_a_dtype(machine, monkeypatch):
    machine()
    monkeypatch.setattr(fake_cupy.RawKernel, "compiled", [])
    monkeypatch.setattr(fake_cupy.RawKernel, "launched", [])
    x = device("cuda:0").asarray(np.ones((3, 2, 4)), "float32")
    scores = attention.additive_scores
    assert scores(x, x, x[0, 0]).shape == scores(x, x, x[0, 0]).shape == (3, 2, 2)
    y = x.astype("float64")
    scores(y, y, y[0, 0])
    name = "additive_scores"
    assert fake_cupy.RawKernel.compiled == [
        (name, ("-std=c++17", "-DMG_T=float", "-DMG_A=float"), False),
        (name, ("-std=c++17", "-DMG_T=double", "-DMG_A=double"), False),
    ]
    assert fake_cupy.RawKernel.launched == [(name, (1,), (256,), 0)] * 3


def test_a_cooperative_kernel_fits_or_is_refused(machine, monkeypatch):
    cupy = machine()
    monkeypatch.setenv("MINIGRAD_PERSISTENT", "1")
    dev, H, n = device("cuda:0"), 8, 3

    def run():
        arrays = [
            np.ones(s) for s in ((4 * H, 2 * n), (4 * H, H), (H, n), (3, 6, H, n), (2 * n, H))
        ]
        projected, *rest = map(dev.asarray, arrays)
        return persist.lstm_persistent(lambda low, w: projected, *rest, n, (0, n))

    assert run()
    monkeypatch.setattr(
        cupy.cuda.driver, "occupancyMaxActiveBlocksPerMultiprocessor", lambda *args: 0
    )
    with pytest.raises(DeviceError, match="2 blocks must run at once, 0 fit this GPU"):
        run()


def test_a_small_run_leaves_the_large_ones_their_shared_memory(machine):
    """The limit belongs to the function, which every RawKernel of the same text shares."""
    machine()
    x = device("cuda:0").asarray(np.zeros(5), np.uint64)
    launch = LAUNCHERS[type(x)]
    for shared in (200 << 10, 60 << 10, 200 << 10):
        launch(draws.PLACE, Launch(1, 1, shared), (x, 1, 2, 3, 0, 0))


def test_random_numbers_are_the_hosts(machine, monkeypatch):
    machine()
    before = mg.get_rng_state()
    try:
        mg.manual_seed(3)
        one = device("cuda:1")
        x = [one.rng.uniform(0, 1, (2, 3)), one.rng.normal(0, 1, 4), one.rng.bernoulli(0.5, 9)]
        assert {device_of(each) for each in x} == {one}
        mg.manual_seed(3)
        host = device("cpu").rng
        y = [host.uniform(0, 1, (2, 3)), host.normal(0, 1, 4), host.bernoulli(0.5, 9)]
        for ours, theirs in zip(x, y, strict=True):
            assert np.array_equal(ours, theirs)
        assert list(mg.get_rng_state()["streams"]) == ["cpu"]
        monkeypatch.setattr(fake_cupy.DEFAULT, "capturing", True)
        with pytest.raises(DeviceError, match=r"a draw from device.rng: not allowed while a graph"):
            one.rng.bernoulli(0.5, 9)
    finally:
        mg.set_rng_state(before)


def test_a_graph_is_captured_on_a_stream_and_memory_of_its_own(machine, blas, monkeypatch):
    machine()
    monkeypatch.setattr(fake_cupy, "LOG", [])
    monkeypatch.setattr(fake_cupy.Stream, "count", 0)
    before = mg.get_rng_state()
    try:
        mg.manual_seed(3)
        dev = device("cuda:0")
        expected = [device("cpu").rng.bernoulli(0.5, 40).tolist() for _ in range(3)]
        mg.manual_seed(3)
        graph, mask = dev.capture(lambda: dev.rng.bernoulli(0.5, 40))
        assert fake_cupy.LOG == [
            "record on 0", "1 waits", "own pool", "begin on 1", "end on 1", "default pool"
        ]  # fmt: skip
        assert ("stream", 1) in blas.calls  # a handle, made before the capture began
        for numbers in expected:
            graph.launch()
            assert mask.tolist() == numbers
        assert fake_cupy.LOG[-1] == "launch on 0"
        assert gc.isenabled()
    finally:
        mg.set_rng_state(before)


def test_a_graph_that_is_dropped_leaves_its_handle_to_the_next(machine, blas):
    machine()
    dev = device("cuda:0")
    for _ in range(3):
        graph, _ = dev.capture(lambda: None)
        del graph
        gc.collect()
    assert blas.calls.count("create") == 1
    assert len({call for call in blas.calls if call[0] == "stream"}) == 3


def test_a_failed_capture_ends_and_says_what_failed(machine, blas, monkeypatch):
    machine()
    monkeypatch.setattr(fake_cupy, "LOG", [])
    dev = device("cuda:0")
    with pytest.raises(ZeroDivisionError):
        dev.capture(lambda: 1 / 0)
    assert fake_cupy.LOG[-1].startswith("end on")
    assert gc.isenabled()
    assert not fake_cupy.Stream.current
    with pytest.raises(DeviceError, match=r"rng.normal, drawn on the host,: not allowed while"):
        dev.capture(lambda: dev.rng.normal(shape=3))


def test_batches_come_from_pinned_memory_on_a_stream_of_copies(machine, monkeypatch):
    machine()
    pinned = types.ModuleType("cupyx")
    pinned.empty_pinned = np.empty
    monkeypatch.setitem(sys.modules, "cupyx", pinned)
    monkeypatch.setattr(fake_cupy, "LOG", [])
    monkeypatch.setattr(fake_cupy.Stream, "count", 0)
    dev = device("cuda:0")
    inputs = [dev.asarray(np.zeros((2, 3))), dev.asarray(np.zeros(4))]
    feed = Feeder(dev, inputs)
    for k in range(5):
        there = dev.asarray(np.full(4, -k))
        feed(np.full((2, 3), k), there)
        assert (inputs[0].tolist(), inputs[1].tolist()) == ([[k] * 3] * 2, [-k] * 4)
    assert fake_cupy.LOG[:6] == [
        "host waits", "1 waits", "copy on 1", "record on 1", "0 waits", "record on 0"
    ]  # fmt: skip
    with pytest.raises(ShapeError, match="a captured step takes"):
        feed(np.zeros((3, 3)), np.zeros(4))


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
    machine()
    with pytest.raises(KeyError), cuda.nvtx("step"):
        raise KeyError
    assert fake_cupy.RANGES == ["step", "end"]


def test_memory(machine):
    machine()
    assert cuda.memory_allocated("cuda:0") == 2**30
    cuda.empty_cache()
    assert fake_cupy.Pool.freed == 1
    lines = cuda.memory_summary("cuda:1").splitlines()
    assert lines[0] == "cuda:1: 8.00 GiB"
    assert [float(line.split()[-2 if "(" not in line else 2]) for line in lines[1:]] == [1, 2, 1, 4]
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
