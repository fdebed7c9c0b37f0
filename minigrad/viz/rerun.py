"""The values behind a tape: what it saved, and the rest computed once more, with its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..backend import NAMESPACES, get_rng_state, set_rng_state
from ..engine import Node, Tensor, no_grad
from .tape import Tape

SHORT = 1e-3  # seconds; what is faster is timed a second time

Known = dict[tuple[Node, int], Any]


def rerun(tape: Tape) -> Iterator[tuple[Node, Known, float | None]]:
    """(line, what is known so far, seconds of its kernel) in order of evaluation.

    Each line is run once more on its inputs, without recording; a value that the tape saved stays
    the one that is used. Random numbers are where they were afterwards.
    """
    known: Known = {}
    for node in tape.keys:
        if node.outputs is not None:
            for slot, value in enumerate((node.outputs,) if node.many is None else node.outputs):
                known[node, slot] = value
        for (of, slot), value in zip(tape.sources(node), node.inputs or (), strict=False):
            if isinstance(of, Node) and type(value) in NAMESPACES:
                known.setdefault((of, slot), value)
    state = get_rng_state()
    try:
        with no_grad():
            for node in tape.lines:
                seconds = _compute(tape, node, known)
                yield node, known, seconds
    finally:
        set_rng_state(state)


def _compute(tape: Tape, node: Node, known: Known) -> float | None:
    if node.op.arity == 0:
        return None  # a checkpoint: its value is known if another line saved it
    arguments = []
    for i, (of, slot) in enumerate(tape.sources(node)):
        saved = node.inputs[i] if node.inputs is not None else None
        if isinstance(of, Node):
            value = known.get((of, slot))
        elif of is None:
            value = saved
        else:
            tensor = of if isinstance(of, Tensor) else of()
            value = saved if tensor is None else tensor.data
        if isinstance(value, tuple) or (value is None and of is not None):
            return None  # a constant that is gone: this value stays unknown
        arguments.append(value)
    start = time.perf_counter()
    out = node.op(*arguments, **node.params)
    seconds = time.perf_counter() - start
    for slot, value in enumerate(out if isinstance(out, tuple) else (out,)):
        known.setdefault((node, slot), value)
    if seconds < SHORT:
        start = time.perf_counter()
        node.op(*arguments, **node.params)
        seconds = min(seconds, time.perf_counter() - start)
    return seconds
