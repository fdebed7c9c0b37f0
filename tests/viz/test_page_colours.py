"""`color_by` on the page, its legend, and how it looks to those who see fewer colours."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pytest

from minigrad import viz
from minigrad.viz.style import CIVIDIS, SHAPES, VERMILION

from . import models, nets

# Pairs of kinds whose strokes come closer than ΔE 10
NEAR = {"none": 0, "deuteranopia": 1, "protanopia": 1, "tritanopia": 0}  # gate and loss
KINDS = ("parameter", "input", "state", "gate", "loss")


def fills(page):
    return page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll("#graph g.node")].map((g) =>
            [g.dataset.name, getComputedStyle(g.querySelector(".shape")).fill]))"""
    )


def channels(colour):
    """Red, green and blue, 0 … 255, of rgb(…) or color(srgb …)."""
    parts = [float(x) for x in re.findall(r"[\d.]+(?:e-?\d+)?", colour.replace("srgb", ""))][:3]
    return [255 * x for x in parts] if colour.startswith("color") else parts


def darkness(colour):
    return 255 * 3 - sum(channels(colour))


# -- choosing --------------------------------------------------------------------------------------


def test_every_measure_can_be_chosen_and_the_legend_says_it(opened):
    model, loss = models.tagger(num_layers=2)
    with viz.record(loss) as seen:
        loss.backward(retain_graph=True)
    page = opened(viz.draw_graph(loss, model=model, record=seen).to_html())
    legend, first = page.locator("#key"), fills(page)
    assert all(kind in legend.inner_text() for kind in ("parameter", "input", "loss"))
    for by, words in (
        ("grad", "|gradient|"),
        ("time", "forward and backward"),
        ("memory", "memory"),
    ):
        page.select_option("#by", by)
        assert words in legend.inner_text()
        assert legend.locator("svg rect").count() == 16
        assert fills(page) != first
    page.select_option("#by", "module")
    assert set(legend.inner_text().split()) == {"embed", "rnn", "head"}
    page.select_option("#by", "")
    assert fills(page) == first
    assert "parameter" in legend.inner_text()


def test_the_scale_runs_from_the_least_to_the_largest(opened):
    loss, params = nets.lstm(20)
    graph = models.recorded(loss, params=params)
    page = opened(graph.to_html())
    page.select_option("#by", "grad")
    known = {
        page.evaluate("(t) => minigrad.model.nodes.find((n) => n.title === t).n", name): norm
        for name in ("w_x", "w_h", "b", "head")
        for norm in [float(np.linalg.norm(params[name].grad.numpy()))]
    }
    shown = fills(page)
    by_norm = sorted(known, key=known.get)
    dark = [darkness(shown[name]) for name in by_norm]
    assert dark == sorted(dark)
    assert dark[0] < dark[-1]
    norms = [i.facts["grad"] for i in graph.ir.items.values() if "grad" in i.facts]
    assert f"{max(norms):.3g}" in page.inner_text("#key")


def test_closed_boxes_add_up(opened):
    model, loss = models.tagger(num_layers=2)
    with viz.record(loss) as seen:
        loss.backward(retain_graph=True)
    graph = viz.draw_graph(loss, model=model, record=seen)
    page = opened(graph.to_html())
    page.select_option("#by", "memory")
    page.get_by_role("button", name="Close all").click()
    page.wait_for_selector('body[data-drawn="2"]')
    kept = sum(graph.details.saved.values())
    inside = page.evaluate("minigrad.model.nodes.filter((n) => n.box >= 0 && n.saved).length")
    assert inside >= 4
    assert page.inner_text("#key").startswith("colour, memory")
    assert kept > 0


def test_what_is_not_known_cannot_be_chosen(opened):
    page = opened(viz.draw_graph(nets.mlp()[0]).to_html())
    assert page.locator("#by option[value=grad]").is_disabled()
    assert page.locator("#by option[value=time]").is_disabled()
    assert "backward()" in page.locator("#by option[value=grad]").get_attribute("title")
    assert not page.locator("#by option[value=memory]").is_disabled()


@pytest.mark.parametrize("by", ["grad", "memory"])
def test_color_by_is_what_the_page_begins_with(opened, by):
    loss, params = nets.mlp()
    loss.backward(retain_graph=True)
    page = opened(viz.draw_graph(loss, params=params, color_by=by).to_html())
    assert page.input_value("#by") == by
    assert page.locator("#key svg rect").count() == 16


