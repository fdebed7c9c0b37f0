"""A profile in Chrome's trace format, which Perfetto reads.

Source: "Trace Event Format", the document of Chrome's tracing project: complete events ("X") with
`ts` and `dur` in microseconds; names of processes and threads as metadata ("M").
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .events import Event

if TYPE_CHECKING:
    from .measure import Profile


def save(p: Profile, path: Path) -> Path:
    """Write the trace of a profile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(trace(p)), encoding="utf-8")
    return path


def trace(p: Profile) -> dict[str, Any]:
    """The trace as data: a slice for each event, and one around those of a module's call."""
    numbers = {thread: i for i, thread in enumerate(p.threads)}
    said: list[dict[str, Any]] = [
        {
            "ph": "M",
            "name": "process_name",
            "pid": p.process,
            "tid": 0,
            "args": {"name": "minigrad"},
        }
    ]
    for thread, name in p.threads.items():
        said.append(
            {"ph": "M", "name": "thread_name", "pid": p.process, "tid": numbers[thread],
             "args": {"name": name}}
        )  # fmt: skip
    slices: list[dict[str, Any]] = []
    for thread, number in numbers.items():
        events = sorted(
            (e for e in p.events if e.thread == thread), key=lambda e: (e.start, -e.end)
        )
        for name, category, start, end, args in [*_modules(events), *map(_op, events)]:
            slices.append(
                {
                    "name": name,
                    "cat": category,
                    "ph": "X",
                    "ts": (start - p.began) / 1e3,
                    "dur": (end - start) / 1e3,
                    "pid": p.process,
                    "tid": number,
                    "args": args,
                }
            )
    slices.sort(key=lambda s: (s["tid"], s["ts"], -s["dur"]))
    return {"traceEvents": said + slices, "displayTimeUnit": "ms"}


Slice = tuple[str, str, int, int, dict[str, Any]]


def _op(e: Event) -> Slice:
    name = f"{e.name} backward" if e.kind == "backward" else e.name
    args: dict[str, Any] = {"arrays": e.shapes, "flops": e.flops, "bytes": e.nbytes}
    if e.at is not None:
        args["at"] = e.place
    if e.scope:
        args["module"] = "/".join(e.scope)
    return name, e.kind, e.start, e.end, args


def _modules(events: list[Event]) -> Iterator[Slice]:
    """A slice around neighbouring events of one module, and one around those for its parent."""
    open_: list[list[Any]] = []  # [name, kind, start, end], outermost first
    for event in (e for e in events if not e.depth):
        path = event.scope
        same = 0
        for (name, kind, *_), now in zip(open_, path, strict=False):
            if name != now or kind != event.kind:
                break
            same += 1
        yield from (_closed(each) for each in open_[same:])
        del open_[same:]
        open_ += [[name, event.kind, event.start, event.end] for name in path[same:]]
        for each in open_:
            each[3] = event.end
    yield from map(_closed, open_)


def _closed(each: list[Any]) -> Slice:
    name, kind, start, end = each
    return (f"{name} backward" if kind == "backward" else name), "module", start, end, {}
