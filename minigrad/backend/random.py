"""Random streams: one per device, all seeded by `manual_seed`, each with a state that JSON can hold.

A stream draws arrays of its own device. The host stream is NumPy's `Generator(Philox)`: the same seed gives
the same bits on every machine. Weights are drawn from the host stream and then uploaded, so a model starts
from the same weights on every device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.errors import ConfigError

State = dict[str, Any]
"""A stream's or all streams' state: nested dicts, lists, strings and ints, exactly what `json.dump` takes."""


class Stream:
    """A source of random arrays on one device. Thread-safe: every draw takes the next part of the stream."""

    def manual_seed(self, seed: int) -> None:
        """Start again from `seed`."""
        raise NotImplementedError

    def uniform(self, low: float = 0.0, high: float = 1.0, shape: Any = (), dtype: Any = "float32") -> Any:
        """Values of U[low, high)."""
        raise NotImplementedError

    def normal(self, mean: float = 0.0, std: float = 1.0, shape: Any = (), dtype: Any = "float32") -> Any:
        """Values of N(mean, std²)."""
        raise NotImplementedError

    def integers(self, low: int, high: int, shape: Any = (), dtype: Any = "int64") -> Any:
        """Integers of [low, high)."""
        raise NotImplementedError

    def permutation(self, n: int) -> Any:
        """0 … n-1 in random order, int64."""
        raise NotImplementedError

    def bernoulli(self, p: float, shape: Any = (), dtype: Any = "float32") -> Any:
        """1 with probability `p`, else 0."""
        raise NotImplementedError

    def get_state(self) -> State:
        """Where the stream stands, as a dict JSON can hold."""
        raise NotImplementedError

    def set_state(self, state: State) -> None:
        """Continue from `state`, bit for bit."""
        raise NotImplementedError


class HostStream(Stream):
    """The CPU's stream: NumPy's counter-based Philox4x64-10 behind `numpy.random.Generator`."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> None:
        with self._lock:
            self._generator = np.random.Generator(np.random.Philox(seed))

    def uniform(self, low: float = 0.0, high: float = 1.0, shape: Any = (), dtype: Any = "float32") -> Any:
        with self._lock:
            unit = self._unit(shape, dtype)
        unit *= high - low
        unit += low
        return unit

    def normal(self, mean: float = 0.0, std: float = 1.0, shape: Any = (), dtype: Any = "float32") -> Any:
        draw = np.dtype(dtype) if np.dtype(dtype).itemsize >= 4 else np.dtype("float32")
        with self._lock:
            z = np.asarray(self._generator.standard_normal(shape, dtype=draw))
        z *= std
        z += mean
        return z.astype(dtype, copy=False)

    def integers(self, low: int, high: int, shape: Any = (), dtype: Any = "int64") -> Any:
        with self._lock:
            return np.asarray(self._generator.integers(low, high, shape, dtype=dtype))

    def permutation(self, n: int) -> Any:
        with self._lock:
            return self._generator.permutation(n)

    def bernoulli(self, p: float, shape: Any = (), dtype: Any = "float32") -> Any:
        with self._lock:
            return (self._unit(shape, "float32") < p).astype(dtype)

    def get_state(self) -> State:
        with self._lock:
            return _jsonable(self._generator.bit_generator.state)

    def set_state(self, state: State) -> None:
        with self._lock:
            self._generator.bit_generator.state = state

    def _unit(self, shape: Any, dtype: Any) -> Any:
        draw = np.dtype(dtype) if np.dtype(dtype).itemsize >= 4 else np.dtype("float32")
        return np.asarray(self._generator.random(shape, dtype=draw)).astype(dtype, copy=False)


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _jsonable(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


_lock = threading.RLock()
_seed: int | None = None
_streams: dict[str, Stream] = {}
_pending: dict[str, State] = {}


def stream(name: str, make: Callable[[int], Stream]) -> Stream:
    """The stream of the device called `name`, made with `make(seed)` on first use."""
    with _lock:
        if name not in _streams:
            _streams[name] = made = make(initial_seed())
            if name in _pending:
                made.set_state(_pending.pop(name))
        return _streams[name]


def manual_seed(seed: int) -> None:
    """Seed the streams of all devices, those opened later included.

    Raises: ConfigError if `seed` is not an integer ≥ 0.

    >>> import minigrad as mg
    >>> mg.manual_seed(0)
    >>> a = mg.device("cpu").rng.uniform(shape=3)
    >>> mg.manual_seed(0)
    >>> bool((a == mg.device("cpu").rng.uniform(shape=3)).all())
    True
    """
    global _seed
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ConfigError(f"manual_seed: expected an integer >= 0, got {seed!r}")
    with _lock:
        _seed = int(seed)
        _pending.clear()
        for each in _streams.values():
            each.manual_seed(_seed)


def initial_seed() -> int:
    """The seed all streams started from: the last `manual_seed`, else one drawn from the system's entropy."""
    global _seed
    with _lock:
        if _seed is None:
            _seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
        return _seed


def get_rng_state() -> State:
    """The state of every stream, for an exact resume: `json.dump` takes it, `set_rng_state` restores it."""
    with _lock:
        states = {name: each.get_state() for name, each in _streams.items()}
        return {"seed": initial_seed(), "streams": {**_pending, **states}}


def set_rng_state(state: State) -> None:
    """Continue every stream from a `get_rng_state()`; a device not opened yet takes its state when it is."""
    global _seed
    with _lock:
        manual_seed(state["seed"])
        for name, each in state["streams"].items():
            if name in _streams:
                _streams[name].set_state(each)
            else:
                _pending[name] = each
