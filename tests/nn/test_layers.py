"""Linear, Embedding, LayerNorm, Dropout, containers, activations and losses as modules."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, nn
from minigrad.testing import gradcheck


def array(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def leaf(values, dtype="float64"):
    return mg.tensor(values, dtype=dtype, requires_grad=True)


def twins(mine, theirs, torch):
    """The two with the same weights, in double precision."""
    theirs = theirs.double()
    mine.to("float64").load_state_dict(theirs.state_dict())
    return mine, theirs


def assert_same_outputs_and_gradients(mine, theirs, x, torch, *, rtol=1e-9):
    """One input of any kind: float inputs are differentiated too."""
    x_t = torch.tensor(x)
    x_m = mg.tensor(x)
    if x.dtype.kind == "f":
        x_t.requires_grad_()
        x_m.requires_grad_()
    y, y_t = mine(x_m), theirs(x_t)
    np.testing.assert_allclose(y.detach().numpy(), y_t.detach().numpy(), rtol=rtol, atol=1e-12)
    g = array(*y.shape, seed=7)
    y.backward(g)
    y_t.backward(torch.tensor(g))
    pairs = [*zip(mine.parameters(), theirs.parameters(), strict=True), (x_m, x_t)]
    for p, q in pairs:
        if q.requires_grad:
            found = p.grad.to_dense() if isinstance(p.grad, mg.RowSparse) else p.grad.numpy()
            expected = q.grad.to_dense() if q.grad.is_sparse else q.grad
            np.testing.assert_allclose(found, expected.numpy(), rtol=rtol, atol=1e-12)


# -- Linear --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(), (4,), (2, 3), (0,)])
def test_linear(bias, lead):
    torch = pytest.importorskip("torch")
    mine, theirs = twins(nn.Linear(5, 3, bias=bias), torch.nn.Linear(5, 3, bias=bias), torch)
    assert_same_outputs_and_gradients(mine, theirs, array(*lead, 5), torch)


def test_linear_by_hand():
    layer = nn.Linear(2, 1)
    layer.weight.assign_([[2.0, 3.0]])
    layer.bias.assign_([10.0])
    assert layer(mg.tensor([[1.0, 2.0], [0.0, 1.0]])).tolist() == [[18], [13]]
    assert gradcheck(layer.to("float64"), array(3, 2))


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (5, 0)])
def test_linear_of_the_wrong_shape(shape):
    with pytest.raises(errors.ShapeError, match=r"linear.*weight \(2, 5\); expected x \(…, 5\)"):
        nn.Linear(5, 2)(mg.zeros(shape))


def test_linear_repr():
    assert repr(nn.Linear(3, 2)) == "Linear(3, 2)  # 8 parameters"
    assert repr(nn.Linear(300, 20, bias=False)) == "Linear(300, 20, bias=False)  # 6,000 parameters"


def test_identity():
    x = mg.ones(3)
    assert nn.Identity(1, 2, anything=3)(x) is x


# -- Embedding -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("padding_idx", [None, 0, -2])
@pytest.mark.parametrize("ids", [[1, 4, 1, 1], [[0, 3], [3, 0]], 2, [[]]], ids=str)
def test_embedding(sparse, padding_idx, ids):
    torch = pytest.importorskip("torch")
    mine, theirs = twins(
        nn.Embedding(6, 3, padding_idx, sparse=sparse),
        torch.nn.Embedding(6, 3, padding_idx, sparse=sparse),
        torch,
    )
    ids = np.array(ids, dtype=np.int64)
    if not ids.ndim and sparse:
        ids = ids.reshape(1)  # a single id is more than PyTorch's sparse gradient takes
    assert_same_outputs_and_gradients(mine, theirs, ids, torch)
    assert isinstance(mine.weight.grad, mg.RowSparse) == sparse


def test_ids_of_any_kind():
    layer = nn.Embedding(6, 3)
    expected = layer.weight.numpy()[[1, 2]]
    for ids in (
        [1, 2],
        (1, 2),
        np.array([1, 2], np.uint8),
        np.array([1, 2], np.int32),
        mg.tensor([1, 2]),
    ):
        np.testing.assert_array_equal(layer(ids).detach().numpy(), expected)
    assert layer(3).shape == (3,)


@pytest.mark.parametrize("sparse", [False, True])
def test_ids_outside_the_table(sparse):
    layer = nn.Embedding(6, 3, sparse=sparse)
    for bad in ([0, 6], [-1], [[100]]):
        with pytest.raises(errors.IndexRangeError, match=r"embedding.*6 rows"):
            layer(bad)
    with pytest.raises(errors.DTypeError, match="float"):
        layer(mg.tensor([1.0]))
    for padding in (6, -7):
        with pytest.raises(errors.IndexRangeError, match="padding_idx"):
            nn.Embedding(6, 3, padding)
        with pytest.raises(errors.IndexRangeError, match="padding_idx"):
            nn.Embedding.from_pretrained(np.zeros((6, 3)), padding_idx=padding)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("rule", ["SGD", "Adam", "Adagrad"])
def test_padding_stays_where_it_is(sparse, rule):
    layer = nn.Embedding(4, 2, padding_idx=1, sparse=sparse)
    opt = getattr(mg.optim, rule)(layer.parameters(), lr=0.1)
    before = layer.weight.numpy().copy()
    for _ in range(3):
        opt.zero_grad()
        (layer([0, 1, 1, 3]) ** 2).sum().backward()
        opt.step()
    after = layer.weight.numpy()
    np.testing.assert_array_equal(after[[1, 2]], before[[1, 2]])
    assert not after[1].any()
    assert (after[[0, 3]] != before[[0, 3]]).all()


def test_sparse_and_dense_tables_train_the_same_with_sgd():
    mg.manual_seed(0)
    dense, sparse = nn.Embedding(5, 3), nn.Embedding(5, 3, sparse=True)
    sparse.load_state_dict(dense.state_dict())
    opts = [mg.optim.SGD(m.parameters(), lr=0.1) for m in (dense, sparse)]
    for step in range(4):
        for layer, opt in zip((dense, sparse), opts, strict=True):
            opt.zero_grad()
            (mg.tanh(layer([step, 1, step])) ** 2).sum().backward()
            mg.optim.clip_grad_norm_(layer.parameters(), 0.5)
            opt.step()
    np.testing.assert_allclose(dense.weight.numpy(), sparse.weight.numpy(), rtol=1e-6)


def test_pretrained_tables():
    vectors = array(4, 3).astype(np.float32)
    frozen = nn.Embedding.from_pretrained(vectors)
    assert not frozen.weight.requires_grad
    np.testing.assert_array_equal(frozen([2]).numpy(), vectors[[2]])
    assert not np.shares_memory(frozen.weight.data, vectors)
    trained = nn.Embedding.from_pretrained(vectors, freeze=False, padding_idx=-1, sparse=True)
    trained([0, 3]).sum().backward()
    assert trained.weight.grad.to_dense().tolist() == [[1] * 3, [0] * 3, [0] * 3, [0] * 3]
    assert (trained.num_embeddings, trained.embedding_dim, trained.padding_idx) == (4, 3, 3)
    assert nn.Embedding.from_pretrained([[1.0, 2.0]]).weight.dtype == "float32"
    assert nn.Embedding.from_pretrained(mg.tensor(vectors)).weight.shape == (4, 3)
    with pytest.raises(errors.ShapeError, match="2 axes"):
        nn.Embedding.from_pretrained(np.zeros(3))


def test_embedding_repr():
    layer = nn.Embedding(10, 3, padding_idx=0, sparse=True)
    assert repr(layer) == "Embedding(10, 3, padding_idx=0, sparse)  # 30 parameters"


# -- LayerNorm -----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [5, (5,), (3, 5)])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"elementwise_affine": False}], ids=str)
def test_layer_norm(shape, options):
    torch = pytest.importorskip("torch")
    mine, theirs = twins(
        nn.LayerNorm(shape, eps=1e-3, **options),
        torch.nn.LayerNorm(shape, eps=1e-3, **options),
        torch,
    )
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        p.assign_(array(*p.shape, seed=p.ndim))
        q.data = torch.tensor(p.numpy())
    assert_same_outputs_and_gradients(mine, theirs, array(2, 3, 5) * 3 + 1, torch)


def test_layer_norm_by_hand():
    y = nn.LayerNorm(4, eps=0.0, dtype="float64")(mg.tensor(array(3, 4) * 5 + 2)).detach().numpy()
    np.testing.assert_allclose(y.mean(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=1), 1)
    with pytest.raises(errors.ShapeError, match=r"LayerNorm.*\(4,\)"):
        nn.LayerNorm(4)(mg.zeros((4, 3)))
    assert repr(nn.LayerNorm(4)) == "LayerNorm((4,), eps=1e-05)  # 8 parameters"


# -- Dropout -------------------------------------------------------------------------------------


def test_dropout_in_training():
    mg.manual_seed(0)
    layer = nn.Dropout(0.25)
    x = leaf(np.ones(40_000))
    y = layer(x)
    values, counts = np.unique(y.numpy(), return_counts=True)
    np.testing.assert_allclose(values, [0, 1 / 0.75])
    assert counts[0] / x.size == pytest.approx(0.25, abs=0.01)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())  # the same mask
    assert not np.array_equal(layer(x).numpy(), y.numpy())  # another one next time
    mg.manual_seed(0)
    np.testing.assert_array_equal(layer(x).numpy(), y.numpy())


def test_dropout_in_evaluation_and_at_the_ends():
    x = mg.ones(100)
    assert nn.Dropout(0.5).eval()(x) is x
    assert nn.Dropout(0.0)(x) is x
    assert not nn.Dropout(1.0)(x).numpy().any()
    assert nn.Dropout(0.5)(mg.ones(3, dtype="float16")).dtype == "float16"
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(errors.ConfigError, match="probability"):
            nn.Dropout(p)


# -- containers ----------------------------------------------------------------------------------


def test_sequential():
    torch = pytest.importorskip("torch")
    mine, theirs = twins(
        nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())),
        torch.nn.Sequential(
            torch.nn.Linear(4, 3),
            torch.nn.Tanh(),
            torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Sigmoid()),
        ),
        torch,
    )
    assert list(mine.state_dict()) == ["0.weight", "0.bias", "2.0.weight", "2.0.bias"]
    assert_same_outputs_and_gradients(mine, theirs, array(5, 4), torch)
    assert len(mine) == 3
    assert isinstance(mine[1], nn.Tanh)
    assert mine[-1] is list(mine)[2]
    assert [type(m).__name__ for m in mine[:2]] == ["Linear", "Tanh"]
    x = mg.ones(3)
    assert nn.Sequential()(x) is x


def test_module_list():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert layers.append(nn.Tanh()) is layers
    assert len(layers) == 4
    assert isinstance(layers[-1], nn.Tanh)
    assert [type(m) for m in layers[1:3]] == [nn.Linear] * 2
    assert list(layers.state_dict()) == [f"{i}.{n}" for i in range(3) for n in ("weight", "bias")]
    assert len(list(layers)) == 4
    with pytest.raises(IndexError):
        layers[4]
    with pytest.raises(NotImplementedError):
        layers(1)


# -- activations ---------------------------------------------------------------------------------

ACTIVATIONS = [
    ("Tanh", {}, {}),
    ("Sigmoid", {}, {}),
    ("ReLU", {}, {}),
    ("LeakyReLU", {"negative_slope": 0.2}, {"negative_slope": 0.2}),
    ("LeakyReLU", {}, {}),
    ("ELU", {"alpha": 0.7}, {"alpha": 0.7}),
    ("GELU", {}, {}),
    ("GELU", {"approximate": "tanh"}, {"approximate": "tanh"}),
    ("SiLU", {}, {}),
    ("Softplus", {}, {}),
    ("Softmax", {"axis": 0}, {"dim": 0}),
    ("Softmax", {}, {"dim": -1}),
    ("LogSoftmax", {"axis": 1}, {"dim": 1}),
]


@pytest.mark.parametrize(("name", "options", "theirs"), ACTIVATIONS, ids=str)
def test_activations(name, options, theirs):
    torch = pytest.importorskip("torch")
    mine = getattr(nn, name)(**options)
    assert_same_outputs_and_gradients(mine, getattr(torch.nn, name)(**theirs), array(4, 5), torch)
    text = ", ".join(f"{k}={v!r}" for k, v in options.items())
    assert repr(mine).startswith(f"{name}(")
    assert text in repr(mine)


# -- losses --------------------------------------------------------------------------------------

WEIGHT = np.array([0.5, 2.0, 1.0])
IDS = np.array([0, 2, -1, 1, 1])
PROBABILITIES = np.abs(array(5, 3, seed=3)) / np.abs(array(5, 3, seed=3)).sum(1, keepdims=True)
LOSSES = [
    ("CrossEntropyLoss", {}, IDS % 3),
    ("CrossEntropyLoss", {"ignore_index": -1}, IDS),
    ("CrossEntropyLoss", {"ignore_index": -1, "weight": WEIGHT, "label_smoothing": 0.2}, IDS),
    ("CrossEntropyLoss", {"label_smoothing": 0.1}, PROBABILITIES),
    ("NLLLoss", {"weight": WEIGHT, "ignore_index": -1}, IDS),
    ("BCEWithLogitsLoss", {}, PROBABILITIES),
    ("BCEWithLogitsLoss", {"pos_weight": WEIGHT}, PROBABILITIES),
    ("MSELoss", {}, array(5, 3, seed=4)),
    ("L1Loss", {}, array(5, 3, seed=4)),
    ("HuberLoss", {"delta": 0.5}, array(5, 3, seed=4)),
    ("KLDivLoss", {}, PROBABILITIES),
]


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # PyTorch's, of KLDivLoss
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("name", "options", "target"), LOSSES, ids=lambda v: str(v)[:40])
def test_losses(name, options, target, reduction):
    torch = pytest.importorskip("torch")
    x = array(5, 3)
    given = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    mine = getattr(nn, name)(**options, reduction=reduction)
    theirs = getattr(torch.nn, name)(**given, reduction=reduction)
    t = torch.tensor(target)
    assert_same_outputs_and_gradients(
        lambda_module(lambda v: mine(v, mg.asarray(target))),
        lambda_module(lambda v: theirs(v, t)),
        x,
        torch,
    )
    assert f"reduction={reduction!r}" in repr(mine)


class lambda_module:
    def __init__(self, f):
        self.f = f

    def __call__(self, x):
        return self.f(x)

    def parameters(self):
        return []


def test_weights_of_losses_move_with_them():
    pytest.importorskip("minigrad.testing.strict")
    loss = nn.CrossEntropyLoss(weight=[1.0, 2.0, 3.0])
    assert [n for n, _ in loss.named_buffers()] == ["weight"]
    assert not list(loss.parameters())
    loss.to("strict")
    y = loss(mg.zeros((2, 3), device="strict"), mg.tensor([0, 1], device="strict"))
    assert y.device.name == "strict"


def test_a_model_learns():
    """The pieces together: two clouds of points, separated."""
    mg.manual_seed(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    centres = np.where(labels[:, None], [1.0, 1.0], [-1.0, 0.0])
    points = rng.standard_normal((200, 2)) * 0.5 + centres
    x, y = mg.tensor(points, dtype="float32"), mg.tensor(labels)
    model = nn.Sequential(
        nn.Linear(2, 16), nn.LayerNorm(16), nn.GELU(), nn.Dropout(0.1), nn.Linear(16, 2)
    )
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.01)
    opt = mg.optim.AdamW(model.parameters(), lr=0.02)
    schedule = mg.optim.CosineAnnealingLR(opt, T_max=60)
    first = loss_of(model(x), y).item()
    for _ in range(60):
        opt.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        mg.optim.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        schedule.step()
    model.eval()
    with mg.no_grad():
        accuracy = (model(x).argmax(axis=1) == y).astype("float32").mean().item()
    assert loss.item() < first / 3
    assert accuracy > 0.95
