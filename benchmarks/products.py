"""Who multiplies matrices fastest here: NumPy's BLAS, PyTorch's, Intel's MKL; one thread each.

    python -m benchmarks.products                        # NumPy, and PyTorch where it is installed
    python -m benchmarks.products --mkl libmkl_rt.so.3   # beside the library of `pip install mkl`

The shapes are those of the workloads of `python -m benchmarks`, float32. The libraries take turns
in each round; shown are GFLOP/s, medians of the rounds, and the median of the ratios to NumPy's
time within a round: above 1 is slower than NumPy.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import os
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from minigrad.backend.blas_threads import blas_threads

from .machine import blas, cpu

SHAPES = {  # (M, K, N)
    "W1 step": (512, 193, 32),
    "W1 weights' gradient": (512, 2048, 193),
    "W1 head": (65, 128, 2048),
    "W2 step": (2048, 512, 20),
    "W2 step, backwards": (512, 2048, 20),
    "W2 weights' gradient": (2048, 700, 512),
    "W2 head": (700, 512, 10_000),
    "W3 step": (400, 100, 32),
    "W4 step": (512, 256, 32),
    "W5 step": (512, 156, 128),
    "W7 projection": (1024, 128, 384),
    "W7 feed-forward": (1024, 512, 128),
}
Product = Callable[[np.ndarray, np.ndarray, np.ndarray], Callable[[], Any]]


def numpy_product(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Callable[[], Any]:
    """As minigrad multiplies."""
    return lambda: np.dot(a, b, out)


def torch_product(torch: Any) -> Product:
    """torch.mm on the same memory."""
    torch.set_num_threads(1)

    def bind(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Callable[[], Any]:
        x, y, z = map(torch.from_numpy, (a, b, out))
        return lambda: torch.mm(x, y, out=z)

    return bind


def mkl_product(path: str) -> Product:
    """cblas_sgemm of an MKL library."""
    os.environ.setdefault("MKL_THREADING_LAYER", "SEQUENTIAL")
    sgemm = ctypes.CDLL(path, ctypes.RTLD_GLOBAL).cblas_sgemm
    number, array = [ctypes.c_int] * 6, [ctypes.c_void_p, ctypes.c_int]
    sgemm.argtypes = [*number, ctypes.c_float, *array, *array, ctypes.c_float, *array]
    sgemm.restype = None
    row_major, as_it_is = 101, 111

    def bind(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> Callable[[], Any]:
        (M, K), N = a.shape, b.shape[1]
        places = [place for x in (a, b, out) for place in (x.ctypes.data, x.shape[1])]
        numbers = row_major, as_it_is, as_it_is, M, N, K, 1.0, *places[:4], 0.0, *places[4:]
        return lambda: sgemm(*numbers)

    return bind


def seconds(work: Callable[[], Any], least: float = 0.02) -> float:
    """Of one call, over a block of at least 20 ms."""
    calls, begin = 0, perf_counter()
    while (passed := perf_counter() - begin) < least:
        work()
        calls += 1
    return passed / calls


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mkl", help="the library, libmkl_rt of the package mkl")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    products: dict[str, Product] = {"NumPy": numpy_product}
    try:
        products["PyTorch"] = torch_product(importlib.import_module("torch"))
    except ImportError:
        print("PyTorch is not installed")
    if args.mkl:
        products["MKL"] = mkl_product(args.mkl)
    print(f"{cpu()}; NumPy on {blas()}; GFLOP/s, and time / NumPy's")
    rng = np.random.default_rng(0)
    for name, (M, K, N) in SHAPES.items():
        a, b = rng.random((M, K), np.float32), rng.random((K, N), np.float32)
        outs = [np.zeros((M, N), np.float32) for _ in products]
        works = [bind(a, b, out) for bind, out in zip(products.values(), outs, strict=True)]
        with blas_threads(1):
            times = np.array([[seconds(work) for work in works] for _ in range(args.rounds)])
        for out in outs[1:]:
            np.testing.assert_allclose(out, outs[0], rtol=1e-4)
        speeds = 2e-9 * M * K * N / np.median(times, axis=0)
        ratios = np.median(times / times[:, :1], axis=0)
        shown = zip(products, speeds, ratios, strict=True)
        row = "".join(f"{who:>10} {speed:6.1f} {ratio:5.2f}" for who, speed, ratio in shown)
        print(f"{name:>22} {f'{M} × {K} × {N}':>20}{row}")


if __name__ == "__main__":
    main()
