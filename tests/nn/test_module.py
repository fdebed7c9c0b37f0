"""Module: what it finds, what it saves and loads, what it refuses."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, nn


class Block(nn.Module):
    def __init__(self, n=2):
        super().__init__()
        self.scale = nn.Parameter(np.full(n, 2.0, np.float32))
        self.inner = nn.Linear(n, n)
        self.shift = nn.Parameter(np.zeros(n, np.float32))
        self.register_buffer("mean", mg.zeros(n))
        self.register_buffer("cache", mg.ones(n), persistent=False)
        self.register_buffer("nothing", None)

    def forward(self, x):
        return self.inner(x) * self.scale + self.shift - self.mean


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Block()
        self.layers = [nn.Linear(2, 2), nn.Dropout(0.5)]
        self.heads = {"a": nn.Linear(2, 3), "b": (nn.Linear(2, 1), nn.Tanh())}
        self.gates = [nn.Parameter(np.ones(2, np.float32)), nn.Parameter(np.ones(1, np.float32))]
        self.words = ["the", "a"]

    def forward(self, x):
        x = self.first(x)
        for layer in self.layers:
            x = layer(x)
        return self.heads["a"](x * self.gates[0])


NAMES = [
    "gates.0",
    "gates.1",
    "first.scale",
    "first.shift",
    "first.inner.weight",
    "first.inner.bias",
    "layers.0.weight",
    "layers.0.bias",
    "heads.a.weight",
    "heads.a.bias",
    "heads.b.0.weight",
    "heads.b.0.bias",
]


# -- the tree ------------------------------------------------------------------------------------


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


# -- buffers -------------------------------------------------------------------------------------


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


# -- attributes ----------------------------------------------------------------------------------


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


# -- modes ---------------------------------------------------------------------------------------


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


# -- moving --------------------------------------------------------------------------------------


def test_to_a_dtype_keeps_identities():
    model = Model()
    model.register_buffer("count", mg.tensor([1, 2]))
    before = list(model.parameters())
    model(mg.ones((1, 2))).sum().backward()
    assert model.to("float64") is model
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    assert {p.dtype.name for p in model.parameters()} == {"float64"}
    assert model.first.cache.dtype == "float64"
    assert model.count.dtype == "int64"
    assert all(p.grad is None for p in before)
    assert model(mg.ones((1, 2), dtype="float64")).dtype == "float64"


def test_to_a_device():
    pytest.importorskip("minigrad.testing.strict")
    model = Model().eval()
    expected = model(mg.ones((1, 2))).detach().numpy()
    model.to("strict")
    assert {str(t.device) for t in (*model.parameters(), model.first.cache)} == {"strict"}
    y = model(mg.ones((1, 2), device="strict"))
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-6)
    with pytest.raises(errors.DeviceError):
        model(mg.ones((1, 2)))
    assert model.state_dict()["first.scale"].device.name == "strict"
    model.load_state_dict(Model().state_dict())
    assert model.first.scale.device.name == "strict"


@pytest.mark.parametrize("target", ["int64", np.int32, bool])
def test_parameters_are_never_integers(target):
    model = Model()
    with pytest.raises(errors.DTypeError, match="floating"):
        model.to(target)
    assert model.first.scale.dtype == "float32"
    with pytest.raises(errors.DeviceError, match="nowhere"):
        model.to("nowhere")


# -- state ---------------------------------------------------------------------------------------


def test_a_state_dict_is_a_copy_that_loads():
    mg.manual_seed(1)
    a, b = Model(), Model()
    state = a.state_dict()
    assert not any(t.requires_grad for t in state.values())
    a.first.scale.assign_(9.0)
    assert state["first.scale"].tolist() == [2, 2]
    memory = b.first.scale.data
    b.load_state_dict(state)
    assert b.first.scale.data is memory  # written into, so arenas and optimisers keep their views
    for name, t in b.state_dict().items():
        np.testing.assert_array_equal(t.numpy(), state[name].numpy())


@pytest.mark.parametrize("convert", [lambda t: t, lambda t: t.numpy(), lambda t: t.tolist()])
def test_values_of_any_kind(convert):
    state = {k: convert(v) for k, v in Model().state_dict().items()}
    model = Model()
    model.load_state_dict(OrderedDict(state))
    np.testing.assert_array_equal(model.layers[0].weight.numpy(), state["layers.0.weight"])


def test_values_are_cast():
    state = {k: v.numpy().astype(np.float64) for k, v in Model().state_dict().items()}
    model = Model()
    model.load_state_dict(state)
    assert model.first.scale.dtype == "float32"


def test_pytorchs_tensors_of_any_dtype():
    torch = pytest.importorskip("torch")
    layer = nn.Linear(2, 3)
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        theirs = torch.nn.Linear(2, 3, dtype=dtype)
        layer.load_state_dict(theirs.state_dict())
        np.testing.assert_array_equal(layer.weight.numpy(), theirs.weight.detach().float().numpy())


BROKEN = {
    "missing": (lambda s: s.pop("layers.0.bias"), "layers.0.bias is missing"),
    "unknown": (lambda s: s.update(extra=np.zeros(1)), "extra is unknown"),
    "a shape": (lambda s: s.update({"first.scale": np.zeros(3)}), r"first.scale has shape \(3,\)"),
    "a kind": (
        lambda s: s.update({"first.scale": np.zeros(2, complex)}),
        "first.scale has dtype complex128",
    ),
    "integers": (lambda s: s.update({"first.scale": np.zeros(2, int)}), "dtype int64"),
    "text": (lambda s: s.update({"first.scale": np.array(["a", "b"])}), "first.scale has dtype"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_state_that_does_not_fit_changes_nothing(what):
    change, message = BROKEN[what]
    model = Model()
    before = {k: v.numpy().copy() for k, v in model.state_dict().items()}
    state = {k: v.numpy() + 1 for k, v in Model().state_dict().items()}
    change(state)
    with pytest.raises(errors.CheckpointError, match=f"Model is unchanged.*{message}"):
        model.load_state_dict(state)
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_all_problems_are_named_at_once():
    state = Model().state_dict()
    del state["layers.0.bias"]
    state["x"] = mg.zeros(1)
    state["first.scale"] = mg.zeros(7)
    with pytest.raises(errors.CheckpointError) as caught:
        Model().load_state_dict(state)
    for part in ("layers.0.bias", "x is unknown", "first.scale has shape (7,)"):
        assert part in str(caught.value)


def test_not_strict_loads_what_there_is_but_never_another_shape():
    model = Model()
    bias = model.layers[0].bias.numpy().copy()
    model.load_state_dict({"first.scale": np.array([5.0, 6.0]), "unknown": 1}, strict=False)
    assert model.first.scale.tolist() == [5, 6]
    np.testing.assert_array_equal(model.layers[0].bias.numpy(), bias)
    with pytest.raises(errors.CheckpointError, match="shape"):
        model.load_state_dict({"first.shift": np.ones(2), "first.scale": np.ones(3)}, strict=False)
    assert model.first.shift.tolist() == [0, 0]


def test_loading_is_noticed_by_graphs_that_need_the_old_values():
    layer = nn.Linear(2, 2)
    y = (layer(mg.ones((1, 2))) ** 2).sum() + (layer.weight * layer.weight).sum()
    layer.load_state_dict(nn.Linear(2, 2).state_dict())
    with pytest.raises(errors.InPlaceError):
        y.backward()


# -- copies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent_and_keep_sharing(duplicate):
    model = Model().eval()
    model.tied = model.first.scale
    model(mg.ones((1, 2))).sum().backward()
    other = duplicate(model)
    assert other.tied is other.first.scale
    assert [n for n, _ in other.named_parameters()] == [n for n, _ in model.named_parameters()]
    x = mg.ones((3, 2))
    np.testing.assert_array_equal(other(x).detach().numpy(), model(x).detach().numpy())
    other.first.scale.assign_(0.0)
    assert model.first.scale.tolist() == [2, 2]
    assert not other.layers[1].training


# -- repr ----------------------------------------------------------------------------------------


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
