"""The random stream of a GPU: the host's own numbers, computed on the device.

NumPy's `Philox` is counter-based, so uniform numbers and coins, which fill dropout masks, are drawn
by a kernel (`kernels/draws.cu`) bit for bit as the host would draw them. There is one stream for
all devices: a model trained on a GPU sees the masks it would have seen on the CPU. Normals,
integers and permutations are drawn on the host and uploaded.

A captured CUDA graph cannot ask the host where the stream stands. While `steps` is open, draws read
that from device memory, and `Steps.advance` writes it there before each replay.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from minigrad.backend.device import Device
from minigrad.backend.device import device as get_device
from minigrad.backend.kernels import draws
from minigrad.backend.random import HostStream, State, Stream
from minigrad.errors import DeviceError

_STEPS: ContextVar[Steps | None] = ContextVar("minigrad_steps", default=None)


class DeviceStream(Stream):
    """The CPU's stream, drawn as arrays of `device`.

    `ask_host(what)` is called where the host says where the stream stands; it raises where it
    cannot, in the capture of a graph.
    """

    def __init__(self, device: Device, ask_host: Callable[[str], None]) -> None:
        self.device, self.ask_host = device, ask_host

    @property
    def host(self) -> HostStream:
        """The stream that counts."""
        found = get_device("cpu").rng
        if not isinstance(found, HostStream):
            raise DeviceError("a GPU draws from the host's stream, which is being recorded")
        return found

    def manual_seed(self, seed: int) -> None:
        self.host.manual_seed(seed)

    def get_state(self) -> State:
        return self.host.get_state()

    def set_state(self, state: State) -> None:
        self.host.set_state(state)

    def uniform(
        self, low: float = 0.0, high: float = 1.0, shape: Any = (), dtype: Any = "float32"
    ) -> Any:
        if np.dtype(dtype) == np.float64:
            with self.device.activate():
                out = self.device.xp.empty(shape, dtype)
                draws.fill_double(self._here(words=out.size), out, low, high - low)
            return out
        with self.device.activate():
            out = self.device.xp.empty(shape, dtype)
            draws.fill(*self._take(out.size), out, low, high - low)
        return out

    def bernoulli(self, p: float, shape: Any = (), dtype: Any = "float32") -> Any:
        with self.device.activate():
            out = self.device.xp.empty(shape, dtype)
            draws.flip(*self._take(out.size), out, p)
        return out

    def mask(self, keep: float, shape: Any = (), dtype: Any = "float32") -> Any:
        with self.device.activate():
            out = self.device.xp.empty(shape, dtype)
            draws.flip(*self._take(out.size), out, keep, 1 / keep if keep else 0.0)
        return out

    def normal(
        self, mean: float = 0.0, std: float = 1.0, shape: Any = (), dtype: Any = "float32"
    ) -> Any:
        return self._uploaded("normal", mean, std, shape, dtype)

    def integers(self, low: int, high: int, shape: Any = (), dtype: Any = "int64") -> Any:
        return self._uploaded("integers", low, high, shape, dtype)

    def permutation(self, n: int) -> Any:
        return self._uploaded("permutation", n)

    def _uploaded(self, draw: str, *args: Any) -> Any:
        self.ask_host(f"rng.{draw}, drawn on the host,")
        return self.device.asarray(getattr(self.host, draw)(*args))

    def _here(self, halves: int = 0, words: int = 0) -> Any:
        self.ask_host("a draw from device.rng")
        at = self.device.xp.empty(5, np.uint64)
        draws.put(at, self.host.skip(halves, words))
        return at

    def _take(self, count: int) -> tuple[Any, int]:
        """(the position, on the device, and how many draws after it) of the next `count` draws."""
        steps = _STEPS.get()
        if steps is None:
            return self._here(halves=count), 0
        first, steps.count = steps.count, steps.count + count
        return steps.at, first


class Steps:
    """The draws of a step that is captured once and replayed: `count` in each.

    `at` holds on the device where the stream stands when a replay begins.
    """

    def __init__(self, stream: Stream) -> None:
        if not isinstance(stream, DeviceStream):
            raise DeviceError("only a GPU's stream is drawn from in captured steps")
        self.stream, self.count = stream, 0
        self.at = stream.device.xp.empty(5, np.uint64)
        draws.put(self.at, stream.host.skip())

    def advance(self) -> None:
        """Say where the stream stands now, and move it on by one step."""
        if self.count:
            draws.put(self.at, self.stream.host.skip(self.count))


def drawn() -> int:
    """How many draws the step that is being captured has made."""
    found = _STEPS.get()
    return 0 if found is None else found.count


def drawn_again(count: int) -> None:
    """The next draws of the step that is being captured are those after the first `count`."""
    found = _STEPS.get()
    if found is not None:
        found.count = count


@contextlib.contextmanager
def steps(prepared: Steps) -> Iterator[None]:
    """Inside the `with`, draws of GPUs belong to a step that will be replayed."""
    token = _STEPS.set(prepared)
    try:
        yield
    finally:
        _STEPS.reset(token)
