"""A GPU's memory: who holds how much of it, and what was asked when there was no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.backend.device import Device
from minigrad.errors import DeviceMemoryError

POOLS: dict[int, tuple[int, Any]] = {}
"""Of each captured graph: the number of its GPU, and its pool of memory."""


def reserved(device: Device) -> tuple[int, int]:
    """(bytes of the pool of `device`, bytes of its graphs' pools)."""
    with device.activate():
        graphs = [pool for index, pool in list(POOLS.values()) if index == device.index]
        default = device.xp.get_default_memory_pool()
        return int(default.total_bytes()), sum(int(pool.total_bytes()) for pool in graphs)


def explained(cupy: Any, malloc: Callable[[int], Any]) -> Callable[[int], Any]:
    """An allocator for CuPy that says, where `malloc` finds no memory, what was asked and free."""

    def allocate(size: int) -> Any:
        try:
            return malloc(size)
        except cupy.cuda.memory.OutOfMemoryError as error:
            free, total = cupy.cuda.runtime.memGetInfo()
            pool = cupy.get_default_memory_pool()
            used, held = pool.used_bytes(), pool.total_bytes()
            raise DeviceMemoryError(
                f"cuda:{cupy.cuda.runtime.getDevice()}: out of memory: {_size(size)} asked, "
                f"{_size(free)} of {_size(total)} free; arrays hold {_size(used)}, the pool "
                f"{_size(held - used)} more. Take smaller batches, shorter sequences or "
                "mg.checkpoint; cuda.memory_summary() says who holds what"
            ) from error

    return allocate


def summary(device: Device) -> str:
    """A few lines on who holds how much of a GPU's memory."""
    with device.activate():
        pool = device.xp.get_default_memory_pool()
        free, total = device.xp.cuda.runtime.memGetInfo()
        used = pool.used_bytes()
    gib, (held, graphs) = 1 / 2**30, reserved(device)
    return (
        f"{device.name}: {total * gib:.2f} GiB\n"
        f"  arrays      {used * gib:9.3f} GiB\n"
        f"  pool, free  {(held - used) * gib:9.3f} GiB  (cuda.empty_cache() gives it back)\n"
        f"  graphs      {graphs * gib:9.3f} GiB  (of captured steps)\n"
        f"  others      {(total - free - held - graphs) * gib:9.3f} GiB\n"
        f"  free        {free * gib:9.3f} GiB"
    )


def _size(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} bytes"
