"""`Interrupt`: Ctrl-C and SIGTERM wait until a run can be left and taken up again."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any, Self


class Interrupt:
    """While entered, a first Ctrl-C or SIGTERM is noted and acts in `check`; a second acts at once.

    So no batch is cut in half, with some parameters updated and others not. Signals for which the
    program has a handler of its own are left to it, as are all of them outside the main thread.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number, usual in (
                (signal.SIGINT, signal.default_int_handler),
                (signal.SIGTERM, signal.SIG_DFL),
            ):
                if signal.getsignal(number) is usual:
                    self._before[number] = usual
                    signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self.__exit__()
        # Not print: its buffer may be in use where the signal came
        os.write(2, b"\nstopping after this batch; once more to stop at once\n")

    def check(self) -> None:
        """Act on a signal that came: KeyboardInterrupt, or SystemExit for SIGTERM."""
        if self.received == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is not None:
            raise SystemExit(128 + self.received)
