"""The whole framework on a CUDA device: `pytest -m gpu -n 8`.

The ops are in tests/ops/test_table_gpu.py, the backend in tests/backend/test_gpu.py. What must be
equal, and how closely: float64 to 1e-10; float32 to 1e-4, training of a few steps to 1e-3; uniform
draws, masks and sums of embedding gradients bit for bit.

MINIGRAD_GPU_TESTS=strict runs all of this, and without a GPU, on the strict device.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

import minigrad as mg
from examples import char_lm, seq2seq, tagger
from minigrad import amp, io, nn, optim
from minigrad.backend import device
from minigrad.backend.device_gemm import precision
from minigrad.backend.graph import capture
from minigrad.backend.kernels import kernels, plan, segments
from minigrad.backend.kernels.kernel import LAUNCHERS
from minigrad.data.datasets import locate
from tests.backend.kernels import test_kernels as kernel_cases
from tests.backend.kernels import test_persist_kernels as persist_cases
from tests.nn import test_half

WHERE = os.environ.get("MINIGRAD_GPU_TESTS", "cuda")
pytestmark = [pytest.mark.gpu] if WHERE == "cuda" else []
CLOSE = {"float64": 1e-10, "float32": 1e-4}

if WHERE not in ("cuda", "strict"):
    pytest.skip(f"MINIGRAD_GPU_TESTS is {WHERE!r}", allow_module_level=True)


@pytest.fixture(autouse=True)
def _restored():
    before = mg.get_rng_state()
    yield
    mg.set_rng_state(before)


def draw(*shape, dtype="float32", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def first(y):
    return first(y[0]) if isinstance(y, tuple) else y


LAYERS = {
    "LSTM": (lambda: nn.LSTM(5, 6, num_layers=2, bidirectional=True, dropout=0.3), (4, 3, 5)),
    "LSTM, projected": (lambda: nn.LSTM(5, 6, proj_size=2), (4, 3, 5)),
    "GRU": (lambda: nn.GRU(5, 6, bidirectional=True), (4, 3, 5)),
    "RNN": (lambda: nn.RNN(5, 6, nonlinearity="relu"), (4, 3, 5)),
    "LayerNorm": (lambda: nn.LayerNorm(5), (4, 3, 5)),
    "Linear": (lambda: nn.Linear(5, 7), (4, 3, 5)),
    "Transformer": (lambda: nn.TransformerEncoderLayer(6, 2, 8, dropout=0.2), (4, 3, 6)),
    "Conv1d": (lambda: nn.Conv1d(3, 4, 2), (4, 3, 5)),
}


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, dtype):
    make, shape = LAYERS[name]
    found = []
    for where in ("cpu", WHERE):
        mg.manual_seed(1)  # weights and masks are the same on both
        model = make().to(dtype).to(where)
        x = mg.tensor(draw(*shape, dtype=dtype), device=where, requires_grad=True)
        y = first(model(x))
        (y * y).sum().backward()
        found.append([y.numpy(), x.grad.numpy(), *[p.grad.numpy() for p in model.parameters()]])
    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(theirs, ours, rtol=CLOSE[dtype], atol=CLOSE[dtype])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", test_half.LAYERS)
def test_half_layers(name, dtype):
    if (WHERE, dtype) == ("strict", "bfloat16"):
        pytest.skip("the strict device has no bfloat16")
    pytest.importorskip("ml_dtypes")
    test_half.assert_near(name, dtype, WHERE)


def test_padding_on_the_device():
    found = []
    for where in ("cpu", WHERE):
        mg.manual_seed(1)
        model = nn.LSTM(5, 6, bidirectional=True).to(where)
        y, _ = model(mg.tensor(draw(4, 3, 5), device=where), lengths=[4, 1, 3])
        y.sum().backward()
        found.append([y.numpy(), *[p.grad.numpy() for p in model.parameters()]])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4)


def test_one_graph_for_all_lengths(caplog):
    """As a NumPy array they are an input of the captured step, and stay on the device."""
    models = []
    for where in ("cpu", WHERE):
        mg.manual_seed(1)
        models.append(nn.LSTM(5, 6, num_layers=2, bidirectional=True).to(where))

    def step(model, x, lengths):
        model.zero_grad()
        y, (h, c) = model(x, lengths=lengths)
        loss = (y * y).sum() + (h * c).sum()
        loss.backward()
        return loss

    there = mg.compile(lambda x, lengths: step(models[1], x, lengths))
    for k, lengths in enumerate(([4, 1, 3], [0, 2, 4], [1, 1, 1], [4, 4, 4])):
        x = draw(4, 3, 5, seed=k)
        expected = step(models[0], mg.tensor(x), lengths)
        found = there(mg.tensor(x, device=WHERE), np.array(lengths))
        assert found.item() == pytest.approx(expected.item(), rel=1e-4)
        for ours, theirs in zip(*(model.parameters() for model in models), strict=True):
            np.testing.assert_allclose(theirs.grad.numpy(), ours.grad.numpy(), 1e-4, 1e-4)
    assert not caplog.records, caplog.text
    assert [each.graph is not None for each in there.programs.values()] == [True]


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, 7, num_layers=2, dropout=0.2)
        self.norm = nn.LayerNorm(7)
        self.out = nn.Linear(7, 11)

    def forward(self, ids):
        return self.out(mg.dropout(self.norm(self.lstm(self.table(ids))[0]), 0.3, self.training))


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.2, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": lambda p: optim.Adam(p, lr=0.02),
    "AdamW": lambda p: optim.AdamW(p, lr=0.02, amsgrad=True),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.05),
    "Adadelta": lambda p: optim.Adadelta(p, lr=0.5),
    "Adamax": lambda p: optim.Adamax(p, lr=0.02),
    "NAdam": lambda p: optim.NAdam(p, lr=0.02),
    "RAdam": lambda p: optim.RAdam(p, lr=0.02),
    "ASGD": lambda p: optim.ASGD(p, lr=0.2),
    "Muon": lambda p: optim.Muon([each for each in p if each.ndim == 2], lr=0.01),
}


def train(where, make, steps=5, compiled=False, precision=None, scaler=False):
    """Losses of a few steps, and the model."""
    mg.manual_seed(5)
    model = Model().to(where)
    optimizer = make(list(model.parameters()))
    schedule = optim.StepLR(optimizer, 2, 0.5)
    scale = amp.GradScaler(1024.0, device=where) if scaler else None

    def step(x, y):
        optimizer.zero_grad()
        with amp.autocast(precision or "bfloat16", enabled=precision is not None):
            loss = mg.cross_entropy(model(x), y)
            (scale.scale(loss) if scale else loss).backward()
        if scale:
            scale.unscale_(optimizer)
        optim.clip_grad_norm_(model.parameters(), 0.5)
        if scale:
            scale.step(optimizer)
            scale.update()
        else:
            optimizer.step()
        return loss

    run = mg.compile(step) if compiled else step
    ids = np.random.default_rng(0).integers(0, 11, (steps, 7, 4))
    losses = []
    for x in ids:
        losses.append(run(*(mg.tensor(part, device=where) for part in (x[:-1], x[1:]))).item())
        schedule.step()
    if compiled and where != "cpu":
        assert [each.graph is not None for each in run.programs.values()] == [True]
    return losses, model


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training(name, compiled, caplog):
    expected, model = train("cpu", OPTIMIZERS[name])
    losses, same = train(WHERE, OPTIMIZERS[name], compiled=compiled)
    assert not caplog.records, caplog.text  # no fall back
    np.testing.assert_allclose(losses, expected, rtol=1e-3)
    if name != "Muon":  # it amplifies the last bits of small gradients
        for ours, theirs in zip(same.parameters(), model.parameters(), strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "graph"])
@pytest.mark.parametrize("precision", ["float16", "bfloat16", "tf32"])
def test_mixed_precision(precision, compiled):
    expected, _ = train("cpu", OPTIMIZERS["Adam"])
    losses, model = train(
        WHERE, OPTIMIZERS["Adam"], compiled=compiled, precision=precision, scaler=True
    )
    np.testing.assert_allclose(losses, expected, rtol=3e-2)
    assert {p.dtype for p in model.parameters()} == {np.dtype("float32")}


def test_a_checkpoint_goes_both_ways(tmp_path):
    _, model = train(WHERE, OPTIMIZERS["Adam"], steps=2)
    io.save_safetensors(tmp_path / "there.safetensors", model.state_dict())
    back = Model()
    back.load_state_dict(io.load_safetensors(tmp_path / "there.safetensors"))
    io.save_safetensors(tmp_path / "back.safetensors", back.state_dict())
    assert (tmp_path / "there.safetensors").read_bytes() == (
        tmp_path / "back.safetensors"
    ).read_bytes()
    again = Model().to(WHERE)
    again.load_state_dict(io.load_safetensors(tmp_path / "back.safetensors"))
    for ours, theirs in zip(again.parameters(), model.parameters(), strict=True):
        assert ours.device is theirs.device is device(WHERE)
        assert np.array_equal(ours.numpy(), theirs.numpy())


def test_masks_and_weights_are_the_hosts_bit_for_bit():
    drawn = []
    for where in ("cpu", WHERE):
        mg.manual_seed(9)
        model = Model().to(where)
        ones = mg.ones((50, 7), device=where)
        drawn.append([p.numpy() for p in model.parameters()])
        drawn[-1] += [
            mg.dropout(ones, 0.3).numpy(),
            mg.uniform(-1, 2, (9, 5), device=where).numpy(),
        ]
        drawn[-1] += [
            mg.randn(20, device=where).numpy(),
            mg.randint(0, 9, 20, device=where).numpy(),
        ]
    for ours, theirs in zip(*drawn, strict=True):
        assert np.array_equal(ours, theirs)


def test_embedding_gradients_are_those_of_add_at_bit_for_bit():
    g, ids = draw(3000, 33), np.random.default_rng(1).integers(0, 50, 3000)
    expected = np.zeros((50, 33), np.float32)
    np.add.at(expected, ids, g)
    many = np.where(ids < 40, 0, ids)  # one id occurs more often than a block takes
    there = device(WHERE)
    for _ in range(3):
        sums = segments.sum_rows(there.asarray(g), there.asarray(ids), 50)
        assert np.array_equal(there.to_host(sums), expected)
        sums = segments.sum_rows(there.asarray(g), there.asarray(many), 50)
        assert np.array_equal(there.to_host(sums), segments.sum_rows(g, many, 50))


# -- kernels: the cases of tests/backend/kernels, with arrays that go to the device and back -------


def there_and_back(kernel, shape, args):
    where, moved = device(WHERE), {}
    for parameter, arg in zip(kernel.parameters, args, strict=True):
        if parameter.array:  # what is given twice is one array there, too
            moved.setdefault(id(arg), where.asarray(arg.copy()))
    kernel(shape, *(moved.get(id(arg), arg) for arg in args))
    for parameter, arg in zip(kernel.parameters, args, strict=True):
        if parameter.written:
            arg[...] = where.to_host(moved[id(arg)])


@pytest.mark.skipif(WHERE != "cuda", reason="elsewhere the reference itself runs")
@pytest.mark.parametrize("dtype", kernel_cases.DTYPES)
@pytest.mark.parametrize("case", kernel_cases.CASES, ids=lambda case: case.__name__)
def test_kernels(case, dtype, monkeypatch):
    monkeypatch.setattr(kernel_cases, "part", np.copy)  # rows lie as they do in a copy
    expected = case(dtype)
    monkeypatch.setitem(LAUNCHERS, np.ndarray, there_and_back)
    tolerance = 10 * kernel_cases.CLOSE[dtype]
    for ours, theirs in zip(case(dtype), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.skipif(WHERE != "cuda", reason="elsewhere the reference itself runs")
@pytest.mark.parametrize("kind", persist_cases.KINDS, ids=str)
@pytest.mark.parametrize("name", persist_cases.CELLS)
def test_all_steps_in_one_launch(name, kind, monkeypatch):
    dtype, rounding, H, n, clusters = kind
    if clusters and not plan.LIMITS[device(WHERE).xp.ndarray]().clusters:
        pytest.skip("this GPU has no clusters of blocks")
    monkeypatch.setenv("MINIGRAD_PERSISTENT", "1")
    limits = plan.Limits(2, 160 << 10, clusters=clusters)
    monkeypatch.setitem(plan.LIMITS, np.ndarray, lambda: limits)
    cell = persist_cases.CELLS[name]
    with precision(rounding):
        expected = persist_cases.run(cell, dtype, H, n, part=np.copy)
        monkeypatch.setitem(LAUNCHERS, np.ndarray, there_and_back)
        got = persist_cases.run(cell, dtype, H, n, part=np.copy)
    tolerance = 4 * persist_cases.CLOSE["float16" if rounding else dtype]
    for ours, theirs in zip(got, expected, strict=True):
        persist_cases.near(ours, theirs, tolerance)


def test_every_kernel_has_a_case():
    assert len(kernels()) >= 18


# -- graphs and examples ---------------------------------------------------------------------------


def test_a_graph_beside_eager_work():
    where = device(WHERE)
    x, w = where.asarray(draw(8, 5)), where.asarray(draw(5, 5, seed=1))
    step = capture(lambda x: mg.matmul(x, w).sum(axis=0), (x,), (w,))
    expected = [draw(8, 5, seed=k) @ where.to_host(w) for k in range(6)]
    for k in range(6):
        out = step(draw(8, 5, seed=k))
        noise = where.asarray(draw(1000, 100))  # memory comes and goes between launches
        noise = noise * 2 + 1
        np.testing.assert_allclose(
            where.to_host(out), expected[k].sum(axis=0), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("example", [char_lm, tagger, seq2seq], ids=lambda module: module.__name__)
def test_examples(example, tmp_path):
    if any(locate(file) is None for file in _files(example)):
        pytest.skip("its data is not on this machine: set MINIGRAD_DATA")
    brief = ["--preset", "quick", "--epochs", "1"]
    brief += ["--limit", "4000"] if example is char_lm else []
    figures = [
        example.main([*brief, "--device", where, "--out", str(tmp_path / where)])
        for where in ("cpu", WHERE)
    ]
    for name, value in figures[0].items():
        if "loss" in name:
            assert figures[1][name] == pytest.approx(value, rel=2e-3)


def _files(example):
    from tests.examples.test_examples import FILES as files

    return files[example]
