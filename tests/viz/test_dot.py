from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import viz
from minigrad.errors import ConfigError
from minigrad.viz import escape, render
from minigrad.viz.style import THEMES, contrast
from tests.viz import nets

needs_dot = pytest.mark.skipif(shutil.which("dot") is None, reason="no Graphviz here")

HOSTILE = ["<script>alert(1)</script>", "]", r"\N", "a->a", "\u202egnp.exe", "a\x00b", "\ud800",
           '"', "\\", "\\\\", "<B>", "&lt;", "&#10;", "a\nb", "{x|y}", "%s", "${x}", "]]>", "-->",
           "--", "end", "'; DROP TABLE", "\u2028", "javascript:alert(1)", "𝛁", "日本語", " ", "\\G",
           "<<TABLE", "<<TABLE></TABLE>>", 'x" URL="javascript:alert(1)']  # fmt: skip
names = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12))


def hostile_graph(leaf_name, label, scope, title, output="y"):
    x = nets.leaf(2, 3)
    with mg.scope(scope):
        y = mg.tanh(x @ nets.leaf(3, 2, seed=3))
        z = mg.sin(y)
    z.name = label
    return viz.draw_graph({output: z}, params={leaf_name: x}, title=title)


@needs_dot
@settings(max_examples=60, deadline=None)
@given(names, names, names, names)
def test_hostile_names_are_only_text(leaf_name, label, scope, title):
    graph = hostile_graph(leaf_name, label, scope, title)
    done = subprocess.run(
        ["dot", "-Tsvg"], input=graph.source.encode("utf-8"), capture_output=True, check=False
    )
    errors = done.stderr.decode()
    assert done.returncode == 0, errors
    assert "syntax error" not in errors
    assert "not well-formed" not in errors
    svg = done.stdout.decode("utf-8")
    assert "<script" not in svg
    assert not re.search(r'(href|URL)="javascript', svg)
    assert svg.count('class="node"') == len(graph.ir.items)
    json.loads(graph.to_json())
    assert "<" not in graph.to_json()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_survive_every_writer(name):
    graph = hostile_graph(name, name, name, name, name)
    assert name.replace("\ud800", "") is not None
    graph.source.encode("utf-8")
    graph.to_mermaid().encode("utf-8")
    graph.summary().encode("utf-8")
    for line in graph.to_mermaid().splitlines()[1:]:
        quoted = re.findall(r'"([^"]*)"', line)
        assert all("<" not in q.replace("<br/>", "") for q in quoted)


def test_escaping():
    assert escape.clean("a" * 500).endswith("…")
    assert escape.markup("<&>\"'") == "&lt;&amp;&gt;&quot;&#x27;"
    assert escape.quoted('a"\\N&lt;') == '"a\\"\\\\N&amp;lt;"'
    assert escape.quoted("a\nb") == '"a\\nb"'
    assert escape.mermaid("a|b") == "a#124;b"
    assert escape.to_json({"a": "</script>\u2028"}).count("\\u") == 3


@pytest.mark.parametrize("theme", THEMES)
def test_text_has_contrast(theme):
    look = THEMES[theme]
    for paper in (look.paper, look.box_fill, *(fill for _, fill in look.kinds.values())):
        assert contrast(look.ink, paper) >= 7
        assert contrast(look.muted, paper) >= 4.5
    for paper in (look.paper, look.kinds["parameter"][1]):
        assert contrast(look.gradient_text, paper) >= 4.5
    assert contrast(look.badge_ink, look.badge_fill) >= 7


def test_shapes_say_the_kind_again():
    source = viz.draw_graph(*drawn()).source
    for shape in ("cylinder", "parallelogram", "circle", "hexagon", "cds"):
        assert f'shape="{shape}"' in source


def drawn():
    return (nets.lstm(20)[0],)


def test_direction_of_arrows():
    output = nets.mlp()[0]
    both, forward, backward = (
        viz.draw_graph(output, direction=d).source for d in ("both", "forward", "backward")
    )
    assert '"#64748B:#D55E00"' in both
    assert "#D55E00" not in forward.split("edge [")[1].replace('color="#D55E00" fillcolor', "")
    assert 'dir="back"' in backward


