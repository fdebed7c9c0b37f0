"""Every op of the table that PyTorch has: the same values and gradients."""

from __future__ import annotations

import pytest

from tests.ops.harness import TABLE, assert_same, cotangent, run, samples

torch = pytest.importorskip("torch")


@samples(s for s in TABLE if s.torch is not None)
def test_same_as_torch(sample):
    inputs = sample.draw()
    wanted = sample.differentiated(inputs)
    theirs = [
        torch.from_numpy(x.copy()).requires_grad_(i in wanted) if hasattr(x, "dtype") else x
        for i, x in enumerate(inputs)
    ]
    result = sample.expected_from_torch(torch, *theirs)
    expected = list(result) if isinstance(result, tuple | list) else [result]
    ys, grads = run(sample, inputs)
    assert_same(ys, [e.detach().numpy() for e in expected], 1e-11)
    if wanted:
        vs = [torch.from_numpy(cotangent(tuple(e.shape), "float64")) for e in expected]
        exact = torch.autograd.grad(expected, [theirs[i] for i in wanted], vs)
        assert_same(grads, [g.numpy() for g in exact], 1e-10)
