"""What a run shows while it works: a bar per epoch where tqdm is installed, and a line after it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator
from typing import Any


def bar(steps: Iterable[Any], *, total: int | None, start: int, label: str, show: bool) -> Any:
    """`steps` with a progress bar on a terminal; `set_postfix_str` shows the running loss."""
    if show and sys.stderr.isatty() and importlib.util.find_spec("tqdm"):
        from tqdm import tqdm

        return tqdm(steps, total=total, initial=start, desc=label, leave=False, unit="batch")
    return _Silent(steps)


class _Silent:
    def __init__(self, steps: Iterable[Any]) -> None:
        self.steps = steps

    def __iter__(self) -> Iterator[Any]:
        return iter(self.steps)

    def set_postfix_str(self, text: str, refresh: bool = True) -> None:
        pass

    def close(self) -> None:
        pass


def line(row: dict[str, Any], *, epochs: int, best: bool) -> str:
    """One epoch as a line: `epoch 3/14  train_loss 1.842  valid_loss 1.790  12.3 s  best`."""
    width = len(str(epochs))
    parts = [f"epoch {row['epoch']:>{width}}/{epochs}"]
    for name, value in row.items():
        if name in ("epoch", "seconds", "lr"):
            continue
        parts.append(f"{name} {value:.4f}" if isinstance(value, float) else f"{name} {value}")
    parts.append(f"lr {row['lr']:.2g}")
    parts.append(f"{row['seconds']:.1f} s")
    return "  ".join(parts) + ("  best" if best else "")
