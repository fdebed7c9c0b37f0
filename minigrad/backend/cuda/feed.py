"""Batches on their way to a GPU while it computes: pinned memory, and a stream for copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend.device import Array, Device
from minigrad.backend.graph import checked

SLOTS = 3


class Feeder:
    """Brings host arrays into `inputs`; arrays of the device are copied there.

    A batch is written into a slot of pinned memory, copied from there on the copy stream, and moved
    into the inputs on the stream that computes, which waits for no more than that copy. With three
    slots the host is up to two batches ahead.
    """

    def __init__(self, device: Device, inputs: Sequence[Array]) -> None:
        self.device, self.inputs = device, list(inputs)
        cupy = device.xp
        with device.activate():
            self.stream = cupy.cuda.Stream(non_blocking=True)
            self.slots = [_Slot(cupy, self.inputs) for _ in range(SLOTS)]
        self.turn = 0

    def __call__(self, *values: Any) -> None:
        arrays = checked(self.inputs, values)
        cupy = self.device.xp
        with self.device.activate():
            compute = cupy.cuda.get_current_stream()
            slot = self.slots[self.turn]
            self.turn = (self.turn + 1) % len(self.slots)
            slot.copied.synchronize()  # its pinned memory was read three batches ago
            self.stream.wait_event(slot.used)
            for array, pinned, there in zip(arrays, slot.pinned, slot.there, strict=True):
                if not isinstance(array, cupy.ndarray):
                    np.copyto(pinned, array)
                    there.set(pinned, stream=self.stream)
            slot.copied.record(self.stream)
            compute.wait_event(slot.copied)
            for array, there, place in zip(arrays, slot.there, self.inputs, strict=True):
                place[...] = array if isinstance(array, cupy.ndarray) else there
            slot.used.record(compute)


class _Slot:
    def __init__(self, cupy: Any, inputs: Sequence[Array]) -> None:
        import cupyx

        self.pinned = [cupyx.empty_pinned(x.shape, x.dtype) for x in inputs]
        self.there = [cupy.empty_like(x) for x in inputs]
        self.copied = cupy.cuda.Event(disable_timing=True)
        self.used = cupy.cuda.Event(disable_timing=True)
