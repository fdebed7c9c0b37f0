"""The cuBLAS binding: the arguments of its calls, read back by a fake that multiplies with them."""

import ctypes

import numpy as np
import pytest

from minigrad.backend.cuda import cublas
from minigrad.errors import DeviceError
from tests.backend.fake_cublas import FakeCublas


def handle(library=None):
    made = cublas.Handle(library or FakeCublas(), lambda x: x.ctypes.data)
    made.serve(7, np.zeros(64, np.uint8))
    return made


def normal(*shape, dtype="float64"):
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def views(*shape, dtype):
    """The same matrix, stored in every way that has one contiguous axis."""
    x = normal(*shape, dtype=dtype)
    lead, (r, c) = shape[:-2], shape[-2:]
    wide = np.zeros((*lead, r, c + 3), dtype)
    wide[..., 1 : 1 + c] = x
    tall = np.zeros((*lead, c, r + 2), dtype)
    tall[..., 2 : 2 + r] = x.swapaxes(-1, -2)
    return {
        "plain": x,
        "part": wide[..., 1 : 1 + c],
        "transposed": np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2),
        "transposed part": tall[..., 2 : 2 + r].swapaxes(-1, -2),
    }


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("beta", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("stack", [None, 1, 4])
@pytest.mark.parametrize(
    "sizes", [(5, 7, 3), (1, 6, 4), (8, 1, 2), (3, 3, 1), (1, 1, 5), (1, 4, 1)]
)
def test_the_mapping(sizes, stack, beta, dtype):
    m, n, k = sizes
    lead = () if stack is None else (stack,)
    h, close = handle(), {"rtol": 1e-12} if dtype == "float64" else {"rtol": 2e-2, "atol": 1e-2}
    for a in views(*lead, m, k, dtype=dtype).values():
        for b in views(*lead, k, n, dtype=dtype).values():
            for name in ("plain", "part"):
                out = views(*lead, m, n, dtype=dtype)[name]
                expected = 0.5 * (a @ b) + beta * out
                h.gemm(a, b, out, alpha=0.5, beta=beta)
                np.testing.assert_allclose(out, expected, **close)


def test_one_matrix_for_a_whole_stack():
    x, w, out = normal(4, 6, 5), normal(5, 8), np.full((4, 6, 8), np.nan)
    handle().gemm(x, np.broadcast_to(w, (4, 5, 8)), out)  # beta = 0 reads no NaN
    np.testing.assert_allclose(out, x @ w)


def test_a_stack_that_is_read_backwards_is_copied():
    x = normal(4, 6, 5)
    assert cublas.side(x[::-1]) is None
    assert cublas.side(x[1:2][::-1]) is not None  # of one
    with pytest.raises(ValueError, match="contiguous"):
        handle().gemm(x[::-1], normal(4, 5, 2), np.empty((4, 6, 2)))


def test_half_precision_into_float32():
    a, b, out = normal(3, 4, dtype="float16"), normal(4, 2, dtype="float16"), np.zeros((3, 2), "f4")
    fake = FakeCublas()
    handle(fake).gemm(a, b, out)
    np.testing.assert_allclose(out, a.astype("f4") @ b.astype("f4"), rtol=1e-6)
    assert fake.calls[-1] == ("gemm", (2, 3, 4), 1, 68, 0)


def test_how_is_computed():
    fake = FakeCublas()
    h = handle(fake)
    for dtype, tf32 in (
        ("float64", True),
        ("float32", True),
        ("float32", False),
        ("float16", True),
    ):
        a, out = normal(2, 2, dtype=dtype), np.zeros((2, 2), dtype)
        h.gemm(a, a, out, tf32=tf32)
    assert [call[3] for call in fake.calls[-4:]] == [70, 77, 68, 68]


def test_the_stream_is_set_before_the_workspace():
    fake = FakeCublas()
    handle(fake).serve(8, np.zeros(32, np.uint8))
    assert fake.calls == [
        "create", ("mode", 0), ("stream", 7), ("workspace", 64), ("stream", 8), ("workspace", 32)
    ]  # fmt: skip


@pytest.mark.parametrize("which", [0, 1, 2])
def test_operands_without_a_contiguous_axis_are_refused(which):
    arrays = [normal(4, 4) for _ in range(3)]
    arrays[which] = normal(8, 8)[::2, ::2]
    with pytest.raises(ValueError, match="needs an axis that is contiguous"):
        handle().gemm(*arrays)
    with pytest.raises(ValueError, match="contiguous"):
        handle().gemm(normal(2, 2), normal(2, 2), normal(2, 2).T)


def test_a_refusal_of_the_library_says_why():
    fake = FakeCublas()
    h = handle(fake)
    fake.cublasGemmStridedBatchedEx = lambda *args: 15
    message = r"gemm of \(2, 2\) and \(2, 2\) float64: status 15, not supported"
    with pytest.raises(DeviceError, match=message):
        h.gemm(normal(2, 2), normal(2, 2), normal(2, 2))


def test_the_real_library_has_the_functions():
    try:
        library = cublas.load()
    except DeviceError as error:
        pytest.skip(str(error))
    assert library.cublasGemmStridedBatchedEx.argtypes == cublas.GEMM
    assert len(cublas.GEMM) == 23


def test_a_missing_library_is_explained(monkeypatch):
    def refuse(path):
        raise OSError("no such file")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    with pytest.raises(DeviceError, match="cuBLAS is not there"):
        cublas.load()
