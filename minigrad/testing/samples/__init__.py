"""The op table: for each op, arguments to call it with and NumPy's answer.

One module per family of ops, each with a list `SAMPLES`. The tests in `tests/ops` walk the table:
values, first and second derivatives, forward mode, dtypes, memory layouts, devices and parity with
PyTorch come from one line per op. An op without a sample fails a test.

>>> from minigrad.testing.samples import table
>>> [sample.op for sample in table() if sample.op == "exp"]
['exp']
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from .sample import Draw, Sample, bools, ints, real, steps

__all__ = ["Draw", "Sample", "bools", "ints", "real", "steps", "table"]


@cache
def table() -> tuple[Sample, ...]:
    """All samples, family by family."""
    found: list[Sample] = []
    for module in pkgutil.iter_modules(__path__):
        if module.name != "sample":
            found += importlib.import_module(f"{__name__}.{module.name}").SAMPLES
    return tuple(found)
