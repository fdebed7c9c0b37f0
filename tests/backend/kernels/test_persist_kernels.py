"""All steps in one launch: the CUDA text computes what its reference does, and waits as it must."""

import numpy as np
import pytest

from minigrad.backend.device_gemm import precision
from minigrad.backend.kernels import persist, plan
from minigrad.backend.kernels.kernel import LAUNCHERS
from minigrad.testing import cuda_host
from tests.backend.kernels.test_kernels import needs_gcc, part, values
from tests.backend.kernels.test_races import compiled_by_nvrtc, launches, thread_sanitizer

CELLS = {cell.name: cell for cell in (persist.LSTM, persist.GRU, persist.RNN)}
STEPS = 3


def run(cell, dtype="float32", H=10, n=5, keep=True, relu=False, part=part):
    """Some steps forward, from the last row to the first, and back: whatever they write."""
    G, bias, room = cell.gates, cell is persist.GRU, cell.saved or 2
    U = values(G * H, H + bias, dtype=dtype) * H**-0.5
    blocks = np.zeros((STEPS + 1 if keep else 2, room, H, n), dtype)
    if cell is persist.LSTM:
        blocks[0, 1] = values(H, n, dtype=dtype)
    projected = part(values(G * H, STEPS * n, dtype=dtype, seed=1))
    h, out = values(H, n, dtype=dtype, seed=2), np.zeros((STEPS * n, H), dtype)
    starts = 2 * n, n, 0
    assert persist.forward(cell, lambda *_: projected, U, h, blocks, out, n, starts, relu)
    if not keep:
        return out, h, blocks[STEPS % 2, 1]
    V, dh, carry = U[:, :H].copy(), h / 2, h / 3
    d, dy = part(np.zeros((cell.planes, H, STEPS * n), dtype)), values(STEPS * n, H, dtype=dtype)
    y = out if cell is persist.RNN else None
    assert persist.backward(cell, V, blocks, y, dy, dh, carry, lambda *_: d, n, starts, relu)
    return out, h, blocks[:STEPS, : cell.saved], dh, carry, d


# dtype, precision of products, H, n, as clusters; n = 37 is two of these.
KINDS = [
    ("float32", None, 10, 5, False), ("float32", None, 9, 37, True), ("float64", None, 8, 3, False),
    ("float16", None, 10, 5, False), ("float16", None, 48, 5, False),
    ("float32", "bfloat16", 16, 5, False), ("float32", "bfloat16", 32, 37, True),
    ("float32", "float16", 32, 37, False), ("float32", "bfloat16", 64, 37, False),
]  # fmt: skip
CLOSE = {"float64": 1e-13, "float32": 5e-6, "float16": 4e-3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("persist")


@pytest.fixture
def small_gpu(monkeypatch):
    """A GPU of two multiprocessors, with clusters or without."""

    def make(clusters):
        limits = plan.Limits(2, 220_000, clusters=clusters)
        monkeypatch.setitem(plan.LIMITS, np.ndarray, lambda: limits)

    monkeypatch.setenv("MINIGRAD_PERSISTENT", "1")
    return make


def near(one, other, tolerance):
    assert one.dtype == other.dtype
    scale = max(1.0, abs(other).max(initial=0))
    np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)


@needs_gcc
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("name", CELLS)
def test_the_cuda_text_computes_what_its_reference_does(name, kind, folder, monkeypatch, small_gpu):
    dtype, rounding, H, n, clusters = kind
    small_gpu(clusters)
    with precision(rounding):
        expected = run(CELLS[name], dtype, H, n)
        monkeypatch.setitem(LAUNCHERS, np.ndarray, cuda_host.launcher(folder))
        got = run(CELLS[name], dtype, H, n)
    half = rounding is not None  # a sum near the middle of two halves may round to either
    for one, other in zip(got, expected, strict=True):
        near(one, other, 4e-3 if half else CLOSE[dtype])
    if half:
        exact = run(CELLS[name], dtype, H, n)
        error = max(abs(one - other).max(initial=0) for one, other in zip(got, exact, strict=True))
        assert 1e-4 < error < 0.1  # what was rounded was rounded, and little else


@needs_gcc
def test_variants(folder, monkeypatch, small_gpu):
    """Nothing kept for the way back, where blocks take turns; relu; no gradients of outputs."""
    small_gpu(False)
    cases = [lambda cell=cell: run(cell, keep=False) for cell in (persist.LSTM, persist.RNN)]
    cases.append(lambda: run(persist.RNN, relu=True))
    expected = [case() for case in cases]
    monkeypatch.setitem(LAUNCHERS, np.ndarray, cuda_host.launcher(folder))
    for case, wanted in zip(cases, expected, strict=True):
        for one, other in zip(case(), wanted, strict=True):
            near(one, other, 5e-6)
    out, h, _ = run(persist.LSTM, keep=False)
    whole = run(persist.LSTM)
    near(out, whole[0], 5e-6)
    near(h, whole[1], 5e-6)


@needs_gcc
def test_blocks_that_wait_in_vain_leave_no_numbers(folder, monkeypatch, small_gpu):
    """A counter of 7 stands for that in host.h; a GPU gives up after seconds."""
    small_gpu(False)
    launch = cuda_host.launcher(folder)
    for counter, vain in ((7, True), (0, False)):
        meet = np.full(1, counter, np.uint32)
        monkeypatch.setitem(
            LAUNCHERS, np.ndarray, lambda k, s, args, meet=meet: launch(k, s, (*args[:-1], meet))
        )
        for cell in CELLS.values():
            out, *_, d = run(cell)
            assert np.isnan(out).all() == np.isnan(d).all() == np.isnan(out).any() == vain


RACING = [
    ("lstm", None, 6, 3, False), ("gru", None, 6, 3, True), ("gru", "bfloat16", 16, 3, False),
    ("rnn", "bfloat16", 16, 3, True),
]  # fmt: skip


@needs_gcc
@pytest.mark.parametrize("kind", RACING, ids=str)
def test_barriers_are_where_they_must_be(kind, folder, monkeypatch, small_gpu):
    if not thread_sanitizer(folder):
        pytest.skip("needs g++'s thread sanitizer")
    name, rounding, H, n, clusters = kind
    small_gpu(clusters)
    with precision(rounding):
        seen = launches(lambda dtype: run(CELLS[name], dtype, H, n, part=np.copy), monkeypatch)
    assert len(seen) == 2
    for kernel, shape, args in seen:
        small = shape._replace(block=32 if clusters else 64)
        assert cuda_host.sanitize(kernel, small, tuple(args), folder) == ""
        report = cuda_host.sanitize(kernel, small, tuple(args), folder, "-DMG_NO_BARRIER")
        # Without barriers it does see one, or dies of places that nobody had written yet.
        assert "data race" in report or "SEGV" in report


@pytest.mark.parametrize("arch", ["80", "90"])
@pytest.mark.parametrize("file", sorted({kernel.file for kernel in persist.variants()}))
def test_nvrtc_takes_them(file, arch):
    of_file = [kernel for kernel in persist.variants() if kernel.file == file]
    operand = of_file[0].operand
    types = ["float32", operand] if operand else ["float16", "bfloat16", "float32", "float64"]
    compiled_by_nvrtc(of_file, types, arch)
