"""Every op of the table under CuPy's rules: forward and backward, no sync, NumPy's results."""

from __future__ import annotations

import pytest

import minigrad as mg
from minigrad.testing import strict
from tests.ops.harness import (
    OTHERS,
    SMOOTH,
    TABLE,
    assert_same,
    assert_takes_what_the_cpu_takes,
    cotangent,
    host,
    outputs,
    run,
    samples,
    tensors,
)


@samples(TABLE)
def test_same_as_numpy(sample):
    inputs = sample.draw()
    (ys, grads), (expected, exact) = run(sample, inputs, "strict"), run(sample, inputs)
    assert_same(ys, expected, 1e-14)
    assert_same(grads, exact, 1e-13)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", OTHERS)
def test_other_dtypes(dtype):
    assert_takes_what_the_cpu_takes(dtype, "strict")


@samples(s for s in SMOOTH if s.op != "to_device")
def test_never_waits_for_the_device(sample):
    xs = tensors(sample, sample.draw(), "strict")
    with strict.no_sync():
        ys = outputs(sample(*xs))
    with strict.no_sync():
        mg.grad(ys, [x for x in xs if getattr(x, "requires_grad", False)], ys, allow_unused=True)


@samples(s for s in SMOOTH if 2 in s.orders)
def test_second_order(sample):
    """The gradient of |gradient|², by the rules on tensors or the composite."""

    def second(device):
        xs = tensors(sample, sample.draw(), device)
        wanted = [x for x in xs if getattr(x, "requires_grad", False)]
        ys = [y for y in outputs(sample(*xs)) if y.requires_grad]
        vs = [mg.asarray(cotangent(y.shape, y.dtype), device=device) for y in ys]
        first = mg.grad(ys, wanted, vs, create_graph=True, allow_unused=True)
        total = sum((g * g).sum() for g in map(_dense, first) if g is not None)
        if not getattr(total, "requires_grad", False):
            return []
        found = mg.grad(total, wanted, allow_unused=True)
        return [None if g is None else host(g) for g in found]

    for got, expected in zip(second("strict"), second("cpu"), strict=True):
        assert (got is None) == (expected is None)
        if got is not None:
            assert_same([got], [expected], 1e-11)


def _dense(g):
    return g.to_dense() if hasattr(g, "to_dense") else g
