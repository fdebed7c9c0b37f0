from __future__ import annotations

import sys

import pytest

import minigrad as mg
from minigrad import viz
from minigrad.errors import ConfigError, MinigradError, MissingExtraError
from minigrad.viz import render
from tests.viz import nets

has_dot = pytest.mark.skipif(render.find_engine("dot") is None, reason="no dot here")
has_pygraphviz = pytest.mark.skipif(
    render.find_engine("pygraphviz") is None, reason="no pygraphviz here"
)


@pytest.fixture
def graph():
    output, params = nets.mlp()
    return viz.draw_graph(output, params=params, title="an MLP")


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setattr(render.shutil, "which", lambda name: None)
    monkeypatch.setattr(render, "_has_pygraphviz", lambda: False)


@has_dot
@pytest.mark.parametrize(
    ("format", "start"), [("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_pictures(graph, tmp_path, format, start):
    path = graph.render(tmp_path / f"g.{format}")
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@has_dot
def test_svg_fits_its_page_and_speaks(graph):
    svg = graph.pipe("svg").decode()
    assert 'role="img"' in svg
    assert "max-width:100%" in svg
    assert "<title>an MLP</title>" in svg
    assert svg.count("<title>") == 1  # none says "n12", which readers would read aloud
    other = viz.draw_graph(nets.diamond()[0]).pipe("svg").decode()
    ids = [set(render._IDS.findall(s)) for s in (svg, other)]
    assert not ids[0] & ids[1]  # two graphs in one notebook


@has_pygraphviz
def test_pygraphviz_draws_in_a_child(graph, tmp_path):
    graph.engine = "pygraphviz"
    assert b"<svg" in graph.pipe("svg")
    assert graph.render(tmp_path / "g.png").read_bytes().startswith(b"\x89PNG")
    assert "pygraphviz" not in sys.modules


@has_pygraphviz
def test_pygraphviz_is_the_fallback(graph, monkeypatch):
    monkeypatch.setattr(render.shutil, "which", lambda name: None)
    assert render.find_engine() == "pygraphviz"
    assert b"<svg" in graph.pipe("svg")


def test_without_an_engine_one_error_names_the_command(graph, no_engine, tmp_path):
    with pytest.raises(MissingExtraError, match=r'pip install "minigrad\[viz\]"') as error:
        graph.render(tmp_path / "g.svg")
    assert "DOT" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_without_an_engine_texts_work(graph, no_engine, tmp_path):
    assert graph.save(tmp_path / "g.dot").read_text(encoding="utf-8") == graph.source
    assert graph.render(tmp_path / "g.mmd").read_text(encoding="utf-8").startswith("flowchart")
    assert graph.save(tmp_path / "g.json").read_text(encoding="utf-8") == graph.to_json()
    for write in (graph.save, graph.render):
        assert write(tmp_path / "g.html").read_text(encoding="utf-8") == graph.to_html()
    with pytest.raises(ConfigError, match=r"g\.svg is for render"):
        graph.save(tmp_path / "g.svg")
    bundle = graph._repr_mimebundle_()
    assert "image/svg+xml" not in bundle
    assert "8 tape lines" in bundle["text/plain"]


@has_dot
def test_notebook(graph):
    bundle = graph._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg")
    assert "an MLP" in bundle["text/plain"]
    assert set(graph._repr_mimebundle_(include=["text/plain"])) == {"text/plain"}
    assert set(graph._repr_mimebundle_(exclude=["text/plain"])) == {"image/svg+xml"}


@pytest.mark.parametrize("name", ["g", "g.bmp", "g.exe"])
def test_unknown_formats(graph, tmp_path, name):
    with pytest.raises(ConfigError, match="render"):
        graph.render(tmp_path / name)


def test_format_adds_its_suffix(graph, tmp_path):
    assert graph.render(tmp_path / "loss", format="dot").name == "loss.dot"


@pytest.fixture
def slow_dot(tmp_path, monkeypatch):
    """A dot that sleeps for graphs of many nodes."""
    real = render.shutil.which("dot")
    script = tmp_path / "dot"
    script.write_text(
        f'#!/bin/sh\ncat > "{tmp_path}/in"\n'
        f'if grep -q n100 "{tmp_path}/in"; then exec sleep 20; fi\n{real} "$@" < "{tmp_path}/in"\n'
    )
    script.chmod(0o755)
    monkeypatch.setattr(render.shutil, "which", lambda name: str(script))


@has_dot
def test_a_layout_that_takes_too_long_is_drawn_coarser(slow_dot):
    graph = viz.draw_graph(nets.lstm(12)[0], fold=False)
    svg = graph.pipe("svg", limit=2).decode()
    assert "coarser than asked" in svg
    assert "lines 1 – " in svg


@has_dot
def test_a_layout_that_fails_says_why(graph):
    graph.source = "digraph {"
    with pytest.raises(MinigradError, match="syntax error"):
        graph.pipe("svg")


def test_view_opens_a_file(graph, monkeypatch):
    import graphviz

    opened = []
    monkeypatch.setattr(graphviz, "view", lambda path, **_: opened.append(path))
    path = graph.view("dot")
    assert opened == [str(path)]
    assert path.read_text(encoding="utf-8") == graph.source


def test_summary_names_ops_parameters_and_repeats():
    output, params = nets.lstm(20)
    text = viz.draw_graph(output, params=params).summary()
    assert "×20 steps" in text
    assert "sigmoid" in text
    assert "w_h" in text
    assert repr(viz.draw_graph(output)).startswith("<Graph: 342 tape lines")


def test_plot_model(tmp_path):
    class Double:
        def __call__(self, x):
            return x * 2

    path = tmp_path / "model.dot"
    graph = viz.plot_model(Double(), nets.leaf(3), to_file=path, show_shapes=True)
    assert path.exists()
    assert graph.ir.title == "Double"


@pytest.mark.skipif(render.find_engine() is None, reason="no Graphviz here")
def test_dots_per_inch_are_of_a_png_only():
    graph = viz.draw_graph(nets.mlp()[0])
    assert graph.pipe("svg", dpi=200) == graph.pipe("svg")
    assert len(graph.pipe("png", dpi=200)) > len(graph.pipe("png", dpi=72))


class Net(mg.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.Tanh(), mg.nn.Linear(4, 4))
        self.head = mg.nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.inner(x))


def test_plot_model_says_what_is_trained_and_what_layers_are(tmp_path):
    model, x = Net(), nets.constant(5, 3)
    for p in model.head.parameters():
        p.requires_grad = False
    graph = viz.plot_model(model, x, to_file=tmp_path / "a.dot", show_trainable=True)
    said = {i.name: i.notes for i in graph.ir.items.values() if i.kind in ("op", "module")}
    assert "frozen" in said["head"]
    assert "trainable" in said["inner"]
    assert "trainable" in graph.source
    graph = viz.plot_model(model, x, to_file=tmp_path / "a.dot", show_layer_names=False)
    titles = [i.title for i in graph.ir.items.values() if i.kind in ("op", "module")]
    assert titles == ["Sequential", "linear"]
