"""Initialisation: distributions, seeds, devices."""

from __future__ import annotations

import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, nn
from minigrad.nn import init

SHAPE = (300, 200)


def draw(f, *args, shape=SHAPE, dtype="float64"):
    mg.manual_seed(0)
    t = mg.zeros(shape, dtype=dtype)
    memory = t.data
    assert f(t, *args) is t
    assert t.data is memory
    assert t.dtype == dtype
    return t.numpy()


def is_uniform(a, low, high):
    assert low <= a.min() <= a.max() <= high
    width = high - low
    assert abs(a.mean() - (low + high) / 2) < 4 * width / math.sqrt(12 * a.size)
    assert a.std() == pytest.approx(width / math.sqrt(12), rel=0.02)
    assert a.max() > high - width * 0.01
    assert a.min() < low + width * 0.01


def is_normal(a, mean, std):
    assert abs(a.mean() - mean) < 4 * std / math.sqrt(a.size)
    assert a.std() == pytest.approx(std, rel=0.02)
    assert np.mean(np.abs(a - mean) < std) == pytest.approx(0.6827, abs=0.01)


def test_uniform_and_normal():
    is_uniform(draw(init.uniform_), 0, 1)
    is_uniform(draw(init.uniform_, -3.0, 2.0), -3, 2)
    is_normal(draw(init.normal_), 0, 1)
    is_normal(draw(init.normal_, 5.0, 0.1), 5, 0.1)


def test_constants():
    assert np.all(draw(init.zeros_) == 0)
    assert np.all(draw(init.ones_) == 1)
    assert np.all(draw(init.constant_, 0.3) == 0.3)


def test_xavier_and_kaiming():
    out, into = SHAPE
    is_uniform(draw(init.xavier_uniform_), *(np.array([-1, 1]) * math.sqrt(6 / (out + into))))
    is_normal(draw(init.xavier_normal_, 2.0), 0, 2 * math.sqrt(2 / (out + into)))
    is_uniform(draw(init.kaiming_uniform_), *(np.array([-1, 1]) * math.sqrt(6 / into)))
    is_normal(draw(init.kaiming_normal_, 0.5), 0, math.sqrt(2 / (1.25 * into)))
    kernel = draw(init.kaiming_normal_, shape=(100, 20, 3, 5))
    is_normal(kernel, 0, math.sqrt(2 / (20 * 15)))


@pytest.mark.parametrize(
    "name",
    ["xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_"],
)
def test_the_scale_is_pytorchs(name):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    theirs = getattr(torch.nn.init, name)(torch.empty(400, 100, 3)).numpy()
    mine = draw(getattr(init, name), shape=(400, 100, 3))
    assert mine.std() == pytest.approx(theirs.std(), rel=0.01)
    assert abs(mine).max() == pytest.approx(abs(theirs).max(), rel=0.2)


@pytest.mark.parametrize("shape", [(40, 40), (60, 20), (20, 60), (10, 3, 5)])
def test_orthogonal(shape):
    a = draw(init.orthogonal_, 1.5, shape=shape).reshape(shape[0], -1) / 1.5
    gram = a @ a.T if a.shape[0] <= a.shape[1] else a.T @ a
    np.testing.assert_allclose(gram, np.eye(min(a.shape)), atol=1e-12)


def test_orthogonal_is_uniform_over_rotations():
    mg.manual_seed(0)
    signs = [np.linalg.det(draw_once()) for _ in range(200)]
    assert 60 < sum(s > 0 for s in signs) < 140  # half of them are reflections


def draw_once():
    return init.orthogonal_(mg.zeros((3, 3), dtype="float64")).numpy()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("f", [init.uniform_, init.normal_, init.orthogonal_, init.xavier_normal_])
def test_any_floating_dtype(f, dtype):
    a = draw(f, shape=(8, 8), dtype=dtype)
    assert np.isfinite(a).all()
    assert len(np.unique(a)) > 20


def test_fans_need_two_axes():
    for f in (init.xavier_uniform_, init.kaiming_normal_, init.orthogonal_):
        with pytest.raises(errors.ShapeError, match=r"\(3,\)"):
            f(mg.zeros(3))


def test_parameters_are_initialised_without_being_recorded():
    layer = nn.Linear(3, 3)
    init.orthogonal_(layer.weight)
    assert layer.weight.is_leaf
    assert layer.weight.requires_grad
    with pytest.raises(errors.GradError, match="leaf"):
        init.ones_(layer.weight * 2)


def test_a_seed_repeats_a_model_on_any_device():
    pytest.importorskip("minigrad.testing.strict")

    def build(device):
        mg.manual_seed(3)
        with mg.use_device(device):
            return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 3), nn.LayerNorm(3))

    a, b, c = build("cpu"), build("cpu"), build("strict")
    for p, q, r in zip(a.parameters(), b.parameters(), c.parameters(), strict=True):
        assert r.device.name == "strict"
        np.testing.assert_array_equal(p.numpy(), q.numpy())
        np.testing.assert_array_equal(p.numpy(), r.numpy())


def test_layers_start_as_pytorchs_do():
    mg.manual_seed(0)
    linear = nn.Linear(200, 300)
    is_uniform(linear.weight.numpy(), -1 / math.sqrt(200), 1 / math.sqrt(200))
    assert abs(linear.bias.numpy()).max() <= 1 / math.sqrt(200)
    table = nn.Embedding(300, 200, padding_idx=-1)
    is_normal(table.weight.numpy()[:-1], 0, 1)
    assert table.padding_idx == 299
    assert not table.weight.numpy()[299].any()
    norm = nn.LayerNorm((2, 3))
    assert norm.weight.tolist() == [[1] * 3] * 2
    assert norm.bias.tolist() == [[0] * 3] * 2


def test_the_default_dtype_and_device():
    assert nn.Linear(2, 2).weight.dtype == "float32"
    assert nn.Linear(2, 2, dtype="float64").weight.dtype == "float64"
    mg.set_default_dtype("float64")
    try:
        assert nn.Linear(2, 2).weight.dtype == "float64"
    finally:
        mg.set_default_dtype("float32")
