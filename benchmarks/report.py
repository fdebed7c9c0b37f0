"""Figures out of measurements, and tables, a plot and files out of figures."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import machine, targets
from .frameworks import ALONE, IMPLEMENTATIONS, ON_CUDA, PEERS_BEST, REFERENCE

Entry = dict[str, Any]
Row = Sequence[str]


def quartiles(values: Any, digits: int = 2) -> str:
    """The median, and the quartiles in brackets."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def by_round(entry: Entry) -> dict[str, float]:
    """Milliseconds of each round; of a workload in parts, the geometric mean over the parts."""
    parts = list(entry.get("ms", {}).values())
    if not parts:
        return {}
    common = set.intersection(*(set(part) for part in parts))
    return {
        number: float(np.exp(np.mean([np.log(part[number]) for part in parts])))
        for number in sorted(common, key=int)
    }


def best(implementations: dict[str, Entry], names: Sequence[str]) -> str | None:
    """The one with the least median."""
    rounds = {name: by_round(implementations.get(name, {})) for name in names}
    medians = {name: np.median([*r.values()]) for name, r in rounds.items() if r}
    return min(medians, key=lambda name: medians[name]) if medians else None


def ratios(implementations: dict[str, Entry], name: str, to: str | None) -> list[float]:
    """Round by round, the time of one to that of another."""
    mine, theirs = (by_round(implementations.get(n or "", {})) for n in (name, to))
    return [mine[number] / theirs[number] for number in mine if number in theirs]


def dearest(entry: Entry, direction: str) -> float:
    """Microseconds of the small op that takes longest, "forward" or "both" ways; or nan."""
    parts = entry.get("ms", {}).items()
    medians = [np.median([*rounds.values()]) for part, rounds in parts if direction in part]
    return 1e3 * float(max(medians, default=np.nan))


def duration(milliseconds: Sequence[float]) -> str:
    """Quartiles in a unit that fits."""
    ms = np.asarray(milliseconds)
    if np.median(ms) >= 1:
        return f"{quartiles(ms, 1 if np.median(ms) >= 100 else 2)} ms"
    return f"{quartiles(1e3 * ms, 0 if np.median(ms) >= 0.1 else 2)} µs"


def rows(workload: Entry) -> Iterator[Row]:
    """Implementation, time, ratio, peak memory, first step, worst gradient error."""
    told = workload["implementations"]
    reference = best(told, PEERS_BEST)
    for name, entry in told.items():
        each = list(by_round(entry).values())
        if each:
            yield (
                IMPLEMENTATIONS[name].title,
                duration(each),
                quartiles(ratios(told, name, reference)) if reference else "",
                f"{entry['peak_mb']:.0f}",
                f"{entry['first_ms']:.0f}",
                "reference" if name == REFERENCE else f"{entry['gradient_error']:.0e}",
            )


def absent(workload: Entry) -> str:
    """Who is not in the table, and why."""
    reasons: dict[str, list[str]] = {}
    for name, entry in workload["implementations"].items():
        for how in ("skipped", "failed", "wrong"):
            if how in entry:
                reasons.setdefault(f"{how}: {entry[how]}", []).append(
                    (IMPLEMENTATIONS | ON_CUDA | ALONE)[name].title
                )
    return "".join(f"- {'; '.join(titles)}: {why}\n" for why, titles in reasons.items())


def verdicts(workloads: dict[str, Entry]) -> Iterator[Row]:
    """Target by target: what, measured, wanted, met or missed."""

    def verdict(what: str, value: float, wanted: float, *, least: bool = False) -> Row:
        good = value >= wanted if least else value <= wanted
        sign = "≥" if least else "≤"
        return what, f"{value:.2f}", f"{sign} {wanted:g}", "met" if good else "MISSED"

    for name, workload in workloads.items():
        told = workload["implementations"]
        reference = best(told, PEERS_BEST)
        for column, wanted in targets.RATIOS.get(name, {}).items():
            found = {n: ratios(told, n, reference) for n in targets.COLUMNS[column]}
            medians = {n: float(np.median(each)) for n, each in found.items() if each}
            if medians:
                mine = min(medians, key=lambda n: medians[n])
                what = f"{name} {column} ({IMPLEMENTATIONS[mine].title}) / PyTorch"
                yield verdict(what, medians[mine], wanted)
        mine, theirs = (told.get(n, {}).get("peak_mb") for n in ("eager", reference or ""))
        if name in targets.RATIOS and name != "W8" and mine and theirs:
            yield verdict(f"{name} memory / PyTorch's", mine / theirs, targets.MEMORY)
        if name == "W8":
            for column, wanted in targets.MICROSECONDS.items():
                for direction, limit in wanted.items():
                    value = dearest(told.get(column, {}), direction)
                    if not np.isnan(value):
                        what = f"W8 {column} {direction}, µs, the dearest op"
                        yield verdict(what, value, limit)
        if name == "sampler" and ratios(told, "eager", "compiled"):
            value = float(np.median(ratios(told, "eager", "compiled")))
            yield verdict("sampler eager / compiled", value, targets.SAMPLER, least=True)
    imports = import_times(workloads).get("minigrad")
    if imports:
        yield verdict("import minigrad and NumPy, ms", float(np.median(imports)), targets.IMPORT_MS)


def import_times(workloads: dict[str, Entry]) -> dict[str, list[float]]:
    """Milliseconds per framework, a number per process."""
    found: dict[str, list[float]] = {}
    for workload in workloads.values():
        for name, entry in workload["implementations"].items():
            if "import_ms" in entry:
                found.setdefault(IMPLEMENTATIONS[name].framework, []).append(entry["import_ms"])
    return found


