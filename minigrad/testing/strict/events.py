"""What a GPU would notice: syncs and transfers counted, forbidden in places, and captured graphs.

The strict device reports here. `no_sync` and `capturing` forbid what would stall a GPU or break a
CUDA graph; `count` counts it; `FakeGraph` stands in for `cupy.cuda.Graph`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from minigrad.errors import DeviceError

_MEANING = {
    "sync": "makes the host wait for the device",
    "upload": "copies host memory to the device",
    "download": "copies device memory to the host",
    "random": "draws from a stream whose state is on the host",
    "library": "calls a CUDA library that CuPy does not capture",
}


@dataclass
class Counts:
    """How often each event has happened."""

    sync: int = 0
    upload: int = 0
    download: int = 0
    random: int = 0
    library: int = 0


_forbidden: ContextVar[Mapping[str, str]] = ContextVar(
    "minigrad_forbidden", default=MappingProxyType({})
)
_counters: ContextVar[tuple[Counts, ...]] = ContextVar("minigrad_counters", default=())
_graph: ContextVar[FakeGraph | None] = ContextVar("minigrad_graph", default=None)


def event(kind: str, what: str) -> None:
    """Report an event of `kind`, done by `what`. Raises: DeviceError where it is forbidden."""
    where = _forbidden.get().get(kind)
    if where is not None:
        raise DeviceError(f"{what} {_MEANING[kind]}: not allowed {where}")
    for counts in _counters.get():
        setattr(counts, kind, getattr(counts, kind) + 1)


@contextlib.contextmanager
def count() -> Iterator[Counts]:
    """Count the events inside the `with`, in this thread.

    >>> from minigrad.testing import strict
    >>> with strict.count() as seen:
    ...     _ = strict.device().asarray([1.0, 2.0]).sum().item()
    >>> seen
    Counts(sync=1, upload=1, download=0, random=0, library=0)
    """
    counts = Counts()
    token = _counters.set((*_counters.get(), counts))
    try:
        yield counts
    finally:
        _counters.reset(token)


@contextlib.contextmanager
def _forbid(kinds: Iterable[str], where: str) -> Iterator[None]:
    token = _forbidden.set({**_forbidden.get(), **dict.fromkeys(kinds, where)})
    try:
        yield
    finally:
        _forbidden.reset(token)


def no_sync() -> contextlib.AbstractContextManager[None]:
    """Forbid what makes the host wait: `.item()`, `if array`, masks, `nonzero`, downloads."""
    return _forbid(("sync", "download"), "inside no_sync()")


def call(
    function: Callable[..., Any], *args: Any, writes: tuple[Any, ...] = (), **kwargs: Any
) -> Any:
    """`function(*args, **kwargs)` on NumPy arrays, recorded if a graph is captured.

    `writes` are the arrays it writes into. NumPy scalars become 0-d arrays.
    """
    graph = _graph.get()
    if graph is not None:
        return graph.record(function, args, kwargs, writes)
    return no_scalars(function(*args, **kwargs))


def no_scalars(result: Any) -> Any:
    """`result` with NumPy's scalars, also those in tuples, as 0-d arrays."""
    if isinstance(result, np.generic):
        return np.asarray(result)
    if isinstance(result, (tuple, list)):
        return tuple(map(no_scalars, result))
    return result


def poison(array: np.ndarray[Any, Any]) -> None:
    """Fill with what uninitialised memory would hold at its worst: NaN, or a large integer."""
    kind = array.dtype.kind
    array.fill(np.nan if kind in "fc" else True if kind == "b" else 0x5A)


class FakeGraph:
    """A captured sequence of operations that replays on the same buffers, like `cupy.cuda.Graph`.

    What a CUDA graph gets wrong shows here too: Python numbers are baked in, capturing computes
    nothing (new arrays hold garbage until the first `launch`, written ones keep their old values).
    """

    def __init__(self) -> None:
        self._lines: list[tuple[Callable[..., Any], Any, dict[str, Any], Any]] = []
        self._before: dict[int, tuple[Any, Any]] = {}  # id → (buffer, copy) of what capture wrote
        self._made: dict[int, Any] = {}  # buffers that came to be during capture
        self._given: dict[int, Any] = {}  # buffers that were there before it
        self._ready = False

    def __len__(self) -> int:
        return len(self._lines)

    def record(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        writes: tuple[Any, ...],
    ) -> Any:
        """Do one operation and remember it."""
        for buffer in map(_root, _arrays((args, kwargs))):
            if id(buffer) not in self._made:
                self._given[id(buffer)] = buffer
        for buffer in map(_root, writes):
            if id(buffer) in self._given and id(buffer) not in self._before:
                self._before[id(buffer)] = (buffer, buffer.copy())
        result = no_scalars(function(*args, **kwargs))
        for buffer in map(_root, _arrays(result)):
            if id(buffer) not in self._given:
                self._made[id(buffer)] = buffer
        self._lines.append((function, args, kwargs, result))
        return result

    def undo(self) -> None:
        """Put back what the capture wrote."""
        for buffer, copy in self._before.values():
            buffer[...] = copy

    def finish(self) -> None:
        """End the capture: put back what it wrote, poison what it made."""
        self.undo()
        for buffer in self._made.values():
            if buffer.flags.writeable:
                poison(buffer)
        self._ready = True

    def launch(self) -> None:
        """Run the captured operations again. Raises: DeviceError before the capture has ended."""
        if not self._ready:
            raise DeviceError("FakeGraph.launch: the capture has not ended, or it failed")
        for function, args, kwargs, result in self._lines:
            fresh = no_scalars(function(*args, **kwargs))
            for old, new in zip(_arrays(result), _arrays(fresh), strict=True):
                if not _same(old, new):
                    old[...] = new


@contextlib.contextmanager
def capturing() -> Iterator[FakeGraph]:
    """Capture the operations inside the `with` in a graph, and forbid what cannot be captured.

    >>> from minigrad.testing import strict
    >>> x = strict.device().asarray([1.0, 2.0])
    >>> with strict.capturing() as graph:
    ...     y = x * 2
    >>> graph.launch()
    >>> y.get()
    array([2., 4.])
    """
    if _graph.get() is not None:
        raise DeviceError("capturing() inside capturing(): a stream captures one graph at a time")
    graph = FakeGraph()
    token = _graph.set(graph)
    try:
        with _forbid(_MEANING, "while a graph is captured"):
            yield graph
    except BaseException:
        graph.undo()  # a capture computes nothing, also one that fails
        raise
    finally:
        _graph.reset(token)
    graph.finish()


def _arrays(value: Any) -> list[np.ndarray[Any, Any]]:
    """All arrays in nested tuples, lists and dicts, in order."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, dict):
        value = tuple(value.values())
    return [a for each in value for a in _arrays(each)] if isinstance(value, (tuple, list)) else []


def _root(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _same(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Whether both are the same elements in memory: a view, or the `out=` that was given."""
    same: bool = a.ctypes.data == b.ctypes.data and a.strides == b.strides
    return a.size == 0 or same
