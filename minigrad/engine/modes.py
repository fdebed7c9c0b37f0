"""What is switched on in this context: recording, anomaly detection, module scope.

One immutable `Modes` value lives in one `ContextVar`, so threads and asyncio tasks never see
each other's settings, and every context manager restores the old value even when its body raises.
"""

from __future__ import annotations

import inspect
import itertools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeVar

import numpy as np

PACKAGE = str(Path(__file__).resolve().parent.parent) + os.sep

F = TypeVar("F", bound=Callable[..., Any])


class Modes:
    """The switches that an op reads once per call. Never changed: `replace` makes others.

    Attributes:
        grad: record a line on the tape when an input requires grad.
        anomaly: look for the first NaN.
        scope: names of the modules being called, outermost first.
        recorder: writes down the program of `mg.compile`.
        profiler: measures what runs.
        unwatched: neither of these two is there.
        usual: record a line, and look for nothing.
    """

    __slots__ = (
        *("_inside", "anomaly", "grad", "profiler", "recorder", "scope", "unwatched", "usual"),
    )

    def __init__(
        self,
        grad: bool = True,
        anomaly: bool = False,
        scope: tuple[str, ...] = (),
        recorder: Any = None,
        profiler: Any = None,
    ) -> None:
        self.grad, self.anomaly, self.scope, self.recorder = grad, anomaly, scope, recorder
        self.profiler, self.unwatched = profiler, recorder is None and profiler is None
        self.usual = grad and not anomaly and self.unwatched
        self._inside: dict[str, Modes] = {}

    def replace(self, **changes: Any) -> Modes:
        """The same, but for these."""
        names = ("grad", "anomaly", "scope", "recorder", "profiler")
        return Modes(**{**{name: getattr(self, name) for name in names}, **changes})

    def inside(self, name: str) -> Modes:
        """One scope further in. Remembered: the same modules are called in each step."""
        found = self._inside.get(name)
        if found is None:
            found = self._inside[name] = self.replace(scope=(*self.scope, name))
        return found

    def deriving(self, scope: tuple[str, ...]) -> Modes:
        """While a rule of a line in `scope` runs: "∂" and that scope; "∂∂" for a line of a rule."""
        again = scope[:1] and scope[0].strip("∂") == ""
        inside = ("∂" + scope[0], *scope[1:]) if again else ("∂", *scope)
        return Modes(True, self.anomaly, inside, self.recorder, self.profiler)


MODES: ContextVar[Modes] = ContextVar("minigrad.modes", default=Modes())  # noqa: B039 (constant)


class switched(ContextDecorator):  # noqa: N801 (used like a function)
    """Other modes inside, the old ones after, also when the body raises."""

    def __init__(self, **changes: Any) -> None:
        self._changes = changes

    def __enter__(self) -> None:
        self._token = MODES.set(MODES.get().replace(**self._changes))

    def __exit__(self, *exception: object) -> None:
        MODES.reset(self._token)

    def _recreate_cm(self) -> switched:  # a decorated function enters anew in each call
        return switched(**self._changes)

    def __call__(self, function: F) -> F:
        if inspect.isgeneratorfunction(function) or inspect.iscoroutinefunction(function):
            raise TypeError(
                f"{function.__name__} would run after the decorator's context has ended; "
                "use a with statement inside it"
            )
        return super().__call__(function)


def no_grad() -> switched:
    """Record nothing inside. Works as a context manager and as a decorator.

    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> with mg.no_grad():
    ...     (w * 2).requires_grad
    False
    """
    return switched(grad=False)


def enable_grad() -> switched:
    """Record inside, also within `no_grad`."""
    return switched(grad=True)


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Raise `AnomalyError` at the op that first makes a NaN, forward or backward.

    The error names the op, the shapes that went in and the line of your code that called it.
    Slower (each result is examined, and a GPU is synchronised): for hunting, not for training.

    >>> import minigrad as mg
    >>> x = mg.tensor([-1.0], requires_grad=True)
    >>> with mg.detect_anomaly():
    ...     mg.log(x)
    Traceback (most recent call last):
    ...
    minigrad.errors.AnomalyError: log made the first NaN ...
    """
    with np.errstate(all="ignore"), switched(anomaly=True):  # the error says more than a warning
        yield


@contextmanager
def scope(name: str) -> Iterator[None]:
    """Name the lines recorded inside: pictures draw them as one cluster.

    Modules push their own name; use it for parts of a function.
    """
    with switched(scope=(*MODES.get().scope, name)):
        yield


def is_grad_enabled() -> bool:
    """Whether ops record in this context."""
    return MODES.get().grad


INSIDE: set[str] = set()  # files of this package, and of users, that were met: a look here takes
OUTSIDE: set[str] = set()  # half the time of looking at the name

tick = itertools.count(1).__next__  # the tape's clock; atomic under the GIL

Place = tuple[str, int]  # file name, line number


def user_frame(depth: int = 2) -> tuple[CodeType, int] | None:
    """Code and instruction of the innermost caller outside this package; `place` decodes it.

    The search starts `depth` calls up: each frame that is looked at costs.
    """
    try:
        frame = sys._getframe(depth)
    except ValueError:  # the top of a script
        frame = sys._getframe(1)
    return user_call(frame)


def user_call(frame: FrameType | None) -> tuple[CodeType, int] | None:
    """`user_frame`, from this frame on."""
    while frame is not None:
        file = frame.f_code.co_filename
        if file in INSIDE:
            frame = frame.f_back
        elif file in OUTSIDE:
            return frame.f_code, frame.f_lasti
        else:
            (INSIDE if file.startswith(PACKAGE) else OUTSIDE).add(file)
    return None


def place(at: tuple[CodeType, int] | None) -> Place | None:
    """File and line of what `user_frame` found."""
    if at is None:
        return None
    code, instruction = at
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= instruction < end and number is not None:
            line = number
    return code.co_filename, line


def user_place() -> Place | None:
    """File and line of the innermost caller outside this package."""
    return place(user_frame())


def show(place: Place | None) -> str:
    """`file.py:12`, for an error message."""
    return f"{place[0]}:{place[1]}" if place else "an unknown line"
