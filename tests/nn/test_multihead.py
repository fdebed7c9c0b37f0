"""Multi-head attention: PyTorch's numbers, masks, dropout, initialisation."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, DTypeError, ShapeError
from minigrad.testing import gradgradcheck
from tests.nn.small import B, E, H, L, S, double, real

CONFIGURATIONS = {
    "plain": {},
    "no bias": {"bias": False},
    "batch first": {"batch_first": True},
    "kdim, vdim": {"kdim": 6, "vdim": 7},
    "bias_kv": {"add_bias_kv": True},
    "zero_attn": {"add_zero_attn": True, "batch_first": True},
    "everything": {"add_bias_kv": True, "add_zero_attn": True, "kdim": 6, "vdim": 8},
}


def twins(torch, **configuration):
    theirs = torch.nn.MultiheadAttention(E, H, dtype=torch.float64, **configuration)
    with torch.no_grad():
        for p in theirs.parameters():
            p.copy_(torch.from_numpy(real(*p.shape)) * 0.5)
    ours = double(nn.MultiheadAttention(E, H, **configuration))
    assert set(ours.state_dict()) == set(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def inputs(configuration, same: bool = False) -> list[np.ndarray]:
    first = configuration.get("batch_first", False)
    sizes = (L, E), (S, configuration.get("kdim", E)), (S, configuration.get("vdim", E))
    xs = [real(B, n, d) if first else real(n, B, d) for n, d in sizes]
    return [xs[0]] * 3 if same else xs


def run_both(torch, ours, theirs, xs, *, same=False, masks=None, **params):
    """Outputs, weights and all gradients of both."""
    mine = [mg.tensor(x, requires_grad=True) for x in xs]
    its = [torch.tensor(x, requires_grad=True) for x in xs]
    if same:
        mine, its = [mine[0]] * 3, [its[0]] * 3
    masks = masks or {}
    y, w = ours(*mine, **{k: mg.tensor(m) for k, m in masks.items()}, **params)
    ty, tw = theirs(*its, **{k: torch.from_numpy(m) for k, m in masks.items()}, **params)
    np.testing.assert_allclose(y.numpy(), ty.detach().numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(w.numpy(), tw.detach().numpy(), rtol=1e-9, atol=1e-9)
    v, vw = real(*y.shape), real(*w.shape)
    ((y * v).sum() + (w * vw).sum()).backward()
    ((ty * torch.from_numpy(v)).sum() + (tw * torch.from_numpy(vw)).sum()).backward()
    for a, b in zip(mine[:1] if same else mine, its, strict=False):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-9)
    for (name, p), q in zip(
        sorted(ours.named_parameters()),
        (q for _, q in sorted(theirs.named_parameters())),
        strict=True,
    ):
        np.testing.assert_allclose(
            p.grad.numpy(), q.grad.numpy(), rtol=1e-9, atol=1e-9, err_msg=name
        )


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_multihead_is_pytorchs(name):
    torch = pytest.importorskip("torch")
    ours, theirs = twins(torch, **CONFIGURATIONS[name])
    run_both(torch, ours, theirs, inputs(CONFIGURATIONS[name]))


@pytest.mark.parametrize("name", ["plain", "batch first", "no bias"])
@pytest.mark.parametrize("average", [True, False])
def test_self_attention_is_pytorchs(name, average):
    torch = pytest.importorskip("torch")
    ours, theirs = twins(torch, **CONFIGURATIONS[name])
    xs = inputs(CONFIGURATIONS[name], same=True)
    run_both(torch, ours, theirs, xs, same=True, average_attn_weights=average)


def test_one_memory_is_pytorchs():
    torch = pytest.importorskip("torch")
    ours, theirs = twins(torch)
    q, k, _ = inputs({})
    a, b = mg.tensor(q), mg.tensor(k)
    y, _ = ours(a, b, b)
    expected, _ = theirs(*(torch.from_numpy(x) for x in (q, k, k)))
    np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), atol=1e-9)


PADDING = np.array([[0, 0, 0, 0, 1], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
AHEAD = np.triu(np.ones((L, S), bool), 2)
MASKS = {
    "padding": {"key_padding_mask": PADDING},
    "ahead": {"attn_mask": AHEAD},
    "both": {"key_padding_mask": PADDING, "attn_mask": AHEAD},
    "each head": {"attn_mask": np.broadcast_to(AHEAD, (B * H, L, S)) & (np.arange(S) % 2 == 0)},
    "added": {"attn_mask": np.where(AHEAD, -np.inf, real(L, S))},
    "both added": {
        "attn_mask": np.where(AHEAD, -np.inf, real(L, S)),
        "key_padding_mask": np.where(PADDING, -np.inf, 0.5),
    },
}


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("name", ["plain", "everything"])
def test_masks_are_pytorchs(masks, name):
    torch = pytest.importorskip("torch")
    ours, theirs = twins(torch, **CONFIGURATIONS[name])
    run_both(torch, ours, theirs, inputs(CONFIGURATIONS[name]), masks=MASKS[masks])


def test_mixed_masks():
    """A boolean and a floating mask (PyTorch warns): the same as two floating ones."""
    ours = double(nn.MultiheadAttention(E, H))
    xs = [mg.tensor(x) for x in inputs({})]
    added, padding = real(L, S), np.where(PADDING, -np.inf, 0.0)
    y, _ = ours(*xs, mg.tensor(PADDING), attn_mask=mg.tensor(added))
    z, _ = ours(*xs, mg.tensor(padding), attn_mask=mg.tensor(added))
    np.testing.assert_allclose(y.numpy(), z.numpy(), atol=1e-12)
    y, _ = ours(*xs, mg.tensor(padding), attn_mask=mg.tensor(AHEAD))
    z, _ = ours(*xs, mg.tensor(PADDING), attn_mask=mg.tensor(AHEAD))
    np.testing.assert_allclose(y.numpy(), z.numpy(), atol=1e-12)


@pytest.mark.parametrize("name", ["plain", "everything"])
def test_causal(name):
    """As a flag it is the same as a mask."""
    ours = double(nn.MultiheadAttention(E, H, **CONFIGURATIONS[name]))
    xs = [mg.tensor(x) for x in inputs(CONFIGURATIONS[name])]
    ahead = mg.tensor(np.triu(np.ones((L, S), bool), 1))
    for masks in ({}, {"key_padding_mask": mg.tensor(PADDING)}):
        expected, w = ours(*xs, attn_mask=ahead, **masks)
        y, w2 = ours(*xs, is_causal=True, **masks)
        np.testing.assert_allclose(y.numpy(), expected.numpy(), atol=1e-12)
        np.testing.assert_allclose(w2.numpy(), w.numpy(), atol=1e-12)
    added = mg.tensor(np.zeros((L, S)))
    y, _ = ours(*xs, attn_mask=added, is_causal=True)
    expected, _ = ours(*xs, attn_mask=ahead)
    np.testing.assert_allclose(y.numpy(), expected.numpy(), atol=1e-12)


def test_without_a_batch():
    torch = pytest.importorskip("torch")
    ours, theirs = twins(torch)
    q, k = real(L, E), real(S, E)
    blocked = np.array([0, 1, 0, 0, 1], bool)
    y, w = ours(mg.tensor(q), mg.tensor(k), mg.tensor(k), mg.tensor(blocked))
    its = [torch.from_numpy(x) for x in (q, k, k, blocked)]
    ty, tw = theirs(*its)
    assert y.shape == (L, E)
    assert w.shape == (L, S)
    np.testing.assert_allclose(y.numpy(), ty.detach().numpy(), atol=1e-9)
    np.testing.assert_allclose(w.numpy(), tw.detach().numpy(), atol=1e-9)


def test_no_weights_asked_for():
    ours = nn.MultiheadAttention(E, H)
    x = mg.ones((L, B, E))
    assert ours(x, x, x, need_weights=False)[1] is None
    assert ours(x[:, 0], x[:, 0], x[:, 0], need_weights=False)[1] is None


@pytest.mark.parametrize("first", [False, True])
def test_all_keys_blocked_gives_the_bias(first):
    """Zero weights, so the output is out_proj's bias; gradients are zero, never NaN."""
    ours = double(nn.MultiheadAttention(E, H, batch_first=first))
    ours.out_proj.bias.assign_(real(E))
    x = real(B, L, E)
    x[1] = np.nan  # blocked: it may be anything
    memory = mg.tensor(x if first else x.swapaxes(0, 1), requires_grad=True)
    query = mg.tensor(real(*memory.shape), requires_grad=True)
    blocked = np.zeros((B, L), bool)
    blocked[1] = True
    y, w = ours(query, memory, memory, mg.tensor(blocked))
    out = y.numpy() if first else y.numpy().swapaxes(0, 1)
    np.testing.assert_array_equal(out[1], np.broadcast_to(ours.out_proj.bias.numpy(), (L, E)))
    assert not w.numpy()[1].any()
    (y * y).sum().backward()
    assert np.isfinite(out).all()
    g = query.grad.numpy() if first else query.grad.numpy().swapaxes(0, 1)
    assert np.isfinite(g).all()
    assert not g[1].any()


