"""Every op of the table: values, derivatives of both orders, forward mode, the composite."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad.engine import OPS
from minigrad.testing.gradcheck import check_jvp, gradcheck, gradgradcheck
from tests.ops.harness import (
    SMOOTH,
    TABLE,
    assert_same,
    gradients,
    outputs,
    run,
    samples,
    tensors,
)


def test_every_op_has_a_sample():
    ours = {name for name, op in OPS.items() if op.__module__.startswith("minigrad.")}
    assert ours == {s.op for s in TABLE}


@samples(TABLE)
def test_value(sample):
    inputs = sample.draw()
    ys = outputs(sample(*tensors(sample, inputs)))
    expected = outputs(sample.expected(*inputs))
    assert_same([y.numpy() for y in ys], expected, sample.tolerance)
    assert [y.dtype for y in ys] == [np.asarray(e).dtype for e in expected]


@samples(TABLE)
def test_arrays_in_arrays_out(sample):
    inputs = sample.draw()
    ys = outputs(sample(*inputs))
    assert not any(isinstance(y, mg.Tensor) for y in ys)
    assert_same(ys, [y.numpy() for y in outputs(sample(*tensors(sample, inputs)))])


@samples(SMOOTH)
def test_it_is_this_op_that_is_recorded(sample):
    seen, todo = set(), [y.node for y in outputs(sample(*tensors(sample, sample.draw())))]
    while todo:
        node = todo.pop()
        if isinstance(node, mg.Node):
            seen.add(node.op.name)
            todo.extend(node.parents)
    assert sample.op in seen


@samples(SMOOTH)
def test_first_order(sample):
    assert gradcheck(sample, tensors(sample, sample.draw()))


@samples(s for s in SMOOTH if 2 in s.orders)
def test_second_order(sample):
    assert gradgradcheck(sample, tensors(sample, sample.draw()))


@samples(SMOOTH)
def test_forward_mode(sample):
    assert check_jvp(sample, tensors(sample, sample.draw()))


@samples(SMOOTH)
def test_forward_and_reverse_mode_agree(sample):
    """⟨v, J t⟩ = ⟨Jᵀ v, t⟩."""
    inputs = sample.draw()
    xs = tensors(sample, inputs)
    wanted = sample.differentiated(inputs)

    def f(*chosen):
        values = list(xs)
        for i, x in zip(wanted, chosen, strict=True):
            values[i] = x
        return tuple(y for y in outputs(sample(*values)) if y.dtype.kind == "f")

    rng = np.random.default_rng(2)
    ts = [rng.standard_normal(inputs[i].shape) for i in wanted]
    ys, forward = mg.jvp(f, [xs[i].detach() for i in wanted], [mg.asarray(t) for t in ts])
    vs = [rng.standard_normal(y.shape) for y in ys]
    _, pull = mg.vjp(f, *[xs[i].detach() for i in wanted])
    back = pull(*[mg.asarray(v) for v in vs])
    left = sum((v * d.numpy()).sum() for v, d in zip(vs, forward, strict=True))
    right = sum((t * b.numpy()).sum() for t, b in zip(ts, back, strict=True))
    np.testing.assert_allclose(left, right, rtol=1e-10, atol=1e-12)


@samples(s for s in SMOOTH if s.registered.plain is not None)
def test_composite(sample, monkeypatch):
    """A fused op and its definition in plain ops: the same values, the same gradients."""
    inputs = sample.draw()
    values, grads = run(sample, inputs)
    fused = sample.registered

    def plainly(*args, **params):
        if not fused.variadic:
            args, params = fused._bind(args, params)
        return fused.plain(*args, **{**fused.defaults, **params})

    monkeypatch.setattr(fused, "__call__", plainly)
    xs = tensors(sample, inputs)
    ys = outputs(sample(*xs))
    assert all(y.node is None or y.node.op is not fused for y in ys)
    assert_same(values, [y.numpy() for y in ys], 1e-11)
    assert_same(grads, gradients(ys, xs), 1e-11)


def test_the_harness_sees_a_wrong_gradient(monkeypatch):
    sample = next(s for s in TABLE if s.op == "exp")
    monkeypatch.setattr(sample.registered, "rules", (lambda g, y, _x: g * y * 2,))
    _, (wrong,) = run(sample, sample.draw())
    monkeypatch.undo()
    _, (right,) = run(sample, sample.draw())
    np.testing.assert_allclose(wrong, 2 * right)
