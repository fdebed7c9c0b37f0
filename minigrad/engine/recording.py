"""What `mg.compile` must be told by code that is not made of ops: a few small functions.

Outside a recording they cost a lookup and do the plain thing, so an optimiser or a strategy for
several threads is written once, for eager and compiled steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend import Device, get_rng_state, set_rng_state, threads
from .modes import MODES


def recording() -> bool:
    """Whether a program is being recorded in this context."""
    return MODES.get().recorder is not None


def kernel(function: Callable[..., Any], *args: Any, **params: Any) -> Any:
    """`function(*args, **params)`: code on arrays (also in lists and tuples) that is no op.

    What it writes with `out=` or by assignment is written by each replay as well.
    """
    modes = MODES.get()
    if modes.unwatched:
        return function(*args, **params)
    return (modes.recorder or modes.profiler).kernel(function, args, params)


def primitive(function: Callable[..., Any], *args: Any, writes: tuple[int, ...]) -> None:
    """`function(*args)` on arrays: code that NumPy does not see, such as a compiled loop.

    It writes into the arguments at the positions `writes`, whole or in part, and returns nothing.
    """
    modes = MODES.get()
    if modes.unwatched:
        function(*args)
    else:
        (modes.recorder or modes.profiler).primitive(function, args, writes)


def before_replay(refresh: Callable[[], None]) -> None:
    """Call `refresh` now, and again before each replay.

    For numbers that the host decides, such as a learning rate: `refresh` writes them into arrays
    that the recorded code reads, and calls nothing that is recorded.
    """
    recorder = MODES.get().recorder
    refresh() if recorder is None else recorder.before_replay(refresh)


def examine(look: Callable[..., None], *args: Any) -> None:
    """`look(*args)`, on arrays of the CPU: it raises if it does not like their values.

    A recorded program looks again in each replay.
    """
    recorder = MODES.get().recorder
    look(*args) if recorder is None else recorder.examine(look, args)


class Moment:
    """Where the random streams stand at one place of a step; a program notes it in each replay."""

    state: Any

    def note(self) -> None:
        """This is the place."""
        recorder = MODES.get().recorder
        self.read() if recorder is None else recorder.note(self)

    def rewind(self) -> None:
        """Random numbers from here on are those that followed the place."""
        recorder = MODES.get().recorder
        self.write() if recorder is None else recorder.rewind(self)

    def read(self) -> None:
        """Look where the streams stand now."""
        self.state = get_rng_state()

    def write(self) -> None:
        """Bring the streams there."""
        set_rng_state(self.state)


def guard(key: Any, function: Callable[[], Any]) -> None:
    """The program that is being recorded holds as long as `function()` stays what it is now."""
    recorder = MODES.get().recorder
    if recorder is not None:
        recorder.conditions.guard(key, function)


def fork(*branches: Callable[[], Any], device: Device | None = None) -> list[Any]:
    """The results of independent functions, which may run at the same time on several threads.

    They must not write into the same memory. Each runs in a copy of this context. Where all of it
    is on one `device`, that may have better than threads: a GPU's streams (see `Device.fork`).
    """
    recorder = MODES.get().recorder
    if recorder is not None:
        return recorder.fork(branches)
    return threads.run(branches) if device is None else device.fork(branches)
