"""A compiled step's calls of NumPy with nothing around them.

The lines of a program are the calls that a step makes. Replayed back to back they take what a step
would take if Python did nothing but call; its matrix products alone, what it would take if all else
were free.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

import numpy as np

from minigrad.backend.blas_threads import blas_threads
from minigrad.profiler import Profile, Roofline, roofline

Call = tuple[Callable[..., Any], tuple[Any, ...]]

PRODUCTS, UPDATE, EXCHANGE = "products", "update", "exchange"
ELEMENTWISE, COPIES, KERNELS = "elementwise", "copies", "kernels"
KINDS = {
    PRODUCTS: "of matrices",
    ELEMENTWISE: "and sums over axes",
    COPIES: "of what is put together or looked up",
    KERNELS: "called whole: softmax with cross entropy, attention, sums over ids",
    UPDATE: "by the optimiser",
    EXCHANGE: "of gradients between processes, and waiting for the other one",
}
OPERATIONS, STEP, CALLS, PRODUCTS_ALONE = "GFLOP", "step", "calls", "products alone"


def kind(line: Any) -> str:
    """What a line of a program does: one of KINDS."""
    function = next(filter(callable, line.args[:1]), line.function)  # or what that one calls
    if function in (np.dot, np.matmul):
        return PRODUCTS
    if line.op == "sweep":
        return UPDATE
    if str(function.__module__).startswith("minigrad.parallel"):
        return EXCHANGE
    if isinstance(getattr(function, "__self__", function), np.ufunc):  # add, and add.reduce
        return ELEMENTWISE
    copying = (operator.setitem, np.copyto, np.take, np.ndarray.take, np.concatenate)
    return COPIES if function in copying else KERNELS


class Calls(Profile):
    """A profile that keeps the calls of the program that is replayed in it, and what they are."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[str, Call]] = []

    def line(self, line: Any, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.made.append((kind(line), (function, args)))
        function(*args)


def calls_of(step: Callable[[], Any]) -> list[tuple[str, Call]]:
    """Of one replay; those of branches on several threads one after the other."""
    calls = Calls()
    while not calls.made:  # a step of new shapes is recorded, and not replayed
        with calls:
            step()
    return calls.made


def operations(made: Iterable[tuple[str, Call]]) -> float:
    """GFLOP of the products; a multiplication and an addition are two."""
    products = (args for what, (_, args) in made if what == PRODUCTS)
    return sum(2e-9 * out.size * a.shape[-1] for a, _, out in products)


def replayed(calls: Iterable[Call]) -> float:
    """Milliseconds of calls back to back."""
    begin = perf_counter()
    for function, args in calls:
        function(*args)
    return 1e3 * (perf_counter() - begin)


def by_kind(made: Iterable[tuple[str, Call]]) -> dict[str, float]:
    """Milliseconds of calls by what they do, with the clock around each."""
    found: dict[str, float] = defaultdict(float)
    for what, (function, args) in made:
        begin = perf_counter()
        function(*args)
        found[what] += 1e3 * (perf_counter() - begin)
    return found


def alone(step: Callable[[], Any]) -> dict[str, float]:
    """One step's GFLOP, and milliseconds: of it, its calls, each kind, its products alone.

    The kinds add up to all calls: what the clock takes is taken off in proportion. The products
    come last, as they overwrite what other lines read; the next step makes all of it anew.
    """
    with blas_threads(1):
        made = calls_of(step)
        whole = replayed([(step, ())])
        total = replayed([call for _, call in made])
        kinds = by_kind(made)
        products = replayed([call for what, call in made if what == PRODUCTS])
    share = total / sum(kinds.values())
    shares = {what: time * share for what, time in kinds.items()}
    times = {STEP: whole, CALLS: total, PRODUCTS_ALONE: products, **shares}
    return {OPERATIONS: operations(made), **times}


def measured(
    parts: dict[str, Any], seconds: float, decide: Callable[[bool], bool], group: Any
) -> dict[str, Any]:
    """The answer of a worker: of each part, one `alone` after the other until the end, per op.

    "roofline": what these processes reach at best, all at once.
    """
    found: dict[str, list[Any]] = {}
    for name, (run, count, _) in parts.items():
        turns, end = [alone(run)], perf_counter() + seconds / len(parts)
        while decide(perf_counter() < end):
            turns.append(alone(run))
        found[name] = [{what: n / count for what, n in turn.items()} for turn in turns]
    roof = list(roofline()) if group is None else group.sums(*roofline())
    return {"alone": found, "roofline": dict(zip(Roofline._fields, roof, strict=True))}