def test_no_addresses_and_no_places_by_default():
    output, params = nets.mlp()
    for text in (viz.draw_graph(output, params=params).source,):
        assert "0x" not in text
        assert "nets.py" not in text
    assert "nets.py:" in viz.draw_graph(output, params=params, show_places=True).source


def test_details():
    output, params = nets.mlp()
    cards = viz.draw_graph(output, params=params, detail="cards").source
    assert "g (1 − y²)" in cards  # the rule of tanh
    tape = viz.draw_graph(output, params=params, detail="tape").source
    assert tape.count("style=invis weight=50") == 7


def test_shapes_and_dtypes_are_options():
    output, params = nets.mlp()
    plain = viz.draw_graph(output, params=params, show_shapes=False).source
    assert "param (4, 8)" not in plain
    assert "param (4, 8) float32" in viz.draw_graph(output, params=params, show_dtype=True).source


def test_values_of_the_output():
    output, params = nets.mlp()
    graph = viz.draw_graph(output, params=params, show_values=True)
    assert viz.style.number(output.item()) in graph.source


def test_make_dot_is_the_whole_tape():
    output, params = nets.lstm(5)
    graph = viz.make_dot(output, params=params, show_attrs=True, show_saved=True)
    assert 'rankdir="TB"' in graph.source
    assert sum(bool(i.lines) for i in graph.ir.items.values()) == graph.ir.lines
    assert "keeps" in graph.source


def test_mermaid_refuses_what_it_cannot_draw():
    graph = viz.draw_graph(nets.lstm(40)[0], fold=False, max_nodes=5000)
    with pytest.raises(ConfigError, match="Mermaid draws at most 500"):
        graph.to_mermaid()


def test_mermaid_boxes_are_closed():
    text = viz.draw_graph(nets.mlp()[0]).to_mermaid().splitlines()
    opened = sum(line.strip().startswith("subgraph") for line in text)
    assert opened == sum(line.strip() == "end" for line in text) == 3


def test_json_is_the_graph():
    graph = viz.draw_graph(nets.lstm(20)[0])
    data = json.loads(graph.to_json())
    assert data["format"] == "minigrad-graph/1"
    assert data["tape_lines"] == graph.ir.lines
    assert {n["id"] for n in data["nodes"]} == set(graph.ir.items)
    assert all({e["from"], e["to"]} <= set(graph.ir.items) for e in data["edges"])


@pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
@pytest.mark.parametrize("around", ["", "Model", "nn.LSTM", "nn.LSTM, both directions"])
def test_a_cell_reads_from_top_to_bottom(engine, around):
    """c above h, the forget gate above the output gate, inside boxes and without."""
    if render.find_engine(engine) is None:
        pytest.skip(f"no {engine} here")
    if around.startswith("nn"):
        layer = mg.nn.LSTM(3, 4, bidirectional="both" in around)
        graph = viz.draw_graph(layer(nets.constant(20, 2, 3))[0].sum(), expand="lstm")
    else:
        with mg.scope(around) if around else contextlib.nullcontext():
            loss = nets.lstm(20)[0]
        graph = viz.draw_graph(loss)
    placed = json.loads(render.layout(graph.source, "json", engine=engine))["objects"]
    height = {o["id"]: float(o["pos"].split(",")[1]) for o in placed if "pos" in o and "id" in o}
    ends = [i for i in graph.ir.items.values() if i.kind == "state"]
    for c in (i for i in ends if i.name == "c"):
        (h,) = [i for i in ends if i.name == "h" and i.loop == c.loop and i.id[-2:] == c.id[-2:]]
        assert height[f"n-{_name(c)}"] > height[f"n-{_name(h)}"]
    gates = [i for i in graph.ir.items.values() if i.kind == "gate"]
    for box in {g.path for g in gates}:
        inside = {
            g.title.partition("  ")[0]: height[f"n-{_name(g)}"] for g in gates if g.path == box
        }
        assert inside["forget"] > inside["input"] > inside["output"]


def _name(item):
    return re.sub(r"[^0-9A-Za-z]+", "_", item.id)
