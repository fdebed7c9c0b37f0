"""Files: arrays by name in safetensors, and checkpoints of a whole run. Nothing is ever pickled."""

from __future__ import annotations

from minigrad.io.arrays import load_safetensors, read_metadata, save_safetensors
from minigrad.io.atomic import atomic_write
from minigrad.io.checkpoint import load_checkpoint, save_checkpoint
from minigrad.io.folder import Folder
from minigrad.io.weights_chainer import from_chainer, load_chainer, save_chainer, to_chainer
from minigrad.io.weights_keras import from_keras, load_keras, save_keras, to_keras
from minigrad.io.weights_torch import load_torch, save_torch

__all__ = [
    "Folder",
    "atomic_write",
    "from_chainer",
    "from_keras",
    "load_chainer",
    "load_checkpoint",
    "load_keras",
    "load_safetensors",
    "load_torch",
    "read_metadata",
    "save_chainer",
    "save_checkpoint",
    "save_keras",
    "save_safetensors",
    "save_torch",
    "to_chainer",
    "to_keras",
]
