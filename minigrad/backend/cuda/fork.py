"""Independent parts of a step on streams of their own, also inside the capture of a graph."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from minigrad.backend.threads import branching, in_branch


class Sides:
    """The streams beside a GPU's main one, made when they are first needed."""

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.streams: list[Any] = []

    def run(self, branches: Sequence[Callable[[], Any]]) -> list[Any]:
        """The results of independent functions: the first on the current stream, each other beside.

        A branch begins when what was asked of the GPU before is done, and what is asked of it
        afterwards waits for all of them: events order the streams, and the host waits for nothing.
        A fork inside a branch runs in order.

        Memory is reused in the order of the stream that it was made on. So what a branch frees must
        be its own: the caller holds whatever was there before, until this returns.
        """
        if in_branch() or len(branches) < 2:
            return [copy_context().run(branch) for branch in branches]
        while len(self.streams) < len(branches) - 1:
            self.streams.append(self.cupy.cuda.Stream(non_blocking=True))
        with branching(), uncollected():
            return self._apart(branches)

    def _apart(self, branches: Sequence[Callable[[], Any]]) -> list[Any]:
        main = self.cupy.cuda.get_current_stream()
        begun = self._mark(main)
        results = [copy_context().run(branches[0])]
        for branch, side in zip(branches[1:], self.streams, strict=False):
            side.wait_event(begun)
            try:
                with side:
                    results.append(copy_context().run(branch))
            finally:  # also where it failed: a capture ends only when all streams have come back
                main.wait_event(self._mark(side))
        return results

    def _mark(self, stream: Any) -> Any:
        """An event that is done when all that `stream` was asked so far is."""
        return stream.record(self.cupy.cuda.Event(disable_timing=True))


@contextmanager
def uncollected() -> Iterator[None]:
    """No cyclic garbage is collected inside: it could hold memory, graphs or events."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
