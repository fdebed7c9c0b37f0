"""What an optimiser's step costs, beside PyTorch's: a large model, and many tiny parameters.

    python -m benchmarks.optimizer_step                    # all cases
    python -m benchmarks.optimizer_step --rounds 60 --only "tiny"

A round times every implementation, one after the other, so that what else the machine does meets
all of them; each takes the best of a few bursts. Shown are milliseconds (large) or microseconds
(tiny) per step, medians of the rounds with quartiles, and the ratio to the best of PyTorch's ways:
the median of the ratios within a round. Before a time counts, all ways agree on three steps.
PyTorch is measured where it is installed.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import optim

LARGE = [(10_000, 256), (2048, 256), (2048, 512), *[(2048, 512)] * 2, *[(2048,)] * 4]
LARGE += [(10_000, 515), (10_000,)]  # 11.4 M numbers: a word model
TINY = [(16, 2), (16,), (16, 16), (16,), (1, 16), (1,)]  # an MLP 2-16-16-1
CASES: dict[str, tuple[str, list[tuple[int, ...]], dict[str, Any], bool]] = {
    "large Adam": ("Adam", LARGE, {"lr": 1e-3}, False),
    "large SGD": ("SGD", LARGE, {"lr": 1e-3}, False),
    "large Adam + clip": ("Adam", LARGE, {"lr": 1e-3}, True),
    "tiny SGD": ("SGD", TINY, {"lr": 1e-3}, False),
    "tiny SGD momentum": ("SGD", TINY, {"lr": 1e-3, "momentum": 0.9}, False),
    "tiny Adam": ("Adam", TINY, {"lr": 1e-3}, False),
    "tiny Adam + clip": ("Adam", TINY, {"lr": 1e-3}, True),
}
Work = Callable[[], Any]


@dataclass(frozen=True)
class Config:
    """What to run."""

    rounds: int = 30
    bursts: int = 3  # per round and implementation
    only: str = ""


def numbers(shapes: list[tuple[int, ...]], seed: int) -> list[np.ndarray]:
    """The same parameters or gradients for all."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


def minigrad_work(case: str, threads: int) -> tuple[Work, Callable[[], list[np.ndarray]]]:
    """A step, and a look at the parameters."""
    rule, shapes, options, clip = CASES[case]
    params = [mg.tensor(a, requires_grad=True) for a in numbers(shapes, 0)]
    grads = [mg.Tensor(a) for a in numbers(shapes, 1)]
    optimizer = getattr(optim, rule)(params, **options)

    def step() -> None:
        for p, g in zip(params, grads, strict=True):
            p.grad = g
        if clip:
            optim.clip_grad_norm_(params, 1.0)
        optimizer.step()

    def work() -> None:
        mg.set_num_threads(threads)
        step()

    return work if shapes is LARGE else step, lambda: [p.numpy() for p in params]


def torch_work(case: str, threads: int, **way: bool) -> tuple[Work, Callable[[], list[np.ndarray]]]:
    """The same in PyTorch."""
    torch = importlib.import_module("torch")
    rule, shapes, options, clip = CASES[case]
    params = [torch.tensor(a, requires_grad=True) for a in numbers(shapes, 0)]
    grads = [torch.tensor(a) for a in numbers(shapes, 1)]
    optimizer = getattr(torch.optim, rule)(params, **options, **way)

    def work() -> None:
        torch.set_num_threads(threads)
        for p, g in zip(params, grads, strict=True):
            p.grad = g.clone() if clip else g  # PyTorch clips in place
        if clip:
            torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()

    return work, lambda: [p.detach().numpy() for p in params]


def ways(case: str) -> dict[str, tuple[Work, Callable[[], list[np.ndarray]]]]:
    """The implementations of a case."""
    large = CASES[case][1] is LARGE
    found = {f"minigrad {n} thr": minigrad_work(case, n) for n in ((1, 2) if large else (1,))}
    try:
        for n in (1, 2) if large else (1,):
            found[f"torch fused {n} thr"] = torch_work(case, n, fused=True)
            found[f"torch foreach {n} thr"] = torch_work(case, n, foreach=True)
        found["torch default"] = torch_work(case, 1)
    except ImportError as error:
        print(f"torch is not measured: {error}")
    return found


def race(works: list[Work], config: Config, repeats: int) -> np.ndarray:
    """Seconds per step (rounds, works)."""
    times = np.full((config.rounds + 2, len(works)), np.inf)
    for row in times:
        for k, work in enumerate(works):
            for _ in range(config.bursts):
                begin = perf_counter()
                for _ in range(repeats):
                    work()
                row[k] = min(row[k], (perf_counter() - begin) / repeats)
    return times[2:]


def run(config: Config) -> None:
    """Print a table per case."""
    before = mg.get_num_threads()
    for case, (_, shapes, _, _) in CASES.items():
        if config.only not in case:
            continue
        size = sum(int(np.prod(shape)) for shape in shapes)
        found = ways(case)
        values = []
        for work, look in found.values():
            for _ in range(3):
                work()
            values.append(np.concatenate([a.reshape(-1) for a in look()]))
        for other in values[1:]:
            np.testing.assert_allclose(values[0], other, rtol=2e-4, atol=2e-5)
        large = shapes is LARGE
        times = race([work for work, _ in found.values()], config, 1 if large else 200)
        peers = times[:, ["torch" in name for name in found]]
        unit, factor = ("ms", 1e3) if large else ("µs", 1e6)
        print(f"\n{case}: {len(shapes)} parameters, {size:,} numbers; {unit} per step")
        for name, column in zip(found, times.T, strict=True):
            low, median, high = np.percentile(column * factor, [25, 50, 75])
            line = f"{name:>22} {median:8.2f} [{low:.2f}, {high:.2f}]"
            if peers.size:
                line += f"   {np.median(column / peers.min(axis=1)):6.2f} of torch's best"
            print(line)
    mg.set_num_threads(before)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in vars(Config()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    run(Config(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
