"""How long `import minigrad` takes beyond NumPy's own import: `python -m benchmarks.import_time`.

Each round starts a fresh interpreter; medians and quartiles in milliseconds. Budget: 100 ms.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = """
import time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import minigrad
print(middle - start, time.perf_counter() - middle)
"""


def main(rounds: int = 21) -> None:
    """Measure and print."""
    times = []
    for _ in range(rounds + 1):
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True)
        times.append([1000 * float(t) for t in done.stdout.split()])
    for name, column in zip(
        ("numpy", "minigrad beyond numpy"), zip(*times[1:], strict=True), strict=True
    ):
        low, median, high = statistics.quantiles(column, n=4)
        print(f"{name:<22} {median:6.1f} ms  [{low:.1f}, {high:.1f}]")


if __name__ == "__main__":
    main()
