"""Mixed precision: what is rounded, when a step is not taken, how the scale moves."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import amp, nn, optim
from minigrad.errors import CheckpointError, ConfigError, GradError


@pytest.fixture(autouse=True)
def _restored():
    before = mg.get_rng_state()
    yield
    mg.set_rng_state(before)


def test_products_are_rounded_on_the_device_both_ways():
    mg.manual_seed(0)
    layer = nn.LSTM(5, 6)
    x = mg.randn(4, 3, 5)
    gradients = {}
    for where, dtype in (("cpu", "bfloat16"), ("strict", None), ("strict", "bfloat16")):
        model = nn.LSTM(5, 6).to(where)
        model.load_state_dict(layer.state_dict())
        with amp.autocast(dtype or "bfloat16", enabled=dtype is not None):
            y = model(x.to(where))[0]
            (y * y).sum().backward()
        gradients[where, dtype] = model.weight_hh_l0.grad.numpy()
        assert y.dtype == gradients[where, dtype].dtype == np.float32
    exact = gradients["cpu", "bfloat16"]
    np.testing.assert_allclose(gradients["strict", None], exact, rtol=1e-4, atol=1e-6)
    error = np.abs(gradients["strict", "bfloat16"] - exact).max() / np.abs(exact).max()
    assert 1e-4 < error < 3e-2


def test_a_dtype_that_is_none():
    with pytest.raises(ConfigError, match="precision is 'int8'"), amp.autocast("int8"):
        pass


def training(where, compiled, rows, make=lambda p: optim.Adam(p, lr=0.1)):
    """(weights after each step, scales) of a linear model; a row of inf spoils its step."""
    w = mg.tensor([1.0, -1.0], device=where, requires_grad=True)
    optimizer = make([w])
    scaler = amp.GradScaler(8.0, growth_interval=2, device=where)

    def step(x):
        optimizer.zero_grad()
        loss = (w * x).sum()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss

    run = mg.compile(step) if compiled else step
    weights, scales = [], []
    for row in rows:
        run(mg.tensor(row, device=where))
        weights.append(w.numpy().copy())
        scales.append(scaler.get_scale())
    return np.array(weights), scales


ROWS = [[1.0, 2.0], [2.0, 1.0], [np.inf, 1.0], [0.5, -1.0], [np.nan, 0.0], [1.0, 1.0], [1.0, 0.0]]


def test_a_step_that_is_not_finite_is_not_taken():
    weights, scales = training("cpu", False, ROWS)
    assert scales == [8, 16, 8, 8, 4, 4, 8]
    for bad in (2, 4):
        assert np.array_equal(weights[bad], weights[bad - 1])
    clean, _ = training("cpu", False, [r for r in ROWS if np.isfinite(r).all()])
    assert np.array_equal(clean, weights[[0, 1, 3, 5, 6]])


@pytest.mark.parametrize("rows", [ROWS, ROWS[2:]], ids=["later", "first"])
@pytest.mark.parametrize("where", ["cpu", "strict"])
def test_on_the_device_and_compiled(where, rows, caplog):
    make = lambda p: optim.SGD(p, lr=0.1, momentum=0.9)  # noqa: E731  has no count of steps
    weights, scales = training("cpu", False, rows, make)
    same, moved = training(where, True, rows, make)
    assert not caplog.records, caplog.text
    assert moved == scales
    np.testing.assert_allclose(same, weights, rtol=1e-6)


def test_adam_on_the_device_skips_too(caplog):
    weights, _ = training("strict", True, ROWS)
    assert not caplog.records, caplog.text
    for bad in (2, 4):
        assert np.array_equal(weights[bad], weights[bad - 1])
    assert np.isfinite(weights).all()


def test_unscaled_gradients_can_be_clipped():
    w = mg.tensor([3.0, 4.0], requires_grad=True)
    optimizer, scaler = optim.SGD([w], lr=1.0), amp.GradScaler(1024.0)
    scaler.scale((w * w).sum() / 2).backward()
    scaler.unscale_(optimizer)
    assert w.grad.tolist() == [3, 4]
    with pytest.raises(GradError, match="these gradients are unscaled"):
        scaler.unscale_(optimizer)
    assert optim.clip_grad_norm_([w], 1.0) == pytest.approx(5)
    scaler.step(optimizer)
    scaler.update()
    np.testing.assert_allclose(w.numpy(), [2.4, 3.2], rtol=1e-5)


def test_the_state_is_saved_and_loaded():
    scaler = amp.GradScaler(8.0)
    scaler.update()
    assert scaler.state_dict() == {"scale": 8, "growth_tracker": 1}
    other = amp.GradScaler()
    other.load_state_dict(scaler.state_dict())
    assert other.state_dict() == scaler.state_dict()
    with pytest.raises(CheckpointError, match="not a state of one"):
        other.load_state_dict({"scale": 1})


@pytest.mark.parametrize(
    "options", [{"init_scale": 0}, {"growth_factor": 1}, {"backoff_factor": 2}]
)
def test_options_without_a_meaning(options):
    with pytest.raises(ConfigError, match="GradScaler: expected init_scale > 0"):
        amp.GradScaler(**options)
