"""Where a step spends its time: the functions with the most time of their own."""

from __future__ import annotations

import pstats
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import report
from .runner import ROOT, Config, DiedError, Process
from .workloads import Workload

SHOWN = 14


def hot_spots(path: str, steps: int) -> list[tuple[str, ...]]:
    """Rows of milliseconds, share, calls per step and place, from a profile of some steps."""
    stats = pstats.Stats(path).stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in stats.values())
    rows = []
    for (file, line, name), (_, calls, own, inclusive, _) in stats.items():
        where = name
        if file != "~":
            inside = Path(file).is_relative_to(ROOT)
            where = f"{Path(file).relative_to(ROOT) if inside else Path(file).name}:{line} {name}"
        rows.append((own, inclusive, calls, where))
    return [
        (
            f"{1e3 * own / steps:.3f}",
            f"{own / total:.0%}",
            f"{1e3 * inclusive / steps:.3f}",
            f"{calls / steps:.0f}",
            where,
        )
        for own, inclusive, calls, where in sorted(rows, reverse=True)[:SHOWN]
    ]


def profile(workloads: Sequence[Workload], names: Sequence[str], config: Config) -> str:
    """The report: a table per workload and implementation."""
    parts = []
    head = ("ms per step", "share", "inclusive", "calls", "own time in")
    for workload in workloads:
        for name in names:
            title = f"## {workload.name}, {config.known[name].title}\n"
            process = Process(config.known[name], workload, config)
            try:
                with tempfile.NamedTemporaryFile() as file:
                    told = process.hello
                    if "version" in told:
                        process.ask("block", seconds=config.seconds)
                        told = process.ask("profile", path=file.name)
                    body = (
                        report.table(head, hot_spots(file.name, told["steps"]))
                        if "steps" in told
                        else str(told.get("skip") or told.get("error"))
                    )
            except DiedError as error:
                body = str(error)
            finally:
                process.close()
            parts.append(f"{title}\n{body}\n")
    return "\n".join(parts)
