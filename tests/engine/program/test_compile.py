"""`mg.compile`: what a program does of a step, and what it refuses."""

from __future__ import annotations

import gc
import logging
import threading
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import backend, nn
from minigrad.errors import CompileError, ConfigError, IndexRangeError


def language_model(layer=nn.LSTM, dropout=0.0):
    mg.manual_seed(0)
    return nn.ModuleDict(
        {
            "embedding": nn.Embedding(11, 6),
            "rnn": layer(6, 8, num_layers=2, dropout=dropout),
            "head": nn.Linear(8, 11),
        }
    )


def loss_of(model, x, y):
    h, _ = model["rnn"](model["embedding"](x))
    return nn.functional.cross_entropy(model["head"](h).reshape(-1, 11), y.reshape(-1))


def batches(n, T=5, B=3):
    rng = np.random.default_rng(0)
    return [(mg.asarray(rng.integers(0, 11, (T, B))), mg.asarray(rng.integers(0, 11, (T, B))))
            for _ in range(n)]  # fmt: skip


def train(step_of, n=6, **options):
    """Losses and final parameters of some steps; `step_of` compiles, or does not."""
    model = language_model(**options)
    optimizer = mg.optim.Adam(model.parameters(), lr=0.05)
    schedule = mg.optim.StepLR(optimizer, step_size=2, gamma=0.5)

    def step(x, y):
        optimizer.zero_grad()
        loss = loss_of(model, x, y)
        loss.backward()
        mg.optim.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        return loss

    run = step_of(step)
    losses = []
    for x, y in batches(n):
        losses.append(run(x, y).item())
        schedule.step()
    return losses, [p.numpy().copy() for p in model.parameters()], run


