"""Module: what it finds, what it refuses, modes, repr."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from tests.nn.blocks import NAMES, Block, Model

# -- the tree -------------------------------------------------------------------------------------


def test_parameters_in_order_of_definition():
    model = Model()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert [id(p) for p in model.parameters()] == [id(p) for _, p in model.named_parameters()]
    assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in model.parameters())
    assert model.num_parameters() == sum(p.size for p in model.parameters())


def test_the_order_is_pytorchs():
    torch = pytest.importorskip("torch")

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.b = torch.nn.Linear(2, 3)
            self.a = torch.nn.LayerNorm(3)
            self.seq = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh())
            self.w = torch.nn.Parameter(torch.zeros(2))

    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.b = nn.Linear(2, 3)
            self.a = nn.LayerNorm(3)
            self.seq = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
            self.w = nn.Parameter(np.zeros(2))

    mine, theirs = Mine(), Theirs()
    assert list(mine.state_dict()) == list(theirs.state_dict())
    assert [n for n, _ in mine.named_modules()] == [n for n, _ in theirs.named_modules()]
    mine.load_state_dict(theirs.state_dict())
    for p, q in zip(mine.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy())


def test_shared_parameters_count_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(5, 3)
            self.out = nn.Linear(3, 5, bias=False)
            self.out.weight = self.embedding.weight
            self.again = self.out

    tied = Tied()
    assert [n for n, _ in tied.named_parameters()] == ["embedding.weight"]
    assert tied.num_parameters() == 15
    assert list(tied.state_dict()) == ["embedding.weight", "out.weight", "again.weight"]
    assert [n for n, _ in tied.named_modules()] == ["", "embedding", "out"]
    tied.out(tied.embedding([1, 2])).sum().backward()
    assert tied.embedding.weight.grad is tied.out.weight.grad
    mg.optim.SGD(tied.parameters(), lr=0.1).step()
    again = Tied()
    again.load_state_dict(tied.state_dict())
    assert again.out.weight is again.embedding.weight
    tied.to("float64")
    assert tied.out.weight is tied.embedding.weight
    assert tied.out.weight.dtype == "float64"


def test_modules_are_walked_once_and_by_path():
    model = Model()
    names = [name for name, _ in model.named_modules()]
    assert names == [
        "",
        "first",
        "first.inner",
        "layers.0",
        "layers.1",
        "heads.a",
        "heads.b.0",
        "heads.b.1",
    ]
    assert [name for name, _ in model.first.named_modules("pre")] == ["pre", "pre.inner"]
    assert list(model.modules())[1] is model.first
    assert [n for n, _ in model.named_children()] == [n for n in names[1:] if n != "first.inner"]


def test_a_list_may_grow_after_it_was_set():
    model = Model()
    model.layers.append(nn.Linear(2, 2))
    model.heads["c"] = nn.Linear(2, 2)
    assert {"layers.2.weight", "heads.c.weight"} <= set(model.state_dict())


def test_a_reference_to_the_parent_is_no_child():
    class Child(nn.Module):
        def __init__(self, parent):
            super().__init__()
            self.w = nn.Parameter(np.zeros(1))
            self.parent = parent

    class Parent(nn.Module):
        def __init__(self):
            super().__init__()
            self.child = Child(self)

    parent = Parent()
    assert [n for n, _ in parent.named_parameters()] == ["child.w"]
    assert list(parent.state_dict()) == ["child.w"]
    parent.eval()
    repr(parent)


def test_apply_goes_from_the_leaves_up():
    order = []
    model = Model()
    assert model.apply(lambda m: order.append(type(m).__name__)) is model
    assert order[-1] == "Model"
    assert order.index("Linear") < order.index("Block")


def test_a_module_with_long_lists_is_still_walked_fast():
    model = Model()
    model.words = ["word"] * 100_000
    import time

    start = time.perf_counter()
    list(model.parameters())
    assert time.perf_counter() - start < 0.5


# -- buffers --------------------------------------------------------------------------------------


def test_buffers():
    block = Block()
    assert [n for n, _ in block.named_buffers()] == ["mean", "cache"]
    assert list(block.state_dict()) == ["scale", "shift", "mean", "inner.weight", "inner.bias"]
    block.mean = mg.ones(2)  # a new value is still the buffer
    assert block.state_dict()["mean"].tolist() == [1, 1]
    block.nothing = mg.zeros(3)
    assert "nothing" in block.state_dict()
    block.nothing = None
    assert "nothing" not in block.state_dict()
    with pytest.raises(TypeError, match=r"mean.*buffer.*ndarray"):
        block.mean = np.zeros(2)
    assert block.mean.tolist() == [1, 1]


def test_plain_tensors_and_arrays_are_no_state():
    block = Block()
    block.note, block.array = mg.ones(2), np.ones(2)
    assert set(block.state_dict()) == {"scale", "shift", "mean", "inner.weight", "inner.bias"}


# -- attributes -----------------------------------------------------------------------------------


def test_init_comes_first():
    class Forgot(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    class ForgotToo(nn.Module):
        def __init__(self):
            self.w = nn.Parameter(np.zeros(1))

    for cls in (Forgot, ForgotToo):
        with pytest.raises(TypeError, match=r"super\(\).__init__"):
            cls()


def test_a_parameter_stays_a_parameter():
    layer = nn.Linear(2, 2)
    for value in (mg.zeros((2, 2)), np.zeros((2, 2)), 0.0, layer.weight * 2):
        with pytest.raises(TypeError, match=r"Linear.weight.*assign_"):
            layer.weight = value
    layer.weight = nn.Parameter(np.ones((2, 2), np.float32))
    layer.bias = None
    assert [n for n, _ in layer.named_parameters()] == ["weight"]
    assert layer(mg.ones(2)).tolist() == [2, 2]


def test_no_forward():
    with pytest.raises(NotImplementedError, match="Empty has no forward"):
        type("Empty", (nn.Module,), {})()(1)


def test_what_is_missing_is_named():
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = nn.Linear(1, 1).nothing_like_it


# -- modes ----------------------------------------------------------------------------------------


def test_train_and_eval_reach_everything():
    model = Model()
    assert all(m.training for m in model.modules())
    assert model.eval() is model
    assert not any(m.training for m in model.modules())
    assert not model.layers[1].training
    model.train()
    assert all(m.training for m in model.modules())


def test_freezing():
    model = Model().requires_grad_(False)
    assert not any(p.requires_grad for p in model.parameters())
    assert not model(mg.ones((1, 2))).requires_grad
    model.first.requires_grad_()
    model(mg.ones((1, 2))).sum().backward()
    assert model.first.scale.grad is not None
    assert model.heads["a"].weight.grad is None
    model.zero_grad()
    assert model.first.scale.grad is None


def test_calls_mark_the_tape_with_the_path():
    model = Model()
    seen = []

    class Probe(nn.Module):
        def forward(self, x):
            y = x * 2
            seen.append(y.node.scope)
            return y

    model.layers = [Probe()]
    model(mg.tensor(np.ones((1, 2), np.float32), requires_grad=True))
    assert seen == [("Model", "layers.0")]


# -- repr -----------------------------------------------------------------------------------------


def test_repr():
    assert repr(Model()) == (
        "Model(  # 31 parameters\n"
        "  (first): Block(  # 10\n"
        "    (inner): Linear(2, 2)  # 6\n"
        "  )\n"
        "  (layers.0): Linear(2, 2)  # 6\n"
        "  (layers.1): Dropout(p=0.5)\n"
        "  (heads.a): Linear(2, 3)  # 9\n"
        "  (heads.b.0): Linear(2, 1)  # 3\n"
        "  (heads.b.1): Tanh()\n"
        ")"
    )


def test_repr_of_shared_modules():
    layer = nn.Linear(1, 1)
    model = nn.Sequential(layer, layer)
    assert repr(model) == (
        "Sequential(  # 2 parameters\n"
        "  (0): Linear(1, 1)  # 2\n"
        "  (1): Linear(1, 1)  # shared, counted above\n"
        ")"
    )


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(4, 3), nn.RNN(4, 3), nn.LSTM(4, 3, bidirectional=True), nn.GRU(4, 3),
        nn.CellRNN(nn.LSTMCell(4, 3)), nn.LayerNorm(4), nn.LockedDropout(), nn.Dropout1d(),
        nn.AlphaDropout(), nn.TransformerEncoderLayer(4, 2, 8), nn.Conv1d(2, 3, 2),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_an_array_of_numpy_is_as_good_as_a_tensor(layer):
    x = np.random.default_rng(0).normal(size=(5, 2, 4)).astype("f4")
    results = []
    for given in (x, mg.tensor(x)):
        mg.manual_seed(0)
        y = layer(given)
        results.append(y[0] if isinstance(y, tuple) else y)
    np.testing.assert_array_equal(*(mg.asarray(y).detach().numpy() for y in results))


def test_cells_and_lengths_beside_arrays_of_numpy():
    x = np.random.default_rng(0).normal(size=(3, 5, 4)).astype("f4")
    for cell in (nn.RNNCell(4, 3), nn.GRUCell(4, 3)):
        np.testing.assert_array_equal(cell(x[0]).numpy(), cell(mg.tensor(x[0])).numpy())
    attention, n = nn.AdditiveAttention(4, 4, 8), [1, 5, 2]
    plain, _ = attention(x[:, 0], x, lengths=n)
    np.testing.assert_array_equal(
        plain.numpy(), attention(mg.tensor(x[:, 0]), mg.tensor(x), lengths=n)[0].numpy()
    )


def test_forward_hooks_look_at_the_output_or_change_it():
    model, seen = nn.Sequential(nn.Linear(3, 2), nn.ReLU()), []
    x = mg.ones((4, 3))
    plain = model(x)
    watch = model[0].register_forward_hook(lambda m, args, y: seen.append((m, args[0], y)))
    double = model[1].register_forward_hook(lambda m, args, y: y * 2)
    np.testing.assert_array_equal(model(x).numpy(), 2 * plain.numpy())
    ((module, given, out),) = seen
    assert module is model[0]
    assert given is x
    np.testing.assert_array_equal(mg.relu(out).numpy(), plain.numpy())
    watch.remove()
    watch.remove()
    double.remove()
    np.testing.assert_array_equal(model(x).numpy(), plain.numpy())
    assert len(seen) == 1
    assert list(model.state_dict()) == ["0.weight", "0.bias"]


def test_a_hook_that_removes_itself():
    layer, calls = nn.Linear(3, 2), []

    def once(module, args, output):
        calls.append(output)
        handle.remove()

    handle = layer.register_forward_hook(once)
    for _ in range(2):
        layer(mg.ones((1, 3)))
    assert len(calls) == 1


def test_buffers_are_those_with_names():
    norm = nn.BatchNorm1d(3)
    assert [id(b) for b in norm.buffers()] == [id(b) for _, b in norm.named_buffers()]
