"""EmbeddingBag, and the options of Embedding that PyTorch has: the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, DeviceError, IndexRangeError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck

parity = pytest.importorskip("tests.nn.parity")
torch = parity.torch

IDS = np.array([1, 4, 2, 2, 0, 5, 1])
OFFSETS = np.array([0, 2, 2, 6])


def bags(**options):
    return parity.twins(nn.EmbeddingBag(6, 3, **options), torch.nn.EmbeddingBag(6, 3, **options))


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("padding_idx", [None, 2])
@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_bags(mode, padding_idx, sparse):
    sparse = sparse and mode != "max"  # PyTorch has no sparse maximum
    mine, theirs = bags(mode=mode, padding_idx=padding_idx, sparse=sparse)
    parity.assert_parity(mine, theirs, IDS, OFFSETS)
    parity.assert_parity(mine, theirs, np.array([[1, 1, 2], [2, 2, 2], [0, 5, 4]]))
    assert isinstance(mine.weight.grad, mg.RowSparse) == sparse


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_the_last_offset(mode):
    mine, theirs = bags(mode=mode, include_last_offset=True)
    parity.assert_parity(mine, theirs, IDS, np.array([0, 3, 3, 7]))


@pytest.mark.parametrize("padding_idx", [None, 2])
def test_a_weight_per_id(padding_idx):
    mine, theirs = bags(mode="sum", padding_idx=padding_idx)
    parity.assert_parity(mine, theirs, IDS, OFFSETS, parity.array(7))
    parity.assert_parity(mine, theirs, IDS[:6].reshape(2, 3), None, parity.array(2, 3))


@pytest.mark.parametrize("kind", ["Embedding", "EmbeddingBag"])
@pytest.mark.parametrize("norm", [1.0, 2.0])
def test_max_norm(kind, norm):
    options = {"max_norm": 0.7, "norm_type": norm}
    mine, theirs = parity.twins(
        getattr(nn, kind)(6, 3, **options), getattr(torch.nn, kind)(6, 3, **options)
    )
    ids = np.array([[1, 4], [1, 0]])
    y, expected = mine(mg.asarray(ids)), theirs(torch.tensor(ids))
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(mine.weight.numpy(), theirs.weight.detach().numpy(), rtol=1e-9)
    (y * y).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(mine.weight.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-9)


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_gradients_by_frequency_in_bags(mode):
    """Against PyTorch's Embedding: its EmbeddingBag looks the counts up at the wrong ids."""
    mine, theirs = parity.twins(
        nn.EmbeddingBag(6, 3, mode=mode, scale_grad_by_freq=True),
        torch.nn.Embedding(6, 3, scale_grad_by_freq=True),
    )
    y = mine(mg.asarray(IDS), OFFSETS)
    rows = theirs(torch.tensor(IDS))
    parts = torch.tensor_split(rows, OFFSETS[1:].tolist())
    counts = [len(part) if mode == "mean" else 1 for part in parts]
    expected = torch.stack([part.sum(0) / max(n, 1) for part, n in zip(parts, counts, strict=True)])
    np.testing.assert_allclose(y.detach().numpy(), expected.detach().numpy(), rtol=1e-9)
    (y * y).sum().backward()
    (expected * expected).sum().backward()
    np.testing.assert_allclose(mine.weight.grad.numpy(), theirs.weight.grad.numpy(), rtol=1e-9)


@pytest.mark.parametrize("sparse", [True, False])
def test_gradients_by_frequency(sparse):
    mine, theirs = parity.twins(
        nn.Embedding(6, 3, 2, scale_grad_by_freq=True, sparse=sparse),
        torch.nn.Embedding(6, 3, 2, scale_grad_by_freq=True),
    )
    parity.assert_parity(mine, theirs, IDS)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_derivatives_and_the_strict_device(mode):
    table, ids = parity.array(6, 3), mg.asarray(IDS)

    def f(weight):
        return mg.embedding_bag(ids, weight, OFFSETS, mode=mode)

    assert gradcheck(f, table)
    assert gradgradcheck(f, table)
    layer = nn.EmbeddingBag(6, 3, mode=mode, padding_idx=2, max_norm=0.5).to("float64")
    parity.assert_same_on_the_strict_device(layer, IDS, OFFSETS.tolist())
    parity.assert_same_on_the_strict_device(layer, IDS[:6].reshape(3, 2))


def test_no_ids():
    for mode in ("sum", "mean", "max"):
        layer = nn.EmbeddingBag(6, 3, mode=mode)
        assert layer(np.zeros(0, np.int64), [0, 0]).numpy().tolist() == [[0] * 3] * 2
        assert layer(np.zeros((2, 0), np.int64)).numpy().tolist() == [[0] * 3] * 2


def test_errors():
    layer = nn.EmbeddingBag(6, 3)
    ids = mg.asarray(IDS)
    for wrong in ([1, 2], [0, 9], [0, 5, 2], [[0]]):
        with pytest.raises(ShapeError, match="offsets"):
            layer(ids, wrong)
    with pytest.raises(ShapeError, match="offsets"):
        layer(ids)
    with pytest.raises(ShapeError, match="leave offsets out"):
        layer(ids.reshape((1, 7)), [0])
    with pytest.raises(DeviceError, match="offsets"):
        layer.to("strict")(mg.asarray(IDS, device="strict"), mg.tensor([0], device="strict"))
    layer.to("cpu")
    with pytest.raises(IndexRangeError, match="6 rows"):
        layer(mg.tensor([[7]]))
    with pytest.raises(ConfigError, match="mode='sum'"):
        layer(ids, [0], mg.ones(7))
    with pytest.raises(ShapeError, match="per_sample_weights"):
        nn.EmbeddingBag(6, 3, mode="sum")(ids, [0], mg.ones(6))
    with pytest.raises(ConfigError, match="mode is 'min'"):
        nn.EmbeddingBag(6, 3, mode="min")(ids, [0])
    with pytest.raises(ConfigError, match="max"):
        nn.EmbeddingBag(6, 3, mode="max", scale_grad_by_freq=True)(ids, [0])
    with pytest.raises(IndexRangeError, match="padding_idx"):
        nn.EmbeddingBag(6, 3, padding_idx=6)
