"""A CuPy made of NumPy: enough of it to run `minigrad.backend.cuda` without a GPU."""

import contextlib
import gc
import types
from typing import ClassVar

import numpy as np

from minigrad.backend.kernels import kernels


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

    def set(self, host, stream):
        LOG.append(f"copy on {stream.ptr}")
        self[...] = host

    @property
    def data(self):
        return types.SimpleNamespace(ptr=self.ctypes.data)


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

    compute_capability = "80"
    attributes: ClassVar[dict[str, int]] = {
        "CooperativeLaunch": 1,
        "MultiProcessorCount": 4,
        "MaxSharedMemoryPerBlockOptin": 232448,
    }


class Pool:
    freed = 0

    def used_bytes(self):
        return 2**30

    def total_bytes(self):
        return 3 * 2**30

    def free_all_blocks(self):
        Pool.freed += 1


LOG: list[str] = []  # what streams, events, pools and graphs were asked


class Event:
    def __init__(self, disable_timing=False):
        pass

    def record(self, stream=None):
        LOG.append(f"record on {(stream or get_current_stream()).ptr}")

    def synchronize(self):
        LOG.append("host waits")


class Graph:
    def __init__(self, work):
        self.work = work

    def launch(self, stream):
        LOG.append(f"launch on {stream.ptr}")
        for each in self.work:
            each()


class Stream:
    """Stream 0 is the default; captures record what `RawKernel` launches, and do it, too."""

    ptr, capturing = 0, False
    current: ClassVar[list] = []
    work: ClassVar[list] = []
    count = 0

    def __init__(self, non_blocking=False):
        assert non_blocking
        Stream.count += 1
        self.ptr = Stream.count

    def is_capturing(self):
        return self.capturing

    def record(self, event=None):
        LOG.append(f"record on {self.ptr}")
        return event or Event()

    def wait_event(self, event):
        LOG.append(f"{self.ptr} waits")

    def __enter__(self):
        self.current.append(self)

    def __exit__(self, *exc):
        self.current.pop()

    def begin_capture(self):
        assert gc.isenabled() is False
        LOG.append(f"begin on {self.ptr}")
        self.capturing, self.work[:] = True, []

    def end_capture(self):
        LOG.append(f"end on {self.ptr}")
        self.capturing = False
        return Graph(list(self.work))


DEFAULT = Stream.__new__(Stream)


def get_current_stream():
    return Stream.current[-1] if Stream.current else DEFAULT


class MemoryPool:
    def malloc(self, size):
        raise AssertionError

    def free_all_blocks(self):
        LOG.append("pool freed")

    def total_bytes(self):
        return 2**28


class OutOfMemoryError(MemoryError):
    pass


def get_allocator():
    def malloc(size):
        if size > 2**20:
            raise OutOfMemoryError
        return size

    return malloc


ALLOCATORS: list = []
RANGES: list[str] = []
TIMES: list[float] = []  # what get_elapsed_time will say


@contextlib.contextmanager
def using_allocator(malloc):
    LOG.append("own pool")
    yield
    LOG.append("default pool")


class RawKernel:
    """Compiled with `options`; its launches run the reference of the kernel of its name."""

    compiled: ClassVar[list[tuple[str, tuple[str, ...], bool]]] = []
    launched: ClassVar[list[tuple[str, tuple[int, ...]]]] = []
    kernel = types.SimpleNamespace(ptr=1)
    shared: ClassVar[dict[tuple[str, tuple[str, ...], int], int]] = {}  # of the function, not ours

    def __init__(self, code, name, options, enable_cooperative_groups):
        assert f" {name}(" in code
        self.name, self.options = name, options
        self.compiled.append((name, options, enable_cooperative_groups))

    def function(self):
        return self.name, self.options, FakeDevice.current

    @property
    def max_dynamic_shared_size_bytes(self):
        return self.shared.get(self.function(), 48 << 10)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size):
        assert size <= FakeDevice.attributes["MaxSharedMemoryPerBlockOptin"]
        self.shared[self.function()] = size

    def __call__(self, grid, block, args, *, shared_mem):
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        kernel = next(k for k in kernels() if k.name == self.name)
        for parameter, arg in zip(kernel.parameters, args, strict=True):
            kinds = {"i64": np.int64, "u64": np.uint64, "double": np.float64}
            assert isinstance(arg, FakeArray if parameter.array else kinds[parameter.type])
        self.launched.append((self.name, grid, block, shared_mem))
        values = [a if isinstance(a, np.ndarray) else a.item() for a in args]
        kernel.reference(*values)
        if get_current_stream().capturing:
            Stream.work.append(lambda: kernel.reference(*values))


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
    cupy.empty = lambda shape, dtype=float: np.empty(shape, dtype).view(FakeArray)
    cupy.argsort = np.argsort
    cupy.from_dlpack = lambda obj: asarray(obj.payload)
    cupy.zeros = lambda shape, dtype=float: np.zeros(shape, dtype).view(FakeArray)
    cupy.broadcast_to = lambda x, shape: np.broadcast_to(x, shape, subok=True)
    cupy.RawKernel, cupy.ascontiguousarray = RawKernel, lambda x: x.copy()
    cupy.empty_like = np.empty_like
    cupy.get_default_memory_pool = Pool
    cupy.cuda = types.SimpleNamespace(
        Device=FakeDevice,
        get_current_stream=get_current_stream,
        get_elapsed_time=lambda begun, ended: TIMES.pop(0),
        Stream=Stream,
        Event=Event,
        MemoryPool=MemoryPool,
        using_allocator=using_allocator,
        get_allocator=get_allocator,
        set_allocator=ALLOCATORS.append,
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        nvtx=types.SimpleNamespace(
            available=True,
            RangePush=RANGES.append,
            RangePop=lambda: RANGES.append("end"),
        ),
        driver=types.SimpleNamespace(
            occupancyMaxActiveBlocksPerMultiprocessor=lambda kernel, block, shared: 1
        ),
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
