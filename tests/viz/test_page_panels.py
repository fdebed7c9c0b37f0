"""Figures beside the graph: their data, their drawing, their keyboard and their tables."""

from __future__ import annotations

import html
import json

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz
from minigrad.errors import ConfigError, ShapeError
from minigrad.viz import Panel

from . import models, nets

rng = np.random.default_rng(0)
WORDS = ["the", "cat", "sat", "on", "the", "mat"]
NORMS = {"RNN": [1e-6, 1e-4, 1e-2, 1.0], "LSTM": [0.1, 0.2, 0.5, 1.0]}
WEIGHTS = rng.dirichlet(np.ones(5), (2, 6))


def panels():
    lstm = nn.LSTM(3, 8)
    x = mg.tensor(rng.standard_normal((len(WORDS), 2, 3)).astype(np.float32))
    w = nets.leaf(3, name="w")
    return [
        Panel.gradients(NORMS),
        Panel.gates(viz.gate_activations(lstm, x), WORDS),
        Panel.attention(WEIGHTS, list("abcde"), WORDS),
        Panel.spectrum({"after 1": [2.0, 1.0, 0.1], "after 5": [1.0, 1e-2, 1e-5]}),
        Panel.landscape(*viz.landscape(lambda: mg.sum(w * w), [w], points=5)),
    ]


# -- data ------------------------------------------------------------------------------------------


def test_panels_say_what_they_are():
    found = [repr(panel) for panel in panels()]
    assert found[0] == "Panel('Gradient through time': 2 curves of 4 points)"
    assert found[1].startswith("Panel('Gates': 4 maps of ")
    assert found[2] == "Panel('Attention': 2 maps of 6 × 5)"
    assert found[4] == "Panel('Loss landscape': 1 map of 5 × 5)"
    for panel in panels():
        json.dumps(panel.to_dict(), allow_nan=False)


def test_what_is_not_finite_is_a_word():
    panel = Panel.lines("loss", {"a": [1.0, np.nan, np.inf, -np.inf]})
    assert panel.data["series"] == [[1.0, "NaN", "∞", "−∞"]]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Panel.attention(np.ones((2, 3)), ["a"], None), r"1 labels for 3 columns"),
        (lambda: Panel.attention(np.ones((2, 3)), None, ["a"]), r"1 labels for 2 rows"),
        (lambda: Panel.attention(np.ones(3)), r"expected \(T, S\)"),
        (lambda: Panel.maps("m", {"a": np.ones((2, 3)), "b": np.ones((3, 3))}), "expected one"),
        (lambda: Panel.landscape(np.ones(3), np.ones((3, 2))), r"expected \(3, 3\)"),
    ],
)
def test_shapes_that_do_not_fit(make, words):
    with pytest.raises(ShapeError, match=words):
        make()


def test_nothing_to_draw():
    with pytest.raises(ConfigError, match="nothing to draw"):
        Panel.lines("loss", {})


def test_a_still_page_holds_them_as_tables():
    page = viz.draw_graph(nets.mlp()[0]).to_html(panels=panels(), interactive=False)
    assert "<script" not in page
    for panel in panels():
        assert f"<h2>{html.escape(panel.title)}</h2>" in page
    assert '<th scope="row">RNN</th><td>1e-6</td><td>0.0001</td>' in page


# -- on the page -----------------------------------------------------------------------------------


@pytest.fixture
def page(opened):
    return opened(viz.draw_graph(nets.mlp()[0]).to_html(panels=panels()))


def test_tabs_by_keyboard(page):
    assert page.get_by_role("tab").count() == 6
    page.get_by_role("tab", name="Graph").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", name="Gradient through time").get_attribute(
        "aria-selected"
    ) == "true"  # fmt: skip
    assert page.get_by_role("heading", name="Gradient through time").is_visible()
    assert not page.locator("#stage").is_visible()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#stage").is_visible()
    assert page.locator(".panel:visible").count() == 0
    page.keyboard.press("ArrowLeft")
    assert page.get_by_role("heading", name="Loss landscape").is_visible()


def test_curves_are_read_point_by_point(page):
    page.get_by_role("tab", name="Gradient through time").click()
    curves = page.locator(".curves:visible")
    assert curves.locator(".curve").count() == 4  # each with its sample
    dashes = {c.get_attribute("stroke-dasharray") for c in curves.locator(".curve").all()}
    assert len(dashes) == 2  # told apart without colour
    curves.focus()
    page.keyboard.press("ArrowRight")
    reading = page.locator(".panel:visible .reading")
    assert reading.inner_text() == "step t = 0: RNN 1e-6, LSTM 0.1"
    page.keyboard.press("ArrowRight")
    assert reading.inner_text() == "step t = 1: RNN 0.0001, LSTM 0.2"
    page.keyboard.press("End")
    assert "t = 3" in reading.inner_text()
    assert page.evaluate("minigrad.stepper.at") == 0  # the graph behind does not step


