"""The recurrent layers against PyTorch's: forward and backward, in one process.

    python -m benchmarks.lstm_layer                      # the LSTM at the sizes of the budget
    python -m benchmarks.lstm_layer --layers LSTM GRU RNN --sizes 50,32,100,100 --rounds 60
    python -m benchmarks.lstm_layer --threads 2 --bidirectional --padded --sizes 50,32,100,100

A round runs a step of each library, one after the other, so that what else the machine does meets
both. A step is forward and backward with all gradients, dx included. Printed: the medians and
quartiles in milliseconds, and the median and quartiles of the rounds' ratios (below 1: faster than
PyTorch). One thread each unless told otherwise. Needs PyTorch: pip install torch
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn

BUDGET = ((64, 32, 64, 128), (35, 20, 512, 512))  # (T, B, input_size, hidden_size)


LIBRARIES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
ONE_THREAD = dict.fromkeys(LIBRARIES, "1")


@dataclass(frozen=True)
class Config:
    """What to run."""

    layers: tuple[str, ...] = ("LSTM",)
    sizes: tuple[tuple[int, ...], ...] = BUDGET
    rounds: int = 40
    warm_up: int = 5
    padded: bool = False  # lengths drawn from 1 … T, in any order
    bidirectional: bool = False
    threads: int = 1


def minigrad_step(
    kind: str, size: tuple[int, ...], lengths: list[int] | None, both: bool
) -> Callable[[], Any]:
    """A function that runs the layer forward and backward once."""
    T, B, I, H = size
    layer = getattr(nn, kind)(I, H, bidirectional=both)
    rng = np.random.default_rng(0)
    x = mg.asarray(rng.standard_normal((T, B, I), np.float32)).requires_grad_()
    dy = mg.asarray(rng.standard_normal((T, B, (1 + both) * H), np.float32))

    def step() -> None:
        layer.zero_grad()
        x.grad = None
        y, _ = layer(x, lengths=lengths)
        y.backward(dy)

    return step


def torch_step(
    torch: Any, kind: str, size: tuple[int, ...], lengths: list[int] | None, both: bool
) -> Callable[[], Any]:
    """The same in PyTorch, whose way to variable lengths is packing."""
    T, B, I, H = size
    layer = getattr(torch.nn, kind)(I, H, bidirectional=both)
    x = torch.randn(T, B, I, requires_grad=True)
    dy = torch.randn(T, B, (1 + both) * H)
    rnn = torch.nn.utils.rnn

    def step() -> None:
        layer.zero_grad()
        x.grad = None
        if lengths is None:
            y, _ = layer(x)
        else:
            packed = rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
            y, _ = rnn.pad_packed_sequence(layer(packed)[0], total_length=T)
        y.backward(dy)

    return step


def race(steps: list[Callable[[], Any]], config: Config) -> np.ndarray[Any, Any]:
    """Milliseconds (rounds, steps)."""
    times = np.empty((config.warm_up + config.rounds, len(steps)))
    for row in times:
        for k, step in enumerate(steps):
            start = perf_counter()
            step()
            row[k] = perf_counter() - start
    return times[config.warm_up :] * 1e3


def quartiles(values: np.ndarray[Any, Any]) -> str:
    """The median, and the quartiles in brackets."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return f"{median:8.2f} [{low:.2f}, {high:.2f}]"


def run(config: Config) -> None:
    """Print one line per layer and size."""
    try:
        import torch
    except ImportError:
        sys.exit("this benchmark compares with PyTorch: pip install torch")
    torch.set_num_threads(config.threads)
    mg.set_num_threads(config.threads)
    versions = f"numpy {np.__version__}, torch {torch.__version__}"
    print(f"{versions}, {config.threads} thread(s) each, float32, ms per step")
    print(f"{'layer':5} {'(T, B, I, H)':20} {'minigrad':>24} {'torch':>24} {'ratio':>22}")
    for kind in config.layers:
        for size in config.sizes:
            lengths = None
            if config.padded:
                lengths = np.random.default_rng(0).integers(1, size[0] + 1, size[1]).tolist()
                lengths[0] = size[0]
            given = kind, size, lengths, config.bidirectional
            times = race([minigrad_step(*given), torch_step(torch, *given)], config)
            ratio = quartiles(times[:, 0] / times[:, 1])
            mine, theirs = quartiles(times[:, 0]), quartiles(times[:, 1])
            print(f"{kind:5} {size!s:20} {mine:>24} {theirs:>24} {ratio:>22}")


def parse(arguments: list[str] | None = None) -> Config:
    """The command line as a Config."""
    what, _, details = (__doc__ or "").partition("\n\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=what, epilog=details, formatter_class=form)
    kinds = ("LSTM", "GRU", "RNN")
    parser.add_argument("--layers", nargs="+", choices=kinds, default=Config.layers)
    parser.add_argument("--sizes", nargs="+", metavar="T,B,I,H", help="instead of the budget's")
    parser.add_argument("--rounds", type=int, default=Config.rounds)
    parser.add_argument("--padded", action="store_true", help="sequences of random lengths")
    parser.add_argument("--bidirectional", action="store_true", help="both directions")
    parser.add_argument("--threads", type=int, default=Config.threads, help="of each library")
    given = parser.parse_args(arguments)
    sizes = tuple(tuple(map(int, s.split(","))) for s in given.sizes) if given.sizes else BUDGET
    return Config(
        tuple(given.layers),
        sizes,
        given.rounds,
        padded=given.padded,
        bidirectional=given.bidirectional,
        threads=given.threads,
    )


if __name__ == "__main__":
    config = parse()
    if ONE_THREAD.items() <= os.environ.items():
        run(config)
    else:  # BLAS reads them when NumPy is loaded: start again
        command = [sys.executable, "-m", "benchmarks.lstm_layer", *sys.argv[1:]]
        os.execve(sys.executable, command, os.environ | ONE_THREAD)
