"""What the engine relies on, held for every op of the table: kernels and rules write into nothing
that was handed to them, and memory is shared only where `view=True` says so.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import minigrad as mg
from minigrad.engine import OPS, Op
from minigrad.engine.tensor import TAPE
from minigrad.testing.samples import table

SAMPLES = [sample for sample in table() if sample.op != "to_device"]
all_samples = pytest.mark.parametrize("sample", SAMPLES, ids=str)


def arguments(sample, *, requires_grad):
    inputs = sample.draw()
    wanted = sample.differentiated(inputs) if requires_grad else []
    return [
        mg.asarray(x).requires_grad_(i in wanted) if hasattr(x, "dtype") else x
        for i, x in enumerate(inputs)
    ]


def results(y):
    return [t for t in (y if isinstance(y, tuple | list) else [y]) if isinstance(t, mg.Tensor)]


def arrays(value):
    """The NumPy arrays in a nested value."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from arrays(item)


@all_samples
def test_nothing_that_was_handed_over_is_written_into(sample, monkeypatch):
    pull = Op.pull
    fused_pull = mg.engine.FusedOp.pull

    def locked(original):
        def wrapped(self, node, gs, *rest):
            for a in arrays((gs, node.inputs, node.outputs)):
                a.flags.writeable = False
            return original(self, node, gs, *rest)

        return wrapped

    monkeypatch.setattr(Op, "pull", locked(pull))
    monkeypatch.setattr(mg.engine.FusedOp, "pull", locked(fused_pull))
    xs = arguments(sample, requires_grad=True)
    for x in results(xs):
        x.data.flags.writeable = False
    ys = [y for y in results(sample(*xs)) if y.requires_grad]
    wanted = [x for x in results(xs) if x.requires_grad]
    if ys and wanted:
        first = mg.grad(ys, wanted, [np.ones(y.shape) for y in ys], retain_graph=True)
        again = mg.grad(ys, wanted, [np.ones(y.shape) for y in ys])
        for a, b in zip(first, again, strict=True):  # so the residual was not written into either
            a, b = (g.to_dense() if isinstance(g, mg.RowSparse) else g.numpy() for g in (a, b))
            np.testing.assert_array_equal(a, b)


@all_samples
def test_memory_is_shared_only_by_views(sample, monkeypatch):
    shared = []

    def watched(op, call, *args, **params):
        result = call(*args, **params)
        shared.extend(
            op.name
            for y in results(result)
            for x in results(args)
            if y.size and np.shares_memory(x.data, y.data)
            if y.version is None or y.version is not x.version
        )
        return result

    for op in OPS.values():
        if getattr(mg.engine.ops, op.name) is op.short:
            monkeypatch.setattr(mg.engine.ops, op.name, op)
        monkeypatch.setattr(op, "__call__", partial(watched, op, op.__call__))
    for requires_grad in (True, False):
        sample(*arguments(sample, requires_grad=requires_grad))
    assert shared == []


@all_samples
def test_gradients_share_no_memory_with_values(sample):
    xs = arguments(sample, requires_grad=True)
    ys = [y for y in results(sample(*xs)) if y.requires_grad]
    wanted = [x for x in results(xs) if x.requires_grad]
    if not ys or not wanted:
        return
    for g in mg.grad(ys, wanted, [np.ones(y.shape) for y in ys]):
        assert isinstance(g, mg.RowSparse) or g.version is TAPE
        data = g.values if isinstance(g, mg.RowSparse) else g.data
        for t in (*results(xs), *ys):
            assert not np.shares_memory(data, t.data)
