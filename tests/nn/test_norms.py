"""RMSNorm, GroupNorm, BatchNorm, InstanceNorm: PyTorch's numbers, and its running statistics."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck

parity = pytest.importorskip("tests.nn.parity")
torch = parity.torch


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(4,), (3, 4)])
@pytest.mark.parametrize("eps", [None, 1e-3])
def test_rms_norm(shape, affine, eps):
    mine, theirs = parity.twins(
        nn.RMSNorm(shape, eps, affine), torch.nn.RMSNorm(shape, eps, affine)
    )
    parity.assert_parity(mine, theirs, parity.array(2, 3, 4))


def test_rms_norm_in_half_precision():
    x = np.full((1, 4), 300, np.float16)  # 300² overflows
    np.testing.assert_allclose(mg.rms_norm(mg.asarray(x), 4).numpy(), 1, rtol=1e-3)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(3, 6), (3, 6, 5), (2, 6, 3, 2)], ids=str)
def test_group_norm(shape, affine):
    options = {"affine": affine}
    mine, theirs = parity.twins(nn.GroupNorm(2, 6, **options), torch.nn.GroupNorm(2, 6, **options))
    parity.assert_parity(mine, theirs, parity.array(*shape))


@pytest.mark.parametrize(
    "options", [{}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}], ids=str
)
@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("BatchNorm1d", (4, 3)),
        ("BatchNorm1d", (4, 3, 5)),
        ("BatchNorm2d", (2, 3, 4, 5)),
        ("InstanceNorm1d", (4, 3, 5)),
        ("InstanceNorm1d", (3, 5)),
        ("InstanceNorm2d", (2, 3, 4, 5)),
    ],
    ids=str,
)
def test_running_norms(kind, shape, options):
    options = {"affine": True, "track_running_stats": True, **options}
    mine, theirs = parity.twins(
        getattr(nn, kind)(3, **options), getattr(torch.nn, kind)(3, **options)
    )
    for step in range(3):
        parity.assert_parity(mine, theirs, parity.array(*shape, seed=step) * 3 + 1)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(mine.state_dict()[name].numpy(), value.numpy(), rtol=1e-9)
    parity.assert_parity(mine.eval(), theirs.eval(), parity.array(*shape))
    fresh = getattr(nn, kind)(3, **options)
    fresh.load_state_dict(mine.state_dict())


def test_evaluation_changes_nothing():
    layer = nn.BatchNorm1d(3).eval()
    before = layer.state_dict()
    layer(mg.ones((1, 3)))
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name].numpy())


@pytest.mark.parametrize(
    "layer", [nn.RMSNorm(3), nn.GroupNorm(1, 3), nn.BatchNorm1d(3)], ids=lambda m: type(m).__name__
)
def test_derivatives_and_the_strict_device(layer):
    layer.to("float64")
    x = parity.array(4, 3)
    assert gradcheck(layer, x)
    assert gradgradcheck(layer, x)
    parity.assert_same_on_the_strict_device(layer, x)
    parity.assert_same_on_the_strict_device(layer.eval(), x)


def test_errors():
    with pytest.raises(ShapeError, match="rms_norm"):
        nn.RMSNorm(3)(mg.zeros((2, 4)))
    with pytest.raises(ConfigError, match="groups"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ShapeError, match="GroupNorm"):
        nn.GroupNorm(2, 6)(mg.zeros((2, 4)))
    with pytest.raises(ShapeError, match=r"\(N, 3\) or \(N, 3, L\)"):
        nn.BatchNorm1d(3)(mg.zeros((2, 4)))
    with pytest.raises(ShapeError, match=r"\.eval\(\)"):
        nn.BatchNorm1d(3)(mg.zeros((1, 3)))
    with pytest.raises(ShapeError, match="mean"):
        mg.batch_norm(mg.zeros((2, 3)), mg.zeros(2), mg.zeros(3))


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
@pytest.mark.parametrize("shape", [(0, 4, 3), (2, 4, 0)])
@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.InstanceNorm1d])
def test_an_empty_batch_spoils_no_running_statistics(kind, shape):
    norm = kind(4, track_running_stats=True)
    assert norm(mg.zeros(shape)).shape == shape
    assert norm.running_mean.tolist() == [0] * 4
    assert norm.running_var.tolist() == [1] * 4
