"""Pictures of compiled steps."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad import nn, viz


def compiled_lstm(steps=20):
    lstm = nn.LSTM(4, 8, dtype="float64")  # in NumPy's calls, not one compiled kernel
    run = mg.compile(lambda x: lstm(x)[0])
    run(mg.asarray(np.zeros((steps, 3, 4))))
    return lstm, run


def test_lines_become_items_boxed_by_op():
    w = mg.tensor(np.ones((3, 2)), requires_grad=True)

    @mg.compile
    def step(x):
        return mg.tanh(x @ w).sum()

    step(mg.ones((4, 3), dtype="float64"))
    graph = viz.draw_program(step, params={"w": w})
    ops = [(i.op, i.path) for i in graph.ir.items.values() if i.ordered]
    assert ops == [("matmul", ("matmul",)), ("tanh", ("tanh",)), ("sum", ("sum",))]
    assert [i.name for i in graph.ir.items.values() if i.kind == "parameter"] == ["w"]
    arrows = {(e.src, e.dst) for e in graph.ir.links}
    assert {("1", "2"), ("2", "3")} <= arrows
    assert "3 lines" in graph.ir.notes[0]


def test_the_steps_of_a_recurrent_layer_are_one_cell():
    lstm, run = compiled_lstm()
    graph = viz.draw_program(run.program, model=lstm)
    assert any(box.count in (19, 20) for box in graph.ir.boxes.values())  # maybe one peeled
    assert len(graph.ir.items) < 50
    names = {i.name for i in graph.ir.items.values()}
    assert {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"} <= names


def test_a_long_program_becomes_an_overview():
    @mg.compile
    def step(x):
        for k in range(600):
            x = mg.tanh(x) if k % 3 else mg.exp(-x)
            x = x.reshape(-1) * (k + 1)
        return x

    step(mg.ones(3))
    graph = viz.draw_program(step, fold=False, max_nodes=100)
    assert len(graph.ir.items) <= 100


def test_all_that_was_written_is_linked_to_its_reader():
    @mg.compile
    def step(x, y):
        return mg.stack([x * 2, y * 3, x + y]).sum(axis=0)

    step(mg.ones(3), mg.ones(3))
    graph = viz.draw_program(step)
    sum_id = next(i.id for i in graph.ir.items.values() if i.op == "sum")
    assert len(graph.ir.into(sum_id)) == 3


def test_products_in_the_place_of_many_say_so():
    w = mg.tensor(np.ones((2, 2)), requires_grad=True)

    @mg.compile
    def step(x):
        w.grad = None
        for _ in range(6):
            x = mg.tanh(x @ w)
        loss = x.sum()
        loss.backward()
        return loss

    step(mg.ones((3, 2), dtype="float64"))
    graph = viz.draw_program(step, params={"w": w}, fold=False)
    notes = [note for item in graph.ir.items.values() for note in item.notes]
    assert notes == ["Σ of 6 products"]
    assert "Σ of 6 products" in graph.source
