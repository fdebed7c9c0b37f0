"""A cuBLAS that reads the very arguments of the calls, on host memory, and remembers them."""

import ctypes

import numpy as np

TYPES = {0: np.float32, 1: np.float64, 2: np.float16}


class FakeCublas:
    def __init__(self):
        self.calls = []

    def cublasCreate_v2(self, handle):
        self.calls.append("create")
        handle._obj.value = 42
        return 0

    def cublasSetStream_v2(self, handle, stream):
        assert handle.value == 42
        self.calls.append(("stream", stream))
        return 0

    def cublasSetWorkspace_v2(self, handle, where, size):
        self.calls.append(("workspace", size))
        return 0

    def cublasSetPointerMode_v2(self, handle, mode):
        self.calls.append(("mode", mode))
        return 0

    def cublasGemmStridedBatchedEx(
        self, handle, ta, tb, m, n, k, alpha, a, at, lda, sa, b, bt, ldb, sb, beta, c, ct, ldc, sc,
        count, compute, algorithm,
    ):  # fmt: skip
        assert (handle.value, algorithm) == (42, -1)
        assert (at == bt, compute) == (True, 70 if at == 1 else compute)
        assert min(sa, sb, sc) >= 0
        scalar = ctypes.c_double if compute == 70 else ctypes.c_float
        al, be = scalar.from_address(alpha).value, scalar.from_address(beta).value
        for i in range(count):
            x = column_major(a, at, k if ta else m, m if ta else k, lda, i * sa)
            y = column_major(b, bt, n if tb else k, k if tb else n, ldb, i * sb)
            z = column_major(c, ct, m, n, ldc, i * sc)
            wide = np.float64 if compute == 70 else np.float32
            product = al * ((x.T if ta else x).astype(wide) @ (y.T if tb else y).astype(wide))
            z[...] = product if be == 0 else product + be * z
        self.calls.append(("gemm", (m, n, k), count, compute, ct))
        return 0


def column_major(address, kind, r, c, ld, offset):
    dtype = np.dtype(TYPES[kind])
    assert ld >= r
    size = ((c - 1) * ld + r) * dtype.itemsize
    memory = (ctypes.c_char * size).from_address(address + offset * dtype.itemsize)
    return np.ndarray((r, c), dtype, memory, 0, (dtype.itemsize, ld * dtype.itemsize))
