from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import viz
from minigrad.errors import ConfigError
from minigrad.viz.tape import Tape
from tests.viz import nets


def kinds(graph):
    return {item.title or item.name or item.op: item.kind for item in graph.ir.items.values()}


def links(graph):
    def name(id_):
        item = graph.ir.items[id_]
        return item.title or item.name or item.op

    return {(name(e.src), name(e.dst)) for e in graph.ir.links}


def test_every_line_leaf_and_output_is_an_item():
    output, params = nets.mlp()
    graph = viz.draw_graph(output, params=params, fold=False)
    assert graph.ir.lines == 8  # 2 matmul, 2 add, tanh, subtract, multiply, sum
    assert sum(i.kind == "parameter" for i in graph.ir.items.values()) == 4
    assert sum(i.kind == "input" for i in graph.ir.items.values()) == 2
    assert kinds(graph)["loss"] == "loss"


def test_links_follow_the_arguments():
    output, params = nets.mlp()
    found = links(viz.draw_graph(output, params=params, fold=False))
    assert ("x", "matmul") in found
    assert ("weight", "matmul") in found  # its box says hidden
    assert ("sum", "loss") in found


def test_gradients_flow_only_where_they_do():
    output, params = nets.mlp()
    ir = viz.draw_graph(output, params=params).ir
    for e in ir.links:
        assert e.grad == (ir.items[e.src].kind != "input")


def test_same_picture_of_lines_after_backward():
    output, params = nets.mlp()
    before = viz.draw_graph(output, params=params)
    output.backward()
    after = viz.draw_graph(output, params=params)
    assert [i.op for i in before.ir.items.values()] == [i.op for i in after.ir.items.values()]
    assert len(before.ir.links) == len(after.ir.links)
    assert "no gradients yet" in before.ir.banner
    assert after.ir.banner == ""


def test_norms_are_those_of_the_gradients():
    output, params = nets.mlp()
    output.backward()
    ir = viz.draw_graph(output, params=params).ir
    shown = {i.name: i.facts["grad"] for i in ir.items.values() if i.kind == "parameter"}
    assert shown.keys() == {n for n, t in params.items() if t.requires_grad}
    for name, norm in shown.items():
        assert norm == pytest.approx(np.linalg.norm(params[name].grad.numpy()), rel=1e-6)


def test_numbers_stand_in_the_circle():
    x = nets.leaf(3)
    titles = {i.title for i in viz.draw_graph((1 - x) * 0.5).ir.items.values()}
    assert {"1 −", "× 0.5"} <= titles


def test_names_come_from_params_tensors_and_labels():
    x, w = nets.leaf(3), nets.leaf(3, seed=5, name="w")
    y = x * w
    y.name = "product"
    names = {i.name for i in viz.draw_graph(mg.tanh(y), params={"x": x}).ir.items.values()}
    assert {"x", "w", "product"} <= names


def test_parameters_frozen_and_inputs():
    class Model:
        def __init__(self):
            self.w, self.u = nets.leaf(3), mg.tensor(np.ones(3, np.float32))

        def named_parameters(self):
            return [("w", self.w), ("u", self.u)]

    model, x = Model(), nets.leaf(3, seed=8)
    ir = viz.draw_graph((model.w * model.u * x).sum(), model=model).ir
    by_name = {i.name: i for i in ir.items.values()}
    assert by_name["w"].kind == by_name["u"].kind == "parameter"
    assert "frozen" in by_name["u"].notes
    (other,) = [i for i in ir.items.values() if i.kind == "input"]
    assert "requires grad" in other.notes


def test_a_constant_that_died_is_still_an_input():
    w = nets.leaf(3)
    y = w * nets.constant(3)
    y = y.sum()
    y.backward()
    (item,) = [i for i in viz.draw_graph(y).ir.items.values() if i.kind == "input"]
    assert item.title == "input"


def test_several_outputs():
    x = nets.leaf(3)
    graph = viz.draw_graph({"mean": x.mean(), "total": x.sum()})
    assert {i.title for i in graph.ir.items.values() if i.kind == "output"} == {"mean", "total"}
    assert len(viz.draw_graph([x.sum(), (x * x, mg.tanh(x))]).ir.items) == 7


def test_a_leaf_and_a_constant_can_be_drawn():
    assert len(viz.draw_graph(nets.leaf(3)).ir.items) == 2
    graph = viz.draw_graph(nets.constant(3))
    assert "nothing here requires a gradient" in graph.ir.banner


@pytest.mark.parametrize("bad", ["loss", 3, [], [1.0], {"x": "y"}, object()])
def test_what_is_no_tensor_is_refused(bad):
    with pytest.raises(ConfigError, match="draw_graph: outputs"):
        viz.draw_graph(bad)


@pytest.mark.parametrize(
    "options",
    [{"detail": "all"}, {"direction": "up"}, {"rankdir": "UP"}, {"fold": "maybe"}, {"depth": -1},
     {"max_nodes": 3}, {"theme": "pink"}, {"engine": "neato"}],
)  # fmt: skip
def test_bad_options_are_refused(options):
    with pytest.raises(ConfigError):
        viz.draw_graph(nets.leaf(2).sum(), **options)


def test_a_fused_op_opens_into_its_composite():
    @mg.fused
    def viz_cube(xp, x, *, keep):
        return x**3, None

    @viz_cube.backward
    def _(xp, g, y, inputs, residual, needs):
        return (3 * g * inputs[0] ** 2,)

    @viz_cube.composite
    def _(x):
        return x * x * x

    x = nets.leaf(3, name="x")
    y = mg.tanh(viz_cube(mg.sin(x))).sum()
    closed = viz.draw_graph(y)
    assert "viz_cube" in kinds(closed)
    for wanted in ("viz_cube", ["viz_cube"], True):
        opened = viz.draw_graph(y, expand=wanted)
        inside = [i for i in opened.ir.items.values() if any("@" in p for p in i.path)]
        assert [i.op for i in inside] == ["multiply", "multiply"]
        assert [i.id for i in inside] == ["2.1", "2.2"]
        assert "viz_cube" not in kinds(opened)
    y.backward()  # the values are gone now, the shapes are not
    assert viz.draw_graph(y, expand=True).ir.links == opened.ir.links


def test_opening_does_not_touch_the_tape_or_the_gradients():
    x = nets.leaf(3, 4)
    y = nets.constant(3, 4)
    loss = mg.mse_loss(x, y) if hasattr(mg, "mse_loss") else ((x - y) ** 2).sum()
    viz.draw_graph(loss, expand=True)
    loss.backward()
    assert x.grad is not None
    assert y.grad is None


def test_reading_is_iterative():
    tape = Tape(nets.chain(30_000))
    assert len(tape.lines) == 30_001