def test_dropout_only_in_training():
    mg.manual_seed(0)
    ours = nn.MultiheadAttention(E, H, dropout=0.5)
    x = mg.ones((L, B, E))
    _, w = ours(x, x, x, average_attn_weights=False)
    assert set(np.unique(w.numpy().round(4))) == {0.0, 0.5}
    ours.eval()
    _, w = ours(x, x, x, average_attn_weights=False)
    np.testing.assert_allclose(w.numpy(), 0.25)


def test_second_order_through_the_layer():
    ours = double(nn.MultiheadAttention(4, 2))
    blocked = mg.tensor(np.array([[False, True], [True, True]]))
    assert gradgradcheck(
        lambda q, m: ours(q, m, m, blocked)[0], [real(2, 2, 4), real(2, 2, 4)], atol=1e-5
    )


def test_initialisation():
    mg.manual_seed(0)
    ours = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    bound = np.sqrt(6 / (64 + 192))
    weight = ours.in_proj_weight.numpy()
    assert abs(weight).max() <= bound
    assert abs(weight).max() > 0.95 * bound
    assert not ours.in_proj_bias.numpy().any()
    assert not ours.out_proj.bias.numpy().any()
    assert ours.bias_k.numpy().any()
    assert "num_heads=4" in repr(ours)


