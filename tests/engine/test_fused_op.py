"""Fused ops written by users: a hand-written backward beside a composite."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors
from minigrad.testing import gradcheck, gradgradcheck

pytestmark = pytest.mark.usefixtures("forget_ops")


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def make_fused(log, composite=True):
    @mg.fused
    def user_cell(xp, x, w, b, *, gain=1.0, keep):
        h = xp.tanh(x @ w + (0 if b is None else b)) * gain
        log.append(("keep", keep))
        return (h, h.sum(axis=0)), (h / gain if keep else None)

    @user_cell.backward
    def _(xp, gs, ys, inputs, residual, needs, *, gain):
        x, w, b = inputs
        log.append(("gs", tuple(g is None for g in gs), "needs", needs))
        assert len(ys) == 2
        g = xp.zeros(residual.shape) if gs[0] is None else gs[0]
        if gs[1] is not None:
            g = g + gs[1]
        g = g * (1 - residual * residual) * gain
        return (
            g @ w.T if needs[0] else None,
            x.T @ g if needs[1] else None,
            None if b is None or not needs[2] else g.sum(axis=0),
        )

    if composite:

        @user_cell.composite
        def _(x, w, b, *, gain):
            h = mg.tanh(x @ w + (0 if b is None else b)) * gain
            return h, h.sum(axis=0)

    return user_cell


def test_a_fused_op_is_its_composite():
    log = []
    cell = make_fused(log)
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s) for s in ((4, 3), (3, 2), (2,))]
    args = [leaf(a) for a in arrays]
    for f in (lambda *a: cell(*a, gain=1.5), lambda *a: cell.plain(*a, gain=1.5)):
        assert gradcheck(f, args)
    assert gradgradcheck(lambda *a: cell(*a, gain=1.5), args)
    outs = cell(*args, gain=1.5)
    expected = cell.plain(*args, gain=1.5)
    for a, b in zip(outs, expected, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_fused_op_is_told_what_is_needed():
    log = []
    cell = make_fused(log)
    x, w = mg.tensor(np.ones((4, 3))), leaf(np.ones((3, 2)))
    with mg.no_grad():
        cell(x, w, None)
    assert log == [("keep", False)]
    h, s = cell(x, w, None)
    assert h.node.residual is not None
    s.sum().backward()
    assert log[1:] == [("keep", True), ("gs", (True, False), "needs", (False, True, False))]
    assert w.grad.shape == (3, 2)
    assert type(cell(np.ones((4, 3)), np.ones((3, 2)), None)[0]) is np.ndarray


def test_a_fused_op_without_a_composite_says_so_in_higher_order():
    cell = make_fused([], composite=False)
    x, w = leaf(np.ones((4, 3))), leaf(np.ones((3, 2)))
    mg.grad(cell(x, w, None)[0].sum(), [x, w])
    with pytest.raises(errors.GradError, match=r"user_cell.*composite"):
        mg.grad(cell(x, w, None)[0].sum(), [x, w], create_graph=True)


def test_the_same_tensor_twice_in_a_fused_op():
    cell = make_fused([])
    w = leaf(np.random.default_rng(1).standard_normal((2, 2)))
    assert gradcheck(lambda t: cell(t, t, None), w)
    assert gradgradcheck(lambda t: cell(t, t, None), w)
