"""What drawing costs: `python -m benchmarks.drawing`. Best of several rounds.

Budgets: a 20-step LSTM laid out by dot in 0.3 s, 100,000 tape lines folded in 1 s, the page of that
LSTM below 1 MB, and nothing at all where nothing is drawn: the tape of a training step takes the
same time and memory with `minigrad.viz` imported, and after a record has ended.
"""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import nn, viz
from minigrad.viz.build import Names, build
from minigrad.viz.fold import fold
from minigrad.viz.tape import Tape

STEP = """
import time, tracemalloc, statistics, sys
import numpy as np
import minigrad as mg
from minigrad import nn
if "viz" in sys.argv:
    import minigrad.viz
mg.manual_seed(0)
model = nn.LSTMCell(8, 32)
xs = mg.tensor(np.ones((20, 16, 8), dtype=np.float32))
def step():
    state = None
    for x in xs:
        state = model(x, state)
    return (state[0] * state[0]).mean()
for _ in range(20):
    step().backward()
times = []
for _ in range(200):
    start = time.perf_counter()
    step().backward()
    times.append(time.perf_counter() - start)
tracemalloc.start()
loss = step()
kept = tracemalloc.get_traced_memory()[0]
print(min(times), kept)
"""


def numbers(*shape: int) -> mg.Tensor:
    """Normal random numbers."""
    return mg.tensor(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def best(f: Callable[[], Any], rounds: int = 5) -> tuple[float, Any]:
    """The shortest time of several, in seconds, and the last result."""
    shortest = float("inf")
    for _ in range(rounds):
        gc.collect()
        start = time.perf_counter()
        result = f()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest, result


def row(what: str, value: str, budget: str = "") -> None:
    """Print a figure beside its budget."""
    print(f"{what:<58} {value:>12}  {budget}")


def recurrent() -> None:
    """The LSTM of the gallery, opened into its gates."""
    model, x = nn.LSTM(8, 32), numbers(20, 64, 8)
    loss = (model(x)[0][-1] ** 2).mean()
    with viz.record(loss, expand="lstm") as seen:
        loss.backward()
    drawing, graph = best(lambda: viz.draw_graph(loss, model=model, record=seen))
    row("LSTM of 20 steps: tape to DOT", f"{1e3 * drawing:.0f} ms")
    for engine in ("dot", "pygraphviz"):
        if viz.render.find_engine(engine) is None:
            continue
        graph.engine = engine
        laid, _ = best(lambda: graph.pipe("svg"))
        row(f"  tape to SVG with {engine}", f"{1e3 * (drawing + laid):.0f} ms", "budget 300 ms")
    page, text = best(graph.to_html, 3)
    row("  HTML page", f"{len(text.encode()) / 1e3:,.0f} KB", "budget 1,000 KB")
    row("  written in", f"{1e3 * page:.0f} ms")


def long_tape(lines: int = 100_000) -> None:
    """An LSTM of plain ops over thousands of steps."""
    w, u = numbers(2, 8).requires_grad_(), numbers(2, 8).requires_grad_()
    x, h, c = numbers(1, 2), mg.zeros((1, 2)), mg.zeros((1, 2))
    for _ in range(lines // 16):
        z = x @ w + h @ u
        i, f, o = mg.sigmoid(z[:, :2]), mg.sigmoid(z[:, 2:4]), mg.sigmoid(z[:, 4:6])
        c = f * c + i * mg.tanh(z[:, 6:])
        h = o * mg.tanh(c)
    loss = h.sum()
    tape = Tape(loss)
    ir, _ = build(tape, Names())
    folding, small = best(lambda: fold(ir), 3)
    row(f"{len(tape.lines):,} lines folded to {len(small.items)}", f"{folding:.2f} s", "budget 1 s")
    whole, _ = best(lambda: viz.draw_graph(loss), 3)
    row("  from the tape to DOT", f"{whole:.2f} s")
    chain = numbers(2).requires_grad_()
    y, picks = chain, np.random.default_rng(0).integers(0, 4, lines)
    for pick in picks:
        y = (mg.sin, mg.cos, mg.tanh, mg.sigmoid)[pick](y)
    whole, graph = best(lambda: viz.draw_graph(y.sum()), 2)
    row(f"{lines:,} lines without any repeat: {len(graph.ir.items)} nodes", f"{whole:.2f} s")


def nothing_drawn(rounds: int = 7) -> None:
    """A training step in fresh processes: viz not imported, viz imported, taking turns."""
    found: dict[str, list[tuple[float, int]]] = {"": [], "viz": []}
    for _ in range(rounds):
        for name, measured in found.items():
            done = subprocess.run(
                [sys.executable, "-c", STEP, name], capture_output=True, check=True, text=True
            )
            seconds, kept = done.stdout.split()
            measured.append((float(seconds), int(kept)))
    ratio = statistics.median(
        b[0] / a[0] for a, b in zip(found[""], found["viz"], strict=True)
    )  # fmt: skip
    memory = {name: min(k for _, k in measured) for name, measured in found.items()}
    row("training step: viz imported / not imported, time", f"{ratio:.3f}", "1: no cost")
    row("  memory of its tape", f"{memory['viz'] / memory['']:.3f}", "1: no cost")


def record_on_and_off() -> None:
    """The same model before, during and after a record: only the record itself costs."""
    model, xs = nn.LSTMCell(8, 32), numbers(20, 16, 8)

    def step() -> mg.Tensor:
        state = None
        for x in xs:
            state = model(x, state)
        return (state[0] * state[0]).mean()

    def recorded() -> None:
        with viz.record(model):
            step().backward()

    def kept() -> int:
        gc.collect()
        tracemalloc.start()
        loss = step()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        del loss
        return size

    before_bytes = min(kept() for _ in range(3))
    pairs = []
    for _ in range(20):
        before, _ = best(lambda: step().backward(), 5)
        during, _ = best(recorded, 1)
        after, _ = best(lambda: step().backward(), 5)
        pairs.append((after / before, during / before))
    ratio = statistics.median(p[0] for p in pairs)
    row("after a record / before it, time", f"{ratio:.3f}", "1: no cost")
    row("  memory of the tape", f"{min(kept() for _ in range(3)) / before_bytes:.3f}", "1: no cost")
    row("during it", f"{statistics.median(p[1] for p in pairs):.1f} ×")


def main() -> None:
    """Measure and print."""
    recurrent()
    long_tape()
    nothing_drawn()
    record_on_and_off()


if __name__ == "__main__":
    main()
