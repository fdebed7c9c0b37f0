"""Which of several ways to compute the same is fastest on a GPU: tried once for each kind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np

from minigrad.backend.device import Array, Device
from minigrad.backend.device_gemm import current_precision

log = logging.getLogger("minigrad.cuda")

LAUNCHES = 5  # that are timed; the quickest counts
CLOSE = 0.02  # of the largest number: how far from the right ones, products in half precision

Way = Callable[[], Array]


class Races:
    """Tries ways on the device of CuPy's current GPU, and remembers.

    As graphs, so that what is compared is the GPU's time and not the host's. `device(index)` is the
    Device to capture on.
    """

    def __init__(self, cupy: Any, device: Callable[[int], Device]) -> None:
        self.cupy, self.device = cupy, device
        self.won: dict[Hashable, int] = {}

    def __call__(self, kind: Hashable, ways: Callable[[], Sequence[Way]]) -> int:
        """The number of the fastest way that is right; -1, the last, where none can be tried.

        The last way is the right one. In the capture of a graph nothing is tried.
        """
        index = self.cupy.cuda.runtime.getDevice()
        key = index, current_precision(), kind
        won = self.won.get(key)
        if won is None:
            if self.cupy.cuda.get_current_stream().is_capturing():
                return -1
            won = self.won[key] = self._try(kind, index, ways())
        return won

    def _try(self, kind: Hashable, index: int, ways: Sequence[Way]) -> int:
        right = ways[-1]().astype(np.float32)
        times: dict[int, float] = {}
        for number, way in enumerate(ways):
            try:
                if way is not ways[-1] and (error := _error(way(), right)) is not None:
                    log.warning("%s: way %d is off by %.1e: not used", kind, number, error)
                    continue
                times[number] = self._time(self.device(index), way)
            except (RuntimeError, MemoryError) as refusal:  # such as: too large to launch
                log.info("%s: way %d cannot run: %s", kind, number, refusal)
        log.info("%s: milliseconds of each way: %s", kind, times)
        return min(times, key=times.__getitem__, default=-1)

    def _time(self, device: Device, way: Callable[[], Array]) -> float:
        """Milliseconds of a launch of `way` as a graph."""
        graph, _ = device.capture(way)
        event, times = self.cupy.cuda.Event, []
        graph.launch()
        for _ in range(LAUNCHES):
            begun, ended = event(), event()
            begun.record()
            graph.launch()
            ended.record()
            ended.synchronize()
            times.append(self.cupy.cuda.get_elapsed_time(begun, ended))
        return float(min(times))


def _error(found: Array, right: Array) -> float | None:
    """The largest error, relative to the largest number, if it is too large."""
    error = float(abs(found.astype(np.float32) - right).max())
    error /= max(float(abs(right).max()), 1e-30)
    return None if error <= CLOSE else error
