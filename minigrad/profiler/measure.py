"""`mg.profile()`: measure what runs inside a `with` block."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple, Self

from ..backend import Device, device_of
from ..engine.modes import MODES, user_frame
from ..engine.tape import Node
from ..engine.walk import fitted
from ..errors import ConfigError
from .events import Event
from .machine import Roofline, roofline
from .table import Row, as_text, rows
from .trace import save
from .work import arrays_in, backward_flops, described, flops, line_flops

clock = time.perf_counter_ns


class What(NamedTuple):
    """What an event is of, and the device to wait for where there is one."""

    name: str
    kind: str
    scope: tuple[str, ...] = ()
    at: tuple[CodeType, int] | None = None
    sync: Device | None = None


class Profile:
    """What ran inside `with mg.profile() as p`, op by op.

    `print(p)` shows a table; `p.table(by=…)` others; `p.save_trace(path)` writes a file that
    https://ui.perfetto.dev and chrome://tracing draw. Measuring costs a few microseconds per op,
    which are not in its time; outside the block nothing is measured and nothing costs. On a GPU
    each op is waited for. It follows this context, and the branches of `fork` on their threads.

    Attributes:
        events: what ran, in order of its end.
        threads: names of the threads by identifier.
        wall: seconds in the block.
    """

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.threads: dict[int, str] = {}
        self.process = os.getpid()
        self.wall = 0.0
        self.began = 0
        self._main = 0
        self._local = threading.local()
        self._tokens: list[Any] = []

    def __enter__(self) -> Self:
        if self._tokens:
            raise ConfigError("profile: this profile is being taken already; make another")
        self._tokens.append(MODES.set(MODES.get().replace(profiler=self)))
        self._main, began = threading.get_ident(), clock()
        self.began = self.began or began
        self._entered = began
        return self

    def __exit__(self, *error: object) -> None:
        self.wall += (clock() - self._entered) * 1e-9
        MODES.reset(self._tokens.pop())

    # -- what the engine asks for ------------------------------------------------------------------

    def forward(self, op: Any) -> Callable[..., Any]:
        """The kernel of `op`, measured."""

        def kernel(xp: Any, *values: Any, **params: Any) -> Any:
            ins = arrays_in(values)

            def work(out: Any) -> tuple[float, int, str]:
                outs = arrays_in(out[0] if op.fused else out)
                count = flops(op, [a.shape for a in ins], [a.shape for a in outs], params)
                moved = 0 if op.view else sum(a.nbytes for a in (*ins, *outs))
                return count, moved, described(ins)

            what = What(op.name, "forward", MODES.get().scope, user_frame(3), _device(ins))
            return self.call(what, work, op.forward, (xp, *values), params)

        return kernel

    def backward(self, op: Any) -> Callable[..., Any]:
        """The rules of a line of `op`, measured."""

        def pull(
            node: Node, gs: list[Any], wanted: int, create_graph: bool, *rest: Any
        ) -> list[Any]:
            kept, given = arrays_in(list(node.inputs or ())), arrays_in(gs)
            shapes = [tuple(x.shape) for x in node.inputs or () if hasattr(x, "shape")]

            def work(grads: Any) -> tuple[float, int, str]:
                forward = flops(op, shapes, [spec.shape for spec in node.specs], node.params)
                moved = 0 if op.view else sum(a.nbytes for a in given + kept + arrays_in(grads))
                return backward_flops(op, forward, wanted), moved, described(kept)

            def rules() -> list[Any]:
                grads = op.pull(node, gs, wanted, create_graph, *rest)
                return fitted(node, grads, create_graph)

            what = What(op.name, "backward", node.scope, node.at, _device(given))
            grads: list[Any] = self.call(what, work, rules, (), {})
            return grads

        return pull

    def kernel(
        self, function: Callable[..., Any], args: tuple[Any, ...], params: dict[str, Any]
    ) -> Any:
        """Code on arrays that is no op, measured: an optimiser's update, say."""
        arrays = arrays_in(args)

        def work(out: Any) -> tuple[float, int, str]:
            return 0.0, sum(a.nbytes for a in arrays), described(arrays[:4])

        name = getattr(function, "__qualname__", type(function).__name__)
        name = name.replace(".<locals>", "").strip("_")
        what = What(name, "update", MODES.get().scope, user_frame(3), _device(arrays))
        return self.call(what, work, function, args, params)

    def line(self, line: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """A line of a compiled program, measured."""
        arrays = arrays_in(args)

        def work(out: Any) -> tuple[float, int, str]:
            moved = sum(a.nbytes for a in arrays)
            return line_flops(function, arrays), moved, described(arrays[:4])

        name, _, backward = line.op.partition(" ")
        name = name or getattr(function, "__name__", "call").strip("_")
        kind = "backward" if backward else "forward"
        self.call(What(name, kind, (), line.at, None), work, function, args, {})

    def primitive(
        self, function: Callable[..., Any], args: tuple[Any, ...], writes: tuple[int, ...]
    ) -> None:
        """Compiled code on arrays, measured."""
        self.kernel(function, args, {})

    def call(
        self,
        what: What,
        work: Callable[[Any], tuple[float, int, str]],
        function: Callable[..., Any],
        args: tuple[Any, ...],
        params: dict[str, Any],
    ) -> Any:
        """`function(*args, **params)` as an event. A program that is replayed calls its lines so.

        `work(result)` gives operations, bytes and shapes.
        """
        sync = what.sync
        inside = self._inside()
        inside.append(0)
        if sync is not None:
            sync.synchronize()
        start = clock()
        try:
            result = function(*args, **params)
            if sync is not None:
                sync.synchronize()
        finally:
            end = clock()
            within = inside.pop()
        took, depth = end - start, len(inside)
        count, moved, shapes = work(result)
        thread = threading.get_ident()
        event = Event(
            name=what.name,
            kind=what.kind,
            start=start,
            end=end,
            own=took - within,
            thread=thread,
            depth=depth,
            scope=what.scope,
            at=what.at,
            shapes=shapes,
            flops=count,
            nbytes=moved,
        )
        self.events.append(event)
        if inside:
            inside[-1] += clock() - start  # measuring, too, is not the outer one's own time
        return result

    def _inside(self) -> list[int]:
        """For each event that this thread is in: nanoseconds that inner ones took."""
        inside: list[int] | None = getattr(self._local, "inside", None)
        if inside is None:
            inside = self._local.inside = []
            main = threading.get_ident() == self._main
            name = "main" if main else threading.current_thread().name
            self.threads[threading.get_ident()] = name
        return inside

    # -- what it shows ---------------------------------------------------------------------------

    @property
    def roofline(self) -> Roofline:
        """What the machine can do; measured at the first question."""
        return roofline()

    def rows(self, by: str = "op") -> list[Row]:
        """The numbers of the table as dictionaries, the longest time first.

        `by`: "op", "scope" (the module), "place" (the line of your code), "kind" or "thread".
        Seconds, operations and bytes.

        Raises: ConfigError for another `by`.
        """
        return rows(self, by)

    def table(self, by: str = "op", limit: int = 20) -> str:
        """The `limit` rows that took longest, as text; see `rows` and the page on profiling."""
        return as_text(self, by, limit)

    def __str__(self) -> str:
        return self.table()

    def save_trace(self, path: str | os.PathLike[str]) -> Path:
        """Write the events as a trace in Chrome's format, for Perfetto; returns the path."""
        return save(self, Path(path))

    def __repr__(self) -> str:
        return f"<profile of {len(self.events):,} events in {self.wall * 1e3:.1f} ms>"


def _device(arrays: list[Any]) -> Device | None:
    """The device to wait for, if these arrays are not the host's."""
    device = device_of(arrays[0]) if arrays else None
    return None if device is None or device.kind == "cpu" else device


def profile() -> Profile:
    """Measure what runs inside: `with mg.profile() as p: …`, then `print(p)`.

    >>> import minigrad as mg
    >>> x = mg.ones((8, 8), requires_grad=True)
    >>> with mg.profile() as p:
    ...     (x @ x).sum().backward()
    >>> [(row["op"], row["calls"]) for row in sorted(p.rows(), key=lambda row: row["op"])]
    [('matmul', 1), ('sum', 1)]
    """
    return Profile()
