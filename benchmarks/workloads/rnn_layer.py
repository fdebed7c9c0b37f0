"""An LSTM or a GRU alone, in one or two directions: what cuDNN is made for."""

from __future__ import annotations

from types import SimpleNamespace as Size
from typing import Any

import numpy as np

from . import Batch, recurrent

axes = (1, 1)
GATES = {"LSTM": 4, "GRU": 3}


def kind(s: Size) -> str:
    """The layer's name: a size is a number, so gates tell."""
    return {gates: name for name, gates in GATES.items()}[s.gates]


def shapes(s: Size) -> dict[str, tuple[int, ...]]:
    """The weights."""
    ends = ("_l0", "_l0_reverse")[: s.directions]
    return {
        name.removeprefix("."): shape for name, shape in recurrent("", s.gates, s.H, s.H, *ends)
    }


def batch(s: Size, rng: Any) -> Batch:
    """Inputs (T, B, H), and where the outputs should go."""
    x = rng.standard_normal((s.T, s.B, s.H), np.float32)
    return x, rng.standard_normal((s.T, s.B, s.directions * s.H), np.float32)


def floor(s: Size, bytes_each: int) -> tuple[float, float]:
    """Floating-point operations and bytes that a step cannot do without.

    Products: forward, and twice as many backward. Bytes: inputs, outputs, targets and activated
    gates written and read once each way; weights read twice, and Adam's seven passes.
    """
    weights = s.directions * s.gates * s.H * 2 * s.H
    rows = s.T * s.B
    moved = rows * (4 * s.H + s.directions * s.H * (4 + 2 * s.gates)) + 9 * weights
    return 6.0 * rows * weights, float(moved * bytes_each)


def in_minigrad(s: Size) -> Any:
    """The layer."""
    from minigrad import nn

    layer = getattr(nn, kind(s))(s.H, s.H, bidirectional=s.directions == 2)
    return layer, lambda layer, x, y: nn.functional.mse_loss(layer(x)[0], y)


def in_torch(s: Size) -> Any:
    """The layer: on a GPU this is cuDNN's."""
    from torch import nn

    layer = getattr(nn, kind(s))(s.H, s.H, bidirectional=s.directions == 2)
    return layer, lambda layer, x, y: nn.functional.mse_loss(layer(x)[0], y)
