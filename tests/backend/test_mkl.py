"""MKL beside NumPy: when it is chosen, and that its products are NumPy's to rounding."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigrad.backend import mkl
from minigrad.errors import ConfigError

ROOT = Path(__file__).parents[2]
needs_mkl = pytest.mark.skipif(
    mkl._path() is None, reason='no MKL: pip install "minigrad[mkl]", or set MKLROOT'
)
SCRIPT = """
import ctypes
import sys
import numpy as np
import minigrad as mg
from minigrad import nn
from minigrad.backend import blas_threads, fast, matmul, mkl

rng, found = np.random.default_rng(0), {}

for dtype in ("float32", "float64"):
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((160, 120), (120, 170)))
    transposed = np.zeros((170, 160), dtype).T
    out, narrow = np.zeros((160, 170), dtype), np.zeros((160, 340), dtype)[:, ::2]
    found[dtype] = np.stack([
        matmul(a, b), matmul(b.T, a.T).T, matmul(a, np.asfortranarray(b)), matmul(a, b, out), out,
        matmul(np.repeat(a, 2, axis=1)[:, ::2], b), matmul(a, b, narrow), narrow,
        matmul(a, b, transposed), matmul(a.reshape(4, 40, 120), b).reshape(160, 170),
    ])
    square, other = rng.standard_normal((2, 128, 128)).astype(dtype)
    found["overlap " + dtype] = matmul(other, square, square) + matmul(other, square, other)

mg.manual_seed(0)
model = nn.Sequential(nn.Linear(128, 256), nn.Tanh(), nn.Linear(256, 64))
rnn = nn.LSTM(64, 128)
parameters = [*model.parameters(), *rnn.parameters()]
batch = mg.asarray(rng.standard_normal((8, 128, 128)).astype("float32"))

def step(x):
    for p in parameters:
        p.grad = None
    loss = lambda x: (rnn(model(x))[0] ** 2).mean()
    return mg.parallel.backward(loss, (x,), axes=(1,), params=parameters, workers=2)

for on in (False, True):
    with fast.switched(on and fast.available()):
        for name, run in (("eager", step), ("compiled", mg.compile(step))):
            run(batch), run(batch)
            for i, p in enumerate(parameters):
                found[f"{name} {on} {i}"] = p.grad.numpy().copy()

threads = []
if mkl.library() is not None:
    number = mkl.library().MKL_Get_Max_Threads
    mg.set_num_threads(2)
    threads.append(number())
    with blas_threads.blas_threads(1):
        threads.append(number())
    threads.append(number())
    mg.set_num_threads(1)
    threads.append(number())
    if fast.available():
        from minigrad.backend.fast.blas import sgemm

        assert sgemm().address == ctypes.cast(mkl.gemm(np.dtype("f4")), ctypes.c_void_p).value
    with mg.profile() as profile:
        step(batch)
    assert "GFLOP/s in products by MKL" in str(profile)
np.savez(sys.argv[1], calls=mkl.gemm.cache_info().currsize, threads=threads, **found)
"""


def run(blas, path):
    env = os.environ | {"MINIGRAD_BLAS": blas, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", SCRIPT, path], env=env, check=True, timeout=300)
    with np.load(path) as found:
        return dict(found)


@needs_mkl
def test_products_are_numpys_to_rounding(tmp_path):
    mkls, numpys = (run(blas, tmp_path / f"{blas}.npz") for blas in ("mkl", "numpy"))
    assert (mkls.pop("calls"), numpys.pop("calls")) == (2, 0)  # float32 and float64 went there
    two = min(2, os.cpu_count() or 1)  # MKL takes no more than there are
    assert mkls.pop("threads").tolist() == [two, 1, two, 1]
    assert not numpys.pop("threads").size
    for name, value in numpys.items():
        np.testing.assert_allclose(mkls[name], value, rtol=1e-6, atol=1e-6 * abs(value).max())


@pytest.fixture(autouse=True)
def _asked_anew(monkeypatch):
    monkeypatch.delenv("MINIGRAD_BLAS", raising=False)
    mkl.library.cache_clear()
    yield
    monkeypatch.undo()
    mkl.library.cache_clear()


@pytest.mark.parametrize(
    ("wanted", "intels", "used"),
    [("", True, True), ("", False, False), ("mkl", False, True), ("numpy", True, False)],
)
def test_it_is_chosen_by_the_processor_and_the_environment(monkeypatch, wanted, intels, used):
    monkeypatch.setenv("MINIGRAD_BLAS", wanted)
    monkeypatch.setattr(mkl, "_path", lambda: Path("libmkl_rt.so.3"))
    monkeypatch.setattr(mkl, "_is_intels", lambda: intels)
    monkeypatch.setattr(mkl.ctypes, "CDLL", lambda path: path)
    assert mkl.library() == ("libmkl_rt.so.3" if used else None)


def test_it_is_found_in_mklroot_and_in_the_environment_of_python(monkeypatch, tmp_path):
    monkeypatch.delenv("MKLROOT", raising=False)
    monkeypatch.setattr(mkl.sys, "prefix", str(tmp_path))
    assert mkl._path() is None
    for name in ("libmkl_rt.so.3", "libmkl_rt.so.3.txt", "libmkl_core.so.3"):
        (tmp_path / "lib").mkdir(exist_ok=True)
        (tmp_path / "lib" / name).touch()
    assert mkl._path() == tmp_path / "lib" / "libmkl_rt.so.3"
    (tmp_path / "one" / "lib").mkdir(parents=True)
    (tmp_path / "one" / "lib" / "libmkl_rt.dylib").touch()
    monkeypatch.setenv("MKLROOT", str(tmp_path / "one"))
    assert mkl._path() == tmp_path / "one" / "lib" / "libmkl_rt.dylib"


def test_what_cannot_be_is_said(monkeypatch):
    monkeypatch.setenv("MINIGRAD_BLAS", "mkl")
    monkeypatch.setattr(mkl, "_path", lambda: None)
    with pytest.raises(ConfigError, match=r"MINIGRAD_BLAS is mkl, but .* pip install"):
        mkl.library()
    monkeypatch.setenv("MINIGRAD_BLAS", "blis")
    with pytest.raises(ConfigError, match="'blis', expected mkl or numpy"):
        mkl.library()
