"""A profile as a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..backend import get_num_threads, mkl
from ..errors import ConfigError
from .events import Event

if TYPE_CHECKING:
    from .measure import Profile

Row = dict[str, Any]

KEYS: dict[str, Callable[[Event], str]] = {
    "op": lambda e: e.name,
    "scope": lambda e: "/".join(e.scope) or "(no module)",
    "place": lambda e: e.place,
    "kind": lambda e: e.kind,
    "thread": lambda e: str(e.thread),
}


def rows(p: Profile, by: str) -> list[Row]:
    """One row per value of `by`, the longest time first."""
    if by not in KEYS:
        raise ConfigError(f"profile: by is {by!r}, expected one of {', '.join(map(repr, KEYS))}")
    key = KEYS[by]
    found: dict[str, Row] = {}
    for event in p.events:
        name = key(event)
        if by == "thread":
            name = p.threads[event.thread]
        row = found.setdefault(
            name,
            {by: name, "calls": 0, "forward": 0.0, "backward": 0.0, "flops": 0.0, "bytes": 0},
        )
        backward = event.kind == "backward"
        row["calls"] += not backward
        row["backward" if backward else "forward"] += event.own * 1e-9
        row["flops"] += event.flops
        row["bytes"] += event.nbytes
    for row in found.values():
        row["seconds"] = row["forward"] + row["backward"]
    return sorted(found.values(), key=lambda row: -row["seconds"])


def as_text(p: Profile, by: str, limit: int) -> str:
    """The table, with what the numbers mean above it."""
    table, roof = rows(p, by), p.roofline
    total = sum(row["seconds"] for row in table)
    main = sum(e.end - e.start for e in p.events if not e.depth and p.threads[e.thread] == "main")
    between = max(0.0, p.wall - main * 1e-9)
    library = " by MKL" if mkl.library() is not None else ""
    products = f"{roof.flops * 1e-9:.0f} GFLOP/s in products{library}"
    machine = f"{products}, {roof.bandwidth * 1e-9:.0f} GB/s"
    lines = [
        f"{p.wall * 1e3:.2f} ms, of which {between * 1e3:.2f} ms between the ops (Python)",
        f"this machine, measured: {machine} in copies, {get_num_threads()} threads",
        "",
    ]
    shown = [*table[:limit]]
    rest = table[limit:]
    if rest:
        names = ("calls", "forward", "backward", "seconds", "flops", "bytes")
        sums = {name: sum(row[name] for row in rest) for name in names}
        shown.append({by: f"({len(rest)} more)", **sums})
    width = max([len(by), *(len(row[by]) for row in shown)])
    lines.append(
        f"{by:<{width}}  {'calls':>6}  {'forward ms':>10}  {'backward ms':>11}  {'time':>5}  "
        f"{'GFLOP/s':>8}  {'GB/s':>6}  {'of roof':>7}"
    )
    for row in shown:
        seconds = row["seconds"] or 1e-12
        least = roof.seconds(row["flops"], row["bytes"])
        rate = f"{row['flops'] / seconds * 1e-9:8.2f}" if row["flops"] else " " * 8
        speed = f"{row['bytes'] / seconds * 1e-9:6.2f}" if row["bytes"] else " " * 6
        lines.append(
            f"{row[by]:<{width}}  {row['calls']:>6}  {row['forward'] * 1e3:>10.3f}  "
            f"{row['backward'] * 1e3:>11.3f}  {row['seconds'] / (total or 1):>5.0%}  {rate}  "
            f"{speed}  {least / seconds if least else 0:>7.0%}"
        )
    return "\n".join(lines)
