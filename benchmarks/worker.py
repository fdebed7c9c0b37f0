"""One implementation and one workload in a process of their own.

Reads commands as lines of JSON, answers each with a line of JSON:

    {"do": "check", "path": …}      a step, the weights again, a step: loss, gradients to the npz
    {"do": "block", "seconds": …}   milliseconds of each step (of each part) in a block of steps
    {"do": "point", "sizes": …}     time and memory at another size
    {"do": "memory"}                peak resident memory in MB since the check
    {"do": "profile", "path": …}    a cProfile of some steps, for `pstats`
    {"do": "alone", "seconds": …}   what NumPy takes for a step by itself

Nothing but the standard library is imported before the framework, whose import is timed. Where the
batch is divided over processes, they all do each command; the first one reads it, and answers.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import json
import os
import re
import sys
import traceback
import warnings
from pathlib import Path
from time import perf_counter
from typing import Any


def peak_memory() -> float:
    """VmHWM in MB; nan where there is no /proc."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return float("nan")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else float("nan")


def counted_twice(main: bool) -> float:
    """MB of this process that are another one's, too: so that a sum counts them once.

    What a fork left in common and memory for talking are divided (Pss); files, such as libraries,
    which processes outside share as well, are the first one's.
    """
    told = Path("/proc/self/status").read_text(encoding="utf-8")
    told += Path("/proc/self/smaps_rollup").read_text(encoding="utf-8")
    kb = {name: int(number) for name, number in re.findall(r"(\w+):\s+(\d+) kB", told)}
    common = kb["RssAnon"] + kb["RssShmem"] - kb["Pss_Anon"] - kb["Pss_Shmem"]
    return (common + (0 if main else kb["RssFile"])) / 1024


def reset_peak() -> None:
    """The peak is the present use from now on, where the system allows it.

    What the C library keeps of freed memory, the worker's own copies among it, goes back first.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def import_framework(name: str) -> None:
    """Import it. Those no longer maintained use names that NumPy has dropped."""
    if name in ("chainer", "dezero"):
        import numpy as np

        warnings.simplefilter("ignore")
        for kind in (bool, int, float, object):
            vars(np).setdefault(kind.__name__, kind)
    importlib.import_module(name)


class Worker:
    """Answers commands; the first thing it does is to import the framework.

    `group` are the processes that do the same, each with its part of the batch; None: it is alone.
    """

    def __init__(self, job: dict[str, Any], group: Any = None) -> None:
        self.job, self.group, self.told = job, group, {}
        begin, known = perf_counter(), job["framework"] in sys.modules
        import_framework(job["framework"])
        if not known:
            self.told["import_ms"] = 1e3 * (perf_counter() - begin)
        self.build({})

    def build(self, sizes: dict[str, int]) -> None:
        """The workload, at other sizes where some are given."""
        from benchmarks.frameworks import SkipError
        from benchmarks.workloads import Workload

        self.workload = Workload(**self.job["workload"]).resized(**sizes)
        module = importlib.import_module(f"benchmarks.frameworks.{self.job['framework']}")
        self.weights = self.workload.weights()
        options = self.job["options"] | ({"group": self.group} if self.group else {})
        self.work = module.Work(self.workload, self.weights, options)
        self.turn = 0
        if hasattr(self.workload.module, "in_torch"):
            self.batches = [self.work.place(b) for b in self.workload.batches()]
            self.parts: dict[str, Any] = {"": (self.step, 1, None)}
        elif hasattr(self.workload.module, f"{name_of(self.job)}_parts"):
            self.parts = self.work.parts()
        else:
            raise SkipError("not written for it")

    def hello(self) -> dict[str, Any]:
        """What the runner learns first."""
        module = sys.modules[self.job["framework"]]
        return {**self.told, "version": getattr(module, "__version__", "")}

    def decide(self, what: bool) -> bool:
        """The first process's decision, for all."""
        return what if self.group is None else bool(self.group.share(what))

    def step(self) -> float:
        """One training step on the next batch."""
        self.turn += 1
        return float(self.work.step(*self.batches[self.turn % len(self.batches)]))

    def check(self, path: str) -> dict[str, Any]:
        """Loss and gradients at the first weights, from a step that is not the first."""
        import numpy as np

        begin = perf_counter()
        if "" not in self.parts:
            found = {
                f"{name}.{key}": value
                for name, (run, _, read) in self.parts.items()
                for key, value in read(run()).items()
            }
            first, loss = perf_counter() - begin, 0.0
        else:
            self.work.step(*self.batches[0])
            first = perf_counter() - begin
            self.work.load(self.weights)
            if self.job["framework"] != "jax":
                loss, found = self.work.step(*self.batches[0]), self.work.gradients()
            else:  # its step keeps no gradients: ask for them before the weights are updated
                self.work.last = self.batches[0]
                found = self.work.gradients()
                loss = self.work.step(*self.batches[0])
        if self.group is None or self.group.main:
            np.savez(path, **found)
        del found
        self.weights = {}
        reset_peak()
        return {"loss": loss, "first_ms": 1e3 * first}

    def point(self, sizes: dict[str, int], part: str = "", seconds: float = 0.2) -> dict[str, Any]:
        """Another size in the same process: loss, milliseconds of a step, MB beyond the import."""
        self.work = self.parts = self.batches = self.weights = None  # type: ignore[assignment]
        gc.collect()
        if not hasattr(self, "resident"):
            reset_peak()
            self.resident = peak_memory()
        reset_peak()
        self.build(sizes)
        run, count, _ = self.parts[part]
        loss = run()
        self.parts = {part: self.parts[part]}
        times = self.block(seconds)["times"][part]
        return {
            "loss": loss if isinstance(loss, float) else 0.0,
            "ms": count * min(times),
            "mb": peak_memory() - self.resident,
        }

    def block(self, seconds: float, most: int = 5000) -> dict[str, Any]:
        """One step that does not count, unless it fills the block; then steps until the end."""

        def timed(run: Any) -> float:
            begin = perf_counter()
            run()
            return perf_counter() - begin

        times = {}
        for name, (run, count, _) in self.parts.items():
            found = [timed(run)]
            if self.decide(found[0] < seconds / len(self.parts)):
                end = perf_counter() + seconds / len(self.parts)
                found = [timed(run)]
                while self.decide(perf_counter() < end and len(found) < most):
                    found.append(timed(run))
            times[name] = [1e3 * each / count for each in found]
        return {"times": times}

    def memory(self) -> dict[str, Any]:
        if self.group is None:
            return {"peak_mb": peak_memory()}
        return {"peak_mb": self.group.sums(peak_memory() - counted_twice(self.group.main))[0]}

    def alone(self, seconds: float) -> dict[str, Any]:
        """What NumPy takes for a step by itself."""
        from benchmarks.alone import measured

        return measured(self.parts, seconds, self.decide, self.group)

    def device_memory(self) -> dict[str, Any]:
        return {"device_mb": self.work.memory()}

    def launches(self) -> dict[str, Any]:
        """Kernels and launches of one step, by PyTorch's profiler: it sees the whole process."""
        torch = importlib.import_module("torch")
        activities = torch.profiler.ProfilerActivity
        self.step()
        with torch.profiler.profile(activities=[activities.CPU, activities.CUDA]) as profile:
            self.step()
            torch.cuda.synchronize()
        names = [(e.name, str(e.device_type)) for e in profile.events()]
        asked = sum("Launch" in name and name.startswith("cu") for name, _ in names)
        return {"launches": asked, "kernels": sum(kind.endswith("CUDA") for _, kind in names)}

    def peaks(self) -> dict[str, Any]:
        """What PyTorch gets out of the GPU: FLOP/s of a large product, bytes/s of a large copy."""
        torch = importlib.import_module("torch")

        def best(work: Any, amount: float) -> float:
            times = []
            for _ in range(10):
                torch.cuda.synchronize()
                begin = perf_counter()
                work()
                torch.cuda.synchronize()
                times.append(perf_counter() - begin)
            return amount / min(times)

        found = {"name": torch.cuda.get_device_name()}
        for bits, dtype in ((32, torch.float32), (16, torch.bfloat16)):
            a = torch.randn(8192, 8192, device="cuda", dtype=dtype)
            found[f"flops_{bits}"] = best(lambda a=a: a @ a, 2.0 * 8192**3)
        x = torch.empty(2**28, device="cuda")
        y = torch.empty_like(x)
        found["bytes"] = best(lambda: y.copy_(x), 2.0 * x.nbytes)
        return found

    def profile(self, path: str, seconds: float = 1.0) -> dict[str, Any]:
        """Where a step spends its time."""
        import cProfile

        profiler = cProfile.Profile()
        count, stop = 0, perf_counter() + seconds
        while self.decide(perf_counter() < stop):
            for run, _, _ in self.parts.values():
                profiler.runcall(run)
            count += 1
        if self.group is None or self.group.main:
            profiler.dump_stats(path)
        return {"steps": count}


