"""Grad mode, anomaly detection and module scope: switched, restored, and never leaked."""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors
from minigrad.engine import MODES


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def line(offset):
    frame = inspect.currentframe().f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno + offset}"


# -- no_grad, enable_grad ------------------------------------------------------------------------


def test_nothing_is_recorded_under_no_grad():
    w = leaf([1.0])
    with mg.no_grad():
        assert not mg.is_grad_enabled()
        y = w * 2
        assert (y.requires_grad, y.is_leaf) == (False, True)
        with mg.enable_grad():
            assert mg.is_grad_enabled()
            assert (w * 2).requires_grad
        assert not mg.is_grad_enabled()
    assert mg.is_grad_enabled()
    assert (w * 2).requires_grad


@pytest.mark.parametrize("switch", [mg.no_grad, mg.enable_grad])
def test_as_a_decorator(switch):
    @switch()
    def f(n):
        """Doc."""
        assert mg.is_grad_enabled() is (switch is mg.enable_grad)
        return f(n - 1) if n else "done"

    assert f(3) == "done"
    assert f(0) == "done"  # again
    assert f.__doc__ == "Doc."
    assert f.__name__ == "f"
    assert mg.is_grad_enabled()


def test_decorating_what_runs_later_is_an_error():
    def generator():
        yield 1

    async def coroutine():
        return 1

    for function in (generator, coroutine):
        with pytest.raises(TypeError, match=f"{function.__name__}.*with statement"):
            mg.no_grad()(function)


@pytest.mark.parametrize(
    "context",
    [
        mg.no_grad,
        mg.enable_grad,
        mg.detect_anomaly,
        lambda: mg.scope("part"),
        lambda: mg.use_device("cpu"),
    ],
)
def test_modes_are_restored_when_the_body_raises(context):
    before = MODES.get()
    with pytest.raises(ZeroDivisionError), context():
        raise ZeroDivisionError
    assert MODES.get() == before

    @context()
    def f():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        f()
    assert MODES.get() == before


def test_modes_are_restored_when_an_op_or_a_rule_raises():
    before = MODES.get()
    x = leaf([1.0, 2.0])
    with mg.no_grad():
        with pytest.raises(errors.ShapeError):
            x @ mg.ones((5, 5), dtype="float64")
        assert not mg.is_grad_enabled()
    y = mg.exp(x)
    y.register_hook(lambda g: 1 / 0)
    loss = y.sum()
    for create_graph in (False, True):
        with mg.no_grad():
            with pytest.raises(ZeroDivisionError):
                mg.grad(loss, x, create_graph=create_graph, retain_graph=True)
            assert not mg.is_grad_enabled()
    assert MODES.get() == before


def test_a_failing_module_leaves_its_scope():
    class Broken(mg.nn.Module):
        def forward(self, x):
            raise ZeroDivisionError

    before = MODES.get()
    with pytest.raises(ZeroDivisionError):
        Broken()(1)
    assert MODES.get() == before


def test_scopes_nest_and_mark_lines():
    @mg.scope("inner")
    def f(x):
        return x * 2

    x = leaf([1.0])
    with mg.scope("outer"):
        y = f(x)
        z = y + 1
    assert y.node.scope == ("outer", "inner")
    assert z.node.scope == ("outer",)
    assert f(x).node.scope == ("inner",)


# -- threads and tasks -------------------------------------------------------------------------


def test_modes_do_not_leak_into_other_threads():
    inside, checked = threading.Event(), threading.Event()
    seen = []

    def other():
        inside.wait(10)
        seen.append((mg.is_grad_enabled(), MODES.get().anomaly, MODES.get().scope))
        with mg.no_grad():
            checked.set()
            done.wait(10)

    done = threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    with mg.no_grad(), mg.detect_anomaly(), mg.scope("here"):
        inside.set()
        checked.wait(10)
    assert mg.is_grad_enabled()
    done.set()
    thread.join()
    assert seen == [(True, False, ())]


def train(seed, steps=60):
    """A small model trained in a fixed way; every few steps under other modes."""
    rng = np.random.default_rng(seed)
    w1, w2 = leaf(rng.standard_normal((4, 8)) * 0.5), leaf(rng.standard_normal((8, 1)) * 0.5)
    x = mg.tensor(rng.standard_normal((16, 4)))
    y = mg.tensor(rng.standard_normal((16, 1)))
    opt = mg.optim.Adam([w1, w2], lr=0.02)
    losses = []
    for step in range(steps):
        loss = mg.mse_loss(mg.checkpoint(lambda t: mg.tanh(t @ w1), x) @ w2, y)
        opt.zero_grad()
        if step % 7 == 0:
            loss.backward(create_graph=True)
            w1.grad, w2.grad = w1.grad.detach(), w2.grad.detach()
        else:
            loss.backward()
        opt.step()
        with mg.no_grad():
            assert not (w1 * 2).requires_grad
            losses.append(loss.item())
    return losses


