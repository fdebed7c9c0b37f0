"""The GPU's random numbers: the host's own, on the strict device and in a captured step."""

import json

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import device
from minigrad.backend.kernels.draws import generator_at, position, skipped
from minigrad.backend.philox import Steps, steps
from minigrad.errors import DeviceError
from minigrad.testing import strict

CPU, STRICT = device("cpu"), device("strict")


@pytest.fixture(autouse=True)
def _restored():
    before = mg.get_rng_state()
    yield
    mg.set_rng_state(before)


@pytest.mark.parametrize("before", [0, 1, 2, 3, 8, 9, 1001])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 8, 9, 64])
def test_a_position_says_all(before, count):
    generator = np.random.Generator(np.random.Philox(5))
    generator.random(before, dtype=np.float32)
    here = position(generator)
    again = generator_at(here)
    assert np.array_equal(again.random(count, np.float32), generator.random(count, np.float32))
    assert position(again) == position(generator) == skipped(here, count)
    assert np.array_equal(generator_at(skipped(here, count)).random(9), generator.random(9))


DRAWS = {
    "uniform": lambda r: r.uniform(-1, 3, (3, 5)),
    "half": lambda r: r.uniform(-1, 3, 7, "float16"),
    "double": lambda r: r.uniform(-1, 3, 7, "float64"),
    "one": lambda r: r.uniform(),
    "none": lambda r: r.uniform(shape=(0, 3)),
    "coins": lambda r: r.bernoulli(0.3, (8, 9)),
    "mask": lambda r: r.mask(0.3, (8, 9)),
    "mask, double": lambda r: r.mask(0.7, (8, 9), "float64"),
    "mask of nothing": lambda r: r.mask(0.0, 5),
    "coins, double": lambda r: r.bernoulli(0.3, 5, "float64"),
    "integers": lambda r: r.integers(-4, 1000, 9),
    "permutation": lambda r: r.permutation(20),
    "normal": lambda r: r.normal(1, 2, 11),
    "normal, double": lambda r: r.normal(1, 2, 11, "float64"),
}


def test_one_seed_gives_the_same_numbers_everywhere():
    order = np.random.default_rng(0).choice(list(DRAWS), 80)  # also after one another
    drawn = []
    for dev in (CPU, STRICT):
        mg.manual_seed(7)
        drawn.append([dev.to_host(DRAWS[name](dev.rng)) for name in order])
    for name, ours, theirs in zip(order, *drawn, strict=True):
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs), name


def test_masks_come_from_one_stream():
    """Weights are drawn on the host, masks on the device: as if both were on the host."""
    mg.manual_seed(3)
    weights, mask = CPU.rng.normal(shape=5), CPU.rng.bernoulli(0.5, 20)
    mg.manual_seed(3)
    assert np.array_equal(CPU.rng.normal(shape=5), weights)
    assert np.array_equal(STRICT.rng.bernoulli(0.5, 20).get(), mask)


def test_the_state_resumes_on_another_device():
    mg.manual_seed(1)
    STRICT.rng.uniform(shape=3)
    state = json.loads(json.dumps(mg.get_rng_state()))
    expected = STRICT.rng.uniform(shape=9).get()
    mg.set_rng_state(state)
    assert np.array_equal(CPU.rng.uniform(shape=9), expected)
    own = STRICT.rng.get_state()
    expected = STRICT.rng.uniform(shape=9).get()
    STRICT.rng.set_state(own)
    assert np.array_equal(STRICT.rng.uniform(shape=9).get(), expected)
    STRICT.rng.manual_seed(1)
    assert STRICT.rng.uniform().item() == np.random.Generator(np.random.Philox(1)).random(
        dtype=np.float32
    )


def test_nothing_is_copied_from_the_host():
    with strict.count() as seen:
        STRICT.rng.bernoulli(0.5, 100)
        STRICT.rng.uniform(shape=7)
    assert (seen.upload, seen.sync, seen.download, seen.random) == (0, 0, 0, 2)


@pytest.mark.parametrize("odd", [0, 1])
def test_a_captured_step_draws_what_eager_steps_draw(odd):
    def step():
        return STRICT.rng.bernoulli(0.4, (3, 5)), STRICT.rng.uniform(-1, 2, 6 + odd)

    mg.manual_seed(11)
    eager = [[x.get() for x in step()] for _ in range(5)]
    mg.manual_seed(11)
    prepared = Steps(STRICT.rng)
    with strict.capturing() as graph, steps(prepared):
        outputs = step()
    assert prepared.count == 21 + odd
    for expected in eager:
        prepared.advance()
        graph.launch()
        for one, other in zip(outputs, expected, strict=True):
            assert np.array_equal(one.get(), other)
    mg_next = CPU.rng.uniform()
    mg.manual_seed(11)
    for _ in range(5):
        step()
    assert CPU.rng.uniform() == mg_next  # the stream stands where eager steps would leave it


@pytest.mark.parametrize("draw", ["integers", "permutation", "normal", "double"])
def test_what_the_host_draws_is_not_captured(draw):
    with (
        strict.capturing(),
        steps(Steps.__new__(Steps)),
        pytest.raises(DeviceError, match=r"not allowed while a graph is captured"),
    ):
        DRAWS[draw](STRICT.rng)


def test_a_draw_outside_prepared_steps_is_not_captured():
    with strict.capturing(), pytest.raises(DeviceError, match=r"a draw from device\.rng"):
        STRICT.rng.uniform(shape=3)
