from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import viz
from minigrad.errors import ConfigError
from minigrad.viz.overlay import level
from minigrad.viz.spy import watched
from minigrad.viz.stats import stats
from minigrad.viz.tape import Tape
from tests.viz import nets


def test_values_and_gradients_are_those_of_the_arrays():
    w = nets.leaf(3, 2)
    z = nets.constant(4, 3) @ w
    y = mg.tanh(z)
    loss = (y * y).sum()
    g_z = 2 * y.numpy() * (1 - y.numpy() ** 2)
    with viz.record(loss) as seen:
        loss.backward()
    lines = {node.op.name: i for i, node in enumerate(seen.tape.lines)}
    assert seen.values[lines["matmul"]].norm == pytest.approx(np.linalg.norm(z.numpy()), rel=1e-5)
    assert seen.values[lines["sum"]].mean == pytest.approx(loss.item(), rel=1e-5)
    assert seen.grads[lines["matmul"]].norm == pytest.approx(np.linalg.norm(g_z), rel=1e-5)
    assert seen.grads[lines["sum"]].norm == 1


def test_order_is_the_engines():
    loss = nets.lstm(6)[0]
    with viz.record(loss) as seen:
        loss.backward()
    assert seen.order == sorted(seen.order, reverse=True)
    assert len(seen.order) == len(seen.tape.lines)
    assert all(seconds >= 0 for seconds in seen.seconds.values())


def test_gradients_are_the_same_with_and_without():
    plain, params = nets.lstm(6)
    plain.backward()
    watched, again = nets.lstm(6)
    with viz.record(watched, expand=True):
        watched.backward()
    for name, p in params.items():
        np.testing.assert_array_equal(p.grad.numpy(), again[name].grad.numpy())


def test_hooks_go_even_after_an_error():
    loss = nets.mlp()[0]
    with pytest.raises(KeyError), viz.record(loss):
        raise KeyError("stop")
    for node in Tape(loss).lines:
        assert not any((node.hooks or {}).values())


def test_without_backward_there_are_values_and_no_gradients():
    loss = nets.mlp()[0]
    with viz.record(loss) as seen:
        pass
    assert len(seen.values) == 8
    assert not seen.grads
    assert viz.draw_graph(loss, record=seen).ir.banner


def test_strips_have_a_column_per_step():
    loss, params = nets.lstm(20)
    with viz.record(loss) as seen:
        loss.backward()
    graph = viz.draw_graph(loss, params=params, record=seen)
    by_title = {i.title: i for i in graph.ir.items.values()}
    forget = by_title["forget  f = σ"]
    assert len(forget.facts["grads"]) == 20
    assert [len(row) for row in forget.facts["heat"]] == [20] * 5
    assert by_title["h [t]"].facts["grads"] == [
        f for f in by_title["h [t]"].facts["grads"] if 0 <= f <= 1
    ]
    low, high = forget.facts["grad_scale"]
    assert 0 < low < high
    assert "|gradient|" in graph.source


def test_the_strip_of_a_node_is_the_gradient_of_its_lines():
    loss, params = nets.lstm(20)
    with viz.record(loss) as seen:
        loss.backward()
    graph = viz.draw_graph(loss, params=params, record=seen)
    for item in graph.ir.items.values():
        if item.lines and "grads" in item.facts:
            low, high = item.facts["grad_scale"]
            expected = [level(seen.grads[line].norm, low, high) for line in item.lines]
            assert item.facts["grads"] == expected


def test_more_steps_than_columns_are_binned():
    loss, params = nets.lstm(150, batch=1, hidden=2)
    with viz.record(loss) as seen:
        loss.backward()
    graph = viz.draw_graph(loss, params=params, record=seen)
    assert {len(i.facts["grads"]) for i in graph.ir.items.values() if "grads" in i.facts} == {64}


