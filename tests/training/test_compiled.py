"""`Trainer(compile=True)`: the same numbers, from programs."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.io import Folder
from minigrad.training import Trainer

from .runs import language_run, shuffled_run


def lm_step(model, batch, carry):
    x, y = batch
    logits, state = model(x, carry)
    return mg.cross_entropy(logits, y), state


def final(trainer):
    return [row["train_loss"] for row in trainer.history.rows], {
        name: p.numpy().copy() for name, p in trainer.model.named_parameters()
    }


@pytest.mark.parametrize("make", [lambda **o: language_run(step=lm_step, **o), shuffled_run])
@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_numbers(make, workers):
    runs = []
    for compiled in (False, True):
        options = {"workers": workers}
        if workers > 1:
            options |= {"batch_axes": (1, 1), "carry_axis": 1} if make is not shuffled_run else {
                "batch_axes": 0}  # fmt: skip
        trainer = make(compile=compiled, **options)
        trainer.fit(3)
        runs.append(final(trainer))
    assert runs[0][0] == runs[1][0]
    for name, value in runs[0][1].items():
        np.testing.assert_array_equal(runs[1][1][name], value)


def test_resume_goes_on_bit_for_bit(tmp_path):
    whole = language_run(step=lm_step, compile=True)
    whole.fit(3)
    first = language_run(Folder(tmp_path), step=lm_step, compile=True)
    first.fit(2)
    again = language_run(Folder(tmp_path), step=lm_step, compile=True, seed=9)
    assert again.resume()
    again.fit(3)
    assert final(again)[0] == final(whole)[0]
    for name, value in final(whole)[1].items():
        np.testing.assert_array_equal(final(again)[1][name], value)


def test_lists_of_lengths_are_inputs():
    mg.manual_seed(0)
    model = nn.LSTM(3, 4)
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=(5, 2, 3)).astype("f4"), [int(n), 5]) for n in (1, 2, 3, 4)]

    def step(model, batch, carry):
        x, lengths = batch
        y, _ = model(mg.asarray(x), lengths=lengths)
        return (y * y).mean()

    trainer = Trainer(
        model,
        optim.SGD(model.parameters(), lr=0.1),
        step,
        data.DataLoader(batches, batch_size=None),
        progress=False,
        compile=True,
    )
    trainer.fit(2)
    assert len(trainer._gradients.programs) == 1
