"""Layers that draw: alpha dropout, RReLU, Gumbel softmax."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError

parity = pytest.importorskip("tests.nn.parity")
torch = parity.torch
array = parity.array


@pytest.mark.parametrize("layer", [nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(0.3)])
def test_alpha_dropout(layer):
    """Mean 0 and variance 1 stay; after eval() it is the identity."""
    mg.manual_seed(0)
    x = mg.tensor(array(2000, 50, 2))
    y = layer(x).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.03
    low = 1.7580993408473766
    a = ((1 - 0.3) * (1 + 0.3 * low**2)) ** -0.5
    dropped = np.isclose(y, a * -low + a * 0.3 * low)
    assert abs(dropped.mean() - 0.3) < 0.01
    np.testing.assert_allclose(y[~dropped], (x.numpy() * a + a * 0.3 * low)[~dropped], rtol=1e-10)
    if isinstance(layer, nn.FeatureAlphaDropout):
        assert (dropped[..., 0] == dropped[..., 1]).all()
    assert layer.eval()(x) is x
    assert not layer.train()(x * 0).isnan().any() if hasattr(x, "isnan") else True
    assert not type(layer)(1.0)(x).numpy().any()


def test_rrelu():
    mg.manual_seed(0)
    x = array(200, 50)
    layer = nn.RReLU(0.1, 0.4)
    y = layer(mg.tensor(x)).numpy()
    slopes = (y / x)[x < 0]
    assert 0.1 <= slopes.min() < 0.11
    assert 0.39 < slopes.max() <= 0.4
    np.testing.assert_array_equal(y[x >= 0], x[x >= 0])
    mine, theirs = layer.eval(), torch.nn.RReLU(0.1, 0.4).eval()
    parity.assert_parity(mine, theirs, x[:4])
    with pytest.raises(ConfigError, match="lower"):
        mg.rrelu(mg.ones(2), 0.5, 0.4)


def test_gumbel_softmax():
    mg.manual_seed(0)
    p = np.array([0.5, 0.3, 0.2])
    logits = mg.tensor(np.broadcast_to(np.log(p), (20000, 3)).copy(), requires_grad=True)
    y = mg.gumbel_softmax(logits, tau=0.5, hard=True)
    values = y.detach().numpy()
    np.testing.assert_allclose(values.sum(axis=1), 1)
    np.testing.assert_allclose(values.max(axis=1), 1)
    np.testing.assert_allclose(values.mean(axis=0), p, atol=0.015)
    y[:, 0].sum().backward()
    assert np.isfinite(logits.grad.numpy()).all()
    assert logits.grad.numpy().any()
    soft = mg.gumbel_softmax(logits, axis=0)
    np.testing.assert_allclose(soft.detach().numpy().sum(axis=0), 1)
    with pytest.raises(ConfigError, match="tau"):
        mg.gumbel_softmax(logits, 0)
