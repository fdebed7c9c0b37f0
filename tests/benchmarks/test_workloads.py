"""Every workload computes the same thing in every framework, at tiny sizes."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pytest

from benchmarks.frameworks import IMPLEMENTATIONS, SkipError
from benchmarks.frameworks.plain import Adam
from benchmarks.runner import GRADIENT_TOLERANCE, compare
from benchmarks.worker import import_framework
from benchmarks.workloads import WORKLOADS
from minigrad import parallel

TINY = {
    "W1": {"V": 7, "E": 5, "H": 6, "B": 4, "T": 3},
    "W2": {"V": 7, "E": 5, "H": 6, "B": 4, "T": 3},
    "W3": {"V": 9, "E": 4, "H": 3, "C": 5, "B": 6, "shortest": 1, "T": 5},
    "W4": {"V": 8, "E": 4, "H": 5, "B": 4, "S": 3, "T": 2},
    "W5": {"I": 4, "T": 3, "H": 5, "C": 3, "B": 4},
    "W6": {"H": 4, "B": 6},
    "W7": {"D": 8, "heads": 2, "F": 6, "T": 5, "B": 4},
}
SMALL = {name: WORKLOADS[name].resized(**sizes) for name, sizes in TINY.items()}
PEERS = ("jax", "mygrad", "dezero", "chainer")


def work(framework, workload, **options):
    if framework in PEERS:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                import_framework(framework)
            except Exception as error:  # noqa: BLE001 (an old one fails in many ways)
                pytest.skip(f"{framework}: {error}")
    elif framework == "torch":
        pytest.importorskip("torch")
    module = importlib.import_module(f"benchmarks.frameworks.{framework}")
    return module.Work(workload, workload.weights(), options)


def step(made, workload):
    """Loss and gradients of one step from the first weights."""
    batch = made.place(workload.batches(count=1)[0])
    if type(made).__module__.endswith("jax"):  # the step itself takes long to compile
        loss, gradients = made.slope(made.p, *batch)
        return float(loss), {name: np.asarray(g) for name, g in gradients.items()}
    return made.step(*batch), made.gradients()


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.parametrize("name", TINY)
def test_minigrad_computes_what_torch_computes(name):
    right = step(work("torch", SMALL[name]), SMALL[name])
    loss, gradients = step(work("minigrad", SMALL[name]), SMALL[name])
    assert loss == pytest.approx(right[0], rel=1e-5)
    assert compare(gradients, right[1])[0] < GRADIENT_TOLERANCE


@pytest.mark.parametrize("framework", PEERS)
@pytest.mark.parametrize("name", TINY)
@pytest.mark.filterwarnings("ignore")
def test_peers_compute_what_minigrad_computes(name, framework):
    right = step(work("minigrad", SMALL[name]), SMALL[name])
    try:
        loss, gradients = step(work(framework, SMALL[name]), SMALL[name])
    except SkipError as missing:
        pytest.skip(str(missing))
    assert loss == pytest.approx(right[0], rel=1e-5)
    assert compare(gradients, right[1])[0] < GRADIENT_TOLERANCE


@pytest.mark.parametrize("name", ["W1", "W3"])
def test_a_batch_over_threads_has_the_same_gradients(name):
    whole = step(work("minigrad", SMALL[name]), SMALL[name])
    halves = step(work("minigrad", SMALL[name], workers=2), SMALL[name])
    assert halves[0] == pytest.approx(whole[0], rel=1e-5)
    assert compare(halves[1], whole[1])[0] < GRADIENT_TOLERANCE


@pytest.mark.filterwarnings("ignore:os.fork")  # JAX's, if it is here
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", ["W1", "W3"])
def test_a_batch_over_processes_has_the_same_gradients(name, compiled):
    """Sizes, and numbers of words, differ from process to process."""
    workload = SMALL[name].resized(B=5)
    whole = step(work("minigrad", workload), workload)

    def main(group):
        made = work("minigrad", workload, group=group, compiled=compiled)
        step(made, workload)
        made.load(workload.weights())
        return group.gather(step(made, workload))

    for part in parallel.run(main, processes=2):
        assert part[0] == pytest.approx(whole[0], rel=1e-5)
        assert compare(part[1], whole[1])[0] < GRADIENT_TOLERANCE


def test_by_hand_is_what_minigrad_computes():
    right = step(work("minigrad", SMALL["W6"]), SMALL["W6"])
    loss, gradients = step(work("numpy", SMALL["W6"]), SMALL["W6"])
    assert loss == pytest.approx(right[0], rel=1e-6)
    assert compare(gradients, right[1])[0] < 1e-6


@pytest.mark.parametrize("framework", ["jax", "numpy"])
def test_steps_update_as_ours(framework):
    ours, theirs = work("minigrad", SMALL["W6"]), work(framework, SMALL["W6"])
    batch = SMALL["W6"].batches(count=1)[0]
    for _ in range(3):
        losses = [each.step(*each.place(batch)) for each in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_loading_brings_the_weights_back():
    workload = SMALL["W6"]
    made = work("minigrad", workload)
    first = step(made, workload)
    made.load(workload.weights())
    again = step(made, workload)
    assert again[0] == first[0]
    assert compare(again[1], first[1])[0] == 0


def test_by_length_sorts_whole_sentences():
    workload = SMALL["W3"]
    words, lengths, tags = workload.batches(count=1)[0]
    sorted_words, sorted_lengths, sorted_tags = workload.module.by_length((words, lengths, tags))
    assert (np.diff(sorted_lengths) <= 0).all()
    found = {(w.tobytes(), n, t.tobytes()) for w, n, t in zip(sorted_words.T, sorted_lengths, sorted_tags.T)}  # fmt: skip # noqa: E501, B905
    assert found == {(w.tobytes(), n, t.tobytes()) for w, n, t in zip(words.T, lengths, tags.T)}  # noqa: B905


@pytest.mark.parametrize(
    ("name", "framework"), [("W8", "minigrad"), ("W8", "numpy"), ("sampler", "minigrad")]
)
def test_parts_compute_what_torch_computes(name, framework):
    sizes = {"chain": 3} if name == "W8" else {"length": 4, "V": 9, "E": 3, "H": 5}
    workload = WORKLOADS[name].resized(**sizes)
    parts = work(framework, workload).parts()
    right = work("torch", workload).parts()
    assert set(parts) == set(right)
    for part, (run, count, read) in parts.items():
        assert count == workload.size.get("chain", workload.size.get("length"))
        theirs = right[part]
        assert compare(read(run()), theirs[2](theirs[0]()))[0] < GRADIENT_TOLERANCE


def test_the_numpy_adam_is_adam():
    torch = pytest.importorskip("torch")
    start, g = np.array([1.0, -2.0], np.float32), np.array([0.3, -0.1], np.float32)
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    optimizer, mine, ours = torch.optim.Adam([theirs], lr=1e-3), start.copy(), Adam("Adam")
    for scale in (1, -2, 3):
        theirs.grad = torch.from_numpy(scale * g)
        optimizer.step()
        ours.step([mine], [scale * g])
    np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=1e-6)


def test_implementations_are_named_by_their_key():
    assert all(name == one.name for name, one in IMPLEMENTATIONS.items())
