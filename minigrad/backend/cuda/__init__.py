"""CUDA devices through CuPy, and why there is none.

Importing this module does not import CuPy, so `mg.cuda.is_available()` can be asked anywhere.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, ClassVar

import numpy as np

from minigrad.backend import random as _random
from minigrad.backend.cuda.fork import Sides
from minigrad.backend.cuda.graph import capture as capture_on
from minigrad.backend.cuda.launch import Launcher, Products, ask_host, limits
from minigrad.backend.cuda.memory import explained, reserved, summary
from minigrad.backend.cuda.race import Races
from minigrad.backend.device import Array, Device, device, register
from minigrad.backend.device_gemm import device_matmul
from minigrad.backend.gemm import GEMMS, OPERANDS
from minigrad.backend.graph import Graph, GraphedCallable, capture
from minigrad.backend.kernels.kernel import LAUNCHERS
from minigrad.backend.kernels.plan import LIMITS, RACES
from minigrad.backend.philox import DeviceStream
from minigrad.backend.threads import in_branch
from minigrad.errors import DeviceError

__all__ = [
    "GraphedCallable",
    "capture",
    "device_count",
    "empty_cache",
    "is_available",
    "memory_allocated",
    "memory_reserved",
    "memory_summary",
    "nvtx",
    "synchronize",
    "why_not_available",
]


def is_available() -> bool:
    """Whether arrays can live on a CUDA device here. Never raises.

    >>> import minigrad as mg
    >>> mg.cuda.is_available() == (mg.cuda.why_not_available() is None)
    True
    """
    return why_not_available() is None


def why_not_available() -> str | None:
    """The reason why there is no CUDA device, and what to do about it; None if there is one."""
    try:
        return _diagnose(_cupy())
    except Exception as error:  # noqa: BLE001  a broken CuPy can raise anything; asking must not
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            return (
                'CuPy is not installed: pip install "minigrad[cuda13]" (NVIDIA driver 580 or '
                'newer) or "minigrad[cuda12]" (525 or newer)'
            )
        return _two_cupys() or f"CuPy cannot be used: {type(error).__name__}: {error}"


def _diagnose(cupy: Any) -> str | None:
    runtime = cupy.cuda.runtime
    driver, built_for = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver == 0:
        return (
            "no NVIDIA driver: CuPy is installed, but this machine has no driver loaded. Check "
            "nvidia-smi; a container needs --gpus all"
        )
    if driver // 1000 < built_for // 1000:
        return _two_cupys() or _old_driver(driver // 1000, built_for // 1000)
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if "NoDevice" not in str(error):
            raise
        count = 0
    if count == 0:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible is not None:
            return (
                f"no GPU is visible: CUDA_VISIBLE_DEVICES={visible!r} hides all of them; unset it "
                "or name one, as in CUDA_VISIBLE_DEVICES=0"
            )
        return "no GPU is visible: the NVIDIA driver is loaded but shows none; check nvidia-smi"
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception:  # noqa: BLE001  each way of not finding a library has its own exception
        return _two_cupys() or (
            "CUDA's run-time compiler, nvrtc, is not there: pip install "
            f'"minigrad[cuda{built_for // 1000}]" brings it'
        )
    return None


def _old_driver(driver: int, built_for: int) -> str:
    installed = "".join(_cupy_distributions()) or "CuPy"
    remedy = "update the driver"
    if driver == 12:
        remedy = f'pip uninstall {installed}, then pip install "minigrad[cuda12]"; or {remedy}'
    return (
        f"the NVIDIA driver is too old: it runs CUDA {driver}, {installed} is built for CUDA "
        f"{built_for}: {remedy}"
    )


def _two_cupys() -> str | None:
    found = _cupy_distributions()
    if len(found) < 2:
        return None
    return (
        f"{' and '.join(found)} are both installed and overwrite each other's files: pip uninstall "
        f'{" ".join(found)}, then install one of "minigrad[cuda12]" and "minigrad[cuda13]"'
    )


def _cupy_distributions() -> list[str]:
    names = {each.metadata["Name"] or "" for each in importlib.metadata.distributions()}
    return sorted(n for n in names if n == "cupy" or n.startswith(("cupy-cuda", "cupy-rocm")))


def _cupy() -> Any:
    """CuPy, imported, with its array type known to the registry."""
    import cupy

    if cupy.ndarray not in GEMMS:
        register(cupy.ndarray, cupy, lambda array: device(f"cuda:{array.device.id}"))
        products = Products(cupy)
        GEMMS[cupy.ndarray] = partial(device_matmul, products)
        OPERANDS[cupy.ndarray], CudaDevice.products = products.operand, products
        cupy.cuda.set_allocator(explained(cupy, cupy.cuda.get_allocator()))
        LAUNCHERS[cupy.ndarray] = Launcher(cupy)
        LIMITS[cupy.ndarray] = partial(limits, cupy)
        RACES[cupy.ndarray] = Races(cupy, lambda index: device(f"cuda:{index}"))
    return cupy


def install() -> None:
    """Make CuPy's arrays known. Called for the first CuPy array that is met."""
    _cupy()


