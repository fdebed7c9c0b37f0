import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import data, io, nn, optim
from minigrad.training import Trainer
from tests.training.runs import language_run, parameters, same, scored_run, shuffled_run

# -- the loop -------------------------------------------------------------------------------------


def test_it_is_the_loop_one_would_write_by_hand():
    x = np.random.default_rng(0).normal(size=(6, 3)).astype("f4")
    mg.manual_seed(4)
    model = nn.Linear(3, 1)
    rule = optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(2):
        for batch in (x[:4], x[4:]):
            rule.zero_grad()
            loss = (model(batch) ** 2).mean()
            loss.backward()
            optim.clip_grad_norm_(model.parameters(), 0.3)
            rule.step()
            losses.append(loss.item())
    mg.manual_seed(4)
    twin = nn.Linear(3, 1)
    history = Trainer(
        twin,
        optim.SGD(twin.parameters(), lr=0.1),
        lambda model, batch, _: (model(batch) ** 2).mean(),
        data.DataLoader(data.ArrayDataset(x), batch_size=4),
        clip_norm=0.3,
        progress=False,
    ).fit(2)
    assert np.array_equal(twin.weight.numpy(), model.weight.numpy())
    assert history["train_loss"] == [np.mean(losses[:2]), np.mean(losses[2:])]
    assert history["epoch"] == [1, 2]
    assert history["lr"] == [0.1, 0.1]
    assert all(seconds >= 0 for seconds in history["seconds"])


def test_the_carry_starts_as_none_in_every_epoch_and_has_no_history():
    seen = []

    def step(model, batch, carry):
        seen.append(carry if carry is None else (carry[0].requires_grad, carry[1]))
        loss = (model(batch) ** 2).mean()
        return loss, (loss * 2, len(seen))

    shuffled_run(step=step).fit(2)
    assert seen == [
        None,
        (False, 1),
        (False, 2),
        (False, 3),
        None,
        (False, 5),
        (False, 6),
        (False, 7),
    ]


def test_evaluation_is_in_eval_mode_without_recording_and_training_goes_on_in_train_mode():
    modes = []

    def evaluate(model):
        modes.append((model.training, mg.is_grad_enabled()))
        return {"valid_loss": mg.asarray(1.0)}

    def step(model, batch, _):
        modes.append((model.training, mg.is_grad_enabled()))
        return model(batch).sum()

    run = shuffled_run(step=step, evaluate=evaluate)
    assert run.fit(2)["valid_loss"] == [1.0, 1.0]
    assert modes == 2 * [*4 * [(True, True)], (False, False)]


def test_train_mode_comes_back_when_evaluation_fails():
    def evaluate(model):
        raise ZeroDivisionError

    run = shuffled_run(evaluate=evaluate)
    with pytest.raises(ZeroDivisionError):
        run.fit(1)
    assert run.model.training
    assert mg.is_grad_enabled()


def test_a_schedule_per_epoch_and_per_batch():
    assert language_run(schedule="step").fit(3)["lr"] == [0.01, 0.005, 0.0025]
    per_batch = language_run(schedule="cosine").fit(3)["lr"]
    assert per_batch == pytest.approx(
        [0.01 * (1 + math.cos(math.pi * i / 3)) / 2 for i in (1, 2, 3)]
    )


def test_callbacks_see_each_row_and_may_stop():
    rows = []

    def callback(trainer, row):
        rows.append(row)
        if trainer.epoch == 2:
            trainer.stop()

    run = shuffled_run(callbacks=[callback])
    assert len(run.fit(5)) == 2
    assert rows == run.history.rows
    assert len(run.fit(3)) == 3  # asked again, it goes on


# -- the best epoch -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "options", "epochs", "best"),
    [
        ([3, 2, 1, 2, 2, 0], {"patience": 2}, 5, 3),
        ([3, 2, 1, 2, 2, 0], {"patience": 3}, 6, 6),
        ([1, 2, 3, 2, 2, 4], {"patience": 2, "mode": "max"}, 5, 3),
        ([3, 2.9, 2.8, 2.7], {"patience": 2, "min_delta": 0.25}, 3, 1),
        ([3, 2.9, 2.7, 2.7], {"patience": 2, "min_delta": 0.25}, 4, 3),
        ([math.nan, math.nan, 1], {"patience": 2}, 2, 0),
        ([math.nan, 2, math.nan, 1], {"patience": 2}, 4, 4),
        ([2, 2, 2, 2], {}, 4, 1),
    ],
)
def test_early_stopping(scores, options, epochs, best):
    run = scored_run([float(s) for s in scores], **options)
    assert len(run.fit(len(scores))) == epochs
    assert run.monitor.epoch == best
    assert len(run.fit(len(scores))) == epochs  # patience that has run out stays so


def test_patience_is_resumed(tmp_path):
    store = io.Folder(tmp_path)
    scores = [1.0, 2.0, 2.0, 2.0, 2.0]
    scored_run(scores, store, patience=3).fit(3)
    again = scored_run(scores, store, patience=3)
    again.resume()
    assert len(again.fit(5)) == 4


def test_the_best_parameters_are_kept_and_come_back(tmp_path):
    run = scored_run([3.0, 1.0, 2.0, 1.0], io.Folder(tmp_path))
    kept = []
    run.callbacks = (lambda trainer, _: kept.append(parameters(trainer)),)
    run.fit(4)
    assert same(parameters(run), kept[3])
    assert run.load_best()
    assert same(parameters(run), kept[1])
    assert not same(kept[1], kept[3])


def test_a_plateau_lowers_the_rate_by_the_monitor():
    run = scored_run([3.0, 2.0, 2.0, 2.0, 2.0, 1.0])
    run.schedule = optim.ReduceLROnPlateau(run.optimizer, factor=0.1, patience=1)
    assert run.fit(6)["lr"] == [1.0, 1.0, 1.0, 1.0, pytest.approx(0.1), pytest.approx(0.1)]