def name_of(job: dict[str, Any]) -> str:
    """By which name a family knows the framework."""
    return "plain" if job["framework"] in ("chainer", "dezero", "mygrad") else job["framework"]


def answer(
    worker: Worker | None, command: dict[str, Any], group: Any = None
) -> tuple[Worker | None, dict[str, Any]]:
    """Do one command. An error is an answer, too."""
    what = command.pop("do")
    try:
        if what == "start":
            if worker is not None and "free" in dir(getattr(worker, "work", None)):
                worker.work.free()
                worker.parts, worker.batches = {}, []
            worker = Worker(command, group)
            return worker, worker.hello()
        return worker, getattr(worker, what)(**command)
    except Exception as error:
        if type(error).__name__ == "SkipError":
            return worker, {"skip": str(error)}
        if isinstance(error, ModuleNotFoundError) and error.name == command.get("framework"):
            return worker, {"skip": f"{error.name} is not installed"}
        if group is not None and not group.main:
            raise  # and so the first one learns of it
        traceback.print_exc()
        return worker, {"error": f"{type(error).__name__}: {error}"}


def serve(line: str, out: Any, group: Any = None) -> None:
    """Answer, from `line` on, until the other end closes."""
    worker = None
    while line:
        worker, reply = answer(worker, json.loads(line), group)
        if group is None or group.main:
            print(json.dumps(reply), file=out, flush=True)
            line = sys.stdin.readline()
        if group is not None:
            line = group.share(line)


def main() -> None:
    """Serve, in as many processes as the first command asks for."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer
    first = sys.stdin.readline()
    processes = json.loads(first)["options"].get("processes") if first else None
    if not processes:
        return serve(first, out)
    from minigrad import parallel

    return parallel.run(lambda group: serve(first, out, group), processes, timeout=float("inf"))


if __name__ == "__main__":
    main()
