"""The page where things are not as they should be, and for those who do not see or point."""

from __future__ import annotations

import json

import pytest

import minigrad as mg
from minigrad import viz
from minigrad.viz import render

from . import nets


def redrawn(page, count):
    page.wait_for_selector(f'body[data-drawn="{count}"]', timeout=30_000)


def test_without_an_engine_it_draws_itself_also_in_a_frame(opened, monkeypatch):
    loss, _ = nets.lstm(5)
    monkeypatch.setattr(render.shutil, "which", lambda name: None)
    monkeypatch.setattr(render, "_has_pygraphviz", lambda: False)
    graph = viz.draw_graph(loss)
    page = opened(graph.to_html())
    assert page.locator("#graph g.node").count() == len(graph.ir.items)
    framed = graph._repr_mimebundle_()["text/html"]
    page = opened(f"<!doctype html><title>notebook</title><body data-drawn=1>{framed}")
    frame = page.frame_locator("iframe")
    frame.locator("body[data-drawn]").wait_for(timeout=30_000)
    assert frame.locator("#graph g.node").count() == len(graph.ir.items)


def test_slow_layout_is_ended(opened):
    page = opened(viz.draw_graph(nets.chain(300, ops=("tanh", "sin", "sigmoid"))).to_html())
    said = page.evaluate(
        """async () => {
            const { engine } = minigrad;
            engine.limit = 1;
            try { await engine.layout(minigrad.compose()); return "in time"; }
            catch (error) { return [error.message, engine.worker]; }
            finally { engine.limit = 20000; }
        }"""
    )
    assert said == ["the layout took more than 0.001 s", None]
    again = "minigrad.engine.layout(minigrad.compose()).then(s => s.slice(0, 5))"
    assert page.evaluate(again) == "<?xml"


@pytest.mark.parametrize("engine", ["python", "page"])
def test_no_text_leaves_its_box(opened, lstm, engine):
    page = opened(lstm[0].to_html())
    if engine == "page":
        page.get_by_role("button", name="Open all").click()
        redrawn(page, 2)
    wide = page.evaluate(
        """() => [...document.querySelectorAll("#graph g.node")].flatMap((g) => {
            const box = g.querySelector(".shape").getBBox();
            return [...g.querySelectorAll("text")].filter((t) => {
                const at = t.getBBox();
                return at.x < box.x - 1 || at.x + at.width > box.x + box.width + 1;
            }).map((t) => t.textContent);
        })"""
    )
    assert wide == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", ["start", "stepping", "table"])
def test_axe_finds_nothing(opened, lstm, scheme, state):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(lstm[0].to_html(), color_scheme=scheme)
    if state == "stepping":
        page.evaluate("minigrad.stepper.go(40)")
    elif state == "table":
        page.get_by_role("button", name="Show the graph as a table").click()
    found = axe.Axe().run(page).response["violations"]
    assert [(v["id"], [n["html"][:90] for n in v["nodes"][:3]]) for v in found] == []


def test_reduced_motion(opened, lstm):
    page = opened(lstm[0].to_html(), reduced_motion="reduce")
    page.get_by_role("button", name="Close all").click()
    redrawn(page, 2)
    assert page.evaluate("document.getAnimations().length") == 0


def test_hostile_names_do_nothing(opened):
    name = "</script><script>document.title='caught'</script><img src=x onerror=alert(1)>"
    w = nets.leaf(2, name=name)
    with mg.scope(name):
        loss = (w * w).sum() + w.sum()
    page = opened(viz.draw_graph(loss, title=name).to_html())
    assert page.title() == name[:120]
    page.locator("#graph g.node").first.click()
    page.get_by_role("button", name="Close all").click()
    redrawn(page, 2)
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert page.locator("img, script:not([type])").count() == 0
    assert json.loads(page.evaluate("JSON.stringify(document.title)")) == name[:120]