def test_the_first_nan_is_named():
    x = nets.leaf(3)
    with np.errstate(invalid="ignore"):
        y = mg.log(x - 5.0)
        loss = mg.tanh(y).sum()
        with viz.record(loss) as seen:
            loss.backward()
        graph = viz.draw_graph(loss, record=seen)
    bad = {i.op: i.facts.get("bad", "") for i in graph.ir.items.values()}
    assert bad["log"] == "the first NaN or infinity"
    assert bad["tanh"] == "NaN or infinity"
    assert bad["subtract"] == "gradient not finite"
    assert "⚠" in graph.source


def test_opened_lines_are_watched_inside():
    @mg.fused
    def viz_square(xp, x, *, keep):
        return x * x, None

    @viz_square.backward
    def _(xp, g, y, inputs, residual, needs):
        return (2 * g * inputs[0],)

    @viz_square.composite
    def _(x):
        return mg.exp(2.0 * mg.log(x))

    x = mg.tensor([1.0, 2.0], requires_grad=True)
    loss = viz_square(x).sum()
    with viz.record(loss, expand="viz_square") as seen:
        loss.backward()
    names = [node.op.name for node in seen.tape.lines]
    assert names == ["log", "multiply", "exp", "sum"]
    assert len(seen.values) == 4
    by_name = {names[line]: s for line, s in seen.grads.items()}
    np.testing.assert_allclose(by_name["multiply"].norm, np.linalg.norm([1.0, 4.0]), rtol=1e-6)
    np.testing.assert_allclose(x.grad.numpy(), [2.0, 4.0])


def test_a_sequence_in_one_line_has_steps():
    s = stats(np.arange(24.0).reshape(4, 2, 3), sequence=True)
    assert len(s.steps) == 4
    assert s.steps[1].norm == pytest.approx(np.linalg.norm(np.arange(6.0, 12.0)))


def test_statistics_of_odd_arrays():
    assert stats(np.array([np.nan, np.inf])).bad == 2
    assert stats(np.zeros((0, 3))).norm == 0
    assert stats(np.array([True, False])).mean == 0.5
    assert stats(np.array(3)).norm == 3


def test_nothing_is_kept_when_nothing_is_recorded():
    loss = nets.mlp()[0]
    viz.draw_graph(loss)
    assert all(node.hooks is None for node in Tape(loss).lines)


def test_the_gradients_of_all_outputs_of_a_line_count():
    x = nets.leaf(4, 3)
    rows = mg.unstack(x)
    loss = sum((i + 1.0) * row.sum() for i, row in enumerate(rows))
    with viz.record(loss) as seen:
        loss.backward()
    (line,) = [i for i, n in enumerate(seen.tape.lines) if n.op.name == "unstack"]
    assert seen.grads[line].norm == pytest.approx(np.linalg.norm(x.grad.numpy()), rel=1e-6)
    assert seen.order == sorted(seen.order, reverse=True)


def test_record_of_a_model_watches_a_training_step():
    model = mg.nn.Sequential(mg.nn.Linear(3, 4), mg.nn.Tanh(), mg.nn.Linear(4, 1))
    x = nets.constant(5, 3)
    with viz.record(model) as seen:
        loss = model(x).sum()
        loss.backward()
    assert len(seen.values) == len(seen.grads) == len(seen.forward) == 4
    assert [e.line for e in seen.events] == [3, 2, 1, 0]
    graph = viz.draw_graph(loss, record=seen)
    assert graph.ir.title.startswith("Sequential")  # it knows the model
    assert all("grads" in i.facts or "grad" in i.facts for i in graph.ir.items.values() if i.lines)


def test_a_checkpoint_is_one_line_whose_value_others_may_have_saved():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    for after, values in (lambda y: y * x, {0, 1, 2}), (lambda y: y + 1.0, set()):
        with viz.record() as seen:
            after(mg.checkpoint(mg.sin, x)).sum().backward()
        assert set(seen.values) == values
        assert set(seen.grads) == {0, 1, 2}


def test_the_last_of_several_backward_passes_stays():
    w = nets.leaf(2)
    with viz.record() as seen:
        (w * w).sum().backward()
        loss = mg.exp(mg.sin(w)).sum()
        loss.backward()
    assert [n.op.name for n in seen.tape.lines] == ["sin", "exp", "sum"]
    loss = (w * w).sum()
    loss.backward()  # outside: not watched
    assert len(seen.tape.lines) == 3


