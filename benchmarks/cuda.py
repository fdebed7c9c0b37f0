"""On a GPU: minigrad on CuPy beside PyTorch, whose recurrent layers are cuDNN's.

A step ends when its loss is on the host. bfloat16 is, in PyTorch, the whole model; in minigrad
products under `amp.autocast`, with parameters and all else in float32. The floor of a recurrent
layer is the time its products take at the speed of a large product here, or its bytes at the speed
of a large copy, whichever is longer. Launches are counted by PyTorch's profiler; a captured step is
one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from minigrad.backend.cuda import why_not_available

from . import report, runner
from .frameworks import ON_CUDA, Implementation
from .runner import Config, DiedError, Measurement, Process
from .workloads import WORKLOADS, Workload
from .workloads.rnn_layer import GATES

REFERENCE = "cuda-torch"
SIZES = ((128, 32, 256), (512, 64, 1024), (64, 32, 128))  # (T, B, H)
TOLERANCES = {32: (1e-3, 1e-4), 16: (6e-2, 2e-2)}  # bits → gradients, loss: other orders of sums
LAST = ("memory", "device_memory", "launches")
ROUNDS, SECONDS = 5, 0.2  # at most: a GPU's times hardly vary
STEPS = ["W1", "W2", "W3", "W4", "W5", "W6", "W7"]  # whole models; W8 and the sampler time the host


def workloads() -> Iterator[tuple[Workload, int]]:
    """Layers in all their sizes and both types, and whole models; with the bits of a product."""
    for kind, gates in GATES.items():
        for T, B, H in SIZES:
            for directions in (1, 2):
                size = {"T": T, "B": B, "H": H, "directions": directions, "gates": gates}
                for bits, dtype in ((32, "float32"), (16, "bfloat16")):
                    two = "two directions" if directions == 2 else "one direction"
                    name = f"{kind} {T},{B},{H} x{directions} {dtype}"
                    yield Workload(name, f"{kind}, {two}, {dtype}", "rnn_layer", size), bits
    for name in STEPS:
        yield WORKLOADS[name], 32


def here(bits: int) -> dict[str, Implementation]:
    """The implementations, told where and in what."""
    more = {"device": "cuda", "bits": bits}
    return {name: replace(one, options={**one.options, **more}) for name, one in ON_CUDA.items()}


class Kept(Measurement):
    """A measurement whose processes stay for the next: frameworks are imported once."""

    kept: ClassVar[dict[str, Process]] = {}

    def open(self, name: str) -> Process:
        one = self.config.known[name]
        process = self.kept.pop(name, None)
        if process is None:
            return Process(one, self.workload, self.config)
        try:
            process.hello = process.begin(self.workload, one.options)
        except DiedError:
            process.close()
            return Process(one, self.workload, self.config)
        return process

    def end(self, name: str, process: Process) -> None:
        self.kept[name] = process

    @classmethod
    def close(cls) -> None:
        """End all of them."""
        while cls.kept:
            cls.kept.popitem()[1].close()


def measure(
    config: Config,
    *,
    quick: bool = False,
    compiled: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """All workloads, in about ten minutes; `quick` leaves out the longest layers.

    `compiled`: torch.compile as well, which takes long to compile.

    Raises: SystemExit without a GPU.
    """
    result: dict[str, Any] = {"gpu": (gpu := peaks(config)), "workloads": {}}
    if "bytes" not in gpu:
        reasons = gpu.get("skip") or gpu.get("error"), why_not_available()
        raise SystemExit("\n".join(f"--device cuda: {each}" for each in reasons if each))
    config = replace(
        config, rounds=min(config.rounds, ROUNDS), seconds=min(config.seconds, SECONDS)
    )
    names = tuple(n for n in ON_CUDA if compiled or n != "cuda-torch-compile")
    try:
        for workload, bits in workloads():
            if quick and workload.size.get("T", 0) > 128:
                continue
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
            say(f"{workload.name}: {workload.title}")
            found = runner.told(workload, settings, Kept(workload, settings, say).run())
            result["workloads"][workload.name] = found | {"floor_ms": floor(workload, bits, gpu)}
            for row in rows(workload.name, result["workloads"][workload.name]):
                say("  " + "  ".join(row[1:]))  # a run that is cut short has said something
    finally:
        Kept.close()
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


HEAD = ("", "", "ms per step", "/ PyTorch", "floor / time", "GPU MB", "kernels", "launches")


def rows(name: str, workload: Any) -> list[list[str]]:
    """A workload's rows of the report."""
    entries, found = workload["implementations"], []
    for one, entry in entries.items():
        each = list(report.by_round(entry).values())
        if each:
            share = workload["floor_ms"] / np.median(each) if workload["floor_ms"] else None
            cells = [
                report.quartiles(each, 3),
                report.quartiles(report.ratios(entries, one, REFERENCE)),
                f"{share:.0%}" if share else "",
                f"{entry.get('device_mb', float('nan')):.0f}",
                str(entry.get("kernels", "")),
                str(entry.get("launches", "")),
            ]
            found.append([name, ON_CUDA[one].title, *cells])
    return found


def text(result: Any) -> str:
    """The report."""
    gpu, told = result["gpu"], result["workloads"].items()
    about = (
        f"{gpu['name']}: {gpu['flops_32'] / 1e12:.1f} TFLOP/s in float32, "
        f"{gpu['flops_16'] / 1e12:.0f} in bfloat16, {gpu['bytes'] / 1e12:.2f} TB/s.\n"
    )
    body = [row for name, workload in told for row in rows(name, workload)]
    absent = ((name, report.absent(workload)) for name, workload in told)
    missing = "".join(f"{name}:\n{reasons}" for name, reasons in absent if reasons)
    parts = [report.heading(result, "minigrad beside PyTorch on a GPU"), about]
    return "\n".join([*parts, report.table(HEAD, body), "", missing])