def test_a_function_of_the_user_colours_the_page_too(opened):
    def depth(item):
        return "#FF0000" if item.op == "tanh" else float(len(item.specs)) if item.lines else None

    page = opened(viz.draw_graph(nets.mlp()[0], color_by=depth).to_html())
    assert "depth" in page.inner_text("#key")
    assert "rgb(255, 0, 0)" in fills(page).values()


def test_a_still_page_keeps_its_colours_and_their_legend():
    loss, params = nets.mlp()
    loss.backward()
    page = viz.draw_graph(loss, params=params, color_by="grad").to_html(interactive=False)
    assert "data-theme=light" in page
    assert "colour, |gradient|" in page


def test_text_stays_readable_on_every_fill(opened):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    model, loss = models.tagger()
    html = models.recorded(loss, model).to_html()
    for scheme in ("light", "dark"):
        page = opened(html, color_scheme=scheme)
        for by in ("grad", "time", "module"):
            page.select_option("#by", by)
            found = axe.Axe().run(page).response["violations"]
            assert [(by, v["id"], [n["html"][:90] for n in v["nodes"][:3]]) for v in found] == []


# -- seen with fewer colours -----------------------------------------------------------------------


def lab(colour):
    """CIE L*a*b* (D65) of sRGB 0 … 255."""
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (v / 255 for v in colour)
    ]
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    f = [
        t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116
        for t in xyz @ linear / [0.95047, 1, 1.08883]
    ]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def seen(page, deficiency, points):
    """The colours of a screenshot at some points, under a deficiency of colour vision."""
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setEmulatedVisionDeficiency", {"type": deficiency})
    shot = session.send("Page.captureScreenshot")["data"]
    session.send("Emulation.setEmulatedVisionDeficiency", {"type": "none"})
    other = page.context.new_page()
    found = other.evaluate(
        """async ([data, points]) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
            const canvas = new OffscreenCanvas(image.width, image.height);
            const pen = canvas.getContext("2d");
            pen.drawImage(image, 0, 0);
            return points.map(([x, y]) => [...pen.getImageData(x, y, 1, 1).data].slice(0, 3));
        }""",
        [shot, points],
    )
    other.close()
    return found


PATCHES = """(colours) => {
    document.body.replaceChildren();
    document.body.style.background = colours[0];
    return colours.slice(1).map((colour, i) => {
        const patch = document.createElement("div");
        patch.style.cssText = `position:absolute;left:${20 * i}px;top:0;width:20px;height:20px`;
        patch.style.background = colour;
        document.body.append(patch);
        return [20 * i + 10, 10];
    });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_kinds_stay_apart(opened, scheme):
    page = opened(viz.draw_graph(nets.mlp()[0]).to_html(), color_scheme=scheme)
    style = "getComputedStyle(document.documentElement)"
    strokes = page.evaluate(
        f"(kinds) => kinds.map((k) => {style}.getPropertyValue(`--${{k}}-stroke`))", list(KINDS)
    )
    paper = page.evaluate(f"{style}.getPropertyValue('--paper')")
    points = page.evaluate(PATCHES, [paper, *strokes])
    assert len({SHAPES[kind] for kind in KINDS}) == len(KINDS)  # shape says what colour says
    for deficiency in ("none", "deuteranopia", "protanopia", "tritanopia"):
        colours = dict(zip(KINDS, map(lab, seen(page, deficiency, points)), strict=True))
        apart = {
            (a, b): float(np.linalg.norm(colours[a] - colours[b]))
            for a, b in itertools.combinations(KINDS, 2)
        }
        near = {pair: round(d, 1) for pair, d in apart.items() if d < 10}
        assert len(near) <= NEAR[deficiency], (deficiency, near)


@pytest.mark.parametrize("scale", [CIVIDIS, VERMILION], ids=["value", "gradient"])
def test_scales_keep_their_order(opened, scale):
    page = opened(viz.draw_graph(nets.mlp()[0]).to_html())
    points = page.evaluate(PATCHES, ["#FFFFFF", *scale])
    for deficiency in ("none", "deuteranopia", "protanopia"):
        colours = [lab(c) for c in seen(page, deficiency, points)]
        light = [c[0] for c in colours]
        assert light == sorted(light) or light == sorted(light, reverse=True)
        steps = [float(np.linalg.norm(b - a)) for a, b in itertools.pairwise(colours)]
        assert min(steps) > 3
        assert math.dist(colours[0], colours[-1]) > 60
