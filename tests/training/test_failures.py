import math

import numpy as np
import pytest

import minigrad as mg
from minigrad import data, io, nn, optim
from minigrad.errors import ConfigError, MinigradError, ShapeError
from minigrad.training import Trainer
from tests.training.runs import fingerprint, parameters, same, shuffled_run


def failing_at(number, make_loss):
    calls = 0

    def step(model, batch, _):
        nonlocal calls
        calls += 1
        loss = (model(batch) ** 2).mean()
        return make_loss(model, loss) if calls == number else loss

    return step


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (lambda model, loss: loss * float("nan"), "the loss is nan in epoch 2, batch 3"),
        (lambda model, loss: loss / 0.0, "the loss is inf in epoch 2, batch 3"),
        # A finite loss with an infinite slope: √x at 0
        (
            lambda model, loss: loss + mg.sqrt((model[0].weight * 0.0).sum()),
            "the gradient's norm is nan in epoch 2, batch 3",
        ),
    ],
)
def test_a_loss_that_is_not_finite_leaves_the_parameters_alone(tmp_path, bad, says):
    store = io.Folder(tmp_path)
    run = shuffled_run(store, step=failing_at(7, bad), clip_norm=1.0, save_every=1)
    with np.errstate(all="ignore"), pytest.raises(MinigradError, match=says):
        run.fit(2)
    assert all(np.isfinite(p).all() for p in parameters(run).values())
    saved = store.load("last")
    assert (saved["epoch"], saved["batch"]) == (1, 2)
    assert same(saved["model"], parameters(run))
    run.fit(2)  # the step is well again: it goes on with the batch that failed
    assert (run.epoch, run.batch) == (2, 0)


def test_nan_may_be_let_through():
    nan = failing_at(2, lambda model, loss: loss * float("nan"))
    history = shuffled_run(step=nan, stop_on_nan=False).fit(1)
    assert math.isnan(history["train_loss"][0])


@pytest.mark.parametrize("at", range(1, 9))
def test_fit_goes_on_after_an_exception_as_if_nothing_had_happened(at):
    """In a notebook: the cell is interrupted, and run again."""

    def make(step=None):
        return shuffled_run(**({"step": step} if step else {}))

    whole = make()
    whole.fit(2)
    run = make()
    inner, calls = run.take_step, 0

    def step(model, batch, carry):
        nonlocal calls
        calls += 1
        if calls == at:
            raise KeyboardInterrupt
        return inner(model, batch, carry)

    run.take_step = step
    with pytest.raises(KeyboardInterrupt):
        run.fit(2)
    run.fit(2)
    assert fingerprint(run.state_dict()) == fingerprint(whole.state_dict())


@pytest.mark.parametrize("where", ["evaluate", "monitor"])
def test_an_epoch_survives_a_broken_evaluation(tmp_path, where):
    def evaluate(model):
        if where == "evaluate":
            raise ZeroDivisionError
        return {"valid_los": 1.0}

    store = io.Folder(tmp_path)
    run = shuffled_run(store, evaluate=evaluate, monitor="valid_loss")
    with pytest.raises((ZeroDivisionError, ConfigError)):
        run.fit(1)
    assert run.batch == 4
    fixed = shuffled_run(store, seed=8, evaluate=lambda _: {"valid_loss": 1.0})
    fixed.resume()
    fixed.take_step = None  # no batch is done twice
    assert fixed.fit(1)["valid_loss"] == [1.0]
    whole = shuffled_run(evaluate=lambda _: {"valid_loss": 1.0})
    whole.fit(2)
    again = shuffled_run(store, seed=9, evaluate=lambda _: {"valid_loss": 1.0})
    again.resume()
    again.fit(2)
    assert fingerprint(again.state_dict()) == fingerprint(whole.state_dict())


def test_the_monitor_must_exist():
    run = shuffled_run(evaluate=lambda _: {"accuracy": 0.5}, monitor="acuracy")
    with pytest.raises(
        ConfigError, match=r"monitor 'acuracy' is not among \['epoch', 'train_loss'"
    ):
        run.fit(1)


def test_evaluation_may_not_overwrite_the_trainers_numbers():
    run = shuffled_run(evaluate=lambda _: {"train_loss": 0.5, "valid_loss": 1.0})
    with pytest.raises(ConfigError, match=r"may not give \['train_loss'\]"):
        run.fit(1)


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (lambda loss: None, "NoneType"),
        (lambda loss: loss.item(), "float"),
        (lambda loss: mg.stack([loss, loss]), r"shape \(2,\)"),
    ],
)
def test_what_a_step_must_return(result, says):
    run = shuffled_run(step=lambda model, batch, _: result(model(batch).sum()))
    with pytest.raises(ShapeError, match=says):
        run.fit(1)


def test_no_batches():
    run = shuffled_run()
    run.data = data.DataLoader([], batch_size=None)
    run._position = run.data.state_dict()
    with pytest.raises(ConfigError, match="no batch"):
        run.fit(1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"mode": "best"}, "mode is 'min' or 'max'"),
        ({"min_delta": -1}, "min_delta is ≥ 0"),
        ({"patience": 0}, "patience is at least 1"),
        ({"schedule_every": "step"}, "schedule_every"),
        ({"save_every": 5}, "save_every needs a store"),
        ({"save_every": 0, "store": io.Folder("nowhere")}, "save_every is at least 1"),
    ],
)
def test_options_without_a_meaning(options, says):
    with pytest.raises(ConfigError, match=says):
        shuffled_run(**options)


def test_a_plateau_schedule_needs_an_epoch_and_the_monitors_mode():
    with pytest.raises(ConfigError, match="once per epoch"):
        shuffled_run(schedule=plateau("min"), schedule_every="batch")
    with pytest.raises(ConfigError, match="another mode"):
        shuffled_run(schedule=plateau("min"), mode="max")


def plateau(mode):
    rule = optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    return optim.ReduceLROnPlateau(rule, mode=mode)


def test_data_must_be_a_loader():
    model = nn.Linear(1, 1)
    rule = optim.SGD(model.parameters(), lr=1.0)
    with pytest.raises(
        ConfigError, match=r"data is a list, expected a DataLoader.*batch_size=None"
    ):
        Trainer(model, rule, lambda *_: None, [1, 2])


@pytest.mark.parametrize("found", [None, 0.5, [0.5]])
def test_evaluate_gives_numbers_by_name(found):
    with pytest.raises(ConfigError, match=f"evaluate gave {type(found).__name__}, expected"):
        shuffled_run(evaluate=lambda model: found, monitor="train_loss").fit(1)


def test_an_optimiser_of_another_model():
    batches = data.DataLoader([np.ones((2, 3), "f4")], batch_size=None)
    model, other = nn.Linear(3, 1), nn.Linear(3, 1)
    with pytest.raises(ConfigError, match=r"no parameter of the model.*model\.parameters\(\)"):
        Trainer(model, optim.SGD(other.parameters(), lr=0.1), lambda m, x, _: m(x).sum(), batches)
