"""Intel's MKL for large products, for who has it: `pip install "minigrad[mkl]"` (1.1 GB).

On Intel's processors it is used where it is installed; on others NumPy's OpenBLAS is quicker in
most products (`python -m benchmarks.products --mkl …`). The environment variable MINIGRAD_BLAS says
otherwise: `mkl`, or `numpy`. The library is looked for in MKLROOT, which Intel's own scripts set,
and in the environment that Python runs in. Results differ from NumPy's by rounding.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.errors import ConfigError

__all__ = ["gemm", "library", "quicker"]

LARGE = 1 << 20  # multiplications from which the call, some microseconds by `ctypes`, is worth it
_FOLDERS = ("lib", "lib/intel64", "Library/bin", "bin")
_NAMES = {np.dtype(np.float32): "cblas_sgemm_64", np.dtype(np.float64): "cblas_dgemm_64"}
_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED = 101, 111, 112


@cache
def library() -> ctypes.CDLL | None:
    """MKL, if products are its own here.

    Raises: ConfigError if MINIGRAD_BLAS asks for MKL and it is not found, or asks for anything
    that is neither `mkl` nor `numpy`.
    """
    wanted = os.environ.get("MINIGRAD_BLAS", "")
    if wanted not in ("", "mkl", "numpy"):
        raise ConfigError(f"MINIGRAD_BLAS is {wanted!r}, expected mkl or numpy")
    if wanted == "numpy":
        return None
    path = _path()
    if path is None and wanted:
        raise ConfigError(
            "MINIGRAD_BLAS is mkl, but there is no libmkl_rt in MKLROOT or in "
            f'{Path(sys.prefix, "lib")}: pip install "minigrad[mkl]"'
        )
    if path is None or not (wanted or _is_intels()):
        return None
    return ctypes.CDLL(str(path))


def _path() -> Path | None:
    """Where the library is."""
    roots = [os.environ.get("MKLROOT", ""), sys.prefix]
    folders = [Path(root, folder) for root in roots if root for folder in _FOLDERS]
    found = (sorted(folder.glob("*mkl_rt*")) for folder in folders)
    endings = (".so", ".so.", ".dylib", ".dll")
    return next((p for paths in found for p in paths if any(e in p.name for e in endings)), None)


def _is_intels() -> bool:
    """Whether the processor is."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = platform.processor()
    return "GenuineIntel" in told


@cache
def gemm(dtype: np.dtype[Any]) -> Any:
    """`cblas_sgemm` or `cblas_dgemm`, with sizes of 64 bits."""
    function = getattr(library(), _NAMES[dtype])
    number = ctypes.c_float if dtype == np.float32 else ctypes.c_double
    sizes, array = [ctypes.c_int] * 3 + [ctypes.c_int64] * 3, [ctypes.c_void_p, ctypes.c_int64]
    function.argtypes = [*sizes, number, *array, *array, number, *array]
    function.restype = None
    return function


def quicker(product: Callable[..., Any], a: Any, b: Any) -> Callable[..., Any]:
    """`product`, which is NumPy's, or MKL's where a @ b is large and MKL is there."""
    if (
        type(a) is type(b) is np.ndarray
        and a.ndim == b.ndim == 2
        and a.size * b.shape[1] >= LARGE
        and a.dtype in _NAMES
        and library() is not None
    ):
        return partial(_multiply, product)
    return product


def _multiply(product: Callable[..., Any], a: Any, b: Any, out: Any = None) -> Any:
    """a @ b by MKL; by `product` where the arrays are none of BLAS's."""
    shape = a.shape[0], b.shape[1]
    made = np.empty(shape, a.dtype) if out is None else out
    A, B, C = map(_place, (a, b, made))
    if (
        a.shape[1] != b.shape[0]
        or made.shape != shape
        or not a.dtype == b.dtype == made.dtype
        or A is None
        or B is None
        or C is None
        or C[0] != _AS_IT_IS
        or np.may_share_memory(a, made)
        or np.may_share_memory(b, made)
    ):
        return product(a, b) if out is None else product(a, b, out=out)
    size = *shape, a.shape[1]
    gemm(a.dtype)(_ROW_MAJOR, A[0], B[0], *size, 1.0, *A[1:], *B[1:], 0.0, *C[1:])
    return made


def _place(x: Any) -> tuple[int, int, int] | None:
    """Whether a compact matrix is transposed, its address, the length of its rows in memory."""
    if x.flags.c_contiguous:
        return _AS_IT_IS, x.__array_interface__["data"][0], x.shape[1]
    if x.flags.f_contiguous:
        return _TRANSPOSED, x.__array_interface__["data"][0], x.shape[0]
    return None
