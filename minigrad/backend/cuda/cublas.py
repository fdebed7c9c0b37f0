"""cuBLAS through ctypes: one product for all element types, also inside a CUDA graph's capture.

CuPy's own `matmul` refuses to be captured, computes N-D float16 in float32, refuses bfloat16 and
copies transposed views. `cublasGemmStridedBatchedEx` does all of it. It thinks in columns: a
row-major C = A B is the column-major Cᵀ = Bᵀ Aᵀ, so the operands go in swapped.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from minigrad.errors import DeviceError

WORKSPACE = 32 << 20  # bytes; what NVIDIA recommends for Hopper

# cudaDataType_t and cublasComputeType_t
DATA = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
COMPUTE = {"float64": 70, "tf32": 77}
COMPUTE_32F = 68

_OPERAND = [
    ctypes.c_void_p,
    ctypes.c_int,
    ctypes.c_int,
    ctypes.c_longlong,
]  # data, type, ld, stride
GEMM = [
    ctypes.c_void_p, *[ctypes.c_int] * 5, ctypes.c_void_p, *_OPERAND, *_OPERAND,
    ctypes.c_void_p, *_OPERAND, ctypes.c_int, ctypes.c_int, ctypes.c_int,
]  # fmt: skip

_STATUS = {
    1: "not initialised", 3: "out of memory", 7: "an argument is invalid", 8: "the GPU is too old",
    11: "no access to memory", 13: "the kernel failed", 14: "internal error", 15: "not supported",
}  # fmt: skip


def bind(library: Any) -> Any:
    """Declare the four functions that are called."""
    library.cublasCreate_v2.argtypes = [ctypes.c_void_p]
    library.cublasSetStream_v2.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
    library.cublasSetWorkspace_v2.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    library.cublasSetPointerMode_v2.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.cublasGemmStridedBatchedEx.argtypes = GEMM
    return library


def load() -> Any:
    """The cuBLAS that CuPy uses. Raises: DeviceError if it is not there."""
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib

        return bind(ctypes.CDLL(load_nvidia_dynamic_lib("cublas").abs_path))
    except Exception as error:
        raise DeviceError(
            f'cuBLAS is not there ({error}): pip install "minigrad[cuda13]" brings it'
        ) from error


class Side(NamedTuple):
    """An operand as cuBLAS reads it: op (0 as stored, 1 transposed), ld, and between matrices."""

    op: int
    ld: int
    stride: int


def side(x: Any) -> Side | None:
    """The last two axes of x, (M, K) or a stack (S, M, K); None if neither axis is contiguous.

    Nor is a stack that is read backwards: of negative strides cuBLAS says nothing.
    """
    (r, c), (by_row, by_column) = x.shape[-2:], (s // x.itemsize for s in x.strides[-2:])
    stride = x.strides[0] // x.itemsize if x.ndim == 3 and x.shape[0] > 1 else 0
    if stride < 0:
        return None
    if (by_column == 1 or c == 1) and (by_row >= c or r == 1):
        return Side(0, max(by_row if r > 1 else c, c), stride)
    if (by_row == 1 or r == 1) and (by_column >= r or c == 1):
        return Side(1, max(by_column if c > 1 else r, r), stride)
    return None


class Handle:
    """cuBLAS on one stream. `address(array)` is the device pointer of an array's first element."""

    def __init__(self, library: Any, address: Callable[[Any], int]) -> None:
        self.library, self.address = library, address
        self.workspace: Any = None
        self.handle = ctypes.c_void_p()
        self._check(library.cublasCreate_v2(ctypes.byref(self.handle)), "cublasCreate")
        self._check(library.cublasSetPointerMode_v2(self.handle, 0), "cublasSetPointerMode")

    def serve(self, stream: int, workspace: Any) -> None:
        """Compute on `stream` from now on, with `workspace` (bytes, of the same device)."""
        self._check(self.library.cublasSetStream_v2(self.handle, stream), "cublasSetStream")
        # Only now: setting the stream puts the library's own workspace back.
        where, size = self.address(workspace), workspace.nbytes
        status = self.library.cublasSetWorkspace_v2(self.handle, where, size)
        self._check(status, "cublasSetWorkspace")
        self.workspace = workspace

    def gemm(
        self, a: Any, b: Any, out: Any, *, alpha: float = 1.0, beta: float = 0.0, tf32: bool = False
    ) -> None:
        """out ← α a b + β out, for 2-D arrays or stacks of as many; a stride of 0 repeats one.

        `a` and `b` have one element type; `out` has it too, or float32 for half precision, and
        contiguous rows. Half precision is summed in float32.
        """
        sides = side(a), side(b), side(out)
        if sides[0] is None or sides[1] is None or sides[2] is None or sides[2].op:
            raise ValueError(
                f"cublas.gemm: a {a.shape}, b {b.shape}, out {out.shape} with strides {a.strides}, "
                f"{b.strides}, {out.strides}: each needs an axis that is contiguous"
            )
        left, right, into = sides[0], sides[1], sides[2]
        (m, k), n = a.shape[-2:], b.shape[-1]
        name = np.dtype(a.dtype).name
        compute = COMPUTE.get("tf32" if tf32 and name == "float32" else name, COMPUTE_32F)
        scalar = ctypes.c_double if name == "float64" else ctypes.c_float
        al, be = scalar(alpha), scalar(beta)
        kind, out_kind, at = DATA[name], DATA[np.dtype(out.dtype).name], self.address
        status = self.library.cublasGemmStridedBatchedEx(
            self.handle, right.op, left.op, n, m, k, ctypes.addressof(al),
            at(b), kind, right.ld, right.stride, at(a), kind, left.ld, left.stride,
            ctypes.addressof(be), at(out), out_kind, into.ld, into.stride,
            out.shape[0] if out.ndim == 3 else 1, compute, -1,
        )  # fmt: skip
        self._check(status, f"gemm of {a.shape} and {b.shape} {name}")

    def _check(self, status: int, what: str) -> None:
        if status:
            reason = _STATUS.get(status, "unknown")
            raise DeviceError(f"cuBLAS: {what}: status {status}, {reason}")
