"""`Folder`: where a run keeps its checkpoints and texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigrad.io.arrays import PathLike
from minigrad.io.atomic import atomic_write
from minigrad.io.checkpoint import load_checkpoint, save_checkpoint

__all__ = ["Folder"]


class Folder:
    """A folder of checkpoints, `<name>.safetensors`, and text files; made when first written to.

    Each file is replaced in one step: a crash leaves the old one or the new one, whole.
    """

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)

    def checkpoint(self, name: str) -> Path:
        """The path of a checkpoint."""
        return self.path / f"{name}.safetensors"

    def save(self, name: str, state: Mapping[str, Any]) -> Path:
        """Write a checkpoint; returns its path."""
        self.path.mkdir(parents=True, exist_ok=True)
        save_checkpoint(self.checkpoint(name), dict(state))
        return self.checkpoint(name)

    def load(self, name: str) -> Any:
        """Read a checkpoint."""
        return load_checkpoint(self.checkpoint(name))

    def exists(self, name: str) -> bool:
        """Whether there is a checkpoint of this name."""
        return self.checkpoint(name).exists()

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file; returns its path."""
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / name
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return path

    def __repr__(self) -> str:
        return f"Folder({str(self.path)!r})"
