"""The backend on real hardware: what no stand-in can prove."""

import json

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import accumulate, cuda, device, device_of, from_dlpack, matmul
from minigrad.backend.device_gemm import precision
from minigrad.errors import DeviceMemoryError
from minigrad.testing.generate_cupy_api import generate

pytestmark = pytest.mark.gpu


@pytest.fixture
def gpu():
    before = mg.get_rng_state()
    yield device("cuda")
    mg.set_rng_state(before)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64", "bool"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4)])
def test_a_round_trip_changes_nothing(gpu, dtype, shape):
    host = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    there = gpu.asarray(host)
    assert device_of(there) is gpu
    assert gpu.asarray(there) is there
    back = gpu.to_host(there)
    assert (back.dtype, back.shape) == (host.dtype, host.shape)
    assert np.array_equal(back, host)
    assert np.array_equal(device("cpu").asarray(there), host)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((5, 2, 3), (3, 4)), ((2, 3), (3,)), ((3,), (3, 4)), ((3,), (3,)), ((5, 2, 3), (5, 3, 4)),
        ((6, 1, 2, 3), (5, 3, 4)), ((2, 0), (0, 4)), ((5, 2, 0), (5, 0, 4)), ((0, 3), (3, 4)),
        ((64, 32, 128), (128, 512)),
    ],
)  # fmt: skip
def test_products_are_numpys(gpu, dtype, left, right):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s).astype(dtype) for s in (left, right))
    exact = np.matmul(a.astype("float64"), b.astype("float64"))
    rtol = {"float16": 5e-3, "float32": 1e-4, "float64": 1e-12}[dtype]
    got = gpu.to_host(matmul(gpu.asarray(a), gpu.asarray(b)))
    assert (got.dtype, got.shape) == (np.dtype(dtype), exact.shape)
    np.testing.assert_allclose(got, exact, rtol=rtol, atol=rtol * 30)
    if right == (128, 512):
        w = gpu.asarray(np.ascontiguousarray(b.T)).T  # a transposed view
        viewed = gpu.to_host(matmul(gpu.asarray(a), w))
        np.testing.assert_allclose(viewed, got, rtol=rtol, atol=rtol)
        out = gpu.xp.empty(exact.shape, dtype)
        assert matmul(gpu.asarray(a), w, out) is out
        np.testing.assert_allclose(gpu.to_host(out), got, rtol=rtol, atol=rtol)


def test_integers_multiply(gpu):
    for a in (np.arange(6).reshape(2, 3), np.arange(12).reshape(2, 2, 3)):
        b = a.swapaxes(-1, -2)
        assert gpu.to_host(matmul(gpu.asarray(a), gpu.asarray(b))).tolist() == (a @ b).tolist()


def test_the_stream_draws_what_the_host_draws(gpu):
    host = device("cpu").rng
    for draw in (
        lambda r: r.uniform(-1, 3, (3, 5)),
        lambda r: r.uniform(-1, 3, 7, "float64"),
        lambda r: r.uniform(shape=(1000, 1001)),
        lambda r: r.integers(-4, 1000, 9),
        lambda r: r.bernoulli(0.3, (8, 9)),
        lambda r: r.permutation(20),
        lambda r: r.normal(1, 2, 1000),
        lambda r: r.uniform(shape=4, dtype="float16"),
    ):
        mg.manual_seed(5)
        host.uniform(shape=3)
        theirs = draw(gpu.rng)
        assert device_of(theirs) is gpu
        mg.manual_seed(5)
        host.uniform(shape=3)
        assert np.array_equal(gpu.to_host(theirs), draw(host))


def test_products_are_added_and_rounded(gpu):
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal(s).astype("float32") for s in ((64, 48), (48, 32), (64, 32)))
    there = [gpu.asarray(x) for x in (a, b, c)]
    accumulate(*there)
    np.testing.assert_allclose(gpu.to_host(there[2]), c + a @ b, rtol=1e-4, atol=1e-4)
    for name, rtol in (("float16", 1e-2), ("bfloat16", 5e-2), ("tf32", 1e-2)):
        with precision(name):
            coarse = gpu.to_host(matmul(*there[:2]))
        assert coarse.dtype == np.float32
        np.testing.assert_allclose(coarse, a @ b, rtol=rtol, atol=rtol * 10)


def test_a_product_is_captured(gpu):
    rng = np.random.default_rng(0)
    a, b = (gpu.asarray(rng.standard_normal(s).astype("float32")) for s in ((8, 5), (5, 3)))
    graph, out = gpu.capture(lambda: matmul(a, b))
    for _ in range(3):
        a += 1
        graph.launch()
        np.testing.assert_allclose(gpu.to_host(out), gpu.to_host(a) @ gpu.to_host(b), rtol=1e-4)


def test_a_capture_that_fails_leaves_the_device_usable(gpu):
    x = gpu.asarray(np.ones(3))
    with pytest.raises(Exception, match=r".+"):
        gpu.capture(lambda: (x + 1).sum().item())
    assert gpu.to_host(x + 1).tolist() == [2, 2, 2]


def test_out_of_memory_says_what_was_asked(gpu):
    with pytest.raises(DeviceMemoryError, match=r"out of memory: .* asked, .* free"):
        gpu.xp.empty(2**46, np.uint8)


def test_a_state_resumes_bit_for_bit(gpu):
    gpu.rng.normal(shape=11)
    state = json.loads(json.dumps(mg.get_rng_state()))
    expected = gpu.to_host(gpu.rng.normal(shape=100))
    mg.set_rng_state(state)
    assert np.array_equal(gpu.to_host(gpu.rng.normal(shape=100)), expected)


def test_dlpack_both_ways(gpu):
    x = gpu.xp.arange(6, dtype="float32").reshape(2, 3)
    y = from_dlpack(x)
    assert device_of(y) is gpu
    assert y.data.ptr == x.data.ptr


def test_dlpack_with_pytorch(gpu):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    t = torch.arange(6.0, device="cuda")
    x = from_dlpack(t)
    assert device_of(x) is gpu
    assert x.data.ptr == t.data_ptr()
    assert torch.from_dlpack(x).data_ptr() == t.data_ptr()


def test_memory_and_synchronisation(gpu):
    cuda.empty_cache()
    before = cuda.memory_allocated()
    x = gpu.asarray(np.ones(2**20, np.float32))
    assert cuda.memory_allocated() - before >= x.nbytes
    assert cuda.memory_summary().startswith(f"{gpu.name}: ")
    cuda.synchronize()
    assert cuda.device_count() >= 1


def test_the_committed_table_is_this_cupys(gpu):
    from minigrad.testing.cupy_api import api

    if generate()["cupy"] != api().version:
        pytest.skip("another version of CuPy")
    assert set(generate()["functions"]) >= set(api().functions)
