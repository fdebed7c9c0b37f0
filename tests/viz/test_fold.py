from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import viz
from minigrad.viz.build import Names, build
from minigrad.viz.fold import fold
from minigrad.viz.tape import Tape
from tests.viz import nets


def folded(output, mode="auto"):
    return fold(build(Tape(output), Names())[0], mode)


def boxes(graph):
    return [box for box in graph.ir.boxes.values() if box.count > 1]


def title(graph, id_):
    item = graph.ir.items[id_]
    return item.title or item.name or item.op


def test_twenty_steps_become_one_cell():
    graph = viz.draw_graph(nets.lstm(20)[0])
    (box,) = boxes(graph)
    assert (box.kind, box.count) == ("steps", 20)
    assert "17 tape lines each" in box.detail
    body = [i for i in graph.ir.items.values() if i.path and i.lines]
    assert len(body) == 17
    assert all(len(i.lines) == 20 for i in body)


def test_gates_and_states_are_recognised_from_the_wiring():
    graph = viz.draw_graph(nets.lstm(20)[0])
    titles = {i.title for i in graph.ir.items.values()}
    assert {"input  i = σ", "forget  f = σ", "candidate  g = tanh", "output  o = σ"} <= titles
    assert {"h [t−1]", "h [t]", "c [t−1]", "c [t]"} <= titles


def test_each_state_enters_where_it_is_read_and_leaves_where_it_is_made():
    graph = viz.draw_graph(nets.lstm(20)[0])
    pairs = Counter((title(graph, e.src), title(graph, e.dst)) for e in graph.ir.links)
    assert pairs["h [t−1]", "matmul"] == 1
    assert pairs["c [t−1]", "multiply"] == 1
    assert pairs["add", "c [t]"] == pairs["multiply", "h [t]"] == 1
    labels = {(title(graph, e.src), e.label) for e in graph.ir.links if e.label}
    assert labels == {("h0", "t = 0"), ("c0", "t = 0"), ("h [t]", "t = 19")} or labels == {
        ("initial state", "t = 0"),
        ("h [t]", "t = 19"),
    }


def test_leaves_that_differ_by_step_become_one_input():
    kept = []
    graph = viz.draw_graph(nets.lstm(20, keep=kept)[0])
    (x,) = [i for i in graph.ir.items.values() if i.kind == "input" and i.count == 20]
    assert x.title == "x [t]"


def test_all_steps_are_read_where_they_are():
    graph = viz.draw_graph(nets.lstm(20, every_step=True)[0])
    assert "all t" in {e.label for e in graph.ir.links}


def test_unfolded_on_request():
    graph = viz.draw_graph(nets.lstm(20)[0], fold=False)
    assert not boxes(graph)
    assert sum(bool(i.lines) for i in graph.ir.items.values()) == graph.ir.lines


def test_short_loops_stay_open_unless_asked():
    output = nets.lstm(2)[0]
    assert not boxes(viz.draw_graph(output))
    assert boxes(viz.draw_graph(output, fold=True))[0].count == 2


def test_layers_have_their_own_parameters():
    h = nets.constant(2, 4)
    for layer in range(12):
        with mg.scope(f"layers.{layer}"):
            h = mg.tanh(h @ nets.leaf(4, 4, seed=layer) + nets.leaf(4, seed=layer)) + h
    graph = viz.draw_graph(h)
    (box,) = boxes(graph)
    assert (box.kind, box.count) == ("layers", 12)
    assert {i.count for i in graph.ir.items.values() if i.kind == "parameter"} == {12}


def test_loops_in_loops():
    xs = [nets.constant(2, 4, seed=t) for t in range(10)]
    for layer in range(4):
        w, u = nets.leaf(4, 4, seed=layer), nets.leaf(4, 4, seed=9 + layer)
        h, out = mg.zeros((2, 4)), []
        for x in xs:
            h = mg.tanh(mg.sin(x @ w) + mg.cos(h @ u))
            out.append(h)
        xs = out
    graph = viz.draw_graph(mg.stack(xs).sum())
    found = {(box.kind, box.count) for path, box in graph.ir.boxes.items()
             if any(i.path[: len(path)] == path for i in graph.ir.items.values())}  # fmt: skip
    assert found == {("layers", 4), ("steps", 10)}
    assert len(graph.ir.items) < 30


def test_an_odd_first_step_is_peeled():
    w, h = nets.leaf(4, 4), nets.constant(2, 4)
    h = mg.sin(mg.exp(h @ w))  # once different
    for _ in range(10):
        h = mg.sin(mg.tanh(h @ w))
    graph = viz.draw_graph(h)
    assert [b.count for b in boxes(graph)] == [10]
    assert "exp" in {i.op for i in graph.ir.items.values()}


