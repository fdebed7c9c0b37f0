"""Tensors of two devices: nothing is moved silently."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors

strict = pytest.importorskip("minigrad.testing.strict")


def pair(shape=(2, 2)):
    """The same leaf on two devices."""
    a = np.random.default_rng(0).uniform(0.5, 1.5, shape)
    return (
        mg.tensor(a, device="cpu", requires_grad=True),
        mg.tensor(a, device="strict", requires_grad=True),
    )


@pytest.mark.parametrize(
    "f",
    [
        lambda a, b: a + b,
        lambda a, b: b * a,
        lambda a, b: a @ b,
        lambda a, b: mg.where(a > 0, a, b),
        lambda a, b: mg.concat([a, b]),
        lambda a, b: mg.embedding(a, (b * 0).astype("int64")),
        mg.mse_loss,
    ],
)
def test_devices_do_not_mix(f):
    host, device = pair()
    for a, b in ((host, device), (device, host)):
        with pytest.raises(errors.DeviceError, match=r"cpu.*strict|strict.*cpu"):
            f(a, b)


def test_arrays_of_another_device_do_not_mix():
    host, device = pair()
    array = np.ones((2, 2))
    assert (host + array).device.name == "cpu"
    for f in (lambda: device + array, lambda: array + device, lambda: host * device.data):
        with pytest.raises(errors.DeviceError):
            f()


def test_scalars_go_with_any_device():
    _, device = pair()
    assert (device * 2.0 + np.float64(1)).device.name == "strict"


def test_a_whole_step_on_another_device():
    host, device = pair()
    results = []
    for w in (host, device):
        opt = mg.optim.Adam([w], lr=0.1)
        for _ in range(3):
            opt.zero_grad()
            h = mg.tanh(w @ w.T + w)
            h.register_hook(lambda g: g * 1.5)
            loss = mg.checkpoint(lambda t: mg.exp(t).mean(), h) + (h * h).sum()
            loss.backward()
            assert w.grad.device is w.device
            mg.optim.clip_grad_norm_([w], 1.0)
            opt.step()
        results.append(w.detach().cpu().numpy())
        assert w.device is not mg.device("cpu") or w is host
    np.testing.assert_allclose(results[0], results[1], rtol=1e-12)


def test_second_order_and_transforms_on_another_device():
    def f(x):
        return (mg.sin(x) * x).sum()

    host, device = pair((3,))
    for transform in (
        lambda x: mg.hessian(f, x),
        lambda x: mg.hvp(f, x, x.detach()),
        lambda x: mg.jvp(f, x, x.detach())[1],
        lambda x: mg.vjp(mg.sin, x)[1](x.detach())[0],
        lambda x: mg.value_and_grad(f)(x)[1],
    ):
        a, b = transform(host.detach()), transform(device.detach())
        assert b.device.name == "strict"
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)


def test_moving_is_differentiable():
    host, device = pair()
    moved = host.to("strict")
    assert moved.device.name == "strict"
    ((moved * device).sum()).backward()
    assert host.grad.device.name == "cpu"
    assert device.grad.device.name == "strict"
    np.testing.assert_allclose(host.grad.numpy(), device.numpy())
    assert device.to("strict") is device
    assert repr(device.detach()).endswith("device=strict)")


def test_cotangents_and_hooks_of_another_device():
    host, device = pair()
    y = device * 2
    with pytest.raises(errors.DeviceError, match="strict"):
        y.backward(np.ones((2, 2)))
    with pytest.raises(errors.DeviceError, match="strict"):
        y.backward(host.detach())
    device.register_hook(lambda g: host.detach())
    with pytest.raises(errors.DeviceError, match="hook"):
        y.sum().backward()


def test_values_of_another_device_are_assigned_by_copy():
    host, device = pair()
    host.assign_(np.zeros((2, 2)))
    device.assign_(np.ones((2, 2)))
    assert device.numpy().tolist() == [[1, 1], [1, 1]]
    with pytest.raises(TypeError, match="strict"):
        np.asarray(device.detach())


def test_the_default_device_is_used_for_new_tensors():
    with mg.use_device("strict"):
        x = mg.ones(2)
        assert x.device.name == "strict"
        assert mg.jacobian(mg.square, [1.0, 2.0]).device.name == "strict"
    assert mg.ones(2).device.name == "cpu"
    with pytest.raises(errors.DeviceError, match="nowhere"):
        mg.ones(2).to("nowhere")


def test_pickles_come_back_where_they_were():
    import copy

    _, device = pair()
    again = copy.deepcopy(device)
    assert again.device.name == "strict"
    assert again.requires_grad
    np.testing.assert_array_equal(again.detach().numpy(), device.detach().numpy())
