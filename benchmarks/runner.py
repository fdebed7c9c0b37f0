"""Processes, checks and rounds.

A workload is measured in all implementations at once: one process each, which stays; rounds, in
each of which every process works for a short while, in an order drawn anew; so what else the
machine does meets all of them. Before a time counts, loss and gradients are compared with PyTorch's
from the same weights and the same batch.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .frameworks import IMPLEMENTATIONS, REFERENCE, Implementation
from .workloads import Workload

LOSS_TOLERANCE = 1e-5  # relative
GRADIENT_TOLERANCE = 1e-4  # of the largest entry of PyTorch's gradient of the same weight
ROOT = Path(__file__).parent.parent
OWN = "minigrad"
SLOW = 3000.0  # ms of a first step, after which a peer takes part in one round alone


@dataclass(frozen=True)
class Config:
    """How to measure."""

    implementations: tuple[str, ...] = tuple(
        name for name, one in IMPLEMENTATIONS.items() if not one.on_request
    )
    rounds: int = 8
    seconds: float = 0.3  # of a block
    seed: int = 0
    timeout: float = 300.0  # for an answer
    pythons: dict[str, str] = field(default_factory=dict)  # framework → interpreter
    known: dict[str, Implementation] = field(default_factory=lambda: IMPLEMENTATIONS)
    reference: str = REFERENCE
    tolerance: float = GRADIENT_TOLERANCE
    loss_tolerance: float = LOSS_TOLERANCE
    last: tuple[str, ...] = ("memory",)  # what to ask at the end


class DiedError(Exception):
    """The process of an implementation ended, or gave no answer in time."""


class Process:
    """A worker, and the way to talk to it."""

    def __init__(self, one: Implementation, workload: Workload, config: Config) -> None:
        self.name, self.config = one.name, config
        threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        env = os.environ | dict.fromkeys(threads, str(one.threads))
        env["MINIGRAD_DEVICE"] = one.options.get("device", "cpu")
        env["MINIGRAD_FAST"] = str(int(bool(one.options.get("fast"))))
        python = config.pythons.get(one.framework, sys.executable)
        self.errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self.one = one
        self.child = subprocess.Popen(
            [python, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            cwd=ROOT,
            env=env,
        )
        self.hello = self.begin(workload, one.options)

    def begin(self, workload: Workload, options: dict[str, Any]) -> dict[str, Any]:
        """A workload, the first one or another: what the worker says of itself."""
        job = {"framework": self.one.framework, "workload": asdict(workload), "options": options}
        return self.ask("start", **job)

    def ask(self, what: str, **given: Any) -> dict[str, Any]:
        """The answer to a command. Raises: DiedError."""
        assert self.child.stdin is not None  # noqa: S101 (for the type checker)
        assert self.child.stdout is not None  # noqa: S101
        try:
            print(json.dumps({"do": what, **given}), file=self.child.stdin, flush=True)
        except BrokenPipeError:
            raise DiedError(self.last_words()) from None
        if not select.select([self.child.stdout], [], [], self.config.timeout)[0]:
            self.child.kill()
            raise DiedError(f"no answer to {what!r} in {self.config.timeout:.0f} s")
        line = self.child.stdout.readline()
        if not line:
            raise DiedError(self.last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def last_words(self) -> str:
        """The end of what it wrote to stderr."""
        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"ended with status {self.child.wait()}"

    def close(self) -> None:
        """End it."""
        if self.child.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.child.stdin.close()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        if self.child.stdout:
            self.child.stdout.close()
        self.errors.close()


def compare(found: Any, right: Any) -> tuple[float, str]:
    """The largest error relative to the largest entry of the right array, and whose it is."""
    if set(found) != set(right):
        return float("inf"), "names: " + ", ".join(sorted(set(found) ^ set(right)))
    worst = (0.0, "")
    for name in right:
        if found[name].shape != right[name].shape:
            return float("inf"), f"{name} is {found[name].shape}, expected {right[name].shape}"
        error = float(np.abs(found[name] - right[name]).max(initial=0))
        error /= float(np.abs(right[name]).max(initial=1e-30))
        worst = max(worst, (float("inf") if np.isnan(error) else error, name))
    return worst


class Measurement:
    """One workload in many implementations; `results` fills up, name → figures."""

    def __init__(self, workload: Workload, config: Config, say: Callable[[str], None]) -> None:
        self.workload, self.config, self.say = workload, config, say
        self.results: dict[str, dict[str, Any]] = {}
        self.running: dict[str, Process] = {}

    def run(self) -> dict[str, dict[str, Any]]:
        """All of it."""
        reference = self.config.reference
        others = [name for name in self.config.implementations if name != reference]
        try:
            with tempfile.TemporaryDirectory() as folder:
                for name in (reference, *others):
                    self.guard(name, self.start, Path(folder))
            self.rounds()
            for name in list(self.running):
                self.guard(name, self.finish)
        finally:
            for name, process in self.running.items():
                self.end(name, process)
        return self.results

    def open(self, name: str) -> Process:
        """A process for the workload."""
        return Process(self.config.known[name], self.workload, self.config)

    def end(self, name: str, process: Process) -> None:
        """What becomes of a process that did its work."""
        process.close()

    def guard(self, name: str, action: Callable[..., None], *given: Any) -> None:
        """Do something with an implementation, which drops out if that fails."""
        try:
            action(name, *given)
        except DiedError as error:
            self.drop(name, "failed", str(error))

    def drop(self, name: str, how: str, why: str) -> None:
        """It takes no part any more, visibly."""
        why = why.splitlines()[0]
        self.results[name] = {how: why}
        self.say(f"  {name} {how}: {why}")
        if name in self.running:
            self.running.pop(name).close()

    def start(self, name: str, folder: Path) -> None:
        """The process, and the check."""
        self.running[name] = process = self.open(name)
        if not self.good(name, process.hello):
            return
        path = folder / f"{name}.npz"
        checked = process.ask("check", path=str(path))
        if not self.good(name, checked):
            return
        entry = {**process.hello, **checked, "ms": {}}
        if name != (reference := self.config.reference):
            if "loss" not in self.results.get(reference, {}):
                self.drop(name, "failed", f"nothing to compare it with: {reference} did not run")
                return
            right = self.results[reference]["loss"]
            with np.load(path) as mine, np.load(folder / f"{reference}.npz") as theirs:
                entry["gradient_error"], where = compare(mine, theirs)
            entry["loss_error"] = abs(checked["loss"] - right) / max(abs(right), 1e-30)
            if not entry["gradient_error"] <= self.config.tolerance:
                self.drop(name, "wrong", f"gradients, {entry['gradient_error']:.1e}: {where}")
                return
            if not entry["loss_error"] <= self.config.loss_tolerance:
                self.drop(name, "wrong", f"loss {checked['loss']}, expected {right}")
                return
        self.results[name] = entry

    def good(self, name: str, answer: dict[str, Any]) -> bool:
        """Whether an answer is one."""
        for how, said in (("skip", "skipped"), ("error", "failed")):
            if how in answer:
                self.drop(name, said, str(answer[how]))
                return False
        return True

    def rounds(self) -> None:
        """Blocks in turn. Peers that are far off take part in every other round, or in one."""
        order = random.Random(self.config.seed)
        for number in range(self.config.rounds):
            names = [name for name in self.running if self.takes_part(name, number)]
            order.shuffle(names)
            for name in names:
                self.guard(name, self.block, number)

    def block(self, name: str, number: int) -> None:
        """A block: its median, by round."""
        answer = self.running[name].ask("block", seconds=self.config.seconds)
        if self.good(name, answer):
            for part, times in answer["times"].items():
                kept = self.results[name]["ms"].setdefault(part, {})
                kept[str(number)] = float(np.median(times))

    def finish(self, name: str) -> None:
        """The memory, and what else is asked."""
        for what in self.config.last:
            answer = self.running[name].ask(what)
            if "error" in answer:
                self.say(f"  {name}, {what}: {answer['error']}")
            self.results[name].update(answer)

    def takes_part(self, name: str, number: int) -> bool:
        """Whether an implementation works in this round."""
        if self.config.known[name].framework in (OWN, "torch"):
            return True
        return number == 0 or (number % 2 == 0 and self.results[name]["first_ms"] < SLOW)


def measure(
    workloads: Sequence[Workload], config: Config, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """The workloads one after the other: name → title, sizes, implementations."""
    found = {}
    for workload in workloads:
        say(f"{workload.name}: {workload.title}")
        found[workload.name] = told(workload, config, Measurement(workload, config, say).run())
    return found


def told(workload: Workload, config: Config, results: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a workload's results."""
    return {
        "title": workload.title,
        "size": workload.size,
        "implementations": {name: results[name] for name in config.known if name in results},
    }
