"""Every op of the table in a program: the bits of the eager call, for new values of the inputs."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import CompileError
from tests.ops.harness import TABLE, cotangent, outputs, samples

REASONS = "depends on values", "is needed", "another device"


def step(sample, wanted):
    """A function of the arrays among the inputs: values, and gradients of Σ cotangent · y."""

    def run(*inputs):
        xs = [x.detach().requires_grad_(i in wanted) if isinstance(x, mg.Tensor) else x
              for i, x in enumerate(inputs)]  # fmt: skip
        ys = outputs(sample(*xs))
        leaves = [x for i, x in enumerate(xs) if i in wanted]
        smooth = [y for y in ys if isinstance(y, mg.Tensor) and y.requires_grad]
        if not leaves or not smooth:
            return ys, []
        vs = [mg.asarray(cotangent(y.shape, y.dtype)) for y in smooth]
        return ys, list(mg.grad(smooth, leaves, vs, allow_unused=True))

    return run


def arrays(result):
    values, gradients = result
    dense = [g if g is None or isinstance(g, mg.Tensor) else g.to_dense() for g in gradients]
    return [x if x is None else np.asarray(x.numpy() if isinstance(x, mg.Tensor) else x)
            for x in (*values, *dense)]  # fmt: skip


@samples(TABLE)
def test_same_bits(sample):
    drawn = [sample.draw(seed) for seed in (0, 1, 2)]
    function = step(sample, sample.differentiated(drawn[0]))
    compiled = mg.compile(function)
    for k, inputs in enumerate(drawn):
        tensors = [mg.asarray(x) if isinstance(x, np.ndarray) else x for x in inputs]
        expected = arrays(function(*tensors))
        try:
            got = arrays(compiled(*tensors))
        except CompileError as error:
            if not any(reason in str(error) for reason in REASONS):
                raise
            pytest.skip(str(error)[:100])
        assert len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            if b is None:
                assert a is None
                continue
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b, err_msg=f"call {k}")
    assert len(compiled.programs) == 1