def test_a_record_without_backward_says_so():
    with viz.record() as seen:
        loss = nets.mlp()[0]
    with pytest.raises(ConfigError, match="no backward"):
        viz.draw_graph(loss, record=seen)


def test_recording_leaves_no_trace():
    w = nets.leaf(2)
    loss = (w * w).sum()
    with viz.record():
        loss.backward(retain_graph=True)
    nodes = viz.tape.Tape(loss).lines
    assert all(not any((n.hooks or {}).values()) for n in nodes)
    assert {type(n.op).__name__ for n in nodes} == {"Op"}
    before = w.grad.numpy().copy()
    w.grad = None
    loss.backward()
    assert (w.grad.numpy() == before).all()


def test_random_numbers_are_where_they_were():
    layer = mg.nn.Dropout(0.5)
    x = nets.leaf(50)
    mg.manual_seed(3)
    loss = layer(x * 1.0).sum()
    first = mg.rand((3,)).numpy()
    mg.manual_seed(3)
    with viz.record():
        loss = layer(x * 1.0).sum()
        loss.backward()
    assert (mg.rand((3,)).numpy() == first).all()


def test_alignment_of_a_decoder_is_one_map_with_a_row_per_step():
    attention = mg.nn.AdditiveAttention(4, 4, 4)
    cell = mg.nn.GRUCell(4, 4)
    memory, state = nets.constant(2, 6, 4), nets.constant(2, 4)
    rows = []
    for _ in range(5):
        context, weights = attention(state, memory)
        rows.append(weights.numpy()[0])
        state = cell(context, state)
    loss = state.sum()
    with viz.record(loss) as seen:
        loss.backward()
    graph = viz.draw_graph(loss, record=seen)
    (item,) = [i for i in graph.ir.items.values() if "maps" in i.facts]
    (one,) = item.facts["maps"]
    assert one["name"] == ""
    assert np.allclose(one["rows"], rows, atol=1e-4)
    assert "attention: 0" in graph.source


def test_each_head_has_a_map_also_on_a_closed_module():
    model = mg.nn.MultiheadAttention(8, 4)
    x = nets.constant(40, 2, 8)
    y, weights = model(x, x, x, average_attn_weights=False)
    loss = y.sum()
    with viz.record(loss) as seen:
        loss.backward()
    for depth in (0, 3):
        graph = viz.draw_graph(loss, model=model, record=seen, depth=depth)
        (item,) = [i for i in graph.ir.items.values() if "maps" in i.facts]
        assert [m["name"] for m in item.facts["maps"]] == [f"head {n}" for n in (1, 2, 3, 4)]
        shown = np.array([m["rows"] for m in item.facts["maps"]])
        assert np.allclose(shown, weights.numpy()[0], atol=1e-4)


def test_long_attention_is_averaged_down():
    from minigrad.viz.stats import shrunk

    x = np.arange(12.0).reshape(3, 4)
    assert np.allclose(shrunk(x, 2), [[0.5, 2.5], [6.5, 8.5]])
    assert np.allclose(shrunk(np.ones((100, 70)), 32), np.ones((32, 32)))


def test_the_first_nan_is_named_in_the_heading():
    w = mg.tensor([-1.0, 2.0], requires_grad=True)
    with np.errstate(all="ignore"), viz.record() as seen:
        loss = mg.exp(mg.log(w)).sum()
        loss.backward()
    graph = viz.draw_graph(loss, record=seen)
    assert "the first NaN or infinity: log, line 1" in graph.ir.notes
    assert "first NaN" in graph.summary()
    assert "test_record" not in graph.source  # no path, unless asked for
    graph = viz.draw_graph(loss, record=seen, show_places=True)
    assert any("log, line 1, test_record.py" in note for note in graph.ir.notes)


def test_what_a_line_sends_has_the_shape_of_its_argument():
    bias = nets.leaf(2)
    y = nets.constant(3, 2) + bias
    events = []
    with watched({y.node: 0}, events):
        y.sum().backward()
    assert [glimpse and glimpse.shape for glimpse in events[0].sent] == [None, (2,)]
