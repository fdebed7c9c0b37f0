"""Attention layers: PyTorch's numbers, masks, padding, the steps of a decoder."""

from __future__ import annotations

import contextlib
import itertools

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, DTypeError, ShapeError
from minigrad.testing import gradcheck, gradgradcheck

B, L, S, E, H = 3, 4, 5, 8, 2
LENGTHS = [5, 0, 2]
RNG = np.random.default_rng(0)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def double(module: nn.Module) -> nn.Module:
    return module.to("float64")


def grads(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: p.grad.numpy() for name, p in module.named_parameters() if p.grad is not None}


# -- lengths -------------------------------------------------------------------------------------


def test_lengths_to_mask():
    mask = nn.lengths_to_mask(LENGTHS, S)
    np.testing.assert_array_equal(mask.numpy(), np.arange(S) < np.array(LENGTHS)[:, None])
    assert nn.lengths_to_mask(np.array([1, 3])).shape == (2, 3)
    assert nn.lengths_to_mask(mg.tensor([2])).tolist() == [[True, True]]
    assert nn.lengths_to_mask([]).shape == (0, 0)


@pytest.mark.parametrize("lengths", [[-1], [6], [[1, 2]], [1.5]])
def test_lengths_that_do_not_fit(lengths):
    with pytest.raises(ShapeError, match="lengths_to_mask"):
        nn.lengths_to_mask(lengths, S)


# -- additive and Luong --------------------------------------------------------------------------


def layers(dtype: str = "float64") -> dict[str, nn.Module]:
    made = {
        "additive": nn.AdditiveAttention(6, E, 7),
        "dot": nn.LuongAttention(E),
        "general": nn.LuongAttention(6, E, "general"),
        "concat": nn.LuongAttention(6, E, "concat", 7),
    }
    return {name: layer.to(dtype) for name, layer in made.items()}


NAMES = list(layers())


def score(layer: nn.Module, q: np.ndarray, m: np.ndarray) -> float:
    """The papers' formulas."""
    if isinstance(layer, nn.AdditiveAttention):
        W, U = layer.query_layer.weight.numpy(), layer.memory_layer.weight.numpy()
        return float(layer.v.numpy() @ np.tanh(W @ q + U @ m))
    if layer.score == "dot":
        return float(q @ m)
    if layer.score == "general":
        return float(q @ layer.weight.numpy() @ m)
    return float(layer.v.numpy() @ np.tanh(layer.weight.numpy() @ np.concatenate([q, m])))