def table(head: Row, body: Sequence[Row]) -> str:
    """In Markdown, with columns that stand below one another."""
    widths = [max(len(row[k]) for row in (head, *body)) for k in range(len(head))]

    def line(row: Row) -> str:
        return "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([line(head), rule, *map(line, body)])


def heading(result: Entry, title: str) -> str:
    """Where, when and how."""
    told = result["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    return (
        f"# {title}\n\n"
        f"`{result['command']}`, {told['date']}, on {told['cpu']}, {told['cores']} cores, load "
        f"before the run {told['load']}; {told['system']}, Python {told['python']}, NumPy on "
        f"{told['blas']}; {packages}.\n"
    )


HEAD = ("", "time", "/ PyTorch at its best", "peak MB", "first step, ms", "gradient error")
ABOUT = """Times are medians [quartiles] over rounds; a step is forward, loss, backward, update. A
ratio is to PyTorch eager with its fused optimiser, at 1 or 2 threads, whichever is faster here;
below 1 is faster. "gradient error" is the largest difference from PyTorch's gradients, relative to
the largest entry: an implementation that differs by more than 1e-4 is listed without a time.
"""


def text(result: Entry) -> str:
    """The report of a run."""
    workloads = result["workloads"]
    parts = [
        heading(result, "minigrad beside its peers"),
        ABOUT,
    ]
    for name, workload in workloads.items():
        size = ", ".join(f"{key} {value}" for key, value in workload["size"].items())
        parts.append(f"## {name}: {workload['title']}\n\n{size}\n")
        parts.append(table(HEAD, list(rows(workload))) + "\n")
        parts.append(absent(workload))
        if any(len(entry.get("ms", {})) > 1 for entry in workload["implementations"].values()):
            parts.append("Microseconds by part:\n\n" + by_part(workload) + "\n")
    imports = [
        (framework, quartiles(times, 0)) for framework, times in import_times(workloads).items()
    ]
    parts.append("## Import\n\n" + table(("", "ms, NumPy included"), imports) + "\n")
    told = list(verdicts(workloads))
    if told:
        met = sum(row[-1] == "met" for row in told)
        parts.append(f"## Targets: {met} of {len(told)} met\n")
        parts.append(table(("", "measured", "target", ""), told) + "\n")
    return "\n".join(parts)


def by_part(workload: Entry) -> str:
    """A row per part, a column per implementation."""
    told = {n: e for n, e in workload["implementations"].items() if e.get("ms")}
    names = list(dict.fromkeys(part for entry in told.values() for part in entry["ms"]))
    body = [
        [part, *(f"{1e3 * np.median([*e['ms'][part].values()]):.2f}" for e in told.values())]
        for part in names
    ]
    return table(["", *(told)], body)


def plot(result: Entry, path: Path) -> bool:
    """Ratios as dots on a logarithmic axis, a band per workload. False without matplotlib."""
    try:
        plt = importlib.import_module("matplotlib.figure")
    except ImportError:
        return False
    workloads = result["workloads"]
    figure = plt.Figure(figsize=(12, 1.1 * len(workloads) + 1), layout="constrained")
    axes = figure.subplots()
    colours = {"minigrad": "#1f6feb", "torch": "#d1242f", "jax": "#8250df"}
    markers = iter("oDds^>vPp" + "oD" + "xosD^")
    heights = np.linspace(-0.38, 0.38, len(IMPLEMENTATIONS))  # each its own, so none hides another
    for name, height in zip(IMPLEMENTATIONS, heights, strict=True):
        marker, framework = next(markers, "o"), IMPLEMENTATIONS[name].framework
        points = []
        for row, workload in enumerate(workloads.values()):
            told = workload["implementations"]
            each = ratios(told, name, best(told, PEERS_BEST))
            if each:
                points.append((float(np.median(each)), row + height))
        if points:
            x, y = zip(*points, strict=True)
            colour = colours.get(framework, "#6e7781")
            face = "none" if name in ("torch-1", "eager", "eager-2", "eager-2p") else colour
            axes.scatter(
                x, y, marker=marker, label=IMPLEMENTATIONS[name].title, edgecolors=colour,
                facecolors=face if marker != "x" else colour, zorder=3,
            )  # fmt: skip
    axes.axvline(1, color="#57606a", linewidth=0.8)
    axes.set_xscale("log")
    ticks = [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8, 16]
    low, high = axes.get_xlim()
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_xticks(shown, [f"{tick:g}" for tick in shown])
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(workloads)), [f"{n} {w['title']}" for n, w in workloads.items()])
    for row in range(0, len(workloads), 2):
        axes.axhspan(row - 0.5, row + 0.5, color="#57606a", alpha=0.06, linewidth=0)
    axes.set_ylim(len(workloads) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.25)
    axes.set_xlabel("time / PyTorch eager at its best (left of 1: faster)")
    figure.legend(loc="outside right upper", fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Date": None})
    return True


def save(
    result: Entry, written: str, folder: Path, kind: str = "", *, picture: bool = True
) -> list[Path]:
    """The JSON, the text and the plot, named by date and machine."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = machine.slug(result["machine"]) + (f"-{kind}" if kind else "")
    paths = [folder / f"{stem}.json", folder / f"{stem}.md"]
    paths[0].write_text(json.dumps(rounded(result), indent=1) + "\n", encoding="utf-8")
    paths[1].write_text(written, encoding="utf-8")
    if picture and plot(result, folder / f"{stem}.svg"):
        paths.append(folder / f"{stem}.svg")
    return paths


def rounded(value: Any) -> Any:
    """Five significant digits are enough to keep."""
    if isinstance(value, dict):
        return {key: rounded(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
