"""Samples of conditional random fields: all paths, one by one."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ...engine import OPS
from .sample import Sample, real


def _scores(emissions: Any, transitions: Any, start: Any, end: Any) -> dict[Any, Any]:
    """The score of each path of one sequence, (n, K)."""
    n, K = emissions.shape
    found = {}
    for path in itertools.product(range(K), repeat=n):
        score = sum(emissions[t, k] for t, k in enumerate(path))
        score += sum(transitions[pair] for pair in itertools.pairwise(path))
        found[path] = score + (start[path[0]] + end[path[-1]] if n else 0)
    return found


def _crf(emissions: Any, transitions: Any, start: Any, end: Any, steps: Any) -> Any:
    y = [
        np.log(sum(np.exp(s) for s in _scores(emissions[:n, b], transitions, start, end).values()))
        for b, n in enumerate(steps)
    ]
    return np.array(y, emissions.dtype)


def _viterbi(emissions: Any, transitions: Any, start: Any, end: Any, steps: Any) -> Any:
    tags = np.full(emissions.shape[:2], -1)
    best = np.zeros(len(steps), emissions.dtype)
    for b, n in enumerate(steps):
        scores = _scores(emissions[:n, b], transitions, start, end)
        path = max(scores, key=scores.__getitem__)
        tags[:n, b], best[b] = path, scores[path]
    return tags, best


CHAIN = real(3, 3), real(3), real(3)
FORBIDDEN = np.array([[0.5, -np.inf, 1], [0.1, -1, -np.inf], [0, 0.3, 0.2]])

SAMPLES = [
    Sample("crf", (real(4, 3, 3), *CHAIN, np.array([4, 2, 1])), _crf, call=OPS["crf"]),
    Sample("crf", (real(2, 2, 3), *CHAIN, np.array([2, 0])), _crf, call=OPS["crf"], label="empty"),
    Sample(
        "crf",
        (real(3, 1, 3), FORBIDDEN, *CHAIN[1:], np.array([3])),
        _crf,
        call=OPS["crf"],
        label="forbidden",
        constant=(1,),
    ),
    Sample(
        "viterbi",
        (real(4, 4, 3), *CHAIN, np.array([4, 0, 1, 3])),
        _viterbi,
        orders=(),
        call=OPS["viterbi"],
    ),
]
