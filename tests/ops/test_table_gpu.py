"""Every op of the table on a GPU: the CPU's values and gradients."""

from __future__ import annotations

import pytest

from tests.ops.harness import (
    OTHERS,
    TABLE,
    assert_same,
    assert_takes_what_the_cpu_takes,
    run,
    samples,
)

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-4)])
@samples(TABLE)
def test_same_as_numpy(sample, dtype, tolerance):
    inputs = sample.draw(dtype=dtype)
    (ys, grads), (expected, exact) = run(sample, inputs, "cuda"), run(sample, inputs)
    assert_same(ys, expected, tolerance)
    assert_same(grads, exact, tolerance)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", OTHERS)
def test_other_dtypes(dtype):
    assert_takes_what_the_cpu_takes(dtype, "cuda")