@pytest.mark.parametrize("layer", [nn.RNN, nn.LSTM, nn.GRU])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_a_whole_train_step_gives_the_bits_of_eager(layer, dropout):
    losses, parameters, _ = train(lambda step: step, layer=layer, dropout=dropout)
    again, same, run = train(mg.compile, layer=layer, dropout=dropout)
    assert losses == again
    assert len(set(losses)) == len(losses)
    assert len(run.programs) == 1
    for a, b in zip(parameters, same, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_are_left_in_grad_and_belong_to_the_last_call():
    w = mg.tensor([1.0, 2.0], requires_grad=True)

    @mg.compile
    def step(x):
        w.grad = None
        (w * w * x).sum().backward()

    for value in (1.0, 3.0, -2.0):
        assert step(mg.tensor([value, 1.0])) is None
        np.testing.assert_array_equal(w.grad.numpy(), [2 * value, 4.0])


def test_results_are_fresh():
    double = mg.compile(lambda x: x * 2)
    a, b = double(mg.tensor([1.0])), double(mg.tensor([5.0]))
    assert (a.item(), b.item()) == (2.0, 10.0)


def test_structures_in_and_out():
    @mg.compile
    def f(pair, *, options):
        return {"sum": pair[0] + pair[1], "rest": [options["scale"] * pair[0], "text", None]}

    for k in (1.0, 2.0, 3.0):
        out = f((mg.tensor([k]), mg.tensor([1.0])), options={"scale": mg.tensor(2.0)})
        assert out["sum"].item() == k + 1
        assert out["rest"][0].item() == 2 * k
        assert out["rest"][1:] == ["text", None]
    assert len(f.programs) == 1


def test_numpy_arrays_are_inputs_too():
    f = mg.compile(lambda x, lengths: nn.lengths_to_mask(lengths, 4) * x)
    x = mg.ones((2, 4))
    f(x, np.array([1, 2]))
    assert f(x, np.array([3, 4])).numpy().sum() == 7
    with pytest.raises(mg.errors.ShapeError, match="lengths from 1 to 9"):
        f(x, np.array([1, 9]))


def test_lengths_change_from_call_to_call():
    mg.manual_seed(0)
    lstm = nn.LSTM(3, 4, bidirectional=True)

    def run(x, lengths):
        lstm.zero_grad()
        y, _ = lstm(x, lengths=lengths)
        (y * y).sum().backward()
        return y

    compiled = mg.compile(run)
    rng = np.random.default_rng(0)
    for lengths in ([5, 3], [1, 5], [0, 2]):
        x = mg.asarray(rng.standard_normal((5, 2, 3), np.float32))
        got, grads = compiled(x, np.array(lengths)), [p.grad.numpy() for p in lstm.parameters()]
        grads = [g.copy() for g in grads]
        np.testing.assert_array_equal(got.numpy(), run(x, lengths).detach().numpy())
        for g, p in zip(grads, lstm.parameters(), strict=True):
            np.testing.assert_array_equal(g, p.grad.numpy())
    assert len(compiled.programs) == 1


def test_a_program_per_shape_dtype_and_constant():
    f = mg.compile(lambda x, k: x * k)
    for x in (mg.ones(2), mg.ones(3), mg.ones(2, dtype="float64")):
        f(x, 2)
        f(x, 2)
    f(mg.ones(2), 3)
    f(mg.ones(2), 3.0)
    with mg.no_grad():
        f(mg.ones(2), 2)
    assert len(f.programs) == 6


def test_the_oldest_program_goes(caplog):
    f = mg.compile(lambda x: x + 1, max_programs=2)
    with caplog.at_level(logging.INFO, logger="minigrad.compile"):
        for n in (1, 2, 1, 3, 1):
            f(mg.ones(n))
    assert len(f.programs) == 2
    assert sum(r.levelno == logging.WARNING for r in caplog.records) == 1
    assert "recording program 2" in caplog.text
    with pytest.raises(ConfigError, match="max_programs is 0"):
        mg.compile(lambda x: x, max_programs=0)


def test_training_mode_is_part_of_what_a_program_is_recorded_for():
    model = nn.Dropout(0.5)
    f = mg.compile(model)
    x = mg.ones(1000)
    assert f(x).numpy().min() == 0
    model.eval()
    assert f(x).numpy().min() == 1
    model.train()
    assert f(x).numpy().min() == 0
    assert next(reversed(f.programs.values())).valid()


def test_a_program_is_recorded_again_for_data_that_were_put_elsewhere():
    w = mg.tensor(np.ones(3), requires_grad=True)
    double = mg.compile(lambda x: x * w)
    x = mg.asarray(np.ones(3))
    double(x)
    w.data = np.full(3, 5.0)
    np.testing.assert_array_equal(double(x).numpy(), [5.0, 5.0, 5.0])
    np.testing.assert_array_equal(double(x).numpy(), [5.0, 5.0, 5.0])
    w.data[...] = 7.0  # in place: the program reads it
    np.testing.assert_array_equal(double(x).numpy(), [7.0, 7.0, 7.0])


def test_noise_is_fresh_and_the_streams_is_eagers():
    f = mg.compile(lambda x: x + mg.randn(4))
    mg.manual_seed(3)
    got = [f(mg.zeros(4)).numpy() for _ in range(3)]
    mg.manual_seed(3)
    for values in got:
        np.testing.assert_array_equal(values, mg.randn(4).numpy())


def test_running_statistics_move():
    eager, compiled = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    f = mg.compile(compiled)
    rng = np.random.default_rng(0)
    for _ in range(3):
        x = mg.asarray(rng.standard_normal((8, 3), np.float32))
        np.testing.assert_array_equal(f(x).numpy(), eager(x).detach().numpy())
    for name, value in eager.state_dict().items():
        np.testing.assert_array_equal(compiled.state_dict()[name].numpy(), value.numpy())


def test_state_passed_in_and_out():
    cell = nn.GRUCell(2, 3)

    @mg.compile
    def step(x, h):
        return cell(x, h)

    h = mine = mg.zeros((1, 3))
    with mg.no_grad():
        for k in range(4):
            x = mg.full((1, 2), float(k))
            h, mine = step(x, h), cell(x, mine)
            np.testing.assert_array_equal(h.numpy(), mine.numpy())


def test_second_order():
    @mg.compile
    def hessian_vector(x, v):
        x = x.detach().requires_grad_()
        (g,) = mg.grad((x**4).sum(), [x], create_graph=True)
        return mg.grad((g * v).sum(), x)

    for k in (1.0, 2.0):
        got = hessian_vector(mg.tensor([k]), mg.tensor([3.0]))
        assert got.item() == pytest.approx(12 * k * k * 3)


def test_inside_another_compiled_function():
    inner = mg.compile(lambda x: x * 2)
    outer = mg.compile(lambda x: inner(x) + 1)
    assert [outer(mg.tensor(k)).item() for k in (1.0, 2.0)] == [3.0, 5.0]
    assert not inner.programs


def test_methods():
    class Model:
        scale = 3.0

        @mg.compile
        def run(self, x):
            return x * self.scale

    model = Model()
    assert [model.run(mg.tensor(k)).item() for k in (1.0, 2.0)] == [3.0, 6.0]


@pytest.mark.parametrize(
    "reads", [lambda x: x.sum().item(), lambda x: bool(x.sum() > 0), lambda x: x.numpy(),
              lambda x: f"{x.sum():.2f}", lambda x: np.asarray(x.detach())]
)  # fmt: skip
def test_a_value_on_the_host_is_refused_with_the_line(reads):
    w = mg.tensor([1.0], requires_grad=True)

    def step(x):
        y = x * w
        reads(y)
        return y

    compiled = mg.compile(step)
    with pytest.raises(CompileError, match=r"test_compile.py:\d+"):
        compiled(mg.ones(3))
    assert type(w.data) is np.ndarray  # as it was
    assert not compiled.programs


def test_a_shape_that_depends_on_values_is_refused_when_it_changes():
    f = mg.compile(lambda x: x[x > 0].sum())
    assert f(mg.tensor([1.0, -1.0, 2.0])).item() == 3
    assert f(mg.tensor([5.0, 1.0, -1.0])).item() == 6
    with pytest.raises(CompileError, match=r"called at .*: its result has shape \(3,\)"):
        f(mg.tensor([1.0, 1.0, 1.0]))


def test_errors_of_the_function_leave_everything_as_it_was():
    w = mg.tensor([1.0], requires_grad=True)

    @mg.compile
    def step(x):
        (w * x).sum().backward()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        step(mg.ones(3))
    assert type(w.data) is np.ndarray
    assert type(w.grad.data) is np.ndarray
    assert backend.device("cpu").xp.__class__.__name__ != "Namespace"


def test_a_kept_tensor_is_refused():
    kept = []

    @mg.compile
    def step(x):
        kept.append(x * 2)

    with pytest.raises(CompileError, match="keeps a value"):
        step(mg.ones(3))


def test_gradients_from_before_are_refused():
    w = mg.tensor([1.0], requires_grad=True)
    (w * 2).sum().backward()
    step = mg.compile(lambda x: (w * x).sum().backward())
    with pytest.raises(CompileError, match=r"zero_grad\(\) inside"):
        step(mg.ones(1))


def test_arguments_with_a_history_are_refused():
    w = mg.tensor([1.0], requires_grad=True)
    with pytest.raises(CompileError, match="result of multiply"):
        mg.compile(lambda x: x)(w * 2)


def test_ids_are_looked_at_in_each_replay():
    table = nn.Embedding(4, 2)
    f = mg.compile(table)
    f(mg.tensor([0, 3]))
    with pytest.raises(IndexRangeError, match="id 7"):
        f(mg.tensor([0, 7]))
    np.testing.assert_array_equal(f(mg.tensor([1, 2])).numpy(), table.weight.numpy()[1:3])


def test_threads_share_a_program():
    f = mg.compile(lambda x: (x * x).sum())
    f(mg.ones(100))
    found = {}

    def work(k):
        found[k] = [f(mg.full((100,), float(k))).item() for _ in range(20)]

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert found == {k: [100.0 * k * k] * 20 for k in range(4)}


def test_the_listing_says_what_is_done_and_where():
    @mg.compile
    def f(x):
        return mg.tanh(x * 2) + 1

    f(mg.ones((2, 3)))
    text = str(f.program)
    assert text.startswith("program of 3 lines over")
    assert "         24  #0:f32[2,3] = multiply(@0:f32[2,3], 2)" in text
    assert "tanh" in text
    assert "test_compile.py:" in text


def test_a_program_goes_when_its_function_goes():
    w = mg.tensor(np.ones(1000), requires_grad=True)
    f = mg.compile(lambda x: (w * x).sum())
    f(mg.ones(1000, dtype="float64"))
    memory = weakref.ref(f.program)
    del f
    gc.collect()
    assert memory() is None


def test_code_that_numpy_does_not_see_is_a_line_of_its_own():
    from minigrad.engine import primitive

    def halve(source, target):
        for i, value in enumerate(source):
            target[i] = value / 2

    @mg.op
    def halved(xp, x):
        out = xp.empty_like(x)
        primitive(halve, x, out, writes=(1,))
        return out

    f = mg.compile(lambda x: halved(x) + 1)
    for k in (2.0, 4.0):
        np.testing.assert_array_equal(f(mg.full((3,), k)).numpy(), np.full(3, k / 2 + 1))
    assert next(line.function for line in f.program.lines) is halve


def test_an_array_of_numpy_meets_tensors():
    """Which of the two is on the left, and whether the function is NumPy's, makes no difference."""
    w = mg.nn.Parameter(np.array([[1.0, 2.0], [3.0, 0.5]]))
    for function in (
        lambda x: x + w, lambda x: w - x, lambda x: x @ w, lambda x: x**w, lambda x: x < w,
        lambda x: np.multiply(x, w), lambda x: np.concatenate([x, w]), lambda x: sum([x, w]),
    ):  # fmt: skip
        step = mg.compile(function)
        for x in (np.array([[1.0, 2.0], [3.0, 4.0]]), np.full((2, 2), 0.5)):
            np.testing.assert_array_equal(step(x).numpy(), function(x).detach().numpy())


@pytest.mark.parametrize("device", ["cpu", "strict"])
def test_parameters_that_are_frozen_later_stay_as_they_are(device):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1)).to(device)
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1)

    @mg.compile
    def step(x):
        optimizer.zero_grad()
        loss = (model(x) ** 2).sum()
        loss.backward()
        optimizer.step()
        return loss

    x = mg.ones((2, 3), device=device)
    for _ in range(3):
        step(x)
    model[0].requires_grad_(False)
    first, last = (layer.weight.numpy().copy() for layer in model)
    for _ in range(3):
        step(x)
    np.testing.assert_array_equal(model[0].weight.numpy(), first)
    assert (model[1].weight.numpy() != last).any()
    model[0].requires_grad_()
    for _ in range(3):
        step(x)
    assert (model[0].weight.numpy() != first).any()