def test_threads_train_models_side_by_side():
    alone = [train(seed) for seed in range(4)]
    assert alone[0][-1] < alone[0][0]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(train, range(4)))
    assert together == alone


def test_one_model_differentiated_by_many_threads():
    """The leaves are shared, the tapes are not; `grad` leaves the leaves alone."""
    w = leaf(np.arange(1.0, 5.0))

    def work(k):
        results = []
        for _ in range(50):
            y = (mg.exp(w * 0.1) * k).sum()
            results.append(mg.grad(y, w).numpy())
        return np.stack(results)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    for k, results in enumerate(found):
        expected = np.broadcast_to(0.1 * k * np.exp(0.1 * w.numpy()), results.shape)
        np.testing.assert_allclose(results, expected, rtol=1e-14)
    assert w.grad is None


def test_tasks_do_not_see_each_others_modes():
    async def quiet(log):
        with mg.no_grad():
            for _ in range(3):
                await asyncio.sleep(0)
                log.append(mg.is_grad_enabled())

    async def loud(log):
        for _ in range(3):
            await asyncio.sleep(0)
            log.append(mg.is_grad_enabled())

    async def main():
        a, b = [], []
        await asyncio.gather(quiet(a), loud(b), quiet(a), loud(b))
        return a, b

    a, b = asyncio.run(main())
    assert set(a) == {False}
    assert set(b) == {True}


# -- detect_anomaly ------------------------------------------------------------------------------


def test_the_first_nan_of_the_forward_pass():
    x = leaf([-1.0, 4.0])
    with mg.detect_anomaly():
        fine = mg.exp(x)
        where = line(2)
        with pytest.raises(errors.AnomalyError) as caught:
            mg.sqrt(x * 2)
    assert where in str(caught.value)
    assert str(caught.value).startswith("sqrt made the first NaN from arguments ((2,))")
    assert fine.requires_grad
    with np.errstate(invalid="ignore"):
        assert np.isnan(mg.sqrt(x).numpy()[0])  # off again


def test_the_first_nan_of_the_backward_pass_names_the_line_of_the_forward_pass():
    x = leaf([0.0, 4.0])
    zero = mg.tensor([0.0, 1.0], dtype="float64")
    where = line(1)
    root = mg.sqrt(x)
    y = (root * zero).sum()
    with mg.detect_anomaly(), pytest.raises(errors.AnomalyError) as caught:
        y.backward()
    assert where in str(caught.value)
    assert "backward of sqrt" in str(caught.value)
    assert x.grad is None


def test_an_infinity_alone_is_no_anomaly():
    with mg.detect_anomaly():
        x = leaf([0.0])
        y = mg.log(x)
        y.sum().backward()
    assert np.isinf(x.grad.numpy()).all()


def test_anomalies_in_helper_functions_of_the_user():
    def helper(t):
        return mg.log(t)

    first = helper.__code__.co_firstlineno
    with mg.detect_anomaly(), pytest.raises(errors.AnomalyError, match=f"{__file__}:{first + 1}"):
        helper(leaf([-1.0]))


def test_anomalies_inside_a_layer_name_the_line_that_called_the_layer():
    layer = mg.nn.Linear(2, 2)
    layer.weight.assign_(np.array([[np.nan, 1.0], [1.0, 1.0]], np.float32))
    with mg.detect_anomaly():
        where = line(2)
        with pytest.raises(errors.AnomalyError) as caught:
            layer(mg.ones((1, 2)))
    assert where in str(caught.value)


def test_integers_are_never_anomalous():
    with mg.detect_anomaly():
        assert (mg.tensor([1, 2]) + 1).tolist() == [2, 3]
        assert mg.argmax(leaf([1.0, 2.0])).item() == 1


@pytest.mark.parametrize("create_graph", [False, True])
def test_anomalies_in_gradients_of_every_kind(create_graph):
    table, x = leaf(np.ones((3, 2))), leaf([1.0])
    rows = mg.embedding(table, mg.tensor([0, 2]), sparse=not create_graph)
    with mg.detect_anomaly():
        mg.grad(rows.sum() + x.sum(), [table, x], create_graph=create_graph, retain_graph=True)
        with pytest.raises(errors.AnomalyError, match="embedding"):
            mg.grad(rows, table, np.full((2, 2), np.nan), create_graph=create_graph)


def test_the_place_of_a_line():
    x = leaf([1.0])
    where = line(1)
    y = x * 2
    file, number = y.node.place
    assert f"{file}:{number}" == where
