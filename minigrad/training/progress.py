"""What a run shows while it works: a bar where tqdm has a terminal to draw on, lines elsewhere."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

QUIET = 30.0  # seconds without a word, where there is no bar


class Progress:
    """The batches of an epoch, as they are gone through; this one shows nothing."""

    def __init__(self, batches: Iterable[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)

    def show(self, done: int, text: str) -> None:
        """`done` batches are done, and this is to be said about them."""

    def close(self) -> None:
        """The epoch is over, or was left."""


class Lines(Progress):
    """A line now and then: `epoch 3/14  batch 120/480  loss 1.8421`. Reads well in a log file."""

    def __init__(self, batches: Iterable[Any], total: int, label: str) -> None:
        super().__init__(batches)
        self.total, self.label = total, label
        self.spoke = time.monotonic()

    def show(self, done: int, text: str) -> None:
        now = time.monotonic()
        if now - self.spoke >= QUIET and done < self.total:
            self.spoke = now
            say(f"{self.label}  batch {done:>{len(str(self.total))}}/{self.total}  {text}")


class Bar(Progress):
    """A tqdm bar; it vanishes at the end of the epoch, whose line takes its place."""

    def __init__(self, batches: Iterable[Any], total: int, label: str, start: int) -> None:
        from tqdm import tqdm

        super().__init__(
            tqdm(batches, total=total, initial=start, desc=label, leave=False, unit="batch")
        )

    def show(self, done: int, text: str) -> None:
        self.batches.set_postfix_str(text, refresh=False)  # type: ignore[attr-defined]  # tqdm's

    def close(self) -> None:
        self.batches.close()  # type: ignore[attr-defined]


def track(batches: Any, *, start: int, label: str, show: bool) -> Progress:
    """The kind that suits the place: a bar, lines, or nothing."""
    if not show:
        return Progress(batches)
    if sys.stderr is not None and sys.stderr.isatty() and importlib.util.find_spec("tqdm"):
        return Bar(batches, len(batches), label, start)
    return Lines(batches, len(batches), label)


def summary(row: dict[str, Any], *, epochs: int, best: bool) -> str:
    """One epoch as a line.

    >>> row = {"epoch": 3, "train_loss": 1.8421, "valid_loss": 1.79, "lr": 0.002, "seconds": 12.34}
    >>> summary(row, epochs=14, best=True)
    'epoch  3/14  train_loss 1.8421  valid_loss 1.7900  lr 0.002  12.3 s  best'
    """
    parts = [f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"]
    for name, value in row.items():
        if name not in ("epoch", "seconds", "lr"):
            parts.append(f"{name} {_number(value)}")
    parts.append(f"lr {row['lr']:.2g}")
    parts.append(f"{row['seconds']:.1f} s")
    return "  ".join(parts) + ("  best" if best else "")


def say(text: str) -> None:
    """Print a line, now: a log file is read while it grows."""
    print(text, flush=True)  # noqa: T201 (its purpose)


def _number(value: Any) -> str:
    small = isinstance(value, float) and value != 0 and not 1e-3 <= abs(value) < 1e6
    return f"{value:.3e}" if small else f"{value:.4f}" if isinstance(value, float) else str(value)
