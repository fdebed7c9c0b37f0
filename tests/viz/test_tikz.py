from __future__ import annotations

import re
import shutil
import subprocess

import pytest

import minigrad as mg
from minigrad import viz
from minigrad.errors import MissingExtraError
from minigrad.viz import render
from minigrad.viz.style import DARK, LIGHT
from minigrad.viz.tikz import latex
from tests.viz import nets

pytestmark = pytest.mark.skipif(render.find_engine() is None, reason="no Graphviz here")
HOSTILE = (
    r"\input{/etc/passwd}", "a_b^c~d", "100% $x$ & #1 {", "}{", "<script>", '"quoted" `x`',
    "中文 é ß þ", "\u202eevil", "nul\x00", r"\end{tikzpicture}", "a->b", "σ\u0302 σ × ‖g‖",
)  # fmt: skip


def balanced(text):
    """Whether braces and environments close, with escapes and comments left out."""
    text = re.sub(r"(?m)^%.*$", "", text)
    depth = 0
    for c in re.findall(r"\\.|[{}]", text):
        depth += {"{": 1, "}": -1}.get(c, 0)
        if depth < 0:
            return False
    begun = re.findall(r"\\begin\{(\w+)\}", text)
    return depth == 0 and sorted(begun) == sorted(re.findall(r"\\end\{(\w+)\}", text))


def lstm(**options):
    output, params = nets.lstm(6)
    with viz.record(output) as seen:
        output.backward()
    return viz.draw_graph(output, params=params, record=seen, **options)


def hostile():
    leaves = []
    for name in HOSTILE:
        leaf = nets.leaf(2)
        leaf.name = name
        leaves.append(leaf)
    return viz.draw_graph(mg.concat(leaves).sum(), title=HOSTILE[0])


@pytest.mark.parametrize("make", [lstm, hostile])
def test_it_is_well_formed(make):
    text = make().to_tikz()
    assert balanced(text)
    assert text.count(r"\begin{tikzpicture}") == text.count(r"\end{tikzpicture}") == 1
    statements = re.sub(r"(?m)^%.*\n", "", text.partition(r"\begin{tikzpicture}")[2])
    for line in statements.splitlines()[1:-1]:
        assert re.match(r"\\(path|node|fill)\[.*;$", line), line


def test_every_node_is_there_at_its_place_and_has_its_words():
    graph = lstm()
    text = graph.to_tikz()
    names = re.findall(r"(?m)^\\node\[inner sep=0bp, outer sep=0bp, .*\] \((\w+)\) at \(", text)
    assert len(names) == len(set(names)) == len(graph.ir.items)
    assert set(names) == set(re.findall(r"(?m)^\s*(n\w+) \[", graph.source)) - {"node"}
    assert r"{w\_h}" in text
    assert r"$\sigma$" in text
    assert r"$\times$" in text
    assert r"{$\times$6 steps}" in text


@pytest.mark.parametrize("look", [LIGHT, DARK])
def test_colours_are_those_of_the_theme(look):
    text = lstm(theme=look.name).to_tikz()
    defined = dict(re.findall(r"\\definecolor\{(\w+)\}\{HTML\}\{(\w{6})\}", text))
    for kind in ("parameter", "input", "state", "gate"):
        stroke, fill = look.kind(kind)
        assert defined[f"mg{kind.capitalize()}Line"] == stroke[1:]
        assert f"fill=mg{kind.capitalize()}Fill" in text
        assert defined[f"mg{kind.capitalize()}Fill"] == fill[1:]
    assert defined["mgGradient"] == look.gradient[1:]
    used = set(re.findall(r"\b(mg[A-Z]\w+)\b", text))
    assert used == set(defined)


def test_text_is_escaped():
    assert latex(r"\a_b") == r"\textbackslash{}a\_b"
    assert latex("50% {x}") == r"50\% \{x\}"
    assert latex("σ\u0302") == r"$\hat{\sigma}$"
    assert latex("中") == r"\mgchar{[U+4E2D]}{中}"
    assert latex("a\n\\b\0") == r"a \textbackslash{}b\mgchar{[U+FFFD]}{" + "\ufffd}"


def test_a_whole_document(tmp_path):
    path = viz.draw_graph(nets.mlp()[0]).render(tmp_path / "g.tex")
    text = path.read_text(encoding="utf-8")
    assert text.startswith(r"\documentclass")
    assert text.endswith("\\end{document}\n")
    assert balanced(text)


def test_the_same_on_every_run():
    assert lstm().to_tikz() == lstm().to_tikz()


def test_without_an_engine(monkeypatch):
    monkeypatch.setattr(render, "find_engine", lambda engine="auto": None)
    with pytest.raises(MissingExtraError, match="pip install"):
        viz.draw_graph(nets.mlp()[0]).to_tikz()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
@pytest.mark.parametrize("make", [lstm, hostile])
def test_latex_takes_it(make, tmp_path):
    path = make().render(tmp_path / "g.tex")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", path.name],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "(1 page," in done.stdout
    assert (tmp_path / "g.pdf").stat().st_size > 5000
