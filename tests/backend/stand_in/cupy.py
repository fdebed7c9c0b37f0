"""A CuPy whose GPU is the strict device: all of `backend.cuda` runs on it, without a GPU.

Its arrays are the strict device's; streams do everything at once; a capture records as the strict
device does; a RawKernel runs its reference; cuBLAS is the fake that multiplies by addresses. For a
process of its own, in which a strict array is CuPy's:

    PYTHONPATH=tests/backend/stand_in pytest -m gpu tests/test_on_gpu.py
"""

from __future__ import annotations

import contextlib
import itertools
import sys
import types
from typing import Any, ClassVar

import ml_dtypes
import numpy as np

from minigrad.backend import cuda
from minigrad.backend.cuda import cublas, race
from minigrad.backend.kernels import kernels
from minigrad.backend.kernels.chain import MADE
from minigrad.backend.kernels.kernel import Launch
from minigrad.testing import strict
from minigrad.testing.strict import array, gpu
from minigrad.testing.strict.array import StrictArray, wrap
from minigrad.testing.strict.events import call
from tests.backend import fake_cublas, fake_cupy


class Cupy(types.ModuleType):
    """Its own names, then those of the strict namespace."""

    def __getattr__(self, name: str) -> Any:
        return getattr(strict.xp, name)


class Event:
    def __init__(self, disable_timing: bool = False) -> None:
        pass

    def record(self, stream: Any = None) -> None:
        pass

    def synchronize(self) -> None:
        pass


class Graph:
    def __init__(self, recorded: Any) -> None:
        self.recorded = recorded

    def launch(self, stream: Any = None) -> None:
        self.recorded.launch()


class Stream:
    numbers = itertools.count(1)
    stack: ClassVar[list[Stream]] = []
    ptr = 0
    capture: Any = None

    def __init__(self, non_blocking: bool = False) -> None:
        self.ptr = next(self.numbers)

    def __enter__(self) -> Stream:
        self.stack.append(self)
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.pop()

    def record(self, event: Any = None) -> Event:
        return event or Event()

    def wait_event(self, event: Event) -> None:
        pass

    def synchronize(self) -> None:
        pass

    def is_capturing(self) -> bool:
        return any(each.capture is not None for each in self.stack)

    def begin_capture(self) -> None:
        self.capture = strict.capturing()
        self.recorded = self.capture.__enter__()

    def end_capture(self) -> Graph:
        ended, self.capture = self.capture, None
        failed = sys.exc_info()
        if failed[0] is None:
            ended.__exit__(None, None, None)
        else:
            with contextlib.suppress(BaseException):
                ended.__exit__(*failed)
        return Graph(self.recorded)


class RawKernel:
    kernel = types.SimpleNamespace(ptr=1)
    max_dynamic_shared_size_bytes = 48 << 10

    def __init__(
        self, code: str, name: str, options: Any = (), *, enable_cooperative_groups: bool = False
    ) -> None:
        assert f" {name}(" in code
        ours = (*kernels(), *MADE.values())
        self.ours = next(kernel for kernel in ours if kernel.name == name and kernel.text in code)

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        kinds = {"i64": np.int64, "u64": np.uint64, "double": np.float64}
        for parameter, arg in zip(self.ours.parameters, args, strict=True):
            assert isinstance(arg, StrictArray if parameter.array else kinds[parameter.type])
        plain = tuple(a if isinstance(a, StrictArray) else a.item() for a in args)
        gpu.launch(self.ours, Launch(*grid, *block, shared_mem), plain)


class NcclCommunicator:
    """Of one rank: what it has is the sum already."""

    def __init__(self, size: int, unique: tuple[int, ...], rank: int) -> None:
        assert (size, rank) == (1, 0)

    def allReduce(self, send: int, to: int, n: int, kind: int, op: int, stream: int) -> None:
        assert send == to

    def broadcast(self, send: int, to: int, n: int, kind: int, root: int, stream: int) -> None:
        assert (send, root) == (to, 0)

    def destroy(self) -> None:
        pass


def module() -> Any:
    """The `cupy` of this process."""
    cupy = Cupy("cupy")
    plain = fake_cupy.make(count=1)
    cupy.cuda, cupy.ndarray, cupy.RawKernel = plain.cuda, StrictArray, RawKernel
    cupy.get_default_memory_pool, cupy.__version__ = plain.get_default_memory_pool, "stand-in"
    cupy.matmul = lambda a, b: wrap(call(np.matmul, a._a, b._a))
    cupy.from_dlpack = lambda obj: obj
    default = Stream.__new__(Stream)
    names = cupy.cuda
    names.Stream, names.Event, names.Graph = Stream, Event, Graph
    names.get_current_stream = lambda: Stream.stack[-1] if Stream.stack else default
    times = itertools.cycle([1.0] * race.LAUNCHES + [2.0] * race.LAUNCHES)  # at once is faster
    names.get_elapsed_time = lambda begun, ended: next(times)
    names.nccl = types.SimpleNamespace(
        available=True, NCCL_SUM=0, NCCL_FLOAT32=7, NcclCommunicator=NcclCommunicator,
        get_unique_id=lambda: (0,) * 128,
    )  # fmt: skip
    names.using_allocator = lambda malloc: contextlib.nullcontext()
    return cupy


def gemm(original: Any) -> Any:
    """`Handle.gemm`, recorded while a graph is captured."""

    def recorded(self: Any, a: Any, b: Any, out: Any, **options: Any) -> None:
        def multiply(a: Any, b: Any, out: Any) -> None:
            original(self, a, b, out, **options)

        call(multiply, a._a, b._a, out._a, writes=(out._a,))

    return recorded


def pointer(x: Any) -> int:
    return int((x._a if isinstance(x, StrictArray) else x).ctypes.data)


if __name__ == "cupy":  # and not when tests are collected
    array.DTYPES |= {"E"}  # type: ignore[misc]
    fake_cublas.TYPES[14] = ml_dtypes.bfloat16
    StrictArray.device = property(lambda self: types.SimpleNamespace(id=0))  # type: ignore[attr-defined]
    StrictArray.data = property(lambda self: types.SimpleNamespace(ptr=pointer(self)))  # type: ignore[attr-defined]
    plain_set = StrictArray.set
    StrictArray.set = lambda self, host, stream=None: plain_set(self, host)  # type: ignore[method-assign]
    cublas.Handle.gemm = gemm(cublas.Handle.gemm)  # type: ignore[method-assign]
    cublas.load = fake_cublas.FakeCublas
    cuda.launch._pointer = pointer
    sys.modules["cupy"] = module()
    sys.modules["cupy.cuda"] = sys.modules["cupy"].cuda
    sys.modules["cupyx"] = types.ModuleType("cupyx")
    sys.modules["cupyx"].empty_pinned = np.empty  # type: ignore[attr-defined]
