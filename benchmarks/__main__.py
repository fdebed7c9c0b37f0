"""minigrad beside its peers, in one run: times, memory, growth.

    python -m benchmarks                      # the training steps W1 … W7, small ops, the sampler
    python -m benchmarks --only W1,W3 --impl eager,compiled,jax --quick
    python -m benchmarks --growth             # time and memory against T, batch, hidden size, …
    python -m benchmarks --all                # both: the official run, about 14 minutes
    python -m benchmarks --floors             # what NumPy takes for a step: how low a ratio can be
    python -m benchmarks --profile --only W4 --impl eager     # where a step spends its time
    python -m benchmarks --device cuda        # on a GPU, beside PyTorch's cuDNN: ten minutes
    python -m benchmarks --device cuda --all    # and beside torch.compile, which takes longer

What is installed is measured, the rest is named: pip install torch jax dezero mygrad. Chainer needs
NumPy 1 and so a Python of its own: --python chainer=PATH. PyTorch is always needed: loss and
gradients of all others are compared with its before a time counts. Report, figures and plot of a
full run go to benchmarks/results/, those of a part to --out, if given.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import machine, profiles, report
from .frameworks import IMPLEMENTATIONS
from .runner import Config, measure
from .workloads import WORKLOADS

RESULTS = Path(__file__).parent / "results"
DEFAULT = ",".join(Config.implementations)


def names(text: str, known: Any, what: str) -> tuple[str, ...]:
    """The names in a list with commas. Raises: SystemExit for an unknown one."""
    given = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [name for name in given if name not in known]
    if unknown or not given:
        sys.exit(f"unknown {what} {', '.join(unknown) or text!r}; known are {', '.join(known)}")
    return given


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    what, _, details = (__doc__ or "").partition("\n\n")
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "benchmarks", description=what, epilog=details, formatter_class=form
    )
    parser.add_argument("--only", default=",".join(WORKLOADS), metavar="W1,W3,…")
    parser.add_argument("--impl", default=DEFAULT, help=f"of {', '.join(IMPLEMENTATIONS)}")
    parser.add_argument("--rounds", type=int, default=Config.rounds)
    parser.add_argument("--quick", action="store_true", help="a look: 3 short rounds")
    parser.add_argument("--growth", action="store_true", help="the second table alone")
    parser.add_argument("--all", action="store_true", help="both tables")
    parser.add_argument("--floors", action="store_true", help="what NumPy alone takes instead")
    parser.add_argument("--profile", action="store_true", help="hot spots under cProfile instead")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--python", action="append", default=[], metavar="FRAMEWORK=PATH")
    parser.add_argument("--out", type=Path, help="a folder for the results")
    parser.add_argument("--no-save", action="store_true", help="print, write nothing")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    given = parse(arguments)
    partial = given.quick or given.only != ",".join(WORKLOADS) or given.impl != DEFAULT
    given.out = given.out or (None if partial or given.no_save else RESULTS)
    only = names(given.only, WORKLOADS, "workload")
    chosen = names(given.impl, IMPLEMENTATIONS, "implementation")
    config = Config(
        implementations=chosen,
        rounds=3 if given.quick else given.rounds,
        seconds=0.1 if given.quick else Config.seconds,
        pythons=dict(pair.split("=", 1) for pair in given.python),
    )
    command = shlex.join(["python", "-m", "benchmarks", *(arguments or sys.argv[1:])])
    about: dict[str, Any] = {"command": command, "machine": machine.facts()}
    begin = time.monotonic()
    if (load := about["machine"]["load"]) and load > about["machine"]["cores"] / 2:
        print(f"The machine is busy (load {load}): ratios will be rough, two-thread times wild.\n")
    if given.profile:
        print(profiles.profile([WORKLOADS[w] for w in only], chosen, config))
        return 0
    if given.floors:
        from . import floors

        chosen = floors.NAMES if given.impl == DEFAULT else chosen
        config = replace(config, implementations=chosen)
        result = {**about, "floors": floors.measure([WORKLOADS[w] for w in only], config)}
        finish(given, result, floors.text(result), "floors", picture=False)
        return 0
    if given.device == "cuda":
        from . import cuda

        result = {**about, **cuda.measure(config, quick=given.quick, compiled=given.all)}
        finish(given, result, cuda.text(result), "cuda", picture=False)
        return 0
    if not given.growth or given.all:
        result = {**about, "workloads": measure([WORKLOADS[w] for w in only], config)}
        finish(given, result, report.text(result))
    if given.growth or given.all:
        from . import growth

        result = {**about, "growth": growth.measure(config, quick=given.quick)}
        finish(given, result, growth.text(result), "growth", picture=False)
    print(f"{(time.monotonic() - begin) / 60:.1f} minutes")
    return 0


def finish(given: Any, result: Any, written: str, kind: str = "", *, picture: bool = True) -> None:
    """Print the report and keep it."""
    print("\n" + written)
    if given.out and not given.no_save:
        for path in report.save(result, written, given.out, kind, picture=picture):
            print(path)


if __name__ == "__main__":
    sys.exit(main())
