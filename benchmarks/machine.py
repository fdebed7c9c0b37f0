"""On what was measured."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "minigrad", "numpy", "numba", "mkl", "torch", "jax", "chainer", "dezero", "mygrad",
    "cupy-cuda12x", "cupy-cuda13x",
)  # fmt: skip


def cpu() -> str:
    """The processor's name."""
    try:
        found = re.search(
            r"^model name\s*: (.*)$",
            Path("/proc/cpuinfo").read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    except OSError:
        found = None
    return found[1].strip() if found else platform.processor() or platform.machine()


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def blas() -> str:
    """What NumPy multiplies matrices with."""
    import numpy as np

    found = np.show_config(mode="dicts") or {}
    told = found.get("Build Dependencies", {}).get("blas", {})
    return f"{told.get('name', 'unknown')} {told.get('version', '')}".strip()


def versions() -> dict[str, str]:
    """Of the packages that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def load() -> float | None:
    """How many processes wanted to run in the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def facts() -> dict[str, Any]:
    """All of it."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": cpu(),
        "cores": cores(),
        "load": load(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "blas": blas(),
        "versions": versions(),
    }


def slug(told: dict[str, Any]) -> str:
    """date-machine: the start of a file's name."""
    name = re.sub(r"[^a-z0-9]+", "-", str(told["cpu"]).lower()).strip("-")
    return f"{told['date'][:10]}-{name}-{told['cores']}-cores"
