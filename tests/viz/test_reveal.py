"""Chosen steps of a loop, one by one; the others folded."""

from __future__ import annotations

import pytest

import minigrad as mg
from minigrad import errors, nn, viz
from tests.viz import nets


def lstm(steps=20, **kinds):
    layer = nn.LSTM(3, 4, **kinds)
    x = nets.constant(steps, 2, 3)
    return layer(x)[0].sum(), layer, x


def cells(graph):
    return [(b.title, b.count) for b in graph.ir.boxes.values() if b.kind in ("step", "steps")]


def lines(graph):
    return sorted(line for item in graph.ir.items.values() for line in item.lines)


def test_chosen_steps_stand_between_the_folded_ones():
    loss, layer, x = lstm()
    graph = viz.draw_graph(loss, model=layer, expand={"lstm": [3, 4, 19]}, params={"x": x})
    found = cells(graph)
    assert found == [
        ("step t", 3), ("step 3", 1), ("step 4", 1), ("step t", 14), ("step 19", 1),
    ]  # fmt: skip
    details = [b.detail for b in graph.ir.boxes.values() if b.count > 1]
    assert details[0].startswith("t = 0 … 2 ")
    assert details[1].startswith("t = 5 … 18 ")
    assert lines(graph) == list(range(graph.ir.lines))


def test_states_lead_from_one_part_to_the_next():
    loss, layer, _ = lstm()
    graph = viz.draw_graph(loss, model=layer, expand={"lstm": [3, 4, 19]})
    states = [i.title for i in graph.ir.items.values() if i.kind == "state"]
    assert sorted(states) == sorted(
        ["h [t−1]", "c [t−1]", "h [t]", "c [t]", "h [3]", "c [3]", "h [4]", "c [4]",
         "h [t−1]", "c [t−1]", "h [t]", "c [t]", "h [19]", "c [19]"]
    )  # fmt: skip
    assert not [i for i in graph.ir.items.values() if i.title.startswith("state")]
    gates = [i.title.partition("  ")[0] for i in graph.ir.items.values() if i.kind == "gate"]
    assert {gates.count(g) for g in ("forget", "input", "candidate", "output")} == {5}


def test_steps_count_from_the_end_too_and_backwards_on_the_clock():
    loss, layer, _ = lstm(6, bidirectional=True)
    graph = viz.draw_graph(loss, model=layer, expand={"lstm": [-1]})
    assert cells(graph) == [("step t", 5), ("step 5", 1), ("step 5", 1), ("step t", 5)]


def test_all_steps():
    loss, layer, _ = lstm(5)
    graph = viz.draw_graph(loss, model=layer, expand={"lstm": range(5)})
    assert cells(graph) == [(f"step {t}", 1) for t in range(5)]


def test_layers_and_the_loops_inside_them():
    loss, layer, _ = lstm(20, num_layers=4)
    graph = viz.draw_graph(loss, model=layer, expand={"lstm": [19], "layers": [0]}, max_nodes=2000)
    kinds = {(b.kind, b.count) for p, b in graph.ir.boxes.items() if p[-1][0] == "×"}
    assert {("steps", 19), ("step", 1)} <= kinds
    assert lines(graph) == list(range(graph.ir.lines))


def test_blocks_of_a_model():
    model = nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(12)])
    graph = viz.draw_graph(model(nets.constant(2, 4)).sum(), model=model, expand={"layers": [5]})
    found = [(b.title, b.count) for b in graph.ir.boxes.values() if b.kind in ("layers", "step")]
    assert [n for _, n in found] == [5, 1, 6]
    assert lines(graph) == list(range(graph.ir.lines))


def test_loops_of_plain_code_are_called_what_they_repeat():
    loss, params = nets.lstm(20)
    graph = viz.draw_graph(loss, params=params, expand={"steps": [0]})
    assert cells(graph) == [("step 0", 1), ("step t", 19)]


def test_a_scope_names_a_loop():
    h = w = nets.leaf(2)
    for t in range(8):
        with mg.scope(f"power.{t}"):
            h = mg.tanh(h * w)
    graph = viz.draw_graph(h, expand={"power": [2]})
    assert [b.count for b in graph.ir.boxes.values() if b.kind in ("step", "steps")] == [2, 1, 5]


def test_each_part_has_its_own_picture_of_the_shared_parameters():
    loss, layer, _ = lstm()
    graph = viz.draw_graph(loss, model=layer, expand={"lstm": [3]})
    weights = [i for i in graph.ir.items.values() if i.name == "weight_ih_l0"]
    assert len(weights) == 3
    assert sum("shared" in w.notes for w in weights) == 2
    assert graph.summary().count("weight_ih_l0") == 1


@pytest.mark.parametrize(
    ("expand", "words"),
    [
        ({"gru": [1]}, "no loop 'gru'.*'lstm' \\(20 times"),
        ({"lstm": [20]}, "asks for step 20; there are 20, 0 … 19"),
        ({"lstm": ["x"]}, "expected numbers"),
    ],
)
def test_what_cannot_be_is_said(expand, words):
    loss, layer, _ = lstm()
    with pytest.raises(errors.ConfigError, match=words):
        viz.draw_graph(loss, model=layer, expand={"lstm": [1], **expand})


@pytest.mark.parametrize("expand", ["gru", ["lstm", "encoder.gru"]])
def test_a_name_of_nothing_is_said(expand):
    loss, layer, _ = lstm()
    with pytest.raises(errors.ConfigError, match=r"no .*gru' to open; fused ops here: 'lstm'"):
        viz.draw_graph(loss, model=layer, expand=expand)
