"""The page in a real browser: what it shows, by mouse and by keyboard."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minigrad as mg
from minigrad import viz
from minigrad.viz.page.data import page_data
from minigrad.viz.page.view import compose


def redrawn(page, count):
    page.wait_for_selector(f'body[data-drawn="{count}"]', timeout=30_000)


def dot(page):
    return page.evaluate("minigrad.compose()")


def test_first_paint_needs_no_script(browser, tmp_path, lstm):
    graph, _, _ = lstm
    graph.to_html(tmp_path / "p.html")
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((tmp_path / "p.html").as_uri())
    assert page.locator("#graph g.node").count() == len(graph.ir.items)
    assert page.locator("#graph").bounding_box()["width"] > 500
    context.close()


def test_the_script_writes_the_dot_of_python(opened, lstm):
    graph, _, _ = lstm
    data = page_data(graph.ir, graph.details, graph.show).data
    assert dot(opened(graph.to_html())) == compose(data)


def test_steps_are_the_engines_and_numbers_are_the_arrays(opened, lstm):
    graph, seen, params = lstm
    page = opened(graph.to_html())
    lines, last = [], {}
    for event in seen.events:
        page.keyboard.press("ArrowRight")
        words = page.inner_text("#where")
        lines.append(int(words.split("line ")[1].split(" ")[0]) - 1)
        if len(lines) % 17 == 3:
            norm = page.inner_text("#side .norm >> nth=0").split("= ")[-1].split(" ")[0]
            shown = float(norm.replace("−", "-").replace(",", ""))
            assert shown == pytest.approx(event.came[0].norm, rel=1e-3)
    assert lines == [event.line for event in seen.events] == seen.order
    steps = page.evaluate(
        "minigrad.model.steps.map(s => s[1].map(t => [minigrad.model.nameOf(t[1]), t[4]]))"
    )
    for sent in steps:
        for name, norm in sent:
            last.setdefault(name, []).append(norm)
    head = np.linalg.norm(params["head"].grad.numpy())
    assert last["head"] == [pytest.approx(head, rel=1e-5)]
    assert len(last["w_h"]) == 20
    page.get_by_role("button", name="w_h").click()
    norm = np.linalg.norm(params["w_h"].grad.numpy())
    assert f"{norm:.4g}" in page.inner_text("#side")


def test_folded_cell_walks_back_in_time(opened, lstm):
    graph, _, _ = lstm
    page = opened(graph.to_html())
    times = page.evaluate("minigrad.model.steps.map(s => minigrad.model.time(s[0])).filter(t => t)")
    walked = list(dict.fromkeys(times))
    assert walked == [f"t = {t}" for t in reversed(range(20))]
    page.evaluate("minigrad.stepper.go(12)")
    assert page.locator("#graph .tag").text_content() == "t = 19"
    assert page.locator("#graph .node.at").count() == 1
    assert page.locator("#graph .edge.flow").count() >= 1
    accumulated = page.evaluate(
        "minigrad.model.steps.flatMap(s => s[1].filter(t => minigrad.model.nameOf(t[1]) === 'w_h'))"
    )
    assert [a[2:4] for a in accumulated] == [[n, 20] for n in range(1, 21)]
    at = page.evaluate(
        "1 + minigrad.model.steps.findIndex(s => s[1].some(t =>"
        " minigrad.model.nameOf(t[1]) === 'w_h' && t[2] === 7))"
    )
    page.evaluate(f"minigrad.stepper.go({at})")
    assert "7 of 20" in page.inner_text("#side")


def test_close_open_and_single_steps(opened, lstm):
    graph, _, _ = lstm
    page = opened(graph.to_html())
    before = page.locator("#graph g.node").count()
    page.get_by_role("button", name="close step t").click()
    redrawn(page, 2)
    assert page.locator("#graph g.node").count() < before
    page.get_by_role("button", name="Open", exact=True).click()
    redrawn(page, 3)
    assert page.locator("#graph g.node").count() == before
    page.fill("#steps", "3, 18")
    page.get_by_role("button", name="Show", exact=True).click()
    redrawn(page, 4)
    texts = page.locator("#graph g.cluster").all_text_contents()
    assert {"step t = 3", "step t = 18"} <= {t.strip() for t in texts}
    names = page.locator("#graph g.node").all_text_contents()
    gaps = [n.strip() for n in names if n.strip().startswith("t = ")]
    assert gaps == ["t = 0 … 2", "t = 4 … 17", "t = 19"]
    assert not any("[t−1]" in n for n in names)
    page.get_by_role("button", name="Fold the steps again").click()
    redrawn(page, 5)
    assert page.locator("#graph g.node").count() == before


def test_layers_open_one_by_one_with_their_own_parameters(opened):
    model = mg.nn.Sequential(
        *(mg.nn.Sequential(mg.nn.Linear(3, 3), mg.nn.Tanh(), mg.nn.Linear(3, 3)) for _ in range(6))
    )
    loss = model(mg.tensor(np.ones((2, 3), np.float32))).sum()
    page = opened(viz.draw_graph(loss, model=model, depth=1, fold=True).to_html())
    loop = page.evaluate("minigrad.model.boxes.findIndex((b) => b.body)")
    drawn = 1
    for chosen, shown in (("0, 4", 2), ("0-5", 6), ("", 0)):
        drawn += 1
        page.evaluate(f"minigrad.reveal({loop}, '{chosen}')")
        redrawn(page, drawn)
        source = dot(page)
        declared = set(re.findall(r"^(\w+) \[", source, re.MULTILINE))
        ends = {n for pair in re.findall(r"^(\w+) -> (\w+)", source, re.MULTILINE) for n in pair}
        assert ends <= declared
        assert len(re.findall(r"^subgraph cluster_s\d+t\d+", source, re.MULTILINE)) == shown
    page.evaluate(f"minigrad.reveal({loop}, '2')")
    redrawn(page, drawn + 1)
    page.get_by_role("button", name="2.0.weight").first.click()
    assert "2.0.weight" in page.inner_text("#side h2")


def test_zoom_pan_and_fit(opened, lstm):
    page = opened(lstm[0].to_html())

    def view():
        return [float(v) for v in page.get_attribute("#graph", "viewBox").split()]

    first = view()
    page.mouse.move(500, 400)
    page.mouse.wheel(0, -600)
    page.wait_for_timeout(100)
    assert view()[2] < first[2] * 0.6
    zoomed = view()
    page.mouse.down()
    page.mouse.move(420, 380, steps=4)
    page.mouse.up()
    assert view()[0] > zoomed[0]
    page.keyboard.press("0")
    assert view() == pytest.approx(first)
    page.get_by_role("button", name="Zoom in").click()
    assert view()[2] == pytest.approx(first[2] / 1.3)


def test_keyboard_walks_the_nodes(opened, lstm):
    page = opened(lstm[0].to_html())
    assert page.locator('#graph [tabindex="0"]').count() == 1
    page.locator('#graph g.node[data-name="no0"]').focus()
    walked = []
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
        walked.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert walked[0].startswith("sum")
    assert walked[1].startswith("matmul")
    page.keyboard.press("Enter")
    assert page.locator("#graph .node.selected").count() == 1
    assert page.evaluate("minigrad.stepper.at") == 0
    assert page.locator('#graph [tabindex="0"]').count() == 1


def test_after_a_click_arrows_step(opened, lstm):
    page = opened(lstm[0].to_html())
    page.get_by_role("button", name="w_h").click()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("minigrad.stepper.at") == 1
    page.keyboard.press("End")
    assert page.evaluate("minigrad.stepper.at") == 342
    page.get_by_role("slider").fill("7")
    assert "step 7 of 342" in page.inner_text("#where")
    page.get_by_role("button", name="Play").click()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Pause").click()
    assert page.evaluate("minigrad.stepper.at") >= 9


def test_table_and_saved_picture(opened, lstm, tmp_path):
    page = opened(lstm[0].to_html())
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the picture").click()
    download.value.save_as(tmp_path / "graph.svg")
    svg = (tmp_path / "graph.svg").read_text(encoding="utf-8")
    assert "forget" in svg
    assert "#01fe" not in svg
    page.get_by_role("button", name="Show the graph as a table").click()
    assert page.get_by_role("rowheader", name="w_h").is_visible()
    assert not page.locator("#stage").is_visible()
