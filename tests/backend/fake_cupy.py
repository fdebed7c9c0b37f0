"""A CuPy made of NumPy: enough of it to run `minigrad.backend.cuda` without a GPU."""

import contextlib
import types
from typing import ClassVar

import numpy as np

from minigrad.backend.philox import DRAWS, numpy_fill


class CUDARuntimeError(RuntimeError):
    pass


class FakeArray(np.ndarray):
    place = 0

    def __array_finalize__(self, parent):
        self.place = FakeDevice.current  # new arrays are made on the active device

    @property
    def device(self):
        return types.SimpleNamespace(id=self.place)

    def get(self):
        return np.array(self)


class FakeDevice(contextlib.AbstractContextManager):
    current = 0
    waited_for: ClassVar[list[int]] = []

    def __init__(self, index):
        self.index = index

    def __enter__(self):
        self.outer, FakeDevice.current = FakeDevice.current, self.index

    def __exit__(self, *exc):
        FakeDevice.current = self.outer

    def synchronize(self):
        self.waited_for.append(self.index)


class Pool:
    freed = 0

    def used_bytes(self):
        return 2**30

    def total_bytes(self):
        return 3 * 2**30

    def free_all_blocks(self):
        Pool.freed += 1


def elementwise_kernel(inputs, output, operation, name, preamble):
    draw = name.removeprefix("mg_").removesuffix("_draw")
    assert inputs == f"uint64 key, uint64 start, {DRAWS[draw][0]}"
    assert operation == f"out = (T)({DRAWS[draw][1]})"

    def kernel(key, start, *rest):
        *parameters, out = rest
        assert (type(key), type(start)) == (np.uint64, np.uint64)
        out[...] = numpy_fill(draw, out.shape, out.dtype, int(key), int(start), *parameters)
        return out

    return kernel


def asarray(obj, dtype=None):
    if isinstance(obj, FakeArray) and dtype in (None, obj.dtype):
        return obj
    return np.array(obj, dtype).view(FakeArray)


def make(*, driver=13000, runtime=13020, count=2, nvrtc=True):
    """A module that stands in for `cupy` on a machine as described; `count` may be an exception."""

    def device_count():
        if isinstance(count, Exception):
            raise count
        return count

    def nvrtc_version():
        if not nvrtc:
            raise OSError("libnvrtc.so.13: cannot open shared object file")
        return (13, 0)

    cupy = types.ModuleType("cupy")
    cupy.ndarray, cupy.asarray, cupy.matmul = FakeArray, asarray, np.matmul
    cupy.empty = lambda shape, dtype: np.empty(shape, dtype).view(FakeArray)
    cupy.argsort = np.argsort
    cupy.from_dlpack = lambda obj: asarray(obj.payload)
    cupy.zeros = lambda shape, dtype: np.zeros(shape, dtype).view(FakeArray)
    cupy.broadcast_to = np.broadcast_to
    cupy.ElementwiseKernel = elementwise_kernel
    cupy.get_default_memory_pool = Pool
    cupy.cuda = types.SimpleNamespace(
        Device=FakeDevice,
        nvrtc=types.SimpleNamespace(getVersion=nvrtc_version),
        runtime=types.SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            driverGetVersion=lambda: driver,
            runtimeGetVersion=lambda: runtime,
            getDeviceCount=device_count,
            getDevice=lambda: FakeDevice.current,
            memGetInfo=lambda: (4 * 2**30, 8 * 2**30),
        ),
    )
    return cupy
