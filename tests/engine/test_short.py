"""The short way through an op does what the long way does, and writes the same line."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors
from minigrad.engine import OPS, ops

A = np.array([[0.3, 0.7], [0.2, 0.9]])
B = np.array([[0.5, 0.1], [0.8, 0.4]])
SHORT = {op.name: op for op in OPS.values() if op.short is not None and op.differentiable}
UNARY = [name for name, op in SHORT.items() if op.arity == 1]
BINARY = [name for name, op in SHORT.items() if op.arity == 2 and all(op.rules)]  # no indices


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def line(t):
    """What was written, in a form that can be compared."""
    node = t.node
    return {
        "op": node.op,
        "params": node.params,
        "parents": [id(p) for p in node.parents],
        "slots": list(node.slots),
        "mask": node.mask,
        "inputs": [known(v) for v in node.inputs],
        "outputs": node.outputs,
        "specs": node.specs,
        "rest": (node.residual, node.versions or None, node.hooks, node.labels, node.many),
        "scope": node.scope,
        "place": node.place,
    }


def known(value):
    """What is kept of an argument: its values, or its shape and dtype."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value if isinstance(value, float | int) else (value.shape, value.dtype)


def ways(op, *args):
    """The result of a call the short way, and the long way."""
    results = []
    for call in (op.short, op.general):
        with np.errstate(all="ignore"):
            results.append(call(*args))
    return results


def both_ways(op, *args):
    short, long = ways(op, *args)
    assert type(short) is type(long)
    for a, b in zip(*[t if isinstance(t, tuple) else (t,) for t in (short, long)], strict=True):
        assert type(a.data) is type(b.data) is np.ndarray
        assert (a.requires_grad, a.dtype) == (b.requires_grad, b.dtype)
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        if a.requires_grad:
            np.testing.assert_equal(line(a), line(b))
    return short


def test_there_are_such_ops():
    assert {"add", "subtract", "multiply", "divide", "matmul", "pow"} <= set(BINARY)
    assert {"exp", "tanh", "negative", "sigmoid", "relu"} <= set(UNARY)
    assert ops.multiply is OPS["multiply"].short
    for op in OPS.values():
        if op.view or op.fused or op.static or op.defaults:
            assert op.short is None


@pytest.mark.parametrize("name", UNARY)
def test_one_argument(name):
    op = SHORT[name]
    with mg.scope("here"):
        for x in (leaf(A), leaf(A) * 1.0, mg.unstack(leaf([A, A]))[1], mg.tensor(A)):
            both_ways(op, x)
    with mg.no_grad():
        both_ways(op, leaf(A))
    np.testing.assert_equal(*ways(op, A))


@pytest.mark.parametrize("name", BINARY)
def test_two_arguments(name):
    op = SHORT[name]
    x, y, made = leaf(A), leaf(B), leaf(B) * 1.0
    pairs = [(x, y), (x, x), (x, made), (made, x), (made, made), (x, mg.tensor(B))]
    pairs += [(mg.tensor(A), y), (x, mg.unstack(leaf([A, B]))[1])]
    if op.elementwise:
        pairs += [(x, 2.0), (made, 2), (2.0, x), (x, leaf(0.5)), (leaf([[0.5]]), made)]
        pairs += [(x, np.float64(0.5)), (x, B), (x, True)]
    for pair in pairs:
        both_ways(op, *pair)
    with mg.no_grad():
        both_ways(op, x, y)
    np.testing.assert_equal(*ways(op, A, B))


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_errors_are_those_of_the_long_way(name):
    op = SHORT[name]
    wrong = [("text", leaf(A))[: op.arity]]
    if op.arity == 2:
        wrong += [(leaf(A), b) for b in ("text", leaf(np.ones((3, 3))), None, [1.0])]
    for args in wrong:
        with pytest.raises(Exception) as short:
            op.short(*args)
        with pytest.raises(type(short.value)) as long:
            op.general(*args)
        assert str(short.value) == str(long.value)


def test_arguments_by_keyword_go_the_long_way():
    x, y = leaf(A), leaf(B)
    np.testing.assert_array_equal(mg.multiply(a=x, b=y).numpy(), A * B)
    np.testing.assert_array_equal(mg.multiply(x, b=y).numpy(), A * B)
    np.testing.assert_array_equal(mg.tanh(x=x).numpy(), np.tanh(A))
    for call in (
        lambda: mg.multiply(x),
        lambda: mg.multiply(b=y),
        lambda: mg.multiply(x, y, x),
        mg.tanh,
        lambda: mg.tanh(x, out=y),
        lambda: mg.ops.multiply(x, other=y),
    ):
        with pytest.raises(errors.ArgumentError, match=r"it is (multiply\(a, b\)|tanh\(x\))"):
            call()


def test_errors_of_a_kernel_are_explained():
    with pytest.raises(errors.ShapeError, match=r"det.*\(2, 3\)"):
        mg.linalg.det(leaf(np.ones((2, 3))))
    with pytest.raises(errors.ShapeError, match=r"add\(float64\(2,\), float64\(3,\)\)"):
        leaf([1.0, 2.0]) + leaf([1.0, 2.0, 3.0])


def test_views_and_written_memory_are_watched():
    w, v = leaf(A), leaf(B)
    outs = [mg.sin(w.T), w.T * v, v * w.T, mg.sin(w), w * v, v * w]
    w.assign_(0.0)
    for out in outs:
        with pytest.raises(errors.InPlaceError):
            out.sum().backward()


def test_zero_dimensional_results_are_arrays():
    x, y = leaf(0.5), leaf(0.25)
    for t in (mg.exp(x), x * y, x * 2.0, leaf([1.0, 2.0]) @ leaf([3.0, 4.0])):
        assert type(t.data) is np.ndarray
        assert t.shape == ()
    (mg.exp(x) * y).backward()
    assert type(y.grad.data) is np.ndarray


def test_anomalies_are_found():
    with mg.detect_anomaly():
        with pytest.raises(errors.AnomalyError, match="log"):
            mg.log(leaf([-1.0]))
        with pytest.raises(errors.AnomalyError, match="divide"):
            leaf([0.0]) / leaf([0.0])


def test_a_rule_declared_late_counts():
    @mg.op
    def user_late(xp, x):
        return x * 2

    x = leaf(A)
    try:
        assert not user_late(x).requires_grad
        user_late.defvjp(lambda g, _y, _x: g * 2)
        user_late(x).sum().backward()
        assert x.grad.tolist() == [[2, 2], [2, 2]]
    finally:
        del OPS["user_late"]
        del ops.user_late


def test_places_are_the_users_whichever_way_an_op_is_called():
    x, y = leaf(A), leaf(B)
    outs = [x * y, mg.multiply(x, y), mg.tanh(x), x.tanh(), 2.0 * x, x[0], mg.mse_loss(x, y)]
    assert {t.node.place[0] for t in outs} == {__file__}
    assert len({t.node.place[1] for t in outs}) == 1


def test_an_op_called_at_the_top_of_a_script():
    script = (
        "import minigrad as mg\n"
        "x = mg.tensor(2.0, requires_grad=True)\n"
        "y = mg.engine.ops.multiply(x, x)\n"
        "print(y.node.place, mg.exp(x).node.place, (x * x).node.place)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["('<string>',", "3)", "('<string>',", "4)", "('<string>',", "4)"]
