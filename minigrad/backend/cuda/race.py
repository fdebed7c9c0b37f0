"""Which of two ways to compute the same is faster on a GPU: tried once for each kind of work."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from minigrad.backend.device import Array, Device
from minigrad.backend.device_gemm import current_precision

log = logging.getLogger("minigrad.cuda")

LAUNCHES = 5  # that are timed; the quickest counts
CLOSE = 0.02  # of the largest number: how far the two may be apart, products in half precision


class Races:
    """Tries two ways on the device of CuPy's current GPU, and remembers.

    As graphs, so that what is compared is the GPU's time and not the host's. `device(index)` is the
    Device to capture on.
    """

    def __init__(self, cupy: Any, device: Callable[[int], Device]) -> None:
        self.cupy, self.device = cupy, device
        self.won: dict[Hashable, bool] = {}

    def __call__(
        self,
        kind: Hashable,
        ways: Callable[[], tuple[Callable[[], Array], Callable[[], Array]]],
    ) -> bool:
        """Whether the first way is the faster one, and right. In a capture nothing is tried."""
        index = self.cupy.cuda.runtime.getDevice()
        key = index, current_precision(), kind
        won = self.won.get(key)
        if won is None:
            if self.cupy.cuda.get_current_stream().is_capturing():
                return False
            won = self.won[key] = self._try(kind, index, *ways())
        return won

    def _try(
        self, kind: Hashable, index: int, one: Callable[[], Array], other: Callable[[], Array]
    ) -> bool:
        try:
            found, right = (way().astype(np.float32) for way in (one, other))  # compiled here
            error = float(abs(found - right).max()) / max(float(abs(right).max()), 1e-30)
            if not error <= CLOSE:
                log.warning("%s at once differs from step by step by %.1e: not used", kind, error)
                return False
            times = [self._time(self.device(index), way) for way in (one, other)]
        except (RuntimeError, MemoryError) as error:  # such as: too large to launch
            log.info("%s cannot run at once: %s", kind, error)
            return False
        log.info("%s: %.3f ms at once, %.3f ms step by step", kind, *times)
        return times[0] < times[1]

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
