"""How time and memory grow: against T, batch, hidden size, vocabulary, layers, length of the tape.

Along an axis everything else stays small. A process per implementation and axis takes the sizes in
ascending order, in turns with the others. The slope of log time, or log memory, over log size is
fitted to the three largest sizes: 1 is linear. What grows faster than it should is marked.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import report, targets
from .frameworks import IMPLEMENTATIONS
from .runner import Config, DiedError, Process
from .workloads import WORKLOADS, Workload

BASE = Workload(
    "growth",
    "character language model",
    "language_model",
    {"V": 65, "E": 64, "H": 64, "L": 1, "B": 8, "T": 32},
)
AXES: dict[str, tuple[str, tuple[int, ...]]] = {  # name → (size, values)
    "T": ("T", (16, 64, 256, 1024, 4096)),
    "batch": ("B", (4, 16, 64, 256, 1024)),
    "hidden": ("H", (64, 128, 256, 512, 1024)),
    "vocabulary": ("V", (100, 1_000, 10_000, 100_000)),
    "layers": ("L", (1, 2, 4, 8, 16)),
    "tape": ("chain", (100, 1_000, 10_000, 100_000)),
}
CHAIN_PART = "multiply both"
MEASURED = ("eager", "compiled", "torch-1")
TAIL = 3  # sizes that a slope is fitted to
LEAST_MB = 1.0  # below, memory is noise


def slope(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Of log values over log sizes, by least squares, at the largest sizes; nan for too few."""
    pairs = [(s, v) for s, v in zip(sizes, values, strict=True) if v > 0][-TAIL:]
    if len(pairs) < 2:
        return math.nan
    x, y = np.log(np.array(pairs)).T
    return float(np.polyfit(x, y, 1)[0])


def limit(axis: str) -> float:
    """The largest slope that is no surprise."""
    return targets.SLOPES.get(axis, 1.0) + targets.SLACK


def along(axis: str, config: Config, names: Sequence[str], say: Callable[[str], None]) -> Any:
    """name → {"ms": […], "mb": […]}, or {"failed": why}."""
    size, values = AXES[axis]
    workload = WORKLOADS["W8"] if axis == "tape" else BASE
    part = CHAIN_PART if axis == "tape" else ""
    found: dict[str, dict[str, Any]] = {name: {"ms": [], "mb": [], "loss": []} for name in names}
    running: dict[str, Process] = {}
    order = random.Random(config.seed)

    def drop(name: str, why: str) -> None:
        say(f"  {name}: {why.splitlines()[0]}")
        found[name]["failed"] = why.splitlines()[0]
        if name in running:
            running.pop(name).close()

    def attempt(name: str, what: Callable[[], Any]) -> dict[str, Any]:
        try:
            answer = what()
        except DiedError as error:
            answer = {"error": str(error)}
        why = answer.get("error") or answer.get("skip")
        if why:
            drop(name, why)
            return {}
        return dict(answer)

    try:
        for name in names:
            running[name] = process = Process(IMPLEMENTATIONS[name], workload, config)
            attempt(name, lambda process=process: process.hello)
        for value in values:
            for name in order.sample(sorted(running), len(running)):
                given = {"sizes": {size: value}, "part": part}
                answer = attempt(
                    name, lambda name=name, given=given: running[name].ask("point", **given)
                )
                for key in answer:
                    found[name][key].append(answer[key])
    finally:
        for process in running.values():
            process.close()
    return {"size": size, "values": values, "implementations": found}


def measure(config: Config, *, quick: bool = False, say: Callable[[str], None] = print) -> Any:
    """All axes."""
    names = [name for name in MEASURED if name in config.implementations]
    result = {}
    for axis, (_, values) in AXES.items():
        say(f"growth with {axis}: {', '.join(map(str, values))}")
        result[axis] = along(axis, config, names, say)
    return result


def rows(axis: str, told: Any) -> list[list[str]]:
    """Two rows per implementation: time and memory."""
    body = []
    for name, entry in told["implementations"].items():
        for key, unit in (("ms", "ms"), ("mb", "MB")):
            values = entry[key]
            steep = slope(told["values"][: len(values)], values)
            if key == "mb" and max(values, default=0) < LEAST_MB:
                steep = math.nan
            mark = " **steep**" if steep > limit(axis) else ""
            missing = ["–"] * (len(told["values"]) - len(values))
            cells = [f"{v:.1f}" if v >= 1 else f"{v:.2f}" for v in values] + missing
            body.append([IMPLEMENTATIONS[name].title, unit, *cells, f"{steep:.2f}{mark}"])
    return body


def text(result: Any) -> str:
    """The report."""
    base = ", ".join(f"{key} {value}" for key, value in BASE.size.items())
    about = (
        f"A training step of the language model ({base}) with one size changed at a time; tape: a "
        "chain of products of 8 x 8 matrices, forward and backward. ms: the quickest step; MB: the "
        "peak beyond the memory after the import. The slope of the logarithms is fitted to "
        f"the {TAIL} largest sizes: 1 is linear; products grow as the square of the hidden size.\n"
    )
    parts = [report.heading(result, "How time and memory grow"), about]
    for axis, told in result["growth"].items():
        head = [axis, "", *(f"{value:,}" for value in told["values"]), "slope"]
        parts.append(report.table(head, rows(axis, told)) + "\n")
        for name, entry in told["implementations"].items():
            if "failed" in entry:
                parts.append(f"- {IMPLEMENTATIONS[name].title}: {entry['failed']}\n")
    return "\n".join(parts)
