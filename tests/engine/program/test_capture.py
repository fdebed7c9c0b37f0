"""`mg.compile` on a device that captures graphs: the strict device's stand for CUDA's."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.engine.program.capture import Captured
from minigrad.errors import CompileError


def captured(compiled):
    (found,) = compiled.programs.values()
    assert isinstance(found, Captured)
    return found


def train(compile_, device, layer, dropout):
    mg.manual_seed(0)
    parts = {
        "embedding": nn.Embedding(11, 6),
        "rnn": layer(6, 8, num_layers=2, dropout=dropout),
        "head": nn.Linear(8, 11),
    }
    model = nn.ModuleDict(parts).to(device)
    optimizer = mg.optim.AdamW(model.parameters(), lr=0.05)
    schedule = mg.optim.StepLR(optimizer, step_size=2, gamma=0.5)

    def step(x, y):
        optimizer.zero_grad()
        h, _ = model["rnn"](model["embedding"](x))
        loss = nn.functional.cross_entropy(model["head"](h).reshape(-1, 11), y.reshape(-1))
        loss.backward()
        mg.optim.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss

    run = compile_(step)
    rng, losses = np.random.default_rng(0), []
    for _ in range(6):
        x, y = (mg.asarray(rng.integers(0, 11, (5, 3)), device=device) for _ in range(2))
        losses.append(run(x, y).item())
        schedule.step()
    return losses, [p.numpy().copy() for p in model.parameters()], run


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_captured_train_step_has_no_number_of_the_host_in_it(layer, dropout):
    losses, parameters, _ = train(lambda step: step, "strict", layer, dropout)
    again, same, run = train(mg.compile, "strict", layer, dropout)
    graph = captured(run)
    assert graph.graph is not None
    assert not graph.eager
    assert losses == again
    for a, b in zip(parameters, same, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_numbers_are_those_of_the_cpu():
    on_cpu, _, _ = train(mg.compile, "cpu", nn.LSTM, 0.4)
    on_gpu, _, _ = train(mg.compile, "strict", nn.LSTM, 0.4)
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-5)


def test_what_cannot_be_captured_runs_eagerly_and_is_named(caplog):
    w = mg.tensor([2.0], device="strict", requires_grad=True)

    @mg.compile
    def step(x):
        y = (w * x).sum()
        return y * 2 if y.item() > 0 else y

    with caplog.at_level(logging.WARNING, logger="minigrad.compile"):
        for k in (1.0, 2.0, -1.0):
            expected = 4 * k if k > 0 else 2 * k
            assert step(mg.tensor([k], device="strict")).item() == expected
    assert captured(step).eager
    assert len(caplog.records) == 1
    assert "test_capture.py:" in caplog.text
    assert "makes the host wait" in caplog.text


def test_modes_and_shapes_have_graphs_of_their_own():
    layer = nn.Dropout(0.5)
    f = mg.compile(layer)
    x = mg.ones(64, device="strict")
    for _ in range(3):
        assert f(x).numpy().min() == 0
    layer.eval()
    for _ in range(3):
        assert f(x).numpy().min() == 1
    assert len(f.programs) == 1  # recorded anew
    f(mg.ones(32, device="strict"))
    assert len(f.programs) == 2
    with pytest.raises(CompileError, match="graph of strict, not a program"):
        _ = f.program


def test_a_graph_is_captured_anew_when_a_parameter_lies_elsewhere():
    w = mg.tensor([1.0, 2.0], device="strict", requires_grad=True)
    f = mg.compile(lambda x: w * x)
    x = mg.tensor([3.0, 3.0], device="strict")
    for _ in range(3):
        np.testing.assert_array_equal(f(x).numpy(), [3.0, 6.0])
    first = captured(f)
    w.data = mg.tensor([5.0, 7.0], device="strict").data
    for _ in range(3):
        np.testing.assert_array_equal(f(x).numpy(), [15.0, 21.0])
    again = captured(f)
    assert again is not first
    assert again.graph is not None
    w.data[...] = mg.tensor([1.0, 0.0], device="strict").data  # in place: the graph reads it
    np.testing.assert_array_equal(f(x).numpy(), [3.0, 0.0])
    assert captured(f) is again


def test_arrays_of_the_host_are_uploaded_into_the_graphs_inputs():
    table = nn.Embedding(5, 2).to("strict")
    f = mg.compile(lambda ids: table(ids))  # noqa: PLW0108  called inside
    with mg.use_device("strict"):
        for ids in ([0, 1], [4, 2], [3, 3]):
            got = f(np.array(ids))
            np.testing.assert_array_equal(got.numpy(), table.weight.numpy()[ids])
    assert captured(f).graph is not None


def test_gradients_and_results():
    w = mg.tensor([1.0, 2.0], device="strict", requires_grad=True)

    @mg.compile
    def step(x):
        w.grad = None
        loss = (w * w * x).sum()
        loss.backward()
        return loss, w

    kept = []
    for k in (1.0, 3.0, 5.0):
        loss, leaf = step(mg.tensor([k, 1.0], device="strict"))
        kept.append(loss)
        assert leaf is w
        np.testing.assert_array_equal(w.grad.numpy(), [2 * k, 4.0])
    assert [loss.item() for loss in kept] == [5.0, 7.0, 9.0]
