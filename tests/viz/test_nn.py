"""Real layers: module boxes, parameter names, fused ops opened and folded."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz


class Tagger(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.rnn = layer
        width = layer.hidden_size * (2 if layer.bidirectional else 1)
        self.head = nn.Linear(width, 3)

    def forward(self, ids):
        return self.head(self.rnn(self.embed(ids))[0])


def loss_of(model, steps=9):
    rng = np.random.default_rng(0)
    ids = mg.tensor(rng.integers(0, 11, (steps, 2)))
    return (model(ids) ** 2).mean()


def by_name(graph):
    return {i.title or i.name: i for i in graph.ir.items.values()}


def test_modules_are_boxes_and_parameters_stand_in_them():
    model = Tagger(nn.LSTM(4, 5, num_layers=2))
    graph = viz.draw_graph(loss_of(model), model=model)
    assert graph.ir.title == "Tagger  —  loss"
    box = graph.ir.boxes["Tagger", "rnn"]
    assert box.title == "rnn"
    assert box.detail.startswith("LSTM(4, 5")
    weight = by_name(graph)["weight_ih_l0"]
    assert weight.path == ("Tagger", "rnn")
    assert weight.name == "rnn.weight_ih_l0"
    assert weight.specs == (((20, 4), "float32"),)


def test_a_module_of_one_op_is_that_op():
    model = Tagger(nn.LSTM(4, 5))
    graph = viz.draw_graph(loss_of(model), model=model)
    head = by_name(graph)["head"]
    assert (head.op, head.path) == ("linear", ("Tagger",))
    assert ("Tagger", "head") not in graph.ir.boxes


def test_deep_modules_collapse():
    model = Tagger(nn.LSTM(4, 5, num_layers=2))
    graph = viz.draw_graph(loss_of(model), model=model, depth=1)
    rnn = by_name(graph)["rnn"]
    assert rnn.kind == "module"
    assert any("LSTM(4, 5" in note for note in rnn.notes)
    assert len(rnn.lines) >= 2
    assert not any(i.name.startswith("rnn.") for i in graph.ir.items.values())
    opened = viz.draw_graph(loss_of(model), model=model, depth=1, expand=["rnn"])
    assert any(i.name.startswith("rnn.") for i in opened.ir.items.values())


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_a_fused_layer_opens_into_folded_steps(kind):
    model = Tagger(getattr(nn, kind)(4, 5))
    loss = loss_of(model)
    with viz.record(loss, expand=kind.lower()) as seen:
        loss.backward()
    graph = viz.draw_graph(loss, model=model, record=seen)
    (box,) = [b for b in graph.ir.boxes.values() if b.count > 1]
    assert (box.kind, box.count) == ("steps", 9)
    names = by_name(graph)
    assert {"h [t−1]", "h [t]"} <= set(names)
    assert len(names["h [t]"].facts["grads"]) == 9
    gates = {i.title for i in graph.ir.items.values() if i.kind == "gate"}
    expected = {
        "RNN": set(),
        "LSTM": {"input  i = σ", "forget  f = σ", "candidate  g = tanh", "output  o = σ"},
        "GRU": {"reset  r = σ", "update  z = σ", "candidate  n = tanh"},
    }
    assert expected[kind] <= gates
    for name, p in model.named_parameters():
        item = next(i for i in graph.ir.items.values() if i.name == name)
        norm = np.linalg.norm(p.grad.numpy() if hasattr(p.grad, "numpy") else p.grad.to_dense())
        assert item.facts["grad"] == pytest.approx(norm, rel=1e-5)


def test_both_directions_of_a_bilstm_count_by_the_clock():
    model = Tagger(nn.LSTM(4, 5, bidirectional=True))
    graph = viz.draw_graph(loss_of(model), model=model, expand="lstm")
    details = sorted(b.detail.partition("  ·")[0] for b in graph.ir.boxes.values() if b.count > 1)
    assert details == ["t = 0 … 8", "t = 8 … 0"]
    assert {"h [t−1]", "h [t+1]"} <= {i.title for i in graph.ir.items.values()}
    assert {e.label for e in graph.ir.links if e.label.startswith("[")} == {"[t]"}


def test_opening_gives_the_gradients_of_the_fused_op():
    """The gradient that enters the opened line, carried through its inside, reaches the leaves."""
    model = Tagger(nn.LSTM(4, 5))
    loss = loss_of(model)
    with viz.record(loss, expand="lstm") as seen:
        loss.backward()
    inside = [i for i, n in enumerate(seen.tape.lines) if n in seen.tape.inside]
    assert len(inside) > 100
    assert set(inside) <= set(seen.values)
    assert set(inside) <= set(seen.grads)


def test_a_fused_line_shows_its_steps_without_opening():
    model = Tagger(nn.GRU(4, 5))
    loss = loss_of(model)
    with viz.record(loss) as seen:
        loss.backward()
    gru = by_name(viz.draw_graph(loss, model=model, record=seen))["rnn"]
    assert gru.op == "gru"
    assert len(gru.facts["grads"]) == 9
    assert len(gru.facts["heat"][0]) == 9


def test_a_decoder_loop_folds_with_its_modules():
    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRUCell(4, 5)
            self.out = nn.Linear(5, 4)

        def forward(self, x, h, steps):
            seen = []
            for _ in range(steps):
                h = self.cell(x, h)
                x = mg.tanh(self.out(h))
                seen.append(x)
            return mg.stack(seen)

    model = Decoder()
    x, h = mg.zeros((2, 4)).requires_grad_(), mg.zeros((2, 5)).requires_grad_()
    graph = viz.draw_graph(model(x, h, 7).sum(), model=model)
    (box,) = [b for b in graph.ir.boxes.values() if b.count > 1]
    assert box.count == 7
    assert {"cell", "out"} <= {
        *(i.name for i in graph.ir.items.values()),
        *(p[-1] for p in graph.ir.boxes),
    }


def test_shared_modules_in_a_sequential_and_layers():
    model = nn.Sequential(*[m for _ in range(6) for m in (nn.Linear(4, 4), nn.Tanh())])
    graph = viz.draw_graph(model(mg.zeros((2, 4))).sum(), model=model, fold=True)
    (box,) = [b for b in graph.ir.boxes.values() if b.count > 1]
    assert (box.kind, box.count) == ("layers", 6)
    assert any(i.name.endswith("weight") and "ℓ" in i.name for i in graph.ir.items.values())


def test_row_sparse_and_broken_gradients_have_norms():
    layer = nn.Embedding(7, 3, sparse=True)
    loss = (layer(mg.tensor([1, 1, 4])) * 2.0).sum()
    loss.backward()
    item = by_name(viz.draw_graph(loss, model=layer))["weight"]
    assert item.facts["grad"] == pytest.approx(np.sqrt(3 * 4**2 + 3 * 2**2))
    w = mg.tensor([2.0, 1.0], requires_grad=True)
    loss = (w * mg.tensor([np.inf, 1.0])).sum()
    loss.backward()
    (item,) = [i for i in viz.draw_graph(loss).ir.items.values() if i.kind == "parameter"]
    assert item.facts["bad"] == "the gradient is not finite"


def test_linear_with_an_activation_says_so_and_opens():
    model = nn.Sequential(nn.Linear(2, 4, activation="gelu"), nn.Linear(4, 1))
    loss = nn.functional.mse_loss(model(mg.ones((3, 2))), mg.ones((3, 1)))
    closed = [i.title for i in viz.draw_graph(loss, model=model).ir.items.values()]
    assert "linear + gelu" in closed
    for expand, inside in ("dense", {"linear", "gelu"}), (True, {"linear", "erf", "square"}):
        found = {i.op for i in viz.draw_graph(loss, model=model, expand=expand).ir.items.values()}
        assert found >= inside
        assert "dense" not in found
