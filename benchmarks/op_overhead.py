"""What the tape costs per op: small ops on 8 x 8 matrices, beyond NumPy's own time for them.

    python -m benchmarks.op_overhead                  # in chains of 50 ops, and alone
    python -m benchmarks.op_overhead --rounds 100 --without torch

A round times every library, one after the other, so that what else the machine does meets all of
them, and takes the best of a few short bursts, so that being interrupted does not count. "over
NumPy" is a library's time less that of the same arithmetic written by hand with NumPy, in
microseconds per op: the median of the rounds, with quartiles. "in all" is minigrad's time with
NumPy's; the last columns are the ratios of that to the peers' time in all. The peers are measured
where they are installed: pip install torch dezero
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

import minigrad as mg

ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
OPS = ("add", "multiply", "matmul", "tanh")
FORWARD_BUDGET, BOTH_BUDGET = 2.0, 5.0  # microseconds over NumPy
Work = Callable[[], Any]


@dataclass(frozen=True)
class Config:
    """What to run."""

    ops: tuple[str, ...] = OPS
    chains: tuple[int, ...] = (50, 1)
    rounds: int = 60
    calls: int = 300  # of an op, per burst
    bursts: int = 5  # per round and library
    without: tuple[str, ...] = ()


def start() -> tuple[np.ndarray, np.ndarray]:
    """x, and a w that keeps a chain of products finite."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((8, 8)), np.linalg.qr(rng.standard_normal((8, 8)))[0]
    return x.astype(np.float32), w.astype(np.float32)


# -- one pair of functions per library: forward, and forward with backward -------------------------


def numpy_work(op: str, n: int) -> tuple[Work, Work]:
    """The arithmetic alone: what a perfect tape would take."""
    x, w = start()
    ones = np.ones_like(x)
    f = getattr(np, op)

    def forward() -> Any:
        y = x
        for _ in range(n):
            y = f(y) if op == "tanh" else f(y, w)
        return y

    def both() -> Any:
        y, g, dw = x, ones, None
        ys = [y]
        for _ in range(n):
            y = f(y) if op == "tanh" else f(y, w)
            ys.append(y)
        for i in range(n - 1, -1, -1):
            if op == "tanh":
                g = g * (1 - ys[i + 1] * ys[i + 1])
                continue
            if op == "add":
                part = g
            elif op == "multiply":
                part, g = g * ys[i], g * w
            else:
                part, g = ys[i].T @ g, g @ w.T
            dw = part if dw is None else dw + part
        return g, dw

    return forward, both


def minigrad_work(op: str, n: int) -> tuple[Work, Work]:
    """The same on Tensors that require grad."""
    x, w = (mg.tensor(a, requires_grad=True) for a in start())
    ones = mg.ones((8, 8))
    f = getattr(mg, op)

    def forward() -> Any:
        y = x
        for _ in range(n):
            y = f(y) if op == "tanh" else f(y, w)
        return y

    def both() -> None:
        x.grad = w.grad = None
        forward().backward(ones)

    return forward, both


