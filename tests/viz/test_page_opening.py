"""Fused ops that open on the page, and loops whose single steps are shown, also inside loops."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, viz
from minigrad.testing.samples import table
from minigrad.viz.page import opening
from minigrad.viz.page.data import page_data
from minigrad.viz.page.view import compose

from . import models


def redrawn(page, count):
    page.wait_for_selector(f'body[data-drawn="{count}"]', timeout=30_000)


def titles(page):
    return [t.strip() for t in page.locator("#graph g.node").all_text_contents()]


def box_of(page, words):
    return page.evaluate(
        "(words) => minigrad.model.boxes.findIndex((b) => b.title.includes(words))", words
    )


# -- as data ---------------------------------------------------------------------------------------


def test_a_composite_stands_beside_its_op_with_gates_by_name():
    model, loss = models.tagger()
    graph = models.recorded(loss, model)
    found = opening.splice(graph.details.deep, graph.details.full, graph.details.openings)
    ((path, face),) = found.faces.items()
    assert found.base.items[face].op == "lstm"
    inner = [i for i in found.base.items.values() if i.path[: len(path)] == path]
    gates = {i.title for i in inner if i.kind == "gate"}
    assert gates == {"forget  f = σ", "input  i = σ", "candidate  g = tanh", "output  o = σ"}
    assert {i.op for i in inner} >= {"add", "multiply", "linear", "tanh"}
    cells = [box for box in found.base.boxes.values() if box.kind == "steps"]
    assert [box.count for box in cells] == [20]
    lines = sorted(line for i in inner for line in i.lines)
    start = graph.details.full.lines
    assert lines == list(range(start, start + len(lines)))  # after those of the tape


def test_links_lead_to_the_op_and_to_its_composite():
    model, loss = models.tagger()
    graph = viz.draw_graph(loss, model=model)
    found = opening.splice(graph.details.deep, graph.details.full, graph.details.openings)
    ((path, face),) = found.faces.items()
    items = found.base.items
    inside = {i.id for i in items.values() if i.path[: len(path)] == path}
    into, out = ({e.src for e in found.base.into(face)}, set())
    assert into == {e.src for e in found.base.links if e.dst in inside and e.src not in inside}
    for e in found.base.links:
        if e.src == face or (e.src in inside and e.dst not in inside):
            out.add((e.dst, e.arg))
    assert len(out) == 1


def test_an_op_inside_a_loop_opens_too():
    graph = models.DRAWN["attention"]()
    ops = {o.op.name for o in graph.details.openings.values()}
    assert {"gru", "additive_attention", "layer_norm"} & ops
    assert "gru" in ops


FUSED = [sample for sample in table() if sample.registered.plain is not None and sample.orders]


@pytest.mark.parametrize("sample", FUSED, ids=str)
def test_every_fused_op_opens(sample):
    inputs = sample.draw()
    trained = sample.differentiated(inputs)
    tensors = [
        mg.tensor(x, requires_grad=i in trained) if isinstance(x, np.ndarray) else x
        for i, x in enumerate(inputs)
    ]
    out = sample(*tensors)
    graph = viz.draw_graph([o for o in (out if isinstance(out, tuple) else [out]) if o is not None])
    found = opening.splice(graph.details.deep, graph.details.full, graph.details.openings)
    ((path, face),) = found.faces.items()
    assert found.base.items[face].op == sample.op
    inside = {i.id for i in found.base.items.values() if i.path[: len(path)] == path}
    assert sum(found.base.items[i].ordered for i in inside) > 1
    leaving = {e.dst for e in found.base.links if e.src in inside and e.dst not in inside}
    assert leaving == {e.dst for e in found.base.links if e.src == face}


def test_nothing_of_the_computation_is_kept_for_it():
    model, loss = models.tagger()
    details = viz.draw_graph(loss, model=model).details
    (found,) = details.openings.values()
    assert all(a is None or isinstance(a, opening.Spec) for a in found.args)
    assert "array(" not in repr(details)


def test_too_large_an_op_stays_closed(monkeypatch):
    monkeypatch.setattr(opening, "LARGEST", 10)
    model, loss = models.tagger()
    assert viz.draw_graph(loss, model=model).details.openings == {}


def test_opening_draws_no_random_numbers():
    model, loss = models.tagger()
    graph = viz.draw_graph(loss, model=model)
    mg.manual_seed(5)
    first = mg.rand(3).numpy()
    mg.manual_seed(5)
    graph.to_html()
    again = mg.rand(3).numpy()
    np.testing.assert_array_equal(first, again)


def test_lengths_keep_their_values():
    rnn = nn.LSTM(3, 4)
    x = mg.tensor(np.ones((5, 2, 3), np.float32))
    loss = rnn(x, lengths=mg.tensor(np.array([5, 2])))[0].sum()
    graph = viz.draw_graph(loss, model=rnn)
    data = page_data(graph.ir, graph.details, graph.show).data
    assert [box["title"] for box in data["boxes"] if "face" in box] == ["lstm"]


def test_the_first_view_is_that_of_the_closed_op():
    model, loss = models.tagger()
    graph = viz.draw_graph(loss, model=model)
    data = page_data(graph.ir, graph.details, graph.show).data
    source = compose(data)
    assert "forget" not in source
    declared = set(re.findall(r"^(n\w+) \[", source, re.MULTILINE)) - {"node"}
    assert len(declared) == len(graph.ir.items)
    ends = {n for pair in re.findall(r"^(\w+) -> (\w+)", source, re.MULTILINE) for n in pair}
    assert ends <= declared


# -- in the browser --------------------------------------------------------------------------------


@pytest.mark.parametrize("recorded", [True, False], ids=["after", "before"])
def test_a_fused_op_opens_and_closes(opened, recorded):
    model, loss = models.tagger()
    graph = models.recorded(loss, model) if recorded else viz.draw_graph(loss, model=model)
    page = opened(graph.to_html())
    before, source = titles(page), page.evaluate("minigrad.compose()")
    page.get_by_role("button", name="rnn lstm").click()
    page.get_by_role("button", name="Open: the same function in plain ops").click()
    redrawn(page, 2)
    after = titles(page)
    for gate in ("forget  f = σ", "input  i = σ", "candidate  g = tanh", "output  o = σ"):
        assert any(gate.split()[0] in t for t in after), gate
    assert any(t.startswith("c [t") for t in after)
    assert "20 steps" in page.text_content("#graph")
    assert "one line" in page.inner_text("#side")
    page.get_by_role("button", name="Close: one fused op again").click()
    redrawn(page, 3)
    assert titles(page) == before
    assert page.evaluate("minigrad.compose()") == source


def test_a_sign_on_the_corner_opens_it(opened):
    model, loss = models.tagger()
    page = opened(viz.draw_graph(loss, model=model).to_html())
    page.locator("#graph .plus").click()
    redrawn(page, 2)
    assert any("forget" in t for t in titles(page))


def test_steps_of_an_opened_op(opened):
    model, loss = models.tagger()
    page = opened(models.recorded(loss, model).to_html())
    page.locator("#graph .plus").click()
    redrawn(page, 2)
    page.evaluate("(b) => minigrad.reveal(b, '3, 19')", box_of(page, "step t"))
    redrawn(page, 3)
    frames = {t.strip() for t in page.locator("#graph g.cluster").all_text_contents()}
    assert {"step t = 3", "step t = 19"} <= frames
    shown = titles(page)
    assert {"t = 0 … 2", "t = 4 … 18"} <= set(shown)
    assert sum("forget" in t for t in shown) == 2
    page.locator("#graph g.node", has_text="forget").first.click()
    assert "opened" in page.inner_text("#side .sub")


def test_single_steps_show_their_own_gradients(opened):
    graph = models.lstm20()
    page = opened(graph.to_html())
    page.evaluate("(b) => minigrad.reveal(b, '0, 19')", box_of(page, "step t"))
    redrawn(page, 2)
    shown = page.evaluate(
        """[...document.querySelectorAll("#graph g.node")]
            .map((g) => [minigrad.model.instance(g.dataset.name), g.textContent])
            .filter(([part, text]) => part && !part.whole && text.includes("|grad|"))
            .map(([part, text]) => [part.lines[0], text])"""
    )
    assert len(shown) == 2 * 7  # two products, three gates, a candidate, a tanh
    for line, text in shown:
        words = text.split("|grad|")[1].strip()
        assert float(words.replace("−", "-")) == pytest.approx(
            graph.details.grads[line].norm, rel=5e-3
        )


def test_stepping_marks_the_frame_of_an_opened_op(opened):
    model, loss = models.tagger()
    graph = models.recorded(loss, model)
    page = opened(graph.to_html())
    page.locator("#graph .plus").click()
    redrawn(page, 2)
    order = page.evaluate("minigrad.model.steps.map((s) => s[0])")
    assert order == [event.line for event in graph.details.events]
    page.evaluate("minigrad.stepper.go(minigrad.model.steps.findIndex((s) => s[0] === 1) + 1)")
    assert page.locator("#graph .cluster.at").count() == 1
    assert page.locator("#graph .node.reached").count() >= 4


def test_loops_in_loops_show_single_steps(opened):
    graph = models.recorded(models.layers_of_steps())
    page = opened(graph.to_html())
    inner, outer = box_of(page, "step t"), box_of(page, "layer")
    start = titles(page)
    page.evaluate("(b) => minigrad.reveal(b, '0, 5')", inner)
    redrawn(page, 2)
    shown = titles(page)
    assert sum(t.startswith("tanh") for t in shown) == 2  # each stands for four layers
    assert {"t = 1 … 4", "t = 6 … 7"} <= set(shown)
    page.locator("#graph g.node", has_text="tanh").first.click()
    assert "4 lines" in page.inner_text("#side")
    page.evaluate("(b) => minigrad.reveal(b, '1')", outer)
    redrawn(page, 3)
    shown = titles(page)
    assert {"ℓ = 0", "ℓ = 2 … 3", "t = 1 … 4"} <= set(shown)
    assert any(t.startswith("wx1") for t in shown)
    assert not any(t.startswith(("wx0", "wx[")) for t in shown)
    page.evaluate("(b) => minigrad.reveal(b, '')", inner)
    redrawn(page, 4)
    shown = titles(page)
    assert any(t.startswith("state [t") for t in shown)  # the inner loop is folded again
    source = page.evaluate("minigrad.compose()")
    declared = set(re.findall(r"^(\w+) \[", source, re.MULTILINE))
    ends = {n for pair in re.findall(r"^(\w+) -> (\w+)", source, re.MULTILINE) for n in pair}
    assert ends <= declared
    page.evaluate("(b) => minigrad.reveal(b, '')", outer)
    redrawn(page, 5)
    assert titles(page) == start


def test_opening_and_closing_by_keyboard_alone(opened):
    model, loss = models.tagger()
    page = opened(viz.draw_graph(loss, model=model).to_html())
    node = page.get_by_role("button", name="rnn lstm")
    node.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("Open")
    page.keyboard.press("Enter")
    redrawn(page, 2)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "close rnn"
    page.keyboard.press("Enter")
    redrawn(page, 3)
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("rnn")


def test_steps_that_were_chosen_when_drawing(opened):
    loss = models.nets.lstm(20)[0]
    graph = viz.draw_graph(loss, expand={"steps": [3, -1]})
    page = opened(graph.to_html())
    times = page.evaluate("minigrad.model.steps.map((s) => minigrad.model.time(s[0]))")
    walked = list(dict.fromkeys(t for t in times if t))
    assert walked == [f"t = {t}" for t in reversed(range(20))]
    middle = page.evaluate("minigrad.model.boxes.findIndex((b) => b.clock?.first === 4)")
    page.evaluate("(b) => minigrad.reveal(b, '3, 5, 18')", middle)  # 3 stands elsewhere
    redrawn(page, 2)
    frames = {t.strip() for t in page.locator("#graph g.cluster").all_text_contents()}
    assert {"step t = 5", "step t = 18"} <= frames
    assert "step t = 3" not in frames
    assert {"t = 4", "t = 6 … 17"} <= set(titles(page))


def test_an_opened_cell_reads_from_top_to_bottom_with_its_parameters(opened):
    model, loss = models.tagger()
    page = opened(viz.draw_graph(loss, model=model).to_html())
    page.locator("#graph .plus").click()
    redrawn(page, 2)

    def at(words):
        return page.locator("#graph g.node", has_text=words).first.bounding_box()

    assert at("c [t]")["y"] < at("forget")["y"] < at("output")["y"]
    frame = page.locator("#graph g.cluster", has_text="plain ops").last.bounding_box()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        assert frame["x"] < at(name)["x"] < at("forget")["x"]
    assert at("head.weight")["x"] > at("forget")["x"]
