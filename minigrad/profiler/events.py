"""`Event`: one thing that ran."""

from __future__ import annotations

from dataclasses import dataclass
from types import CodeType

from ..engine.modes import place, show


@dataclass(frozen=True, slots=True)
class Event:
    """One run of an op's kernel, of the rule of a line, or of other code on arrays.

    Attributes:
        name: of the op, or of the function.
        kind: "forward", "backward", or "update" for code that is no op, such as an optimiser's.
        start, end: nanoseconds of `time.perf_counter_ns`.
        own: nanoseconds of it that no event inside it accounts for.
        thread: identifier of the thread it ran on.
        depth: how many events of its thread it ran inside of.
        scope: the modules that were being called, outermost first.
        at: the user's call; see `place`.
        shapes: shapes and dtypes of the arrays it read, as text.
        flops: floating-point operations, a multiplication and an addition being two.
        nbytes: of the arrays it read and made: the least that memory has to move.
    """

    name: str
    kind: str
    start: int
    end: int
    own: int
    thread: int
    depth: int
    scope: tuple[str, ...]
    at: tuple[CodeType, int] | None
    shapes: str
    flops: float
    nbytes: int

    @property
    def place(self) -> str:
        """File and line of the user's code: `train.py:12`."""
        return show(place(self.at)).rsplit("/", 1)[-1]
