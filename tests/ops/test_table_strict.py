"""Every op of the table under CuPy's rules: forward and backward, no sync, NumPy's results."""

from __future__ import annotations

import minigrad as mg
from minigrad.testing import strict
from tests.ops.harness import SMOOTH, TABLE, assert_same, outputs, run, samples, tensors


@samples(TABLE)
def test_same_as_numpy(sample):
    inputs = sample.draw()
    (ys, grads), (expected, exact) = run(sample, inputs, "strict"), run(sample, inputs)
    assert_same(ys, expected, 1e-14)
    assert_same(grads, exact, 1e-13)


@samples(s for s in SMOOTH if s.op != "to_device")
def test_never_waits_for_the_device(sample):
    xs = tensors(sample, sample.draw(), "strict")
    with strict.no_sync():
        ys = outputs(sample(*xs))
    with strict.no_sync():
        mg.grad(ys, [x for x in xs if getattr(x, "requires_grad", False)], ys, allow_unused=True)
