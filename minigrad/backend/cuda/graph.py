"""The capture of a CUDA graph through CuPy."""

from __future__ import annotations

import contextlib
import gc
import weakref
from collections.abc import Callable
from typing import Any

from minigrad.backend.cuda.fork import Sides, uncollected
from minigrad.backend.cuda.memory import POOLS, explained
from minigrad.backend.device import Device
from minigrad.backend.graph import Graph
from minigrad.backend.philox import Steps, steps


def capture(
    device: Device, products: Any, sides: Sides, function: Callable[[], Any]
) -> tuple[Graph, Any]:
    """A graph of what `function` does on `device`, and its result, which a launch fills.

    On a stream of its own, so that nothing else is captured, with memory from a pool of its own, so
    that nothing else gets it while the graph lives. A failed capture leaves the stream behind,
    ended, and raises what failed.
    """
    cupy = device.xp
    with device.activate():
        prepared = Steps(device.rng)
        stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
        for side in sides.streams:
            with side:
                products.handle()
        stream.wait_event(cupy.cuda.get_current_stream().record())
        with cupy.cuda.using_allocator(explained(cupy, pool.malloc)), stream, uncollected():
            gc.collect()  # freeing an old graph or pool would break the capture
            products.handle()  # with its workspace: no library is loaded during the capture
            stream.begin_capture()
            try:
                with steps(prepared):
                    result = function()
            except BaseException:
                with contextlib.suppress(Exception):  # the capture may be invalid already
                    stream.end_capture()
                products.forget(stream.ptr)
                raise
            graph = stream.end_capture()

    def launch() -> None:
        with device.activate():
            graph.launch(cupy.cuda.get_current_stream())

    captured, held = Graph(launch, prepared), [result]  # what a launch writes stays with the graph
    POOLS[id(pool)] = device.index, pool

    def release() -> None:
        held.clear()
        del POOLS[id(pool)]
        with device.activate():
            products.forget(stream.ptr)  # and with it 32 MiB of workspace
            pool.free_all_blocks()  # a pool that is dropped keeps them

    weakref.finalize(captured, release).atexit = False
    return captured, result
