"""Convolution, pooling and channel dropout: PyTorch's numbers for every option."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, DTypeError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck

parity = pytest.importorskip("tests.nn.parity")
torch = parity.torch

OPTIONS = [
    {},
    {"bias": False},
    {"stride": 2, "padding": 1},
    {"padding": "same", "dilation": 2},
    {"padding": "valid"},
    {"groups": 2, "padding": 2},
    {"padding": 2, "padding_mode": "reflect"},
    {"padding": 1, "padding_mode": "replicate", "stride": 2},
    {"padding": 2, "padding_mode": "circular"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_conv1d(options):
    mine, theirs = parity.twins(nn.Conv1d(4, 6, 3, **options), torch.nn.Conv1d(4, 6, 3, **options))
    parity.assert_parity(mine, theirs, parity.array(2, 4, 9))
    parity.assert_parity(mine, theirs, parity.array(4, 7))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_conv2d(options):
    mine, theirs = parity.twins(
        nn.Conv2d(4, 6, (3, 2), **options), torch.nn.Conv2d(4, 6, (3, 2), **options)
    )
    parity.assert_parity(mine, theirs, parity.array(2, 4, 7, 6))
    parity.assert_parity(mine, theirs, parity.array(4, 6, 7))


def test_conv2d_with_an_option_per_axis():
    options = {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2)}
    mine, theirs = parity.twins(nn.Conv2d(2, 3, 2, **options), torch.nn.Conv2d(2, 3, 2, **options))
    parity.assert_parity(mine, theirs, parity.array(2, 2, 5, 6))


def test_derivatives_and_the_strict_device():
    layer = nn.Conv1d(2, 2, 2, stride=2, padding=1).to("float64")
    x = parity.array(2, 2, 5)
    assert gradcheck(layer, x)
    assert gradgradcheck(lambda x, w: mg.conv1d(x, w, stride=2), [x[:1], parity.array(2, 2, 2)])
    parity.assert_same_on_the_strict_device(layer, x)
    parity.assert_same_on_the_strict_device(
        nn.Conv2d(2, 2, 2, padding=1, padding_mode="circular").to("float64"),
        parity.array(1, 2, 3, 3),
    )


def test_initialisation_and_repr():
    weight = nn.Conv1d(4, 60, 3, groups=2).weight.numpy()
    bound = 1 / np.sqrt(6)
    assert 0.95 * bound < abs(weight).max() <= bound
    assert repr(nn.Conv1d(4, 6, 3, groups=2)) == (
        "Conv1d(4, 6, kernel_size=(3,), groups=2)  # 42 parameters"
    )


def test_conv_errors():
    for wrong in ({"groups": 3}, {"padding_mode": "zero"}, {"padding": "sam"}, {"stride": 0},
                  {"padding": "same", "stride": 2}, {"stride": (1, 1)}):  # fmt: skip
        with pytest.raises(ConfigError, match=r"Conv1d"):
            nn.Conv1d(4, 6, 3, **wrong)
    layer = nn.Conv1d(4, 6, 3)
    with pytest.raises(ShapeError, match=r"\(N, 4, L\)"):
        layer(mg.zeros((2, 3, 9)))
    with pytest.raises(ShapeError, match="does not fit"):
        layer(mg.zeros((2, 4, 2)))
    with pytest.raises(DTypeError, match="float64"):
        layer(mg.zeros((2, 4, 9), dtype="float64"))
    with pytest.raises(ShapeError, match="too short"):
        nn.Conv1d(1, 1, 3, padding=3, padding_mode="reflect")(mg.zeros((1, 1, 3)))
    with pytest.raises(ShapeError, match="bias"):
        mg.conv1d(mg.zeros((1, 1, 3)), mg.zeros((2, 1, 1)), mg.zeros(3))


# -- pooling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ceil_mode", [True, False])
@pytest.mark.parametrize(
    "options", [(2,), (3, 2), (3, 1, 1), (2, 3, 1), (4, 3, 2), (2, 2, 0, 2)], ids=str
)
def test_max_pool(options, ceil_mode):
    for kind, x in (("1d", parity.array(2, 3, 11)), ("2d", parity.array(2, 3, 8, 11))):
        for shape in (x, x[0]):
            parity.assert_parity(
                getattr(nn, f"MaxPool{kind}")(*options, ceil_mode=ceil_mode),
                getattr(torch.nn, f"MaxPool{kind}")(*options, ceil_mode=ceil_mode),
                shape,
            )
        y, at = (
            getattr(nn, f"MaxPool{kind}")(*options, True, ceil_mode)(mg.asarray(x))
            if len(options) == 4
            else getattr(mg, f"max_pool{kind}")(
                mg.asarray(x), *options, ceil_mode=ceil_mode, return_indices=True
            )
        )
        _, expected = getattr(torch.nn.functional, f"max_pool{kind}")(
            torch.tensor(x), *options, ceil_mode=ceil_mode, return_indices=True
        )
        np.testing.assert_array_equal(at.numpy(), expected.numpy())
        assert y.shape == at.shape


def test_the_first_of_equal_ones_gets_the_gradient():
    parity.assert_parity(nn.MaxPool1d(3), torch.nn.MaxPool1d(3), np.zeros((1, 2, 6)))


@pytest.mark.parametrize("include", [True, False])
@pytest.mark.parametrize("ceil_mode", [True, False])
@pytest.mark.parametrize("options", [(2,), (3, 2), (3, 1, 1), (4, 3, 2)], ids=str)
def test_avg_pool(options, ceil_mode, include):
    for kind, x in (("1d", parity.array(2, 3, 11)), ("2d", parity.array(2, 3, 8, 11))):
        for shape in (x, x[0]):
            parity.assert_parity(
                getattr(nn, f"AvgPool{kind}")(
                    *options, 0 if len(options) < 3 else options[2], ceil_mode, include
                )
                if len(options) == 2
                else getattr(nn, f"AvgPool{kind}")(
                    *options, ceil_mode=ceil_mode, count_include_pad=include
                ),
                getattr(torch.nn, f"AvgPool{kind}")(
                    *options, ceil_mode=ceil_mode, count_include_pad=include
                ),
                shape,
            )


def test_divisor_override():
    parity.assert_parity(
        nn.AvgPool2d(2, divisor_override=3),
        torch.nn.AvgPool2d(2, divisor_override=3),
        parity.array(1, 2, 4, 4),
    )


@pytest.mark.parametrize("n", [1, 3, 7, 10])
def test_adaptive_avg_pool1d(n):
    for x in (parity.array(2, 3, 7), parity.array(3, 7)):
        parity.assert_parity(nn.AdaptiveAvgPool1d(n), torch.nn.AdaptiveAvgPool1d(n), x)


@pytest.mark.parametrize(
    "layer",
    [nn.MaxPool1d(3, 2, 1), nn.AvgPool1d(3, 2, 1, True, False), nn.AdaptiveAvgPool1d(3)],
    ids=lambda m: type(m).__name__,
)
def test_pooling_derivatives_and_the_strict_device(layer):
    x = parity.array(1, 2, 6)
    assert gradcheck(layer, x)
    assert gradgradcheck(layer, x)
    parity.assert_same_on_the_strict_device(layer, x)


def test_pooling_errors():
    with pytest.raises(ShapeError, match=r"\(N, C, L\)"):
        mg.max_pool1d(mg.zeros(3), 2)
    with pytest.raises(ShapeError, match="does not fit"):
        mg.max_pool1d(mg.zeros((1, 1, 2)), 3)
    with pytest.raises(ConfigError, match="half"):
        mg.avg_pool1d(mg.zeros((1, 1, 9)), 2, padding=2)
    with pytest.raises(ConfigError, match="output_size"):
        mg.adaptive_avg_pool1d(mg.zeros((1, 1, 9)), 0)
    with pytest.raises(ShapeError, match="adaptive"):
        mg.adaptive_avg_pool1d(mg.zeros((1, 1, 0)), 2)


# -- dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "shape", "axes"),
    [
        (nn.Dropout1d(0.5), (40, 30, 4), (2,)),
        (nn.Dropout1d(0.5), (900, 4), (1,)),
        (nn.Dropout2d(0.5), (30, 30, 4, 3), (2, 3)),
        (nn.LockedDropout(0.5), (4, 40, 30), (0,)),
        (nn.LockedDropout(0.5, batch_first=True), (40, 4, 30), (1,)),
    ],
)
def test_one_mask_along_an_axis(layer, shape, axes):
    x = mg.ones(shape, dtype="float64").requires_grad_()
    y = layer(x)
    values = y.detach().numpy()
    assert set(np.unique(values)) == {0, 2}
    assert (values.max(axis=axes) == values.min(axis=axes)).all()
    assert 0.4 < (values == 0).mean() < 0.6
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), values)
    assert layer.eval()(x) is x
    layer.train()


def test_channel_dropout_errors():
    with pytest.raises(ShapeError, match="Dropout1d"):
        nn.Dropout1d()(mg.zeros(3))
    with pytest.raises(ShapeError, match="LockedDropout"):
        nn.LockedDropout()(mg.zeros(3))
    with pytest.raises(ConfigError, match="probability"):
        nn.LockedDropout(1.5)
