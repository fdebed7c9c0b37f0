"""Every kernel's CUDA text: free of races, and taken by nvrtc."""

import shutil

import numpy as np
import pytest

from minigrad.backend.kernels import attention, draws, kernels, persist, segments
from minigrad.backend.kernels.kernel import INTEGERS, LAUNCHERS, TYPES, Launch, options, source
from minigrad.testing import cuda_host
from tests.backend.kernels.test_kernels import (
    cross_entropy,
    layer_norm,
    needs_gcc,
    values,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("races")


def others():
    """All kernels but those of test_persist_kernels.py."""
    return [kernel for kernel in kernels() if not isinstance(kernel, persist.Persistent)]


def launches(case, monkeypatch):
    """What `case` launches: (kernel, shape, arguments)."""
    seen = {}

    def record(kernel, shape, args):
        seen.setdefault(
            kernel.name, (kernel, shape, [np.copy(a) if np.ndim(a) else a for a in args])
        )
        kernel.reference(*args)

    monkeypatch.setitem(LAUNCHERS, np.ndarray, record)
    case("float32")
    return list(seen.values())


def thread_sanitizer(folder):
    """Whether programs under it run here."""
    if cuda_host.compiler() is None or shutil.which("setarch") is None:
        return False
    try:
        return not cuda_host.sanitize(
            draws.DRAWS_DOUBLE,
            Launch(1, 1),
            (np.zeros(5, np.uint64), np.zeros(1), 0.0, 1.0, 1),
            folder,
        )
    except RuntimeError:
        return False


def scores(dtype):
    query, keys, v = (values(*s, dtype=dtype) for s in ((2, 3, 9), (2, 5, 9), (9,)))
    return attention.additive_scores(query, keys, v)


def few_ids(dtype):
    return segments._sorted(np, np.arange(70) % 7)


RACING = {
    "cross_entropy": cross_entropy,
    "layer_norm": layer_norm,
    "scores": scores,
    "few_ids": few_ids,
}


@needs_gcc
@pytest.mark.parametrize("case", RACING)
def test_barriers_are_where_they_must_be(case, folder, monkeypatch):
    if not thread_sanitizer(folder):
        pytest.skip("needs g++'s thread sanitizer")
    for kernel, shape, args in launches(RACING[case], monkeypatch):
        small = shape._replace(grid=min(shape.grid, 2), block=min(shape.block, 64))
        assert cuda_host.sanitize(kernel, small, tuple(args), folder) == ""
        report = cuda_host.sanitize(kernel, small, tuple(args), folder, "-DMG_NO_BARRIER")
        # Without barriers it does see one, or dies of places that nobody had written yet.
        assert "data race" in report or "SEGV" in report


def test_kernels_with_barriers_are_all_sanitized(monkeypatch):
    names = {k.name for case in RACING.values() for k, _, _ in launches(case, monkeypatch)}
    assert names == {kernel.name for kernel in others() if kernel.barriers}


def compiled_by_nvrtc(kernels_of_file, types, arch):
    """The text of a file as machine code for each type, which nvrtc makes without a GPU."""
    cupy = pytest.importorskip("cupy")
    compiler = pytest.importorskip("cupy.cuda.compiler")
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # noqa: BLE001  each missing library has its own
        pytest.skip(f"needs nvrtc: {error}")
    text, file = source(*kernels_of_file), kernels_of_file[0].file
    for dtype in types:
        program = compiler._NVRTCProgram(text, file, (), (), method="cubin")
        flags = (f"-arch=sm_{arch}", "-std=c++17", "-ftz=true", *options(dtype))
        cubin, _ = program.compile(flags, None)
        assert cubin[:4] == b"\x7fELF"


@pytest.mark.parametrize("arch", ["80", "90"])
@pytest.mark.parametrize("file", sorted({kernel.file for kernel in others()}))
def test_nvrtc_takes_them(file, arch):
    types = (*TYPES, *INTEGERS) if file in ("products.cu", "segments.cu") else TYPES
    compiled_by_nvrtc([kernel for kernel in kernels() if kernel.file == file], types, arch)
