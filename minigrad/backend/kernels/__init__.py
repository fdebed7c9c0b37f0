"""Fused kernels for GPUs: one CUDA source each, and what it computes, in NumPy.

An op asks `fused(xp, "lstm_forward", dtype)`; on the CPU, or for a dtype without kernels, the
answer is None and it goes on with its neutral text. The strict device answers like a GPU, so what
an op does with a kernel is tested on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minigrad.backend.kernels import attention, gates, persist, products, rows, segments
from minigrad.backend.kernels.kernel import INTEGERS, TYPES, Kernel

__all__ = ["FUSED", "Kernel", "fused", "kernels"]

FUSED: dict[str, Callable[..., Any]] = {
    "additive_backward": attention.additive_backward,
    "additive_scores": attention.additive_scores,
    "cross_entropy": rows.cross_entropy,
    "extreme_at": segments.extreme_at,
    "gru_backward": gates.gru_backward,
    "gru_forward": gates.gru_forward,
    "gru_persistent": partial(persist.forward, persist.GRU),
    "gru_persistent_backward": partial(persist.backward, persist.GRU),
    "layer_norm_backward": rows.layer_norm_backward,
    "layer_norm_forward": rows.layer_norm_forward,
    "lstm_backward": gates.lstm_backward,
    "lstm_forward": gates.lstm_forward,
    "lstm_persistent": partial(persist.forward, persist.LSTM),
    "lstm_persistent_backward": partial(persist.backward, persist.LSTM),
    "rnn_backward": gates.rnn_backward,
    "rnn_forward": gates.rnn_forward,
    "rnn_persistent": partial(persist.forward, persist.RNN),
    "rnn_persistent_backward": partial(persist.backward, persist.RNN),
    "sum_rows": segments.sum_rows,
}
"""Name → the function that launches the kernel."""
_WHOLE = ("extreme_at", "sum_rows")  # those that take whole numbers, too


def fused(name: str, dtype: Any) -> Callable[..., Any] | None:
    """The kernel's function for arrays of `dtype`, or None."""
    kind = np.dtype(dtype).name
    return FUSED.get(name) if kind in TYPES or (kind in INTEGERS and name in _WHOLE) else None


def kernels() -> list[Kernel]:
    """All kernels, for tests that compile each."""
    from minigrad.backend.kernels import draws

    modules = (attention, draws, gates, products, rows, segments)
    found = {id(k): k for m in modules for k in vars(m).values() if isinstance(k, Kernel)}
    every = *found.values(), *persist.variants()
    return sorted(every, key=lambda kernel: (kernel.file, kernel.name))
