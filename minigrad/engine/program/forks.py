"""What each thread gets of a fork.

Branches that wait for a thread keep room that none of them needs yet. So as many lists of lines run
beside one another as there are threads.
"""

from __future__ import annotations

import numpy as np

from ...backend.threads import get_num_threads
from .line import Line
from .memory import Ref, leaves


def shared(lines: list[Line]) -> list[Line]:
    """The lines, with the branches of each fork shared out among the threads."""
    for line in lines:
        if line.branches:
            line.branches = _shares(line.branches, get_num_threads())
    return lines


def _shares(branches: list[list[Line]], count: int) -> list[list[Line]]:
    """At most so many lists of about the same work: what takes longest is given away first."""
    shares: list[list[Line]] = [[] for _ in branches[:count]]
    for branch in sorted(branches, key=_work, reverse=True):
        min(shares, key=_work).extend(branch)
    return shares


def _work(lines: list[Line]) -> float:
    """About how many µs they take."""
    return sum(1 + _elements(line) / 3e3 for line in lines)


def _elements(line: Line) -> float:
    """How many elements it touches; a product takes as long as elementwise work on 1/13 of them."""
    refs = [leaf for leaf in leaves((line.args, line.kwargs)) if type(leaf) is Ref]
    if line.function is np.matmul:
        a, _, out = refs
        return out.size * a.shape[-1] / 13
    return sum(ref.size for ref in refs)
