"""What a Trainer asks of the things it is given. `DataLoader` and `io.Folder` fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Loader(Protocol):
    """An iterable of batches that can say and restore its position."""

    def __iter__(self) -> Any: ...
    def __len__(self) -> int: ...
    def state_dict(self) -> Mapping[str, Any]: ...
    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class Store(Protocol):
    """Where checkpoints and the history go; `minigrad.io.Folder` is one."""

    def save(self, name: str, state: Mapping[str, Any]) -> Any: ...
    def load(self, name: str) -> Any: ...
    def exists(self, name: str) -> bool: ...
    def write_text(self, name: str, text: str) -> Any: ...


Step = Callable[[Any, Any, Any], Any]  # (model, batch, carry) → loss, or (loss, carry)
