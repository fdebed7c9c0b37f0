"""Random streams: one per device, all seeded by `manual_seed`, with states that JSON can hold.

A stream draws arrays of its own device. The host stream is NumPy's `Generator(Philox)`: the same
seed gives the same bits on every machine. Weights are drawn from the host stream and then uploaded,
so a model starts from the same weights on every device.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from minigrad.backend.kernels.draws import Position

State = dict[str, Any]
"""The state of one stream or of all: dicts, lists, strings and ints, as `json.dump` takes them."""


class Stream:
    """A source of random arrays on one device.

    Thread-safe: each draw takes the next part of the stream. Which thread gets which part is up to
    the threads; a program that must repeat bit for bit draws from one thread.
    """

    def manual_seed(self, seed: int) -> None:
        """Start again from `seed`."""
        raise NotImplementedError

    def uniform(
        self, low: float = 0.0, high: float = 1.0, shape: Any = (), dtype: Any = "float32"
    ) -> Any:
        """Values of U[low, high)."""
        raise NotImplementedError

    def normal(
        self, mean: float = 0.0, std: float = 1.0, shape: Any = (), dtype: Any = "float32"
    ) -> Any:
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

    def mask(self, keep: float, shape: Any = (), dtype: Any = "float32") -> Any:
        """1 / keep with probability `keep`, else 0: what dropout multiplies by."""
        found = self.bernoulli(keep, shape, dtype)
        if keep:
            found *= 1 / keep
        return found

    def get_state(self) -> State:
        """Where the stream stands, as a dict that JSON can hold."""
        raise NotImplementedError

    def set_state(self, state: State) -> None:
        """Continue from `state`, bit for bit.

        Raises: CheckpointError, the stream unchanged, if `state` is of another kind of stream.
        """
        raise NotImplementedError


class HostStream(Stream):
    """The CPU's stream: NumPy's counter-based Philox4x64-10 behind `numpy.random.Generator`."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> None:
        with self._lock:
            self._generator = np.random.Generator(np.random.Philox(seed))

    def uniform(
        self, low: float = 0.0, high: float = 1.0, shape: Any = (), dtype: Any = "float32"
    ) -> Any:
        with self._lock:
            values = np.asarray(self._generator.random(shape, dtype=drawn_as(dtype)))
        values *= high - low
        values += low
        return values.astype(dtype, copy=False)

    def normal(
        self, mean: float = 0.0, std: float = 1.0, shape: Any = (), dtype: Any = "float32"
    ) -> Any:
        with self._lock:
            values = np.asarray(self._generator.standard_normal(shape, dtype=drawn_as(dtype)))
        values *= std
        values += mean
        return values.astype(dtype, copy=False)

    def integers(self, low: int, high: int, shape: Any = (), dtype: Any = "int64") -> Any:
        with self._lock:
            return np.asarray(self._generator.integers(low, high, shape, dtype=dtype))

    def permutation(self, n: int) -> Any:
        with self._lock:
            return self._generator.permutation(n)

    def bernoulli(self, p: float, shape: Any = (), dtype: Any = "float32") -> Any:
        with self._lock:
            values = self._generator.random(shape, dtype=np.float32)
        return np.asarray(values < p).astype(dtype)

    def get_state(self) -> State:
        with self._lock:
            state = _plain(self._generator.bit_generator.state)
        return dict(state)

    def skip(self, halves: int = 0, words: int = 0) -> Position:
        """Where the stream stands; then it goes on as if so many values had been drawn.

        `halves` of 32 bits (float32, coins) or `words` of 64 bits (float64).
        """
        from minigrad.backend.kernels.draws import generator_at, position, skipped

        with self._lock:
            here = position(self._generator)
            if halves or words:
                there = skipped(here, halves)
                there = there._replace(word=there.word + words)
                self._generator = generator_at(there)
        return here

    def set_state(self, state: State) -> None:
        fresh: Any = np.random.Philox(0)
        try:
            inner = {name: np.array(state["state"][name], np.uint64) for name in ("counter", "key")}
            fresh.state = {**state, "state": inner, "buffer": np.array(state["buffer"], np.uint64)}
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                f"set_state: not a state of NumPy's Philox stream ({error!r}): {str(state)[:80]}"
            ) from error
        with self._lock:
            self._generator = np.random.Generator(fresh)


