"""What the consortium's suite found in minigrad, each in a few lines of our own; its skips file."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg


def test_repeats_of_one_element_stand_for_all():
    x = mg.asarray([[1, 2], [3, 4]])
    assert mg.repeat(x, mg.asarray([2]), axis=1).tolist() == [[1, 1, 2, 2], [3, 3, 4, 4]]
    assert mg.repeat(x, [3]).tolist() == np.repeat(x.numpy(), 3).tolist()
    assert mg.repeat(x[:0], mg.asarray([2]), axis=0).shape == (0, 2)


@pytest.mark.parametrize(("n", "counts", "total"), [(3, [2], 6), (3, [1, 0, 2], 3), (0, [], 0)])
def test_repeats_may_be_on_another_device(n, counts, total):
    x = mg.ones(n, device="strict")
    y = mg.repeat(x, mg.asarray(counts, dtype="int8", device="strict"))
    assert (y.device, y.shape) == (x.device, (total,))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: mg.expand_dims(x, axis=3),
        lambda x: mg.expand_dims(x, axis=-4),
        lambda x: mg.sum(x, axis=2),
        lambda x: mg.repeat(x, 2, axis=2),
        lambda x: mg.unstack(x, axis=-3),
    ],
)
def test_an_axis_that_is_not_there_is_an_index_error(call):
    with pytest.raises(IndexError) as error:
        call(mg.ones((2, 3)))
    assert isinstance(error.value, mg.errors.AxisError)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0), (0, 0)])
def test_a_mask_of_length_0_chooses_nothing(shape):
    x, mask = mg.ones((2, 3)), mg.zeros(shape, dtype=bool)
    assert x[mask].shape == np.ones((2, 3))[mask.numpy()].shape
    x[mask] = 5.0
    x[mask] = mg.ones(x[mask].shape)
    assert x.tolist() == np.ones((2, 3)).tolist()


@pytest.mark.parametrize("shape", [(3,), (1,), (2, 2), (0, 2), (2, 3, 1)])
def test_a_mask_that_does_not_fit_is_an_index_error(shape):
    x, mask = mg.ones((2, 3)), mg.zeros(shape, dtype=bool)
    with pytest.raises(IndexError):
        x[mask]
    with pytest.raises(IndexError):
        x[mask] = 1.0


def test_dlpack_names_its_arguments():
    arguments = ["stream", "max_version", "dl_device", "copy"]
    assert list(inspect.signature(mg.ones(1).__dlpack__).parameters) == arguments
    x = mg.ones(2)
    shared = np.from_dlpack(x)
    copied = np.from_dlpack(x, copy=True)
    assert np.shares_memory(shared, x.numpy())
    assert not np.shares_memory(copied, x.numpy())


class TestSkipsFile:
    lines = (Path(__file__).parent / "conformance-skips.txt").read_text("utf-8").splitlines()

    def test_every_skip_has_a_reason(self):
        for block in "\n".join(self.lines).split("\n\n")[1:]:
            first, *rest = block.split("\n")
            assert first.startswith("# ")
            assert rest
            assert all(line.startswith(("# ", "array_api_tests/test_")) for line in rest)
        ids = [line for line in self.lines if not line.startswith("#") and line]
        assert len(ids) == len(set(ids)) == 19

    def test_the_quotient_of_infinities_is_that_of_python(self):
        inf = float("inf")
        for a, b in [(inf, 2.0), (inf, -2.0), (-inf, 2.0), (-inf, -2.0), (2.0, -inf), (-2.0, inf)]:
            with np.errstate(invalid="ignore"):
                quotients = mg.asarray(a) // mg.asarray(b), mg.floor_divide(mg.asarray(a), b)
            for quotient in quotients:
                np.testing.assert_equal(quotient.item(), a // b)

    def test_complex_numbers_are_refused(self):
        with pytest.raises(TypeError, match="complex128"):
            mg.asarray([1j])