@pytest.mark.parametrize("name", NAMES)
def test_formula(name):
    layer = layers()[name]
    query, memory = real(B, L, layer.query_size), real(B, S, E)
    context, weights = layer(mg.tensor(query), mg.tensor(memory), lengths=LENGTHS)
    assert context.shape == (B, L, E)
    assert weights.shape == (B, L, S)
    for b, t in itertools.product(range(B), range(L)):
        n = LENGTHS[b]
        scores = np.array([score(layer, query[b, t], memory[b, s]) for s in range(n)])
        expected = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(weights.numpy()[b, t, :n], expected, atol=1e-12)
        assert not weights.numpy()[b, t, n:].any()
        np.testing.assert_allclose(context.numpy()[b, t], expected @ memory[b, :n], atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_one_step_is_a_step_of_many(name):
    layer = layers()[name]
    query, memory = mg.tensor(real(B, L, layer.query_size)), mg.tensor(real(B, S, E))
    mask = nn.lengths_to_mask(LENGTHS, S)
    keys = layer.project_keys(memory)
    context, weights = layer(query, memory, lengths=LENGTHS)
    for t in range(L):
        c, w = layer(query[:, t], memory, keys=keys, mask=mask)
        np.testing.assert_allclose(c.numpy(), context.numpy()[:, t], atol=1e-12)
        np.testing.assert_allclose(w.numpy(), weights.numpy()[:, t], atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [False, True])
def test_gradients(name, steps):
    layer = layers()[name]
    query = real(2, 2, layer.query_size) if steps else real(2, layer.query_size)
    memory = real(2, 3, E)
    names = [name for name, _ in layer.named_parameters()]
    values = [p.numpy().copy() for p in layer.parameters()]

    def f(q, m, *ps):
        with replaced(layer, dict(zip(names, ps, strict=True))):
            return layer(q, m, lengths=[3, 1])

    assert gradcheck(f, [query, memory, *values])
    if not steps:
        assert gradgradcheck(f, [query, memory, *values], atol=1e-5)


@contextlib.contextmanager
def replaced(layer: nn.Module, tensors: dict[str, mg.Tensor]):
    """The layer with other tensors as its parameters."""
    old = {}
    try:
        for path, t in tensors.items():
            owner = layer
            *parents, name = path.split(".")
            for parent in parents:
                owner = getattr(owner, parent)
            old[path] = owner, name, owner.__dict__[name]
            owner.__dict__[name] = t
        yield
    finally:
        for owner, name, t in old.values():
            owner.__dict__[name] = t


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name):
    """Each sequence alone gives the same context and gradients, and padding may be NaN."""
    query, memory = real(B, 8)[:, : layers()[name].query_size], real(B, S, E)
    layer = layers()[name]
    dirty = memory.copy()
    for b, n in enumerate(LENGTHS):
        dirty[b, n:] = np.nan
    q, m = mg.tensor(query, requires_grad=True), mg.tensor(dirty, requires_grad=True)
    v = real(B, E)
    context, weights = layer(q, m, lengths=LENGTHS)
    ((context * v).sum() + (weights * weights).sum()).backward()
    together = grads(layer)
    layer.zero_grad()
    for b, n in enumerate(LENGTHS):
        if n == 0:
            assert not context.numpy()[b].any()
            assert not weights.numpy()[b].any()
            assert not q.grad.numpy()[b].any()
            assert not m.grad.numpy()[b].any()
            continue
        q1 = mg.tensor(query[b : b + 1], requires_grad=True)
        m1 = mg.tensor(memory[b : b + 1, :n], requires_grad=True)
        c1, w1 = layer(q1, m1)
        ((c1 * v[b]).sum() + (w1 * w1).sum()).backward()
        np.testing.assert_allclose(context.numpy()[b], c1.numpy()[0], atol=1e-12)
        np.testing.assert_allclose(weights.numpy()[b, :n], w1.numpy()[0], atol=1e-12)
        np.testing.assert_allclose(q.grad.numpy()[b], q1.grad.numpy()[0], atol=1e-12)
        np.testing.assert_allclose(m.grad.numpy()[b, :n], m1.grad.numpy()[0], atol=1e-12)
        assert not m.grad.numpy()[b, n:].any()
    for path, g in grads(layer).items():
        np.testing.assert_allclose(together[path], g, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_float32_stays(name):
    layer = layers("float32")[name]
    query, memory = mg.ones((B, layer.query_size)), mg.ones((B, S, E))
    context, weights = layer(query, memory, lengths=LENGTHS)
    assert context.dtype == weights.dtype == np.float32


def test_a_mask_for_each_step():
    layer = layers()["additive"]
    query, memory = mg.tensor(real(B, L, 6)), mg.tensor(real(B, S, E))
    mask = RNG.random((B, L, S)) < 0.5
    _, weights = layer(query, memory, mask=mg.tensor(mask))
    assert not weights.numpy()[~mask].any()
    _, same = layer(query[:, 1], memory, mask=mg.tensor(mask[:, 1]))
    np.testing.assert_allclose(same.numpy(), weights.numpy()[:, 1], atol=1e-12)


def test_what_does_not_fit():
    attention = nn.AdditiveAttention(6, E)
    query, memory = mg.ones((B, 6)), mg.ones((B, S, E))
    with pytest.raises(ShapeError, match=r"query is \(3, 7\), expected \(B, 6\)"):
        attention(mg.ones((B, 7)), memory)
    with pytest.raises(ShapeError, match=r"memory is \(5, 3, 8\).*batch first"):
        attention(query, mg.ones((S, B, E)))
    with pytest.raises(ShapeError, match="2 lengths for a batch of 3"):
        attention(query, memory, lengths=[1, 2])
    with pytest.raises(ConfigError, match="not both"):
        attention(query, memory, lengths=LENGTHS, mask=nn.lengths_to_mask(LENGTHS, S))
    with pytest.raises(ShapeError, match="does not broadcast"):
        attention(query, memory, mask=mg.ones((B, S + 1), dtype=bool))
    with pytest.raises(DTypeError, match="give bool"):
        attention(query, memory, mask=mg.ones((B, S), dtype="int64"))
    with pytest.raises(ShapeError, match="keys"):
        attention(query, memory, keys=mg.ones((B, S + 1, 6)))
    with pytest.raises(ConfigError, match="'general'"):
        nn.LuongAttention(6, E)
    with pytest.raises(ConfigError, match="'cosine'"):
        nn.LuongAttention(6, score="cosine")


def test_parameters_have_names():
    shapes = {path: t.shape for path, t in nn.AdditiveAttention(6, E, 7).state_dict().items()}
    assert shapes == {"v": (7,), "query_layer.weight": (7, 6), "memory_layer.weight": (7, E)}
    assert list(nn.LuongAttention(6, E, "concat").state_dict()) == ["weight", "v"]
    assert not nn.LuongAttention(6).state_dict()
    assert "6, 8, 7" in repr(nn.AdditiveAttention(6, E, 7))
    assert "'general'" in repr(nn.LuongAttention(6, E, "general"))


# -- scaled dot product --------------------------------------------------------------------------


def test_scaled_dot_product_layer():
    layer = nn.ScaledDotProductAttention(dropout=0.5)
    q, k, v = (mg.tensor(real(B, n, E)) for n in (L, S, S))
    mg.manual_seed(0)
    output, weights = layer(q, k, v, nn.lengths_to_mask(LENGTHS, S)[:, None])
    assert not weights.numpy()[1].any()
    assert ((weights.numpy()[0] == 0).sum()) > 0  # dropped
    np.testing.assert_allclose(output.numpy(), weights.numpy() @ v.numpy(), atol=1e-12)
    layer.eval()
    _, weights = layer(q, k, v, is_causal=True)
    np.testing.assert_allclose(weights.numpy().sum(-1), 1)
    assert not np.triu(weights.numpy(), 1).any()
    assert "dropout=0.5" in repr(layer)
    with pytest.raises(ConfigError, match="probability"):
        nn.ScaledDotProductAttention(dropout=1.5)(q, k, v)


# -- multi-head ----------------------------------------------------------------------------------

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
