"""On a GPU: minigrad on CuPy beside PyTorch, whose recurrent layers are cuDNN's.

A step ends when its loss is on the host. The floor of a recurrent layer is the time its products
take at the speed of a large product here, or its bytes at the speed of a large copy, whichever is
longer. Launches are counted by PyTorch's profiler; a captured step is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from . import report
from .frameworks import ON_CUDA, Implementation
from .runner import Config, DiedError, Process
from .runner import measure as measure_all
from .workloads import WORKLOADS, Workload
from .workloads.rnn_layer import GATES

REFERENCE = "cuda-torch"
SIZES = ((128, 32, 256), (512, 64, 1024), (64, 32, 128))  # (T, B, H)
TOLERANCES = {32: (1e-3, 1e-4), 16: (6e-2, 2e-2)}  # bits → gradients, loss: other orders of sums
LAST = ("memory", "device_memory", "launches")


def workloads() -> Iterator[tuple[Workload, int]]:
    """Layers in all their sizes and both types, and two whole models; with the bits of a number."""
    for kind, gates in GATES.items():
        for T, B, H in SIZES:
            for directions in (1, 2):
                size = {"T": T, "B": B, "H": H, "directions": directions, "gates": gates}
                for bits, dtype in ((32, "float32"), (16, "bfloat16")):
                    two = "two directions" if directions == 2 else "one direction"
                    name = f"{kind} {T},{B},{H} x{directions} {dtype}"
                    yield Workload(name, f"{kind}, {two}, {dtype}", "rnn_layer", size), bits
    yield replace(WORKLOADS["W4"], optimizer="Adam"), 32
    yield WORKLOADS["W6"], 32


def here(bits: int) -> dict[str, Implementation]:
    """The implementations, told where and in what."""
    more = {"device": "cuda", "bits": bits}
    return {name: replace(one, options={**one.options, **more}) for name, one in ON_CUDA.items()}


def measure(config: Config, *, quick: bool = False) -> dict[str, Any]:
    """All workloads; `quick` leaves out torch.compile and the large layers.

    Raises: SystemExit without a GPU.
    """
    result: dict[str, Any] = {"gpu": (gpu := peaks(config)), "workloads": {}}
    if "bytes" not in gpu:
        raise SystemExit(f"--device cuda: {gpu.get('skip') or gpu.get('error')}")
    for workload, bits in workloads():
        if quick and workload.size.get("T", 0) > 128:
            continue
        names = tuple(n for n in ON_CUDA if not (quick and n == "cuda-torch-compile"))
        gradients, loss = TOLERANCES[bits]
        settings = replace(
            config,
            implementations=names,
            known=here(bits),
            reference=REFERENCE,
            tolerance=gradients,
            loss_tolerance=loss,
            last=LAST,
        )
        told = measure_all([workload], settings)[workload.name]
        told["floor_ms"] = floor(workload, bits, gpu)
        result["workloads"][workload.name] = told
    return result


def peaks(config: Config) -> dict[str, Any]:
    """What this GPU reaches at best, or why nothing is known of it."""
    process = Process(here(32)[REFERENCE], WORKLOADS["W6"], config)
    try:
        if "import_ms" not in process.hello:
            return process.hello
        return process.ask("peaks")
    except DiedError as error:
        return {"error": str(error)}
    finally:
        process.close()


def floor(workload: Workload, bits: int, gpu: dict[str, Any]) -> float | None:
    """Milliseconds below which no implementation can come; None where that is not known."""
    if workload.family != "rnn_layer":
        return None
    operations, moved = workload.module.floor(workload.s, bits // 8)
    return float(1e3 * max(operations / gpu[f"flops_{bits}"], moved / gpu["bytes"]))


def text(result: Any) -> str:
    """The report."""
    gpu = result["gpu"]
    about = (
        f"{gpu['name']}: {gpu['flops_32'] / 1e12:.1f} TFLOP/s in float32, "
        f"{gpu['flops_16'] / 1e12:.0f} in bfloat16, {gpu['bytes'] / 1e12:.2f} TB/s.\n"
    )
    parts = [report.heading(result, "minigrad beside PyTorch on a GPU"), about]
    head = ("", "", "ms per step", "/ PyTorch", "floor / time", "GPU MB", "kernels", "launches")
    body: list[list[str]] = []
    missing = ""
    for name, workload in result["workloads"].items():
        told = workload["implementations"]
        for one, entry in told.items():
            each = list(report.by_round(entry).values())
            if each:
                share = workload["floor_ms"] / np.median(each) if workload["floor_ms"] else None
                cells = [
                    report.quartiles(each, 3),
                    report.quartiles(report.ratios(told, one, REFERENCE)),
                    f"{share:.0%}" if share else "",
                    f"{entry.get('device_mb', float('nan')):.0f}",
                    str(entry.get("kernels", "")),
                    str(entry.get("launches", "")),
                ]
                body.append([name, ON_CUDA[one].title, *cells])
        reasons = report.absent(workload)
        missing += f"{name}:\n{reasons}" if reasons else ""
    return "\n".join([*parts, report.table(head, body), "", missing])
