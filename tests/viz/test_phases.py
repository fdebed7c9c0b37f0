"""Graphs of gradients: which lines are the forward pass, which came from rules, or from theirs."""

from __future__ import annotations

import gc

import pytest

import minigrad as mg
from minigrad import nn, viz
from tests.viz import nets


def second_derivative():
    x = nets.leaf(3, name="x")
    (first,) = mg.grad(mg.tanh(x).sum(), [x], create_graph=True)
    (second,) = mg.grad(first.sum(), [x], create_graph=True)
    return second.sum()


def titles(graph):
    return {path[0]: graph.ir.boxes[path].title for path in graph.ir.boxes if len(path) == 1}


def test_forward_backward_and_double_backward_have_boxes():
    graph = viz.draw_graph(second_derivative())
    assert titles(graph) == {"∂0": "forward", "∂": "backward", "∂∂": "double backward"}
    inside = {}
    for item in graph.ir.items.values():
        if item.lines:
            inside.setdefault(item.path, []).append(item.op)
    assert inside["∂0",] == ["tanh"]
    assert inside["∂",] == ["multiply", "subtract", "multiply"]
    assert inside["∂∂",] == ["multiply", "multiply", "add"]
    assert inside[()] == ["sum"]  # what the user did with the gradient


def test_without_create_graph_there_are_no_such_boxes():
    assert titles(viz.draw_graph(nets.mlp()[0])) == {("MLP"): "MLP"}


def test_lines_of_a_rule_are_in_the_module_whose_rule_it_is():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    x = nets.leaf(2, 3)
    (g,) = mg.grad(model(x).sum(), [x], create_graph=True)
    paths = {n.scope for n in viz.tape.Tape((g * g).sum()).lines}
    assert ("∂", "Sequential", "0") in paths
    assert ("∂", "Sequential", "1") in paths


def test_a_recomputed_composite_is_part_of_the_backward_pass():
    x = nets.leaf(2, 3)
    (g,) = mg.grad(mg.ops.gelu(x).sum(), [x], create_graph=True)
    scopes = {n.scope[:1] for n in viz.tape.Tape(g.sum()).lines}
    assert scopes <= {(), ("∂",)}


def test_the_scope_is_the_users_again_after_a_rule_raised():
    @mg.op
    def broken(xp, x):
        """x, but no derivative."""
        return x

    broken.defvjp(lambda g, _y, _x: g.nothing)
    x = nets.leaf(2, name="x")
    with pytest.raises(AttributeError):
        mg.grad(broken(x).sum(), [x], create_graph=True)
    assert viz.tape.Tape((x * x).sum()).lines[0].scope == ()


def test_what_the_cotangent_is_is_said():
    graph = viz.draw_graph(second_derivative())
    assert [i.title for i in graph.ir.items.values() if i.kind == "input"] == ["cotangent"]


def test_constants_that_are_gone_keep_shape_and_number_after_backward():
    def loss():
        w = nets.leaf(3, 3, name="w")
        x = nets.constant(2, 3)
        return (1 - mg.tanh(x @ w) * 2.5).sum()

    out = loss()
    gc.collect()
    out.backward()
    graph = viz.draw_graph(out)
    assert "(2, 3)" in viz.listing(out).splitlines()[-1]
    shown = {i.title for i in graph.ir.items.values()}
    assert {"1 −", "× 2.5"} <= shown
    (x,) = [i for i in graph.ir.items.values() if i.kind == "input"]
    assert x.specs == (((2, 3), "float32"),)


def test_a_fused_line_opens_after_backward_though_its_constants_are_gone():
    def loss():
        layer = nn.LSTM(3, 4)
        return layer(nets.constant(5, 2, 3))[0].sum()

    out = loss()
    out.backward()
    gc.collect()
    graph = viz.draw_graph(out, expand="lstm")
    assert [b.count for b in graph.ir.boxes.values() if b.count > 1] == [5]
