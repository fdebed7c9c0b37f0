"""The tape that is given one promise after the other computes the same in each row."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import op_parts
from benchmarks.op_overhead import start


@pytest.mark.parametrize("row", range(1, len(op_parts.ROWS) - 1))
def test_forward(row):
    x, w = start()
    y = op_parts.forward(row)()
    np.testing.assert_allclose(y.data, x + op_parts.CHAIN * w, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("row", range(1, len(op_parts.BACK_ROWS) - 1))
def test_backward(row):
    dx, dw = sorted(g[0, 0] for g in op_parts.both(row)().values())
    assert (dx, dw) == (1, op_parts.CHAIN)