def test_multihead_refuses():
    with pytest.raises(ConfigError, match="embed_dim=8 does not divide into num_heads=3"):
        nn.MultiheadAttention(8, 3)
    ours = nn.MultiheadAttention(E, H)
    x, other = mg.ones((L, B, E)), mg.ones((S, B, E))
    with pytest.raises(ShapeError, match="features"):
        ours(x, mg.ones((S, B, E + 1)), other)
    with pytest.raises(ShapeError, match="share the batch"):
        ours(x, mg.ones((S, B + 1, E)), mg.ones((S, B + 1, E)))
    with pytest.raises(ShapeError, match="key and value the length"):
        ours(x, other, x)
    with pytest.raises(ShapeError, match=r"give \(L, B, E\)"):
        ours(x, x[0], x[0])
    with pytest.raises(ShapeError, match=r"key_padding_mask is \(4, 3\), expected \(3, 4\)"):
        ours(x, x, x, mg.zeros((L, B), dtype=bool))
    with pytest.raises(ShapeError, match="attn_mask"):
        ours(x, x, x, attn_mask=mg.zeros((L, L + 1), dtype=bool))
    with pytest.raises(DTypeError, match="key_padding_mask is int64"):
        ours(x, x, x, mg.zeros((B, L), dtype="int64"))
