"""Matrix products inside compiled code: the `cblas_sgemm` that NumPy multiplies with, or MKL's.

A loop over the steps of a sequence that multiplies and computes in one compiled call never holds
the interpreter's lock, so another thread runs beside it; and it can cut a product into blocks so
small that OpenBLAS multiplies them without packing, which is a fifth faster.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from minigrad.backend import mkl

__all__ = ["WIDE", "Gemm", "product", "sgemm", "turn", "turned_product"]

_NAMES = {  # symbol → whether its sizes have 64 bits
    "scipy_cblas_sgemm64_": True,
    "scipy_cblas_sgemm": False,
    "cblas_sgemm64_": True,
    "cblas_sgemm": False,
}
_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED = 101, 111, 112
UNPACKED = 1_000_000  # multiply-adds up to which OpenBLAS's kernels for small matrices are used
PACKED = 1 << 26  # multiply-adds from which cutting no longer pays
WIDE, DEEP = 64, 960  # a block's columns and inner length: TILE rows at least
TILE = 16  # numbers in a line of the cache, and in a vector


class Gemm(NamedTuple):
    """Where the function is, and whether it counts in 64 bits."""

    address: int
    long: bool


@cache
def sgemm() -> Gemm | None:
    """MKL's function where MKL is used, else that of the BLAS library that NumPy loaded.

    None if that is not one of those known.
    """
    if mkl.library() is not None:
        return Gemm(_address(mkl.gemm(np.dtype(np.float32))), long=True)
    try:  # a handle of NumPy's extension also finds the symbols of the libraries that it loaded
        loaded = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return None
    for name, long in _NAMES.items():
        if hasattr(loaded, name):
            return Gemm(_address(getattr(loaded, name)), long)
    return None


def _address(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _caller(size: Any, bits: ir.IntType) -> Any:
    """An intrinsic that calls a `cblas_sgemm` whose sizes are integers of `bits`."""
    small, single, pointer = ir.IntType(32), ir.FloatType(), ir.IntType(64)
    array = [pointer, bits]
    kind = [small, small, small, bits, bits, bits, single, *array, *array, single, *array]
    place = [types.intp, size]
    numbers = [types.int32, types.int32, size, size, size, *place, *place, types.float32, *place]

    @intrinsic
    def call(
        context: Any, address: Any, ta: Any, tb: Any, M: Any, N: Any, K: Any,
        a: Any, lda: Any, b: Any, ldb: Any, beta: Any, c: Any, ldc: Any,
    ) -> Any:  # fmt: skip
        """C ← A B + beta C, row-major; A, B and C are addresses."""

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            function = builder.inttoptr(args[0], ir.FunctionType(ir.VoidType(), kind).as_pointer())
            rest = [ir.Constant(small, _ROW_MAJOR), *args[1:6], ir.Constant(single, 1.0), *args[6:]]
            builder.call(function, rest)
            return context.get_dummy_value()

        return types.void(types.intp, *numbers), code

    return call


_call_long = _caller(types.int64, ir.IntType(64))
_call_short = _caller(types.int32, ir.IntType(32))


@njit(nogil=True)
def _multiply(
    gemm: Any, ta: Any, tb: Any, M: Any, N: Any, K: Any, a: Any, b: Any, beta: Any, c: Any
) -> None:
    address, long = gemm
    if long:
        _call_long(address, ta, tb, M, N, K, a[0], a[1], b[0], b[1], beta, c[0], c[1])
    else:
        _call_short(
            address, ta, tb, np.int32(M), np.int32(N), np.int32(K), a[0], np.int32(a[1]), b[0],
            np.int32(b[1]), beta, c[0], np.int32(c[1]),
        )  # fmt: skip


@njit(nogil=True)
def product(gemm: Any, a: Any, a_turned: bool, b: Any, b_turned: bool, c: Any, add: bool) -> None:
    """c ← a b, of aᵀ and bᵀ where they are turned; added to c if `add`. Contiguous, float32."""
    K = a.shape[0] if a_turned else a.shape[1]
    if c.size * K == 0:
        if not add:
            c[...] = 0
        return
    ta = np.int32(_TRANSPOSED if a_turned else _AS_IT_IS)
    tb = np.int32(_TRANSPOSED if b_turned else _AS_IT_IS)
    beta, (M, N) = np.float32(1 if add else 0), c.shape
    _in_blocks(
        gemm, ta, tb, M, N, K, (a.ctypes.data, a.shape[1]), (b.ctypes.data, b.shape[1]), beta,
        (c.ctypes.data, N),
    )  # fmt: skip


@njit(nogil=True)
def _in_blocks(
    gemm: Any, ta: Any, tb: Any, M: Any, N: Any, K: Any, a: Any, b: Any, beta: Any, c: Any
) -> None:
    """`_multiply`, in the blocks that are quickest."""
    if M * N * K <= UNPACKED or M * N * K >= PACKED:
        _multiply(gemm, ta, tb, M, N, K, a, b, beta, c)
        return
    (A, lda), (B, ldb), (C, ldc) = a, b, c
    deep = -(-K // -(-K // DEEP))
    wide = min(N, 32 if tb == _TRANSPOSED else WIDE)
    rows = UNPACKED // (wide * deep)
    rows = M if rows >= M else rows // TILE * TILE
    for k in range(0, K, deep):
        depth = min(deep, K - k)
        for i in range(0, M, rows):
            m = min(rows, M - i)
            left = A + 4 * (k * lda + i if ta == _TRANSPOSED else i * lda + k)
            for j in range(0, N, wide):
                n = min(wide, N - j)
                right = B + 4 * (j * ldb + k if tb == _TRANSPOSED else k * ldb + j)
                out = C + 4 * (i * ldc + j)
                _multiply(gemm, ta, tb, m, n, depth, (left, lda), (right, ldb), beta, (out, ldc))
        beta = np.float32(1)


@njit(nogil=True)
def turn(w: Any, panels: Any) -> None:
    """panels (-, K, WIDE) ← the columns of wᵀ, w (N, K); those beyond N are arbitrary."""
    N, K = w.shape
    for first in range(0, K, TILE):
        for start in range(0, N, TILE):
            tile = panels[start // WIDE, :, start % WIDE :]
            for k in range(first, min(first + TILE, K)):
                for j in range(TILE):
                    tile[k, j] = w[min(start + j, N - 1), k]


@njit(nogil=True)
def turned_product(gemm: Any, a: Any, w: Any, panels: Any, c: Any, add: bool) -> None:
    """c ← a wᵀ, added to c if `add`: from the panels, which multiply faster, if there are any."""
    (M, N), K = c.shape, a.shape[1]
    if panels.size == 0:
        product(gemm, a, False, w, True, c, add)
        return
    beta = np.float32(1 if add else 0)
    for p in range(panels.shape[0] if M else 0):
        at, turned = p * WIDE, np.int32(_AS_IT_IS)
        _in_blocks(
            gemm, turned, turned, M, min(WIDE, N - at), K, (a.ctypes.data, K),
            (panels[p].ctypes.data, WIDE), beta, (c.ctypes.data + 4 * at, N),
        )  # fmt: skip
