"""The GPU's random stream without a GPU: its CUDA source under g++ and nvrtc, its statistics."""

import ctypes
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from minigrad.backend.philox import DRAWS, SOURCE, PhiloxStream, cupy_stream, numpy_fill, words
from minigrad.errors import CheckpointError

C_TYPES = {
    "float32": ("float", ctypes.c_float), "float64": ("double", ctypes.c_double),
    "int64": ("long long", ctypes.c_longlong), "uint64": ("unsigned long long", ctypes.c_ulonglong),
}  # fmt: skip
ARGUMENTS = {
    "uniform": (-1.0, 3.0), "uniform_double": (-1.0, 3.0), "normal": (1.0, 2.0),
    "normal_double": (1.0, 2.0), "bernoulli": (0.3,), "integers": (-5, 1000003),
}  # fmt: skip
KEY = 0x123456789ABCDEF


def stream(seed=0):
    return PhiloxStream(seed, numpy_fill, np.argsort)


def test_known_answer():  # Random123's kat_vectors: counter 0, key 0
    assert words(0, 0, 4).tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_words_are_a_function_of_their_index():
    whole = words(KEY, 0, 64)
    assert np.array_equal(words(KEY, 13, 9), whole[13:22])
    assert np.array_equal(words(KEY, 2**35 + 1, 3), words(KEY, 2**35, 4)[1:])
    assert not np.array_equal(words(KEY + 1, 0, 64), whole)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The CUDA source under g++, each draw as a loop over its elements."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    folder = tmp_path_factory.mktemp("philox")
    text = (
        "#include <cmath>\nusing namespace std;\n#define __device__ static inline\n"
        "#define __forceinline__\nstatic inline unsigned __umulhi(unsigned a, unsigned b)"
        "{ return (unsigned)(((unsigned long long)a * b) >> 32); }\n" + SOURCE
    )
    for name, (parameters, element, _) in DRAWS.items():
        typed = re.sub(r"\b(\w+) (\w+)", lambda m: f"{C_TYPES[m[1]][0]} {m[2]}", parameters)
        text += (
            f'extern "C" void {name}(mg_u64 key, mg_u64 start, {typed}, long n, double* out)'
            f"{{ for (mg_u64 i = 0; i < (mg_u64)n; ++i) out[i] = (double)({element}); }}\n"
        )
    (folder / "philox.cpp").write_text(text)
    subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", folder / "philox.cpp", "-o", folder / "philox.so"],
        check=True,
    )
    return ctypes.CDLL(str(folder / "philox.so"))


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("start", [0, 4, 2**34 - 8, 2**40])
def test_the_cuda_source_computes_what_numpy_does(compiled, draw, start):
    kinds = [C_TYPES[p.split()[0]][1] for p in DRAWS[draw][0].split(", ")]
    n, out = 1001, np.empty(1001)
    arguments = [kind(value) for kind, value in zip(kinds, ARGUMENTS[draw], strict=True)]
    getattr(compiled, draw)(
        ctypes.c_ulonglong(KEY), ctypes.c_ulonglong(start), *arguments, ctypes.c_long(n),
        out.ctypes.data_as(ctypes.c_void_p),
    )  # fmt: skip
    dtype = "float64" if draw.endswith("double") else "int64" if draw == "integers" else "float32"
    expected = numpy_fill(draw, (n,), dtype, KEY, start, *ARGUMENTS[draw])
    if draw.startswith("normal"):
        rtol, atol = (1e-12, 1e-12) if dtype == "float64" else (1e-4, 2e-5)
        np.testing.assert_allclose(out, expected, rtol=rtol, atol=atol)
    else:
        assert np.abs(out - expected).max() <= (3e-7 if dtype == "float32" else 0)


