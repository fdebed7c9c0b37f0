"""How far each target can be reached here: what NumPy takes for a step, beside those who step.

All take turns, as in any run, so a floor is a ratio to PyTorch's time, as the targets are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from . import report, targets
from .alone import CALLS, KINDS, OPERATIONS, PRODUCTS_ALONE, STEP
from .frameworks import ALONE, IMPLEMENTATIONS, PEERS_BEST
from .report import Entry, Row, by_round
from .runner import Config, Measurement, told
from .workloads import Workload

NAMES = ("eager", "eager-2p", "compiled", "compiled-2p", "fast-2", "fast-2p", *PEERS_BEST)
ROUNDS, SECONDS = 5, 0.15
UNDIVIDED = ("W6", "W8")  # half of it costs as many calls


class Floors(Measurement):
    """A measurement in which the calls of a step take their turn, too."""

    def block(self, name: str, number: int) -> None:
        """A block, and after it one of calls alone: medians, by round."""
        super().block(name, number)
        if name not in self.running or not self.config.known[name].options.get("alone"):
            return
        answer = self.running[name].ask("alone", seconds=self.config.seconds)
        if not self.good(name, answer):
            return
        self.results[name]["roofline"] = answer["roofline"]
        kept = self.results[name].setdefault("alone", {})
        for part, turns in answer["alone"].items():
            for what in turns[0]:
                median = float(np.median([turn[what] for turn in turns]))
                kept.setdefault(what, {}).setdefault(part, {})[str(number)] = median


def names(workload: Workload, chosen: Sequence[str]) -> tuple[str, ...]:
    """Who is measured: those chosen that can, and NumPy."""
    known, module = IMPLEMENTATIONS | ALONE, workload.module
    found = [*chosen, "alone", "alone-2p"]
    if workload.name in UNDIVIDED:
        found = [n for n in found if not {"workers", "processes"} & set(known[n].options)]
    by_hand = hasattr(module, "in_numpy") or hasattr(module, "numpy_parts")
    return (*found, "by-hand") if by_hand else tuple(found)


def measure(
    workloads: Sequence[Workload], config: Config, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Those with targets one after the other, as `runner.measure` has them."""
    found = {}
    for workload in (w for w in workloads if w.name in targets.RATIOS):
        say(f"{workload.name}: {workload.title}")
        settings = replace(
            config,
            implementations=names(workload, config.implementations),
            rounds=min(config.rounds, ROUNDS),
            seconds=min(config.seconds, SECONDS),
            known=IMPLEMENTATIONS | ALONE,
            last=(),
        )
        found[workload.name] = told(workload, settings, Floors(workload, settings, say).run())
    return found


# -- the report ------------------------------------------------------------------------------------


class Found:
    """A workload's figures, as the tables want them."""

    def __init__(self, name: str, workload: Entry, roofs: dict[str, Entry]) -> None:
        self.name, self.told, self.roofs = name, workload["implementations"], roofs
        self.peer = report.best(self.told, PEERS_BEST)
        self.cores = 1 if name in UNDIVIDED else 2
        self.is_step = set(self.told.get("alone", {}).get("ms", {})) == {""}  # and not small ops

    def entry(self, name: str, what: str = "") -> Entry:
        """The times of an implementation, or of what it measured alone, as an entry has them."""
        one = self.told.get(name, {})
        if not what:
            return one
        return {"ms": one.get("alone", {}).get(what, {})} if self.is_step or what == CALLS else {}

    def median(self, name: str, what: str = "") -> float:
        """Milliseconds; nan where nothing was measured."""
        rounds = by_round(self.entry(name, what))
        return float(np.median([*rounds.values()])) if rounds else float("nan")

    def ratio(self, name: str, what: str = "") -> float:
        """To PyTorch at its best, by rounds."""
        told = {**self.told, "this": self.entry(name, what)}
        each = report.ratios(told, "this", self.peer)
        return float(np.median(each)) if each else float("nan")

    def products(self) -> float:
        """The floor of all columns: the products, on cores that are never idle."""
        return self.ratio("alone", PRODUCTS_ALONE) / self.cores

    def calls(self, column: str) -> float:
        """The floor of a column that is made of NumPy's calls."""
        if column == "fast":
            return float("nan")
        if column == "eager" and "by-hand" in self.told:
            return self.ratio("by-hand")
        return float(np.fmin(self.ratio("alone", CALLS), self.ratio("alone-2p", CALLS)))

    def speed(self, name: str) -> float:
        """FLOP/s of the products of one process, to the best that it can."""
        roof = self.roofs[name]["flops"] / (2 if name == "alone-2p" else 1)
        return 1e12 * self.median(name, OPERATIONS) / self.median(name, PRODUCTS_ALONE) / roof

    def step(self, name: str) -> float:
        """Milliseconds of a compiled step in turns with its calls; a tiny one among its like."""
        return self.median(name, STEP if name == "alone-2p" else "")

    def shares(self, name: str) -> list[float]:
        """Of a step's time: of each kind of calls, and of what is around them."""
        kinds = np.nan_to_num([self.median(name, kind) for kind in KINDS])
        inside = self.median(name, CALLS) / self.step(name)
        return [*(inside * kinds / kinds.sum()), 1 - inside]


