"""A folded graph is the tape divided by its repeats: no arrow is lost, none is invented."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn, viz
from minigrad.viz.build import Names, build
from minigrad.viz.fold import fold
from minigrad.viz.tape import Tape, opener
from tests.viz import nets


def arrows(ir):
    """(src, output, dst, argument) between items with lines; states are seen through."""
    into = {}
    for e in ir.links:
        into.setdefault(e.dst, []).append((e.src, e.slot))
    found = set()
    for e in ir.links:
        if not ir.items[e.dst].lines:
            continue
        seen, front = set(), [(e.src, e.slot)]
        while front:
            src, slot = front.pop()
            if (src, slot) in seen:
                continue
            seen.add((src, slot))
            if ir.items[src].lines:
                found.add((src, slot, e.dst, e.arg))
            elif ir.items[src].kind == "state":
                front += into.get(src, [])
                out = src.removesuffix("in") + "out"
                if src.endswith("in") and ir.items[src].count > 1 and out in ir.items:
                    front += into.get(out, [])
    return found


def divided(full, folded):
    """The arrows of the tape, each line replaced by the item that stands for it."""
    home = {line: item.id for item in folded.items.values() for line in item.lines}
    line = {item.id: item.lines[0] for item in full.items.values() if item.lines}
    return {
        (home[line[e.src]], e.slot, home[line[e.dst]], e.arg)
        for e in full.links
        if e.src in line and e.dst in line
    }


def check(output, mode="auto", expand=(), chosen=None):
    full, _ = build(Tape(output, opener(expand)), Names())
    folded = fold(full, mode, chosen)
    assert sorted(n for i in folded.items.values() for n in i.lines) == list(range(full.lines))
    chains = {i.id for i in folded.items.values() if any("a chain of" in n for n in i.notes)}
    wanted = {w for w in divided(full, folded) if w[0] != w[2] or w[0] not in chains}
    got = arrows(folded)
    assert {(a, c) for a, _, c, _ in got} == {(a, c) for a, _, c, _ in wanted}
    many = ("stack", "concat")  # they read all steps: one arrow
    inner = {i.id for i in folded.items.values() if len(i.lines) > 1 and i.op not in many}
    # Steps whose argument is now this output of a line, now that one, keep one of the slots.
    assert {(a, c, d) for a, _, c, d in got if c in inner} == {
        (a, c, d) for a, _, c, d in wanted if c in inner
    }
    outputs = {e.src for e in folded.links if not folded.items[e.dst].lines}
    assert outputs
    return folded


@pytest.mark.parametrize("mode", ["auto", True])
@pytest.mark.parametrize("net", [nets.mlp, nets.shared, nets.diamond, nets.double_backward])
def test_small_graphs(net, mode):
    check(net()[0], mode)


@pytest.mark.parametrize(
    "chosen", [None, {"steps": [0]}, {"steps": [3, 4, 19]}, {"steps": [1, -1]}]
)
def test_an_lstm_of_plain_code(chosen):
    check(nets.lstm(20, every_step=True)[0], chosen=chosen)


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("options", [{}, {"num_layers": 3}, {"bidirectional": True}])
def test_layers_opened(kind, options):
    output = kind(3, 4, **options)(nets.constant(7, 2, 3))[0].sum()
    check(output, expand=True)
    check(output, True, expand=True)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_tape(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 100_000)))
    pool = [nets.leaf(2, 2, seed=i) for i in range(3)]
    for _ in range(data.draw(st.integers(1, 4))):
        repeats = data.draw(st.integers(1, 9))
        program = [
            (int(rng.integers(5)), int(rng.integers(1, 6))) for _ in range(int(rng.integers(1, 6)))
        ]
        for _ in range(repeats):
            for op, back in program:
                x = pool[-min(back, len(pool))]
                if op < 3:
                    pool.append((mg.tanh, mg.sin, mg.sigmoid)[op](x))
                else:
                    pool.append(x * pool[-1] if op == 3 else x + pool[0])
    for mode in ("auto", True):
        check(pool[-1], mode)


def test_a_wrong_fold_would_be_seen():
    full, _ = build(Tape(nets.lstm(20)[0]), Names())
    folded = fold(full)
    src = next(e for e in folded.links if folded.items[e.dst].lines and folded.items[e.src].lines)
    folded.links.remove(src)
    assert arrows(folded) != divided(full, folded)


@pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 100_000), detail=st.sampled_from(["symbols", "cards", "tape"]))
def test_any_tape_is_text_that_every_engine_parses(engine, seed, detail):
    if viz.render.find_engine(engine) is None:
        pytest.skip(f"no {engine} here")
    rng = np.random.default_rng(seed)
    pool = [nets.leaf(2, 2, seed=i) for i in range(3)]
    for _ in range(int(rng.integers(1, 40))):
        a, b = (pool[int(i)] for i in rng.integers(0, len(pool), 2))
        op = (mg.tanh, mg.abs, lambda x, b=b: x * b, lambda x, b=b: x @ b, lambda x: 1 - x)
        pool.append(op[int(rng.integers(5))](a))
    with viz.record() as seen:
        loss = sum(p.sum() for p in pool[-3:])
        loss.backward()
    graph = viz.draw_graph(loss, record=seen, detail=detail, engine=engine)
    placed = json.loads(viz.render.layout(graph.source, "json", engine=engine))
    names = {o["name"] for o in placed["objects"] if "nodes" not in o}
    assert len(names) == len(graph.ir.items)


def hostile():
    return st.text(
        st.sampled_from('<script>&"\'\\N]|{}\0\n\u2028\u202e→∂\ud800a-;:[') , max_size=12
    )  # fmt: skip


@pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
@settings(max_examples=5, deadline=None)
@given(names=st.lists(hostile(), min_size=3, max_size=3), rankdir=st.sampled_from(["LR", "TB"]))
def test_any_name_is_drawn_by_every_engine(engine, names, rankdir):
    if viz.render.find_engine(engine) is None:
        pytest.skip(f"no {engine} here")
    w, x = nets.leaf(2, 2), nets.leaf(2, 2, seed=1)
    with mg.scope(names[0] or "m"):
        h = mg.tanh(x @ w)
    for t in range(4):
        with viz.scope(names[1] or "loop", step=t):
            h = mg.sin(h * w)
    graph = viz.draw_graph(h.sum(), params={names[2]: w}, engine=engine, rankdir=rankdir,
                           title=names[0])  # fmt: skip
    svg = graph.pipe("svg").decode("utf-8")
    assert "<script" not in svg.lower()
    assert svg.count("</svg>") == 1
    graph.to_json(), graph.to_mermaid(), graph.summary()