def test_maps_are_read_cell_by_cell(page):
    page.get_by_role("tab", name="Attention").click()
    canvas = page.locator(".panel:visible canvas")
    assert canvas.count() == 2
    assert "head 2: 6 by 5" in canvas.nth(1).get_attribute("aria-label")
    canvas.nth(1).focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    said = page.locator(".panel:visible .reading").inner_text()
    assert said.startswith("sat, b: ")
    assert float(said.split(": ")[1]) == pytest.approx(WEIGHTS[1, 2, 1], rel=2e-3)
    box = canvas.nth(0).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.locator(".panel:visible .reading").inner_text() != said


def test_a_canvas_shows_the_colours_of_the_scale(page):
    page.get_by_role("tab", name="Attention").click()
    found = page.evaluate(
        """() => {
            const figure = minigrad.panels.figures[2][0];
            const { canvas, left, top, wide, tall } = figure;
            const r = devicePixelRatio;
            const pen = canvas.getContext("2d");
            const all = pen.getImageData(0, 0, canvas.width, canvas.height).data;
            return figure.values.map((row, i) => row.map((_, j) => {
                const [x, y] = [(left + (j + 0.12) * wide) * r, (top + (i + 0.12) * tall) * r];
                const at = 4 * (Math.floor(y) * canvas.width + Math.floor(x));
                return [...all.slice(at, at + 3)];
            }));
        }"""
    )
    light = np.array(found, dtype=float) @ [0.2126, 0.7152, 0.0722]
    order = np.argsort(WEIGHTS[0], axis=None)
    assert (np.diff(light.flatten()[order]) >= -1.5).all()  # darker is less
    assert light.max() - light.min() > 60


def test_every_panel_has_its_numbers_as_a_table(page):
    for tab, cells in (
        ("Gradient through time", 8), ("Gates", 4 * 8 * 6), ("Attention", 60),
        ("Jacobian spectrum", 6), ("Loss landscape", 25),
    ):  # fmt: skip
        page.get_by_role("tab", name=tab).click()
        page.locator(".panel:visible summary").click()
        page.locator(".panel:visible table").first.wait_for()
        assert page.locator(".panel:visible tbody td").count() == cells
    page.get_by_role("tab", name="Attention").click()
    first = page.locator(".panel:visible tbody tr").first
    assert first.locator("th").inner_text() == "the"
    assert float(first.locator("td").first.inner_text()) == pytest.approx(
        WEIGHTS[0, 0, 0], rel=1e-3
    )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_panels(opened, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page = opened(viz.draw_graph(nets.mlp()[0]).to_html(panels=panels()), color_scheme=scheme)
    for i in range(5):
        page.evaluate(f"minigrad.panels.show({i})")
        page.locator(".panel:visible summary").click()
        found = axe.Axe().run(page).response["violations"]
        assert [(i, v["id"], [n["html"][:90] for n in v["nodes"][:3]]) for v in found] == []


def test_hostile_labels_stay_text(opened):
    name = "</script><img src=x onerror=alert(1)>"
    panel = Panel.attention(np.ones((1, 1)), [name], [name], title=name)
    page = opened(viz.draw_graph(nets.mlp()[0]).to_html(panels=[panel]))
    page.evaluate("minigrad.panels.show(0)")
    page.locator(".panel:visible summary").click()
    assert page.locator("img").count() == 0
    assert page.locator(".panel:visible th").first.text_content() == name[:40]


# -- attention on cards ----------------------------------------------------------------------------


def test_cards_of_attention_show_the_maps_of_the_heads(opened):
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
    x = mg.tensor(rng.standard_normal((7, 2, 8)).astype(np.float32))
    page = opened(models.recorded((model(x) ** 2).mean(), model, depth=9).to_html())
    page.locator("#graph g.node", has_text="attention").first.click()
    maps = page.locator("#side canvas")
    assert maps.count() == 2
    assert "head 1: 7 by 7" in maps.first.get_attribute("aria-label")
    maps.first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#side .reading").inner_text().startswith("target 0, source 0: ")
    rows = page.evaluate("minigrad.model.nodes.find((n) => n.maps).maps[0].rows")
    sums = [sum(row) for row in rows]
    np.testing.assert_allclose(sums, 1, atol=1e-3)


def test_a_decoder_has_one_alignment_over_its_steps(opened):
    page = opened(models.DRAWN["attention"]().to_html())
    found = page.evaluate(
        "minigrad.model.nodes.filter((n) => n.maps).map((n) =>"
        " [n.lines.length, n.maps.length, n.maps[0].rows.length])"
    )
    assert [9, 1, 9] in found


def test_a_closed_module_shows_where_it_looks(opened):
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
    x = mg.tensor(rng.standard_normal((7, 2, 8)).astype(np.float32))
    page = opened(models.recorded((model(x) ** 2).mean(), model, depth=1).to_html())
    page.locator("#graph g.node", has_text="self_attn").first.click()
    assert page.locator("#side canvas").count() == 2
