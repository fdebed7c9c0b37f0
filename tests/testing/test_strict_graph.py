"""Captured graphs on the strict device: what they replay, what they bake in, what they forbid."""

import numpy as np
import pytest

from minigrad.backend import device, matmul
from minigrad.errors import DeviceError
from minigrad.testing import strict

DEV = device("strict")
xp = DEV.xp


def dev(values, dtype="float32"):
    return DEV.asarray(np.asarray(values), dtype)


def train(lr_of, *, captured, steps=4):
    """Losses of a few steps of momentum SGD; the learning rate changes at each step."""
    rng = np.random.default_rng(0)
    x, y = dev(rng.standard_normal((8, 5))), dev(rng.standard_normal((8, 1)))
    w, m, lr = dev(np.ones((5, 1))), dev(np.zeros((5, 1))), dev(0.1)
    host = [0.1]

    def step():
        nonlocal w, m
        e = matmul(x, w) - y
        m *= 0.9
        m += matmul(x.T, e) * (2.0 / 8)
        w -= lr_of(host, lr) * m
        return (e * e).mean()

    if captured:
        with strict.capturing() as graph:
            loss = step()
    losses = []
    for i in range(steps):
        host[0] = 0.1 / (i + 1)
        lr.set(np.asarray(host[0], np.float32))
        if captured:
            graph.launch()
        else:
            loss = step()
        losses.append(loss.item())
    return losses


def test_a_graph_replays_a_training_step():
    def on_device(host, lr):
        return lr

    assert train(on_device, captured=True) == train(on_device, captured=False)


def test_a_number_of_the_host_is_baked_in():
    def on_host(host, lr):
        return host[0]

    eager, graph = train(on_host, captured=False), train(on_host, captured=True)
    assert graph[:2] == eager[:2]  # the first step's rate is the captured one
    assert graph[2:] != eager[2:]


def test_capturing_computes_nothing():
    x, total = dev([1.0, 2.0]), dev([10.0, 10.0])
    with strict.capturing() as graph:
        y = x * 2
        flag = y > 3
        total += y
        x[0] = 5.0
    assert np.isnan(y.get()).all()
    assert flag.get().all()  # garbage
    assert (total.tolist(), x.tolist()) == ([10, 10], [1, 2])
    graph.launch()
    assert (y.tolist(), flag.tolist(), total.tolist()) == ([2, 4], [False, True], [12, 14])
    assert x.tolist() == [5, 2]
    graph.launch()
    assert (y.tolist(), total.tolist()) == ([10, 4], [22, 18])
    assert len(graph) == 4


def test_views_broadcasts_and_several_outputs_replay():
    x = dev(np.arange(6).reshape(2, 3))
    with strict.capturing() as graph:
        a, b = xp.split(x.T, [1], axis=0)
        wide = xp.broadcast_to(a, (4, 1, 2))
        whole, rest = xp.divmod(b, 2.0)
        out = xp.zeros((3, 2), "float32")
        xp.exp(x.T, out=out)
        folded = x.T.reshape(-1)  # a copy, since the view is not contiguous
        empty = x[:0] * 2
    x.set(np.arange(6, 12, dtype=np.float32).reshape(2, 3))
    graph.launch()
    assert a.tolist() == [[6, 9]]
    assert wide.tolist() == [[[6, 9]]] * 4
    assert (whole.tolist(), rest.tolist()) == ([[3, 5], [4, 5]], [[1, 0], [0, 1]])
    assert np.array_equal(out.get(), np.exp(x.get().T))
    assert folded.tolist() == [6, 9, 7, 10, 8, 11]
    assert empty.shape == (0, 3)


def test_draws_and_library_calls_are_not_captured():
    x = dev([[1.0]])
    with strict.capturing():
        with pytest.raises(DeviceError, match=r"rng.normal, drawn on the host, .* captured"):
            DEV.rng.normal(shape=2)
        with pytest.raises(DeviceError, match="calls a CUDA library"):
            xp.einsum("ij->i", x)
        with pytest.raises(DeviceError, match="calls a CUDA library"):
            xp.linalg.inv(x)
        with pytest.raises(DeviceError, match="makes the host wait"):
            x.item()


def test_one_capture_at_a_time():
    with (
        strict.capturing(),
        pytest.raises(DeviceError, match="one graph at a time"),
        strict.capturing(),
    ):
        pass


def test_a_failed_capture_leaves_nothing_forbidden_and_no_graph():
    x = dev([1.0])
    with pytest.raises(ZeroDivisionError), strict.capturing() as graph:  # noqa: PT012
        y = x + 1
        raise ZeroDivisionError
    assert (x.item(), y.item()) == (1, 2)
    with pytest.raises(DeviceError, match="the capture has not ended, or it failed"):
        graph.launch()
    with strict.capturing() as again:
        y = x + 1
    again.launch()
    assert y.item() == 2