def drawn_as(dtype: Any) -> Any:
    """The floating dtype in which values of `dtype` are drawn: float64 for itself, else float32."""
    return np.float64 if np.dtype(dtype) == np.float64 else np.float32


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


class Streams:
    """Streams by device name, and the seed they start from."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.seed: int | None = None
        self.opened: dict[str, Stream] = {}
        self.waiting: dict[str, State] = {}  # restored before their device was opened

    def initial_seed(self) -> int:
        with self.lock:
            if self.seed is None:
                self.seed = int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
            return self.seed

    def stream(self, name: str, make: Callable[[int], Stream]) -> Stream:
        with self.lock:
            if name not in self.opened:
                made = make(self.initial_seed())
                if name in self.waiting:
                    made.set_state(self.waiting[name])
                    del self.waiting[name]
                self.opened[name] = made
            return self.opened[name]

    def manual_seed(self, seed: int) -> None:
        with self.lock:
            self.seed = seed
            self.waiting.clear()
            for each in self.opened.values():
                each.manual_seed(seed)

    def get_state(self) -> State:
        with self.lock:
            states = {name: each.get_state() for name, each in self.opened.items()}
            return {"seed": self.initial_seed(), "streams": {**self.waiting, **states}}

    def set_state(self, state: State) -> None:
        with self.lock:
            before = self.get_state()
            try:
                self._set(state)
            except BaseException:
                self._set(before)
                raise

    def _set(self, state: State) -> None:
        self.manual_seed(state["seed"])
        for name, each in state["streams"].items():
            if name in self.opened:
                self.opened[name].set_state(each)
            else:
                self.waiting[name] = each


_STREAMS = Streams()
stream = _STREAMS.stream
_APART: ContextVar[Streams | None] = ContextVar("minigrad_streams", default=None)


@contextmanager
def streams_apart(streams: Streams) -> Iterator[None]:
    """Draw from `streams` inside, and seed, read and set these in place of the process's.

    For threads that draw side by side: they repeat only if each has streams of its own.
    """
    token = _APART.set(streams)
    try:
        yield
    finally:
        _APART.reset(token)


apart = _APART.get
"""The streams set apart in this context, if there are any."""


def _here() -> Streams:
    return _APART.get() or _STREAMS


def manual_seed(seed: Any) -> None:
    """Seed the streams of all devices, those opened later included.

    Raises: ConfigError if `seed` is not an integer ≥ 0.

    >>> import minigrad as mg
    >>> mg.manual_seed(0)
    >>> a = mg.device("cpu").rng.uniform(shape=3)
    >>> mg.manual_seed(0)
    >>> bool((a == mg.device("cpu").rng.uniform(shape=3)).all())
    True
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ConfigError(f"manual_seed: expected an integer >= 0, got {seed!r}")
    _here().manual_seed(int(seed))


def initial_seed() -> int:
    """The seed all streams started from: `manual_seed`'s, else one of the system's entropy."""
    return _here().initial_seed()


def get_rng_state() -> State:
    """The state of every stream, for an exact resume: `json.dump` takes it."""
    return _here().get_state()


def set_rng_state(state: Any) -> None:
    """Continue every stream from a `get_rng_state()`; a device not opened yet does when it is.

    Raises: CheckpointError, all streams unchanged, if `state` is not such a state.
    """
    if not (
        isinstance(state, dict)
        and isinstance(state.get("seed"), int)
        and isinstance(state.get("streams"), dict)
    ):
        raise CheckpointError(f"set_rng_state: expected what get_rng_state gave, got {state!r:.80}")
    _here().set_state(state)
