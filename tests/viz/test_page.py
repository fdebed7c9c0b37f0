"""The page as text: what it holds, what it forbids, and its backward pass against the engine's."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import re

import numpy as np
import pytest

import minigrad as mg
from minigrad import viz
from minigrad.viz import render
from minigrad.viz.page.data import page_data
from minigrad.viz.page.document import ASSETS
from minigrad.viz.page.events import backward_steps
from minigrad.viz.page.theme import PAGE, stylesheet
from minigrad.viz.page.view import compose
from minigrad.viz.style import DARK, LIGHT, contrast

from . import nets

NETS = {
    "mlp": nets.mlp,
    "shared": nets.shared,
    "diamond": nets.diamond,
    "double_backward": nets.double_backward,
    "lstm": lambda: nets.lstm(6),
}
HOSTILE = [
    "</script><script>alert(1)</script>", "]];--", r"\N\G", "a->a", "\u202egpj.exe", "\0", "\ud800",
    '" onload="x', "<!--", "${1}", "\u2028 \u2029", "javascript:alert(1)",
]  # fmt: skip


@pytest.fixture
def no_engine(monkeypatch):
    monkeypatch.setattr(render.shutil, "which", lambda name: None)
    monkeypatch.setattr(render, "_has_pygraphviz", lambda: False)


def recorded(loss, **options):
    with viz.record(loss) as seen:
        loss.backward()
    return viz.draw_graph(loss, record=seen, **options)


def block(page, id_):
    return re.search(rf'<script [^>]*id="{id_}">(.*?)</script>', page, re.DOTALL).group(1)


def outside(page):
    """What a reader without scripts and styles gets."""
    hidden = r"<!--.*?-->|<style>.*?</style>|<script.*?</script>"
    return re.sub(hidden, "", page, flags=re.DOTALL)


def unpacked(page):
    return json.loads(gzip.decompress(base64.b64decode(block(page, "data"))))


# -- the backward pass -----------------------------------------------------------------------------


@pytest.mark.parametrize("net", NETS)
def test_order_without_a_record_is_the_engines(net):
    loss, _ = NETS[net]()
    graph = viz.draw_graph(loss)
    with viz.record(loss) as seen:
        loss.backward()
    derived = [step.line for step in backward_steps(graph.details.full)]
    assert derived == [event.line for event in seen.events]
    assert derived == seen.order


def test_contributions_add_up_to_the_gradients():
    loss, params = nets.lstm(5, batch=2, features=2, hidden=1)
    graph = recorded(loss, params=params)
    full = graph.details.full
    sums = {}
    for step in backward_steps(full, graph.details.events):
        for sent in step.sent:
            name = full.items[sent.target[0]].name
            if name:
                assert sent.nth == sums.get(name, (0, 0))[0] + 1
                before = sums.get(name, (0, 0.0))[1]
                sums[name] = (sent.nth, before + np.asarray(sent.gradient.values))
    assert sums["w_h"][0] == sums["b"][0] == 5
    for name, (_, total) in sums.items():
        np.testing.assert_allclose(total, params[name].grad.numpy(), rtol=1e-5, atol=1e-7)


def test_accumulation_counts():
    loss, params = nets.lstm(20)
    graph = recorded(loss, params=params)
    counts = [
        (sent.nth, sent.total)
        for step in backward_steps(graph.details.full, graph.details.events)
        for sent in step.sent
        if graph.details.full.items[sent.target[0]].name == "w_h"
    ]
    assert counts == [(n, 20) for n in range(1, 21)]


def test_steps_inside_an_opened_line():
    x = mg.tensor(np.ones((3, 2, 2), np.float32))
    layer = mg.nn.LSTM(2, 3)
    loss = (layer(x)[0] ** 2).sum()
    with viz.record(loss, expand="lstm") as seen:
        loss.backward()
    graph = viz.draw_graph(loss, model=layer, expand="lstm", record=seen)
    order = [step.line for step in backward_steps(graph.details.full, graph.details.events)]
    assert order == sorted(order, reverse=True)
    assert len(order) > 30


def test_record_leaves_the_tape_as_it_was():
    loss, _ = nets.mlp()
    op = loss.node.op
    with viz.record(loss) as seen:
        loss.backward(retain_graph=True)
    assert loss.node.op is op
    with pytest.raises(ZeroDivisionError), viz.record(loss):
        raise ZeroDivisionError
    assert loss.node.op is op
    loss.backward()
    assert len(seen.events) == len(seen.order)


def test_details_hold_nothing_of_the_computation():
    loss, _ = nets.mlp()
    graph = recorded(loss)
    steps = backward_steps(graph.details.full, graph.details.events)
    text = repr((graph.details, steps))
    assert "Tensor" not in text
    assert "array(" not in text


# -- the text -------------------------------------------------------------------------------------


def test_page_is_one_file_below_a_megabyte(tmp_path):
    loss, params = nets.lstm(20)
    page = recorded(loss, params=params).to_html(tmp_path / "lstm.html")
    assert (tmp_path / "lstm.html").read_text(encoding="utf-8") == page
    assert len(page.encode("utf-8")) < 1_000_000
    assert re.findall(r"(?:src|href|action|srcset)=", outside(page)) == []
    assert not re.search(r"url\(|@import", page.partition("</style>")[0])
    assert "<svg" in page


def test_policy_names_the_script_and_the_style_and_no_network():
    page = viz.draw_graph(nets.mlp()[0]).to_html()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page).group(1)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-inline" not in policy
    assert "http" not in policy
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL).group(1)
    script = re.search(r'<script type="module">(.*?)</script>', page, re.DOTALL).group(1)
    for text in (style, script):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not re.search(r'\sstyle="|\son\w+="', outside(page))


def test_still_page_has_no_script():
    page = viz.draw_graph(nets.mlp()[0]).to_html(interactive=False)
    assert "<script" not in page
    assert "script-src" not in page
    assert '<th scope="row">matmul</th>' in page
    assert len(page) < 100_000


def test_same_graph_same_page():
    first, second = (viz.draw_graph(nets.mlp()[0]).to_html() for _ in range(2))
    assert first == second


def test_without_an_engine_the_page_draws_itself(no_engine):
    graph = viz.draw_graph(nets.mlp()[0])
    page = graph.to_html()
    assert '<div id="canvas"></div>' in page
    bundle = graph._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    assert "sandbox=" in bundle["text/html"]
    inside = re.search(r'srcdoc="([^"]*)"', bundle["text/html"]).group(1)
    assert html.unescape(inside) == page


def test_notebook_frame_on_request():
    graph = viz.draw_graph(nets.mlp()[0], interactive=True)
    assert "text/html" in graph._repr_mimebundle_()
    assert "text/html" not in viz.draw_graph(nets.mlp()[0])._repr_mimebundle_()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name):
    w = nets.leaf(2, name=name)
    with mg.scope(name):
        loss = (w * w).sum()
    page = viz.draw_graph(loss, title=name).to_html()
    assert unpacked(page)["lines"] == 2
    assert len(re.findall("<script", page)) == len(re.findall("</script>", page)) == 3
    assert not re.search(r' onload="|<script>alert|href="', outside(page))
    page.encode("utf-8")


def test_large_tapes_become_pages_too():
    loss = nets.chain(8000, ops=("tanh", "sin", "sigmoid"))
    graph = viz.draw_graph(loss)
    assert graph.details is None
    assert "backward" in graph.to_html()


def test_places_only_when_asked_for():
    loss, _ = nets.mlp()
    assert "nets.py:" not in viz.draw_graph(loss).to_html()
    assert "nets.py:" in viz.draw_graph(loss, show_places=True).to_html()


def test_first_view_has_every_node_and_closes_deep_modules():
    model = mg.nn.Sequential(mg.nn.Sequential(mg.nn.Linear(2, 3), mg.nn.Tanh()), mg.nn.Linear(3, 1))
    loss = model(mg.tensor(np.ones((4, 2), np.float32))).sum()
    graph = viz.draw_graph(loss, model=model, depth=1)
    data = page_data(graph.ir, graph.details, graph.show).data
    closed = [box["title"] for box in data["boxes"] if box["closed"]]
    assert closed == ["Sequential [0]"]
    source = compose(data)
    assert " tanh" not in source.split("cluster")[0]
    assert re.search(r"^b\d+ \[", source, re.MULTILINE)
    assert "b1 -> " in source or "-> b1" in source


# -- assets ---------------------------------------------------------------------------------------


def test_assets_are_those_that_were_built():
    for line in (ASSETS / "SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ")
        found = hashlib.sha256((ASSETS / name).read_bytes()).hexdigest()
        assert found == digest, f"{name} changed: run npm ci && npm run build in {ASSETS}"


def test_notices_name_what_is_carried():
    notice = (ASSETS / "NOTICE.txt").read_text(encoding="utf-8")
    page = viz.draw_graph(nets.mlp()[0]).to_html()
    assert notice.strip() in page
    for name in ("Viz.js 3.31.0", "Graphviz 16.1.0", "Expat", "MIT", "Eclipse Public License"):
        assert name in notice


def test_stand_in_colours_are_unique_and_all_painted():
    colours = [getattr(PAGE, f) for f in PAGE.__dataclass_fields__ if f not in ("name", "kinds")]
    colours += [c for pair in PAGE.kinds.values() for c in pair]
    assert len(set(colours)) == len(colours)
    css = stylesheet()
    assert all(f'[fill="{c.lower()}"]' in css for c in colours)


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_readable(look):
    papers = [look.paper, look.box_fill]
    for ink in (look.ink, look.muted, look.gradient_text):
        assert all(contrast(ink, paper) >= 4.5 for paper in papers)
    for _, fill in look.kinds.values():
        assert contrast(look.ink, fill) >= 4.5
        assert contrast(look.muted, fill) >= 4.5