def roofs(workloads: dict[str, Entry]) -> dict[str, Entry]:
    """What one process reached at best in this run, and two at once."""
    best: dict[str, Entry] = {}
    for workload in workloads.values():
        for name, entry in workload["implementations"].items():
            for what, value in entry.get("roofline", {}).items():
                one = best.setdefault(name, {})
                one[what] = max(value, one.get(what, 0.0))
    return best


def shown(value: float, form: str = "") -> str:
    """A number, or without a form a time in ms, in the unit that fits; nothing if there is none."""
    if np.isnan(value):
        return ""
    if form:
        return format(value, form)
    return f"{value:.3g} ms" if value >= 1 else f"{1e3 * value:.3g} µs"


def floors(found: Found) -> Row:
    """A row of the first table."""
    return (
        found.name,
        shown(found.median(found.peer or "")),
        shown(found.median("alone", OPERATIONS), ".2g"),
        shown(found.median("alone", PRODUCTS_ALONE)),
        shown(found.speed("alone"), ".0%"),
        shown(found.products(), ".2f"),
        shown(found.median("alone", CALLS)),
        shown(found.median("alone-2p", CALLS)),
        shown(found.calls("compiled"), ".2f"),
        shown(found.median("by-hand")),
    )


def verdict(what: str, wanted: float, here: float, products: float, calls: float) -> Row:
    """A row of the second table."""
    says = "met"
    if here > wanted:
        above = [n for n, f in (("products", products), ("calls", calls)) if f > wanted]
        says = f"missed: the {above[0]} alone take longer" if above else "missed"
    return what, f"≤ {wanted:g}", *(shown(x, ".2f") for x in (here, products, calls)), says


def verdicts(found: Found) -> Iterator[Row]:
    """Rows of the second table: each target, what is reached, and what is possible."""
    for column, wanted in targets.RATIOS[found.name].items():
        reached = [(found.ratio(n), n) for n in targets.COLUMNS[column] if found.ratio(n) > 0]
        for here, best in sorted(reached)[:1]:
            what = f"{found.name} {column} ({IMPLEMENTATIONS[best].title}) / PyTorch"
            yield verdict(what, wanted, here, found.products(), found.calls(column))
    for column, limits in targets.MICROSECONDS.items() if found.name == "W8" else ():
        least = found.entry("by-hand") if column == "eager" else found.entry("alone", CALLS)
        for direction, limit in limits.items():
            here, calls = (report.dearest(e, direction) for e in (found.entry(column), least))
            if here > 0:
                what = f"W8 {column} {direction}, µs, the dearest op"
                yield verdict(what, limit, here, float("nan"), calls)


def profile(found: Found) -> Row:
    """A row of the third table."""
    name = "alone-2p" if "alone-2p" in found.told else "alone"
    shares = [shown(share, ".0%") for share in found.shares(name)]
    title = f"{found.name}, {'half a batch' if name == 'alone-2p' else 'all of it'}"
    return title, shown(found.step(name)), *shares, shown(found.speed(name), ".0%")


HEADS = (
    (
        *("", "PyTorch", "GFLOP", "products", "of the roofline", "halved / PyTorch"),
        *("calls", "of half a batch", "/ PyTorch", "by hand"),
    ),
    ("", "target", "here", "products", "calls", ""),
    ("", "time", *KINDS, "around them", "products: of the roofline"),
)
ABOUT = """**Products**: all matrix products of a step, in the shapes and layouts of a program's,
one after the other, by NumPy on one core. Halved (but for W6 and W8, where half a batch takes as
many calls), they are a floor: no step with these products can be quicker on two cores, however it
is divided and whatever is around them. **Calls**: every call of NumPy that the program makes, back
to back on one core; and for half a batch, in two processes at once. The quicker one is what a step
would take if Python did nothing but call. **By hand**: a step without a framework, each call of
which makes a new array, as eager ones do: the floor of eager where it is written. With the extra
`fast` only products are NumPy's. In W3 the lengths of sentences are constants here, so that the
program has the calls inside the layer.
"""


def text(result: Entry) -> str:
    """The report."""
    best = roofs(result["floors"])
    roofline = "; ".join(
        f"{title}: {best[name]['flops'] * 1e-9:.0f} GFLOP/s in products, "
        f"{best[name]['bandwidth'] * 1e-9:.0f} GB/s in copies"
        for name, title in (("alone", "one core"), ("alone-2p", "two at once"))
        if name in best
    )
    found = [Found(name, workload, best) for name, workload in result["floors"].items()]
    tables = (
        ("Floors", [floors(f) for f in found if "alone" in f.entry("alone")]),
        ("Targets", [row for f in found for row in verdicts(f)]),
        ("Where a compiled step's time goes", [profile(f) for f in found if f.is_step]),
    )
    parts = [report.heading(result, "What NumPy takes for a step"), f"The roofline, {roofline}.\n"]
    parts.append(ABOUT)
    for (title, rows), head in zip(tables, HEADS, strict=True):
        parts.append(f"## {title}\n\n{report.table(head, rows)}\n")
    kinds = ", ".join(f"{kind} {what}" for kind, what in KINDS.items())
    parts.append(f"Shares of the time: {kinds}; around them is Python, and what it waits for.\n")
    absent = ((f.name, report.absent({"implementations": f.told})) for f in found)
    parts += [f"{name}:\n{reasons}" for name, reasons in absent if reasons]
    return "\n".join(parts)
