"""The strict device's products and kernels: what a GPU's libraries would be asked to do."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend.cuda.cublas import side
from minigrad.backend.device_gemm import current_precision, rounded
from minigrad.backend.kernels.kernel import Kernel, Launch
from minigrad.backend.kernels.plan import Limits
from minigrad.backend.kernels.products import multiply
from minigrad.testing.strict.array import StrictArray, unwrap
from minigrad.testing.strict.events import call

LIMITS = Limits(multiprocessors=4, shared=227 << 10)
"""What kernels are told about the device."""


def product(
    a: StrictArray, b: StrictArray, out: StrictArray, *, accumulate: bool, precision: str | None
) -> None:
    """`device_gemm.Product`: out ← a b, or added to out; what it need not take is refused."""
    if not (a.ndim == b.ndim == out.ndim and a.ndim in (2, 3) and a.dtype == b.dtype == out.dtype):
        raise TypeError(f"a GEMM of {a.shape} {a.dtype}, {b.shape} {b.dtype} into {out.shape}")
    into = side(out)
    if not (a.size and b.size) or into is None or into.op:
        raise TypeError(f"a GEMM of {a.shape} and {b.shape} into strides {out.strides}")
    if a.dtype.kind in "biu":
        multiply(a, b, out, accumulate=accumulate)
        return
    call(_multiply, a._a, b._a, out._a, accumulate, precision, writes=(out._a,))


def _multiply(a: Any, b: Any, out: Any, accumulate: bool, precision: str | None) -> None:
    a, b = rounded(a, precision), rounded(b, precision)
    if out.dtype == np.float16:  # summed in float32
        a, b = a.astype(np.float32), b.astype(np.float32)
    if accumulate:
        out += np.matmul(a, b)
    else:
        out[...] = np.matmul(a, b)


def operand(a: StrictArray) -> StrictArray:
    """`gemm.operand`: the strict device has no bfloat16, so what is rounded is float32 still."""
    precision = current_precision() if a.dtype == np.float32 else None
    return a if precision is None else StrictArray(call(rounded, a._a, precision))


def launch(kernel: Kernel, shape: Launch, args: tuple[Any, ...]) -> None:
    """Run a kernel's reference, or what stands in for it, on the arrays' memory."""
    for parameter, arg in zip(kernel.parameters, args, strict=True):
        if parameter.array != isinstance(arg, StrictArray):
            raise TypeError(f"{kernel.name}: {parameter.name} is {type(arg).__name__}")
        if not parameter.array and not isinstance(arg, (int, float)):
            raise TypeError(f"{kernel.name}: {parameter.name} is no number of the host: {arg!r}")
    raw = tuple(unwrap(arg, kernel.name) for arg in args)
    call(_run, kernel, shape, raw, writes=kernel.written(raw))


def _run(kernel: Kernel, shape: Launch, args: tuple[Any, ...]) -> None:
    run = INSTEAD.get(kernel.name)
    with np.errstate(all="ignore"):  # a GPU does not warn
        kernel.reference(*args) if run is None else run(kernel, shape, args)


INSTEAD: dict[str, Any] = {}
"""Kernel name → what runs in place of its reference: tests put the compiled CUDA text here."""