def torch_work(op: str, n: int) -> tuple[Work, Work]:
    """The same in PyTorch."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(1)
    x, w = (torch.tensor(a, requires_grad=True) for a in start())
    ones = torch.ones(8, 8)
    f = getattr(torch, op)

    def forward() -> Any:
        y = x
        for _ in range(n):
            y = f(y) if op == "tanh" else f(y, w)
        return y

    def both() -> None:
        x.grad = w.grad = None
        forward().backward(ones)

    return forward, both


def dezero_work(op: str, n: int) -> tuple[Work, Work]:
    """The same in DeZero, whose 0.0.13 was written for NumPy 1 and Python 3.7."""
    vars(np).setdefault("int", int)
    warnings.simplefilter("ignore", SyntaxWarning)
    dezero = importlib.import_module("dezero")
    functions = importlib.import_module("dezero.functions")
    x, w = (dezero.Variable(a) for a in start())
    ones = dezero.Variable(np.ones((8, 8), np.float32))
    binary = {
        "add": lambda a, b: a + b,
        "multiply": lambda a, b: a * b,
        "matmul": functions.matmul,
    }
    f: Any = functions.tanh if op == "tanh" else binary[op]

    def forward() -> Any:
        y = x
        for _ in range(n):
            y = f(y) if op == "tanh" else f(y, w)
        return y

    def both() -> None:
        x.cleargrad()
        w.cleargrad()
        y = forward()
        y.grad = ones
        y.backward()

    return forward, both


LIBRARIES = {
    "numpy": numpy_work,
    "minigrad": minigrad_work,
    "torch": torch_work,
    "dezero": dezero_work,
}


# -- measuring -----------------------------------------------------------------------------------


def race(works: list[Work], config: Config, n: int) -> np.ndarray:
    """Microseconds per op (rounds, works)."""
    repeats = max(1, config.calls // n)
    times = np.full((config.rounds + 3, len(works)), np.inf)
    for row in times:
        for k, work in enumerate(works):
            for _ in range(config.bursts):
                begin = perf_counter()
                for _ in range(repeats):
                    work()
                row[k] = min(row[k], perf_counter() - begin)
    return times[3:] / (repeats * n) * 1e6


def quartiles(values: np.ndarray, digits: int = 2) -> str:
    """The median, and the quartiles in brackets."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def installed(config: Config) -> list[str]:
    """The libraries that can be measured."""
    names = []
    for name, make in LIBRARIES.items():
        if name in config.without:
            continue
        try:
            make("add", 1)
        except ImportError as error:
            print(f"{name} is not measured: {error}")
            continue
        names.append(name)
    return names


def run(config: Config) -> bool:
    """Print a table per direction; True if every op is within its budget."""
    names = installed(config)
    peers = [name for name in names if name not in ("numpy", "minigrad")]
    print(f"numpy {np.__version__}, 8 x 8 float32, one thread; µs per op, medians [quartiles]")
    good = True
    for part, (title, budget) in enumerate(
        [("forward", FORWARD_BUDGET), ("forward + backward", BOTH_BUDGET)]
    ):
        columns = "".join(f"{name + ' over NumPy':>24}" for name in names if name != "numpy")
        columns += f"{'in all':>9}"
        ratios = "".join(f"{'/ ' + name:>10}" for name in peers)
        print(f"\n{title}\n{'op':>10} {'chain':>6}{'NumPy':>22}{columns}{ratios}")
        for op in config.ops:
            for n in config.chains:
                works = [LIBRARIES[name](op, n)[part] for name in names]
                times = dict(zip(names, race(works, config, n).T, strict=True))
                over = {name: times[name] - times["numpy"] for name in names if name != "numpy"}
                line = f"{op:>10} {n:>6}{quartiles(times['numpy']):>22}"
                line += "".join(f"{quartiles(values):>24}" for values in over.values())
                total = {name: float(np.median(values)) for name, values in times.items()}
                line += f"{total['minigrad']:>9.2f}"
                line += "".join(f"{total['minigrad'] / total[name]:>10.2f}" for name in peers)
                within = float(np.median(over["minigrad"])) <= budget
                good = good and within
                print(line + ("" if within else f"  over the budget of {budget}"))
    return good


def parse(arguments: list[str] | None = None) -> Config:
    """The command line as a Config."""
    what, _, details = (__doc__ or "").partition("\n\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=what, epilog=details, formatter_class=form)
    parser.add_argument("--ops", nargs="+", choices=OPS, default=Config.ops)
    parser.add_argument("--chains", nargs="+", type=int, default=Config.chains)
    parser.add_argument("--rounds", type=int, default=Config.rounds)
    parser.add_argument("--calls", type=int, default=Config.calls, help="of an op in a burst")
    parser.add_argument("--without", nargs="+", choices=("torch", "dezero"), default=())
    given = parser.parse_args(arguments)
    return Config(
        tuple(given.ops),
        tuple(given.chains),
        given.rounds,
        given.calls,
        without=tuple(given.without),
    )


if __name__ == "__main__":
    config = parse()
    if ONE_THREAD.items() <= os.environ.items():
        sys.exit(not run(config))
    command = [sys.executable, "-m", "benchmarks.op_overhead", *sys.argv[1:]]
    os.execve(sys.executable, command, os.environ | ONE_THREAD)  # BLAS reads them when it is loaded
