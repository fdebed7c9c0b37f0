"""Samples of CTC: alignments counted one by one."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ...engine import OPS
from .sample import Sample, real


def _collapsed(path: Any, blank: int) -> list[int]:
    return [int(c) for c, _ in itertools.groupby(path) if c != blank]


def _ctc(log_probs: Any, targets: Any, frames: Any, labels: Any, *, blank: int) -> Any:
    _, N, C = log_probs.shape
    y = np.zeros(N, log_probs.dtype)
    for n in range(N):
        p = np.exp(log_probs[: frames[n], n])
        wanted = targets[n, : labels[n]].tolist()
        paths = itertools.product(range(C), repeat=int(frames[n]))
        y[n] = sum(
            np.prod([p[t, c] for t, c in enumerate(path)])
            for path in paths
            if _collapsed(path, blank) == wanted
        )
    return -np.log(y)


def _sample(label: str, log_probs: Any, *integers: Any, blank: int = 0) -> Sample:
    return Sample(
        "ctc",
        (log_probs, *map(np.array, integers)),
        _ctc,
        {"blank": blank},
        call=OPS["ctc"],
        label=label,
    )


SAMPLES = [
    _sample("lengths", real(4, 3, 3), [[1, 2], [2, 2], [1, -7]], [4, 3, 2], [2, 2, 1]),
    _sample("no labels", real(3, 2, 2), [[1], [9]], [3, 2], [1, 0]),
    _sample("no frames", real(2, 2, 2), [[1], [0]], [2, 0], [1, 0]),
    _sample("another blank", real(3, 1, 3), [[0, 1]], [3], [2], blank=2),
]
