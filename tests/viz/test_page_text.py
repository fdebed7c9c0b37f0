"""No text leaves the box it stands in: in the layout of dot, and in that of the page."""

from __future__ import annotations

import re

import pytest

from minigrad.viz import render

from . import models

OUTSIDE = """() => [...document.querySelectorAll("#graph g.node")].flatMap((g) => {
    const box = g.querySelector(".shape").getBBox();
    return [...g.querySelectorAll("text")].filter((t) => {
        const at = t.getBBox();
        return at.x < box.x - 1 || at.x + at.width > box.x + box.width + 1
            || at.y < box.y - 2 || at.y + at.height > box.y + box.height + 2;
    }).map((t) => t.textContent);
})"""
FRAMES = """() => [...document.querySelectorAll("#graph g.cluster")].flatMap((g) => {
    const box = g.querySelector("path, polygon").getBBox();
    return [...g.querySelectorAll("text")].filter((t) => {
        const at = t.getBBox();
        return at.x < box.x - 1 || at.x + at.width > box.x + box.width + 1;
    }).map((t) => t.textContent);
})"""
COVERED = """() => {
    const boxes = [...document.querySelectorAll("#graph g.node")].map((g) =>
        [g.textContent.trim(), g.querySelector(".shape").getBBox()]);
    const found = [];
    boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
        if (p.x + 2 < q.x + q.width && q.x + 2 < p.x + p.width
            && p.y + 2 < q.y + q.height && q.y + 2 < p.y + p.height) found.push([a, b]);
    }));
    return found;
}"""


def complaints(page):
    return {"texts": page.evaluate(OUTSIDE), "frames": page.evaluate(FRAMES),
            "covered": page.evaluate(COVERED)}  # fmt: skip


CLEAN = {"texts": [], "frames": [], "covered": []}


@pytest.mark.parametrize("engine", ["python", "page"])
@pytest.mark.parametrize("net", models.DRAWN)
def test_no_text_leaves_its_box(opened, monkeypatch, net, engine):
    graph = models.DRAWN[net]()
    if engine == "page":
        monkeypatch.setattr(render.shutil, "which", lambda name: None)
        monkeypatch.setattr(render, "_has_pygraphviz", lambda: False)
    page = opened(graph.to_html())
    assert page.locator("#graph g.node").count() > 8
    assert complaints(page) == CLEAN


@pytest.mark.parametrize("net", models.DRAWN)
def test_nor_where_everything_is_open(opened, net):
    page = opened(models.DRAWN[net]().to_html())
    page.evaluate("minigrad.model.boxes.forEach((b) => (b.closed = false)); minigrad.draw()")
    page.wait_for_selector('body[data-drawn="2"]', timeout=30_000)
    assert complaints(page) == CLEAN
    source = page.evaluate("minigrad.compose()")
    declared = set(re.findall(r"^(\w+) \[", source, re.MULTILINE)) - {"edge", "graph", "node"}
    ends = {n for pair in re.findall(r"^(\w+) -> (\w+)", source, re.MULTILINE) for n in pair}
    assert ends == declared  # every arrow has its ends, and nothing hangs in the air


def test_nor_in_single_steps(opened):
    page = opened(models.lstm20().to_html())
    page.evaluate("minigrad.reveal(minigrad.model.boxes.findIndex((b) => b.body), '0, 7, 19')")
    page.wait_for_selector('body[data-drawn="2"]', timeout=30_000)
    assert complaints(page) == CLEAN
