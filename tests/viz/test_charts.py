from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest

import minigrad as mg
from minigrad import viz
from minigrad.errors import ConfigError, ShapeError
from minigrad.viz.svg import fit, log_ticks, text_width, ticks

NS = "{http://www.w3.org/2000/svg}"


def texts(svg):
    return [t.text for t in ET.fromstring(svg).iter(f"{NS}text")]


def inside(svg):
    root = ET.fromstring(svg)
    width, height = float(root.get("width")), float(root.get("height"))
    for t in root.iter(f"{NS}text"):
        if t.get("transform"):
            continue
        x, w = float(t.get("x")), text_width(t.text, float(t.get("font-size")))
        left = {"start": x, "middle": x - w / 2, "end": x - w}[t.get("text-anchor")]
        assert left >= 0, t.text
        assert left + w <= width + 1, t.text
        assert 0 <= float(t.get("y")) <= height, t.text


def test_curves_are_labelled_at_their_ends():
    svg = viz.line_chart_svg({"train": [3, 2, 1.5], "valid": [3.1, 2.4, 2.2]}, "epoch", "loss")
    found = texts(svg)
    assert {"train", "valid", "1.5", "2.2", "epoch", "loss"} <= set(found)
    inside(svg)


def test_curve_points_are_where_the_axes_say():
    svg = viz.line_chart_svg({"y": ([0, 10], [0, 1])})
    (path,) = ET.fromstring(svg).iter(f"{NS}path")
    (x0, y0), (x1, y1) = (
        tuple(map(float, part[1:].split())) for part in path.get("d").replace("L", "|L").split("|")
    )
    assert x1 > x0
    assert y1 < y0


@pytest.mark.parametrize(
    "values",
    [[1.0], [2, 2, 2], [math.nan, 1, 2], [math.inf, -math.inf, math.nan], [], [-5, 5], [1e-9, 1e9]],
)
def test_odd_series(values):
    svg = viz.line_chart_svg({"a": values}, "x", "y", title="t", subtitle="s")
    ET.fromstring(svg)
    inside(svg)


def test_gaps_where_a_value_is_not_finite():
    svg = viz.line_chart_svg({"a": [1, 2, math.nan, 3, 4]})
    (path,) = ET.fromstring(svg).iter(f"{NS}path")
    assert path.get("d").count("M") == 2


def test_log_scale():
    svg = viz.line_chart_svg({"a": [1e-6, 1e-3, 1.0, 0.0]}, yscale="log")
    assert {"1", "0.01", "1e-06"} & set(texts(svg))


def test_long_series_are_thinned_and_keep_their_peaks():
    y = [0.0] * 200_000
    y[123_456] = 9.0
    svg = viz.line_chart_svg({"a": y})
    assert len(svg) < 200_000
    (path,) = ET.fromstring(svg).iter(f"{NS}path")
    tops = [float(p.split()[1]) for p in path.get("d").replace("M", "L").split("L")[1:]]
    assert min(tops) < sum(tops) / len(tops) - 100


def test_smoothing_draws_the_raw_values_faintly():
    svg = viz.line_chart_svg({"a": [float(i % 2) for i in range(60)], "b": [1.0, 2.0]}, smooth=0.9)
    assert svg.count("<path") == 3


def test_many_labels_do_not_collide():
    series = {f"run {i}": [1.0, 1.0 + i / 1000] for i in range(6)}
    svg = viz.line_chart_svg(series)
    found = ET.fromstring(svg).iter(f"{NS}text")
    ys = sorted(float(t.get("y")) for t in found if (t.text or "").startswith("run"))
    assert min(b - a for a, b in pairwise(ys)) > 20


@pytest.mark.parametrize("options", [{"yscale": "cubic"}, {"smooth": 1.0}, {"theme": "pink"}])
def test_bad_chart_options(options):
    with pytest.raises(ConfigError):
        viz.line_chart_svg({"a": [1, 2]}, **options)


def test_bad_series():
    with pytest.raises(ConfigError, match="no series"):
        viz.line_chart_svg({})
    with pytest.raises(ConfigError, match="2 x and 3 y"):
        viz.line_chart_svg({"a": ([1, 2], [1, 2, 3])})


def test_tensors_and_arrays_are_series_too():
    viz.line_chart_svg({"a": np.arange(3.0), "b": (np.arange(3), mg.tensor([1.0, 2.0, 3.0]))})


def test_attention_map():
    w = mg.softmax(mg.tensor(np.random.default_rng(0).standard_normal((3, 4)) * 3), axis=-1)
    svg = viz.attention_svg(w, ["le", "chat", "dort", "."], ["the", "cat", "sleeps"], title="A")
    found = texts(svg)
    assert {"le", "chat", "the", "sleeps", "A"} <= set(found)
    cells = list(ET.fromstring(svg).iter(f"{NS}rect"))
    assert len(cells) == 3 * 4 + 2
    best = np.asarray(w.numpy()).argmax(1)
    desc = ET.fromstring(svg).find(f"{NS}desc").text
    assert f"the looks most at {['le', 'chat', 'dort', '.'][best[0]]}" in desc
    inside(svg)


@pytest.mark.parametrize("shape", [(1, 1), (2, 70), (70, 2), (0, 3)])
def test_attention_of_any_size(shape):
    svg = viz.attention_svg(
        np.full(shape, 0.5), [f"source{i}" for i in range(shape[1])], ["t"] * shape[0]
    )
    ET.fromstring(svg)
    inside(svg)


def test_attention_with_nan_and_hostile_words():
    svg = viz.attention_svg([[math.nan, 1.0]], ["<b>", "\x00"], ['"&'], theme="dark")
    assert "#B00020" in svg
    assert "&lt;b&gt;" in svg
    ET.fromstring(svg)


def test_wrong_labels():
    with pytest.raises(ShapeError, match="2 labels for 3 columns"):
        viz.attention_svg(np.ones((1, 3)), ["a", "b"], ["x"])
    with pytest.raises(ShapeError, match="rows, columns"):
        viz.attention_svg(np.ones(3), ["a"], ["x"])


def test_heatmap():
    pytest.importorskip("matplotlib")
    figure = viz.heatmap(np.eye(3), ["a", "b", "$c$"], ["x", "long name", "z"], title="t $ t")
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b", r"\$c\$"]
    assert len(axes.texts) == 9
    figure.canvas.draw()
    assert not viz.heatmap(np.eye(3), annotate=False).axes[0].texts
    with pytest.raises(ShapeError):
        viz.heatmap(np.eye(3), rows=["a"])


def test_heatmap_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"minigrad\[viz\]"):
        viz.heatmap(np.eye(2))


def test_ticks():
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(1, 1) == [1]
    assert log_ticks(1e-6, 1) == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1]
    assert log_ticks(1, 9) == [1, 2, 5]
    assert fit("a long text", 12, 30).endswith("…")
