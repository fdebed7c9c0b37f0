from __future__ import annotations

import itertools

import pytest

import minigrad as mg
from minigrad import nn, viz
from minigrad.errors import ConfigError
from minigrad.viz import shade
from minigrad.viz.style import DARK, LIGHT, contrast
from tests.viz import nets


@pytest.fixture(scope="module")
def recorded():
    mg.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 3))
    loss = (model(nets.constant(16, 4)) ** 2).sum()
    with viz.record(loss) as seen:
        loss.backward(retain_graph=True)
    return loss, model, seen


def draw(recorded, **options):
    loss, model, seen = recorded
    return viz.draw_graph(loss, model=model, record=seen, **options)


def shades(graph):
    return {i.id: i.facts["shade"] for i in graph.ir.items.values() if "shade" in i.facts}


@pytest.mark.parametrize("look", [LIGHT, DARK])
def test_text_stays_readable_on_every_fill(look):
    fills = [scale[look.name == "dark"] for scale in shade.SCALES.values()]
    fills += [[m[look.name == "dark"]] for m in shade.MODULES]
    for fill, ink in itertools.product(itertools.chain(*fills), (look.ink, look.muted)):
        assert contrast(fill, ink) >= 4.5, (fill, ink)


@pytest.mark.parametrize("by", ["grad", "time", "memory"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_most_is_the_darkest_and_the_legend_says_so(recorded, by, theme):
    graph = draw(recorded, color_by=by, theme=theme)
    found = shades(graph)
    key = {"grad": "grad", "time": "seconds"}.get(by)
    items = [graph.ir.items[i] for i in found]
    most = max(items, key=lambda i: i.facts.get(key, -1) if key else i.saved)
    scale = shade.SCALES[by][theme == "dark"]
    assert most.facts["shade"][1] == scale[-1]
    assert len({fill for _, fill in found.values()}) > 2
    ((before, colours, after),) = graph.ir.key
    assert before.startswith("colour, ")
    assert colours == scale
    assert after.endswith("(log)")
    assert f'fillcolor="{scale[-1]}"' in graph.source
    assert "colour, " in graph.source


def test_by_module(recorded):
    graph = draw(recorded, color_by="module")
    ops = {i.title: i.facts["shade"] for i in graph.ir.items.values() if i.op == "linear"}
    assert len(ops) == len(set(ops.values())) == 2
    assert [after for _, _, after in graph.ir.key] == ["linear [0]", "tanh [1]", "linear [2]"]


def test_by_a_function(recorded):
    def width(item):
        return item.specs[0][0][-1] if item.lines and item.specs[0][0] else None

    graph = draw(recorded, color_by=width)
    assert graph.ir.key == [("colour, width: 3", shade.SCALES["value"][0], "64")]
    fills = {i.op: i.facts["shade"][1] for i in graph.ir.items.values() if "shade" in i.facts}
    assert fills["tanh"] == shade.SCALES["value"][0][-1]
    red = draw(recorded, color_by=lambda i: "#fde0e0" if i.op == "tanh" else None)
    assert [fill for _, fill in shades(red).values()] == ["#FDE0E0"]


def test_saved_bytes(recorded):
    graph = draw(recorded, show_saved=True)
    (tanh,) = (i for i in graph.ir.items.values() if i.op == "tanh")
    assert "keeps 4,096 bytes" in tanh.notes  # 16 × 64 numbers of four bytes
    assert "keeps 4,096 bytes" in graph.source
    assert "bytes" not in "".join(n for i in draw(recorded).ir.items.values() for n in i.notes)


def test_a_collapsed_module_adds_up_its_members(recorded):
    open_, closed = (draw(recorded, depth=d, color_by="memory") for d in (2, 0))
    (module,) = (i for i in closed.ir.items.values() if i.kind == "module")
    inside = set(module.lines)
    total = sum(i.saved for i in open_.ir.items.values() if inside.issuperset(i.lines))
    assert f"keeps {total:,} bytes" in module.notes


def test_nothing_to_show_is_an_error():
    output, _ = nets.mlp()
    with pytest.raises(ConfigError, match="'time' has nothing to show: give record="):
        viz.draw_graph(output, color_by="time")
    with pytest.raises(ConfigError, match="call backward"):
        viz.draw_graph(output, color_by="grad")
    output.backward()
    with pytest.raises(ConfigError, match="has freed what was kept"):
        viz.draw_graph(output, color_by="memory")
    with pytest.raises(ConfigError, match="color_by='size' is not one of 'grad'"):
        viz.draw_graph(output, color_by="size")
    with pytest.raises(ConfigError, match="expected a number or #RRGGBB"):
        viz.draw_graph(output, color_by=lambda item: "red")


def test_what_a_line_keeps_is_named():
    w, x = nets.leaf(4, 4), nets.constant(2, 4)
    loss = mg.tanh(x @ w).sum()
    graph = viz.draw_graph(loss, show_saved=True)
    notes = {i.op: i.notes for i in graph.ir.items.values() if i.lines}
    assert notes["matmul"] == ["keeps 32 bytes", "a (2, 4)"]
    assert notes["tanh"] == ["keeps 32 bytes", "y (2, 4)"]
    assert notes["sum"] == []
    loss.backward()
    graph = viz.draw_graph(loss, show_saved=True)
    assert not any(i.notes for i in graph.ir.items.values() if i.lines)
