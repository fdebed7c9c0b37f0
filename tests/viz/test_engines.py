"""Each engine by itself, in a fresh process whose PATH holds no `dot`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from minigrad.errors import MinigradError
from minigrad.viz import render

ROOT = Path(__file__).parents[2]
DRAW = """
    import json, sys, warnings
    hidden = json.loads(sys.argv[1])
    sys.modules.update(dict.fromkeys(hidden))  # None: importing it fails
    import importlib.util
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *a: None if name in hidden else find(name, *a)
    import minigrad as mg
    from minigrad import viz
    from minigrad.viz import render
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    w.name = "w"
    graph = viz.draw_graph((w * w).sum())
    said = {"engine": render.find_engine()}
    for format in ("svg", "png", "pdf", "tex"):
        try:
            said[format] = graph.pipe(format)[:14].decode("latin-1")
        except Exception as error:
            said[format] = [type(error).__name__, str(error)]
    said["dot"], said["html"] = graph.source, graph.to_html()
    said["mermaid"], said["json"] = graph.to_mermaid(), graph.to_json()
    said["bundle"] = sorted(graph._repr_mimebundle_())
    print(json.dumps(said))
"""


def drawn(tmp_path, *hidden):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DRAW), json.dumps(hidden)],
        cwd=ROOT, env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def texts_are_there(said):
    assert said["dot"].startswith("digraph minigrad")
    assert said["html"].lower().startswith("<!doctype html>")
    assert "multiply" in said["html"]
    assert said["mermaid"].startswith("flowchart")
    assert json.loads(said["json"])["tape_lines"] == 2


@pytest.mark.skipif(render.find_engine("dot") is None, reason="no dot here")
def test_dot_comes_first():
    assert render.find_engine() == "dot"


@pytest.mark.skipif(render.find_engine("pygraphviz") is None, reason="no pygraphviz here")
def test_without_dot_pygraphviz_draws(tmp_path):
    said = drawn(tmp_path)
    assert said["engine"] == "pygraphviz"
    assert said["svg"].startswith("<svg")
    assert said["png"].startswith("\x89PNG")
    assert said["pdf"].startswith("%PDF")
    assert said["tex"] == r"\documentclass"
    assert "image/svg+xml" in said["bundle"]
    texts_are_there(said)


def test_without_either_one_error_names_the_command_and_texts_work(tmp_path):
    said = drawn(tmp_path, "pygraphviz")
    assert said["engine"] is None
    for format in ("svg", "png", "pdf", "tex"):
        name, message = said[format]
        assert name == "MissingExtraError"
        assert 'pip install "minigrad[viz]"' in message
    assert said["bundle"] == ["text/html", "text/plain"]
    texts_are_there(said)


@pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
def test_an_engine_that_takes_too_long_is_killed(engine):
    if render.find_engine(engine) is None:
        pytest.skip(f"no {engine} here")
    edges = "; ".join(f"n{i % 97} -> n{i * i % 401}" for i in range(1500))
    with pytest.raises(render.LayoutTimeoutError, match="smaller depth"):
        render.layout(f"digraph {{ {edges} }}", "svg", engine=engine, limit=0.05)


@pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
def test_a_text_that_is_no_dot_is_an_error_of_ours(engine):
    if render.find_engine(engine) is None:
        pytest.skip(f"no {engine} here")
    with pytest.raises(MinigradError, match=f"{engine} failed"):
        render.layout("digraph {", "svg", engine=engine)
