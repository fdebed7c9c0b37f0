"""How CuPy's arrays are multiplied, and how kernels are launched on them."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

import numpy as np

from minigrad.backend.cuda import cublas
from minigrad.backend.device_gemm import current_precision
from minigrad.backend.half import bfloat16
from minigrad.backend.kernels.kernel import Kernel, Launch, options, source
from minigrad.backend.kernels.plan import Limits
from minigrad.backend.kernels.products import multiply
from minigrad.errors import DeviceError

SCALARS: dict[str, Any] = {"i64": np.int64, "u64": np.uint64, "double": np.float64}


class Products:
    """`device_gemm.Product` for CuPy's arrays: a cuBLAS handle per device, stream and thread."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self._library: Any = None
        self._handles: dict[tuple[int, int, int], cublas.Handle] = {}
        self._spare: dict[int, list[cublas.Handle]] = {}  # by device: made, and without a stream

    def handle(self) -> cublas.Handle:
        """The handle of the current stream."""
        stream = self.cupy.cuda.get_current_stream().ptr
        index = self.cupy.cuda.runtime.getDevice()
        key = index, stream, threading.get_ident()
        found = self._handles.get(key)
        if found is None:
            if self._library is None:
                self._library = cublas.load()
            spare = self._spare.get(index)
            found = spare.pop() if spare else cublas.Handle(self._library, _pointer)
            found.serve(stream, self.cupy.empty(cublas.WORKSPACE, np.uint8))
            self._handles[key] = found
        return found

    def forget(self, stream: int) -> None:
        """Take the handles of a stream that is no more, and the memory they had for it.

        They are kept for other streams: to destroy one would wait for the whole device.
        """
        for key in [k for k in self._handles if k[1] == stream]:
            handle = self._handles.pop(key)
            handle.workspace = None
            self._spare.setdefault(key[0], []).append(handle)

    def operand(self, a: Any) -> Any:
        """`gemm.operand` for CuPy's arrays."""
        half = _half(current_precision()) if a.dtype == np.float32 else None
        return a if half is None else a.astype(half)

    def __call__(
        self, a: Any, b: Any, out: Any, *, accumulate: bool, precision: str | None
    ) -> None:
        if a.dtype.kind in "biu":
            multiply(a, b, out, accumulate=accumulate)
            return
        if a.dtype.kind == "c":
            product = self.cupy.matmul(a, b)
            out[...] = out + product if accumulate else product
            return
        half = _half(precision)
        if half is not None:  # into float32 all the same
            a, b = (x.astype(half, copy=False) for x in (a, b))
        a, b = (x if cublas.side(x) else self.cupy.ascontiguousarray(x) for x in (a, b))
        beta = 1.0 if accumulate else 0.0
        with self.cupy.cuda.Device(a.device.id):
            self.handle().gemm(a, b, out, beta=beta, tf32=precision == "tf32")


def _pointer(x: Any) -> int:
    return int(x.data.ptr)


def _half(precision: str | None) -> Any:
    """The type that float32 is rounded to for `precision`, or None."""
    if precision == "bfloat16":
        return bfloat16()
    return np.float16 if precision == "float16" else None


class Launcher:
    """Compiles a kernel's CUDA text when it is first launched, and launches it."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self._compiled = cache(self._compile)

    def _compile(self, kernel: Kernel, dtype: str, index: int, large: bool) -> Any:
        raw = self.cupy.RawKernel(
            source(kernel),
            kernel.name,
            options=("-std=c++17", *options(dtype)),
            enable_cooperative_groups=kernel.cooperative,
        )
        if large:  # a property of the function on this GPU, which all RawKernels of it share
            raw.max_dynamic_shared_size_bytes = limits(self.cupy).shared
        return raw

    def __call__(self, kernel: Kernel, shape: Launch, args: tuple[Any, ...]) -> None:
        index = args[0].device.id
        with self.cupy.cuda.Device(index):
            large = shape.shared > 48 << 10  # more than that must be asked for
            raw = self._compiled(kernel, kernel.dtype(args), index, large)
            if kernel.cooperative:
                self._all_at_once(kernel, raw, shape)
            passed = tuple(
                arg if p.array else SCALARS[p.type](arg)
                for p, arg in zip(kernel.parameters, args, strict=True)
            )
            raw((shape.grid,), (shape.block,), passed, shared_mem=shape.shared)

    def _all_at_once(self, kernel: Kernel, raw: Any, shape: Launch) -> None:
        """Raise unless all blocks fit the GPU at once: CuPy would shrink the grid and go on."""
        each = self.cupy.cuda.driver.occupancyMaxActiveBlocksPerMultiprocessor(
            raw.kernel.ptr, shape.block, shape.shared
        )
        room = each * limits(self.cupy).multiprocessors
        if room < shape.grid:
            raise DeviceError(
                f"{kernel.name}: {shape.grid} blocks must run at once, {room} fit this GPU; "
                "set MINIGRAD_PERSISTENT=0"
            )


def limits(cupy: Any) -> Limits:
    """What the current GPU has."""
    return _limits(cupy, cupy.cuda.runtime.getDevice())


@cache
def _limits(cupy: Any, index: int) -> Limits:
    gpu = cupy.cuda.Device(index)
    attributes, capability = gpu.attributes, int(gpu.compute_capability)
    return Limits(
        attributes["MultiProcessorCount"],
        attributes["MaxSharedMemoryPerBlockOptin"],
        clusters=capability >= 90,  # 9.0
        cooperative=bool(attributes["CooperativeLaunch"]),
        tensor=capability >= 80,
    )


def ask_host(cupy: Any, what: str) -> None:
    """Raises: DeviceError in the capture of a graph, which would bake in what the host says."""
    if cupy.cuda.get_current_stream().is_capturing():
        raise DeviceError(f"{what}: not allowed while a graph is captured; see cuda.capture")
