import math
import signal
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import data, io, nn, optim
from minigrad.errors import ConfigError, MinigradError, ShapeError
from minigrad.training import Trainer
from minigrad.training.interrupt import Interrupt
from tests.training.runs import fingerprint, language_run, shuffled_run


def scored_run(scores, store=None, **options):
    """A run of one batch per epoch whose monitored number is given: scores[epoch - 1]."""
    model = nn.Linear(1, 1)
    rule = optim.SGD(model.parameters(), lr=1.0)
    run = Trainer(
        model,
        rule,
        lambda model, batch, _: model(batch).sum() * 0.01,
        data.DataLoader(data.ArrayDataset(np.ones((2, 1), "f4")), batch_size=2),
        evaluate=lambda _: {"score": scores[run.epoch]},
        monitor="score",
        store=store,
        progress=False,
        **options,
    )
    return run


def parameters(run):
    return {name: p.numpy().copy() for name, p in run.model.named_parameters()}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)


# -- the loop --------------------------------------------------------------------------------------


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


# -- what goes wrong -------------------------------------------------------------------------------


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


# -- the best epoch --------------------------------------------------------------------------------


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


# -- signals ---------------------------------------------------------------------------------------

in_main_thread = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals need the main thread"
)


@in_main_thread
def test_ctrl_c_ends_the_batch_first(capfd):
    whole = shuffled_run()
    whole.fit(2)
    run = shuffled_run()
    inner = run.take_step

    def step(*args):
        if run.batch == 2:
            run.take_step = inner
            signal.raise_signal(signal.SIGINT)
        return inner(*args)

    run.take_step = step
    with pytest.raises(KeyboardInterrupt):
        run.fit(2)
    assert run.batch == 3
    assert "once more to stop at once" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run.fit(2)
    assert fingerprint(run.state_dict()) == fingerprint(whole.state_dict())


@in_main_thread
def test_ctrl_c_during_the_last_evaluation_is_not_lost():
    def evaluate(model):
        signal.raise_signal(signal.SIGINT)
        return {"valid_loss": 1.0}

    run = shuffled_run(evaluate=evaluate)
    with pytest.raises(KeyboardInterrupt):
        run.fit(1)
    assert run.epoch == 1


@in_main_thread
def test_a_second_ctrl_c_acts_at_once():
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@in_main_thread
def test_a_handler_of_the_users_stays():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGTERM)
            interrupt.check()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_training_in_another_thread():
    run = shuffled_run()
    thread = threading.Thread(target=run.fit, args=(2,))
    thread.start()
    thread.join()
    assert run.epoch == 2