@pytest.mark.parametrize("arch", ["80", "90"])
def test_the_kernels_compile_for_the_gpus_in_use(arch):
    cupy = pytest.importorskip("cupy")
    compiler = pytest.importorskip("cupy.cuda.compiler")
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # noqa: BLE001  each missing library has its own
        pytest.skip(f"needs nvrtc: {error}")
    text = SOURCE
    for name, (parameters, element, _) in DRAWS.items():
        typed = re.sub(r"\b(\w+) (\w+)", lambda m: f"{C_TYPES[m[1]][0]} {m[2]}", parameters)
        text += (
            f'extern "C" __global__ void {name}(mg_u64 key, mg_u64 start, {typed}, float* out)'
            f"{{ mg_u64 i = threadIdx.x; out[i] = (float)({element}); }}\n"
        )
    program = compiler._NVRTCProgram(text, "philox.cu", (), (), method="cubin")
    cubin, _ = program.compile((f"-arch=sm_{arch}", "-std=c++17", "-ftz=true"), None)
    assert cubin[:4] == b"\x7fELF"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distributions(dtype):
    s, n = stream(), 20_000
    u, z = s.uniform(-1, 3, n, dtype), s.normal(2, 3, n, dtype)
    assert (u.min() >= -1, u.max() < 3) == (True, True)
    assert u.mean() == pytest.approx(1, abs=0.05)
    assert u.var() == pytest.approx(16 / 12, rel=0.05)
    assert z.mean() == pytest.approx(2, abs=0.1)
    assert z.std() == pytest.approx(3, rel=0.03)
    assert (((z - 2) / 3) ** 4).mean() == pytest.approx(3, abs=0.2)
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 0.03


def test_small_draws():
    s = stream()
    assert sorted(s.permutation(9).tolist()) == list(range(9))
    assert set(s.integers(-1, 2, 200).tolist()) == {-1, 0, 1}
    assert s.bernoulli(0.3, (100, 100)).mean() == pytest.approx(0.3, abs=0.02)
    assert not s.bernoulli(0.0, 500).any()
    assert s.bernoulli(1.0, 500).all()
    assert s.uniform(shape=(2, 3), dtype="float16").dtype == np.float16
    assert s.normal().shape == ()
    with pytest.raises(ValueError, match=r"low \(3\) must be less than high \(3\)"):
        s.integers(3, 3)


def test_draws_do_not_overlap():
    used = []

    def fill(draw, shape, dtype, key, start, *parameters):
        count = int(np.prod(shape)) * DRAWS[draw][2]
        used.append(range(start, start + count))
        assert start % 4 == 0
        return np.zeros(shape)

    s = PhiloxStream(0, fill, np.argsort)
    s.uniform(shape=3)
    s.normal(shape=5, dtype="float64")
    s.bernoulli(0.5, 2)
    s.integers(0, 9)
    s.permutation(3)
    flat = [w for r in used for w in r]
    assert len(flat) == len(set(flat)) == 3 + 20 + 2 + 2 + 6


def test_the_state_is_two_numbers_and_resumes():
    s = stream(7)
    s.uniform(shape=3)
    state = json.loads(json.dumps(s.get_state()))
    expected = s.normal(shape=9)
    other = stream(8)
    other.set_state(state)
    assert np.array_equal(other.normal(shape=9), expected)
    s.manual_seed(7)
    assert np.array_equal(s.uniform(shape=3), stream(7).uniform(shape=3))


@pytest.mark.parametrize("state", [{}, {"kind": "mt19937"}, {"kind": "philox4x32-10", "key": "k"}])
def test_a_broken_state_changes_nothing(state):
    s = stream()
    with pytest.raises(CheckpointError, match="not a state of a philox4x32-10 stream"):
        s.set_state(state)
    assert np.array_equal(s.uniform(shape=3), stream().uniform(shape=3))


class FakeCupy:
    """What `cupy_stream` asks of CuPy; a kernel computes with `numpy_fill`."""

    empty, argsort = staticmethod(np.empty), staticmethod(np.argsort)

    def ElementwiseKernel(self, inputs, output, operation, name, preamble):
        draw = name.removeprefix("mg_").removesuffix("_draw")
        assert inputs == f"uint64 key, uint64 start, {DRAWS[draw][0]}"
        assert (output, preamble) == ("T out", SOURCE)
        assert operation == f"out = (T)({DRAWS[draw][1]})"

        def kernel(key, start, *rest):
            *parameters, out = rest
            assert (type(key), type(start)) == (np.uint64, np.uint64)
            out[...] = numpy_fill(draw, out.shape, out.dtype, int(key), int(start), *parameters)
            return out

        return kernel


def test_the_cupy_stream_draws_the_same_numbers():
    s, reference = cupy_stream(FakeCupy(), 3), stream(3)
    for draw in (
        lambda r: r.uniform(-2, 5, (3, 4)),
        lambda r: r.normal(1, 2, 7, "float64"),
        lambda r: r.integers(0, 10, 20),
        lambda r: r.bernoulli(0.25, (5, 5)),
        lambda r: r.permutation(12),
    ):
        assert np.array_equal(draw(s), draw(reference))