def open_device(index: int | None) -> CudaDevice:
    """CUDA device number `index`, by default CuPy's current one.

    Raises: DeviceError if there is none, saying why.
    """
    name = "cuda" if index is None else f"cuda:{index}"
    reason = why_not_available()
    if reason is not None:
        raise DeviceError(f"{name}: {reason}")
    cupy = _cupy()
    count = cupy.cuda.runtime.getDeviceCount()
    if index is not None and index >= count:
        raise DeviceError(
            f"{name}: there are {count} CUDA devices here, cuda:0 to cuda:{count - 1}; "
            f"CUDA_VISIBLE_DEVICES is {os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}"
        )
    return CudaDevice(cupy, cupy.cuda.runtime.getDevice() if index is None else index)


class CudaDevice(Device):
    """A GPU, through CuPy."""

    kind = "cuda"
    products: ClassVar[Products]

    def __init__(self, cupy: Any, index: int) -> None:
        super().__init__(f"cuda:{index}", cupy, index)
        self.sides = Sides(cupy)

    def activate(self) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self.xp.cuda.Device(self.index)
        return context

    def asarray(self, obj: Any, dtype: Any = None) -> Array:
        cupy = self.xp
        if not isinstance(obj, cupy.ndarray):
            obj = device("cpu").asarray(obj, dtype)
        with self.activate():
            if isinstance(obj, cupy.ndarray) and obj.device.id != self.index:
                obj = obj.copy()  # a copy is made on the active device
            return cupy.asarray(obj, dtype=dtype)

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        return np.asarray(array.get())

    def capture(self, function: Callable[[], Any]) -> tuple[Graph, Any]:
        return capture_on(self, self.products, self.sides, function)

    def forks(self) -> bool:
        return not in_branch()

    def fork(self, branches: Sequence[Callable[[], Any]]) -> list[Any]:
        with self.activate():
            return self.sides.run(branches)

    @property
    def rng(self) -> _random.Stream:
        return DeviceStream(self, partial(ask_host, self.xp))

    def synchronize(self) -> None:
        self.xp.cuda.Device(self.index).synchronize()


def device_count() -> int:
    """How many CUDA devices are visible; 0 where there is none. Never raises."""
    return int(_cupy().cuda.runtime.getDeviceCount()) if is_available() else 0


def _chosen(spec: str | Device | None) -> Device:
    chosen = device("cuda" if spec is None else spec)
    if chosen.kind != "cuda":
        raise DeviceError(f"expected a CUDA device such as 'cuda:0', got {chosen.name!r}")
    return chosen


def synchronize(device: str | Device | None = None) -> None:
    """Wait until a GPU, by default the current one, has done all it was asked."""
    _chosen(device).synchronize()


def memory_allocated(device: str | Device | None = None) -> int:
    """Bytes that arrays occupy on a GPU, by default the current one."""
    chosen = _chosen(device)
    with chosen.activate():
        return int(chosen.xp.get_default_memory_pool().used_bytes())


def memory_reserved(device: str | Device | None = None) -> int:
    """Bytes that are held on a GPU for arrays and captured steps, by default the current one."""
    return sum(reserved(_chosen(device)))


def empty_cache(device: str | Device | None = None) -> None:
    """Give the memory pool's free blocks back to the GPU, by default the current one."""
    chosen = _chosen(device)
    with chosen.activate():
        chosen.xp.get_default_memory_pool().free_all_blocks()


def memory_summary(device: str | Device | None = None) -> str:
    """A few lines on who holds how much of a GPU's memory, by default the current one's."""
    return summary(_chosen(device))


@contextmanager
def nvtx(name: str) -> Iterator[None]:
    """A named range in NVIDIA's profilers (Nsight Systems), for what happens inside the `with`.

    Where there is no GPU, or CuPy has no NVTX, it does nothing, so it can stay in the code.

    >>> import minigrad as mg
    >>> with mg.cuda.nvtx("forward"):
    ...     y = mg.ones(3) * 2
    """
    ranges = _cupy().cuda.nvtx if is_available() else None
    if ranges is None or not ranges.available:
        yield
        return
    ranges.RangePush(name)
    try:
        yield
    finally:
        ranges.RangePop()
