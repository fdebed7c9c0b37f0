"""Captured steps: what a device does once is written down, and done again by one launch.

`Device.capture(function)` gives a `Graph`. `capture` here adds what a training step on a GPU needs
around it: warm-ups that leave no trace, inputs that stay where they are, and a check that the state
has not been moved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.backend.device import Array, Device, device_of
from minigrad.backend.philox import Steps
from minigrad.errors import DeviceError, ShapeError


class Graph:
    """A captured step. `launch()` does it again, on the same memory, with fresh random numbers."""

    def __init__(self, launch: Callable[[], None], steps: Steps, *keep: Any) -> None:
        self._launch, self._steps = launch, steps
        self._keep = keep  # the memory that the graph reads and writes

    def launch(self) -> None:
        """Ask the device for one step; it returns before the step is done."""
        self._steps.advance()
        self._launch()


class GraphedCallable:
    """A function of arrays as a graph; see `capture`.

    Attributes: `inputs` (the static arrays), `outputs` (what the function returned; each launch
    overwrites it).
    """

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Sequence[Array],
        state: Sequence[Array] = (),
        *,
        warmups: int = 3,
        refresh: Sequence[Callable[[], None]] = (),
    ) -> None:
        self.device = device_of(next(iter((*inputs, *state))))
        self.inputs = [x.copy() for x in inputs]
        self.state, self.refresh = list(state), list(refresh)
        before = [x.copy() for x in self.state]
        streams = self.device.rng.get_state()
        for _ in range(warmups):  # compiles kernels, makes handles, grows the memory pool
            for each in self.refresh:
                each()
            function(*self.inputs)
        for x, copy in zip(self.state, before, strict=True):
            x[...] = copy
        self.device.rng.set_state(streams)
        self._places = [address(x) for x in self.state]
        self.graph, self.outputs = self.device.capture(lambda: function(*self.inputs))
        self._feed = feeder(self.device, self.inputs)

    def __call__(self, *values: Any) -> Any:
        """One step on `values`, host arrays or the device's, one per input: the outputs."""
        self.check()
        self._feed(*values)
        self.launch()
        return self.outputs

    def launch(self) -> None:
        """One step on what the inputs hold."""
        for each in self.refresh:
            each()
        self.graph.launch()

    def check(self) -> None:
        """Raises: DeviceError if an array of the state is no longer where it was captured."""
        for i, (x, place) in enumerate(zip(self.state, self._places, strict=True)):
            if address(x) != place:
                raise DeviceError(f"array {i} {x.shape} of the state was moved: capture anew")


def capture(
    function: Callable[..., Any],
    inputs: Sequence[Array],
    state: Sequence[Array] = (),
    *,
    warmups: int = 3,
    refresh: Sequence[Callable[[], None]] = (),
) -> GraphedCallable:
    """`function(*inputs)` as a graph of the device of its arguments.

    `function` reads `inputs`, reads and writes `state` in place, and returns arrays, or nothing. It
    runs `warmups` times first, after which `state` and the random stream are as before; then it is
    captured. What it takes from the host is baked in: numbers that change, such as a learning rate,
    are arrays of the device, which the functions of `refresh` write before each launch.

    Raises: DeviceError where the function makes the host wait, uploads, or draws on the host.
    """
    return GraphedCallable(function, inputs, state, warmups=warmups, refresh=refresh)


def address(x: Array) -> int:
    """Where an array's memory is."""
    memory: Any = getattr(x, "data", None)  # CuPy's; the strict device's array wraps NumPy's
    host: Any = getattr(x, "_a", x)
    return int(memory.ptr if hasattr(memory, "ptr") else host.ctypes.data)


def feeder(device: Device, inputs: Sequence[Array]) -> Callable[..., None]:
    """What brings host arrays into `inputs`: on a GPU while it computes, from pinned memory."""
    if device.kind == "cuda":
        from minigrad.backend.cuda.feed import Feeder

        return Feeder(device, inputs)

    def feed(*values: Any) -> None:
        for place, value in zip(inputs, checked(inputs, values), strict=True):
            place[...] = device.asarray(value)

    return feed


def checked(inputs: Sequence[Array], values: Sequence[Any]) -> list[Any]:
    """`values` as arrays. Raises: ShapeError unless they have the shapes of `inputs`."""
    arrays = [x if hasattr(x, "shape") else np.asarray(x) for x in values]
    if [x.shape for x in arrays] != [x.shape for x in inputs]:
        raise ShapeError(
            f"a captured step takes {[x.shape for x in inputs]}, got {[x.shape for x in arrays]}: "
            "pad the batch, or capture a step for these shapes"
        )
    return arrays
