"""Files: arrays by name in safetensors, and checkpoints of a whole run. Nothing is ever pickled."""

from __future__ import annotations

from minigrad.io.arrays import load_safetensors, read_metadata, save_safetensors
from minigrad.io.atomic import atomic_write
from minigrad.io.checkpoint import load_checkpoint, save_checkpoint
from minigrad.io.folder import Folder

__all__ = [
    "Folder",
    "atomic_write",
    "load_checkpoint",
    "load_safetensors",
    "read_metadata",
    "save_checkpoint",
    "save_safetensors",
]