def test_different_wiring_is_not_folded_together():
    """Steps that read alternately from two sources are no repeats of one step."""
    w, a = nets.leaf(4, 4), nets.leaf(2, 4)
    h = a
    for t in range(12):
        h = mg.tanh(h @ w) * (a if t % 3 else h)
    for box in boxes(viz.draw_graph(h)):
        assert box.count == 4  # three steps together are


def test_reversed_reading_says_so():
    w, x = nets.leaf(4, 4), nets.leaf(9, 2, 4)
    steps = mg.unstack(x)
    h = mg.zeros((2, 4))
    for t in reversed(range(9)):
        h = mg.tanh(steps[t] @ w + h)
    graph = viz.draw_graph(h)
    assert "[8−t]" in {e.label for e in graph.ir.links}


def test_scopes_with_steps():
    h = w = nets.leaf(2)
    for t in range(8):
        with viz.scope("power", step=t):
            h = mg.tanh(h * w)
    (box,) = boxes(viz.draw_graph(h))
    assert (box.kind, box.count) == ("steps", 8)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_nothing_is_lost_and_nothing_twice(data):
    """Any tape: each line is in exactly one item, under its own op; links join items that exist."""
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    pool = [nets.leaf(2, 2, seed=i) for i in range(3)]
    for _ in range(data.draw(st.integers(1, 4))):
        repeats = data.draw(st.integers(1, 9))
        length = int(rng.integers(1, 6))
        program = [(int(rng.integers(4)), int(rng.integers(1, 5))) for _ in range(length)]
        for _ in range(repeats):
            for op, back in program:
                x = pool[-min(back, len(pool))]
                y = (mg.tanh, mg.sin, mg.cos, mg.sigmoid)[op](x)
                pool.append(y * pool[0] if op == 2 else y + pool[-1] if op == 3 else y)
    output = pool[-1]
    tape = Tape(output)
    for mode in ("auto", True):
        ir = folded(output, mode)
        lines = [line for item in ir.items.values() for line in item.lines]
        assert sorted(lines) == list(range(len(tape.lines)))
        for item in ir.items.values():
            assert {tape.lines[line].op.name for line in item.lines} <= {item.op}
        for e in ir.links:
            assert e.src in ir.items
            assert e.dst in ir.items
        for item in ir.items.values():
            for depth, part in enumerate(item.path, 1):
                assert not part.startswith("×") or item.path[:depth] in ir.boxes


@pytest.mark.parametrize("ops", [("tanh",), ("tanh", "sin", "cos", "sigmoid")])
def test_long_tapes_are_bounded(ops):
    output = nets.chain(20_000, ops)
    start = time.perf_counter()
    graph = viz.draw_graph(output)
    assert time.perf_counter() - start < 6
    assert len(graph.ir.items) <= 400
    assert graph.ir.lines == 20_001
    assert "20,001 tape lines" in graph.summary()
    lines = [line for item in graph.ir.items.values() for line in item.lines]
    assert sorted(lines) == list(range(20_001))


@pytest.mark.parametrize("join", ["sum", "stack"])
def test_wide_tapes_are_bounded(join):
    leaves = [nets.leaf(2, seed=i) for i in range(30)]
    parts = [mg.sin(a) if i % 7 else mg.cos(mg.exp(a)) for i, a in enumerate(leaves * 200)]
    if join == "stack":
        output = mg.stack(parts)
    else:
        output = parts[0]
        for part in parts[1:]:
            output = output + part
    graph = viz.draw_graph(output.sum())
    assert len(graph.ir.items) <= 400
    lines = sorted(line for item in graph.ir.items.values() for line in item.lines)
    assert lines == list(range(graph.ir.lines))
    assert f"{graph.ir.lines:,} tape lines" in graph.summary()


def test_coarser_by_depth_before_stretches():
    h = nets.leaf(2)
    for block in range(40):
        with mg.scope(f"block{'abcdefghij'[block % 10]}{block}"), mg.scope("inner"):
            for _ in range(2 + block % 5):
                h = mg.sin(mg.tanh(h))
    graph = viz.draw_graph(h.sum(), max_nodes=60, fold=False)
    assert len(graph.ir.items) <= 60
    assert any("depth 1 to stay" in note for note in graph.ir.notes)
    assert {"module"} <= {i.kind for i in graph.ir.items.values()}
