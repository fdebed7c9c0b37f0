"""Modules moved, saved, loaded and copied."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import minigrad as mg
from minigrad import errors, nn
from tests.nn.blocks import Model

# -- moving ---------------------------------------------------------------------------------------


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


# -- state ----------------------------------------------------------------------------------------


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


# -- copies ---------------------------------------------------------------------------------------


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
