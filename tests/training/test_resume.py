"""Interrupted and resumed equals uninterrupted: bit for bit, wherever the run was cut."""

import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import io
from minigrad.errors import CheckpointError
from minigrad.training.carry import detach, pack, unpack
from tests.training.runs import OPTIMIZERS, SCHEDULES, fingerprint, language_run, shuffled_run

EPOCHS, BATCHES = 3, 4
ROOT = Path(__file__).parents[2]


class Crash(Exception):
    """Stands for a process that is gone: the trainer it hits is not used again."""


def crashing(trainer, after):
    """Let the trainer die in the step that follows `after` steps."""
    take_step = trainer.take_step

    def step(*args):
        nonlocal after
        if after == 0:
            raise Crash
        after -= 1
        return take_step(*args)

    trainer.take_step = step
    return trainer


def cut_and_resumed(make, folder, after, save_every):
    store = io.Folder(folder)
    with pytest.raises(Crash):
        crashing(make(store, save_every=save_every), after).fit(EPOCHS)
    mg.manual_seed(12345)
    mg.device("cpu").rng.normal(shape=17)
    second = make(store, seed=999, save_every=save_every)  # other parameters, other dropout
    assert second.resume()
    epoch, batch = divmod(after, BATCHES)
    assert (second.epoch, second.batch) == (epoch, batch // save_every * save_every)
    second.fit(EPOCHS)
    return second


@pytest.mark.parametrize("after", range(EPOCHS * BATCHES))
def test_a_carried_state_dropout_and_schedule_go_on_from_any_batch(tmp_path, after):
    whole = language_run()
    whole.fit(EPOCHS)
    cut = cut_and_resumed(language_run, tmp_path, after, save_every=1)
    assert fingerprint(cut.state_dict()) == fingerprint(whole.state_dict())


@pytest.mark.parametrize("after", [0, 3, 5, 7, 11])
@pytest.mark.parametrize("save_every", [2, 3, 1000])
def test_shuffled_batches_go_on_from_the_last_checkpoint(tmp_path, after, save_every):
    whole = shuffled_run()
    whole.fit(EPOCHS)
    cut = cut_and_resumed(shuffled_run, tmp_path, after, save_every)
    assert fingerprint(cut.state_dict()) == fingerprint(whole.state_dict())


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_and_schedule_goes_on(tmp_path, optimizer, schedule):
    def make(store=None, **options):
        return language_run(store, optimizer=optimizer, schedule=schedule, **options)

    whole = make()
    whole.fit(EPOCHS)
    cut = cut_and_resumed(make, tmp_path, 6, save_every=1)
    assert fingerprint(cut.state_dict()) == fingerprint(whole.state_dict())


def test_more_epochs_continue_a_finished_run(tmp_path):
    whole = shuffled_run()
    whole.fit(4)
    store = io.Folder(tmp_path)
    shuffled_run(store).fit(2)
    later = shuffled_run(store, seed=7)
    assert later.resume()
    assert (later.epoch, later.batch, len(later.history)) == (2, 0, 2)
    later.fit(4)
    assert fingerprint(later.state_dict()) == fingerprint(whole.state_dict())
    assert [row["epoch"] for row in later.history] == [1, 2, 3, 4]


def test_a_run_is_resumed_from_its_best_epoch_too(tmp_path):
    store = io.Folder(tmp_path)
    scores = {1: 3.0, 2: 1.0, 3: 2.0, 4: 2.0}
    run = shuffled_run(store)
    run.evaluate = lambda _: {"valid_loss": scores[run.epoch + 1]}
    run.monitor.name = "valid_loss"
    run.fit(4)
    again = shuffled_run(store, seed=1)
    assert again.resume("best")
    assert (again.epoch, again.monitor.best, again.monitor.epoch) == (2, 1.0, 2)


def test_the_history_files_forget_what_the_checkpoint_does_not_know(tmp_path):
    store = io.Folder(tmp_path)
    run = shuffled_run(store)
    run.fit(2)
    state = run.state_dict()
    run.fit(3)
    store.save("last", state)  # as if epoch 3 had been written to the history, but not saved
    again = shuffled_run(store)
    again.resume()
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 2
    again.fit(3)
    with (tmp_path / "history.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == list("123")


def test_nothing_to_resume(tmp_path):
    assert not shuffled_run().resume()
    assert not shuffled_run(io.Folder(tmp_path)).resume()
    assert not shuffled_run(io.Folder(tmp_path)).load_best()


def test_a_new_run_takes_the_folder_over_at_once(tmp_path):
    store = io.Folder(tmp_path)
    shuffled_run(store).fit(2)
    with pytest.raises(Crash):
        crashing(shuffled_run(store, seed=3), 1).fit(2)
    again = shuffled_run(store, seed=4)
    assert again.resume()
    assert (again.epoch, again.batch, (tmp_path / "history.csv").read_text()) == (0, 0, "")
    again.fit(2)
    whole = shuffled_run(seed=3)
    whole.fit(2)
    assert fingerprint(again.state_dict()) == fingerprint(whole.state_dict())


# -- states that do not fit ------------------------------------------------------------------------


def altered(key, value):
    state = shuffled_run().state_dict()
    state[key] = value
    return state


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({}, "it lacks"),
        (None, "it lacks"),
        (altered("schedule", {"last_step": 1, "base_lrs": [0.1]}), "has a schedule"),
        (altered("model", {}), "missing"),
        (altered("optimizer", {}), "malformed"),
        (altered("rng", {}), "get_rng_state"),
        (altered("data", {"seed": 0}), "DataLoader"),
        (altered("epoch", "many"), "malformed"),
        (altered("history", 3), "malformed"),
        (altered("monitor", None), "malformed"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(state, says):
    run = shuffled_run()
    run.fit(1)
    before = fingerprint(run.state_dict())
    with pytest.raises(CheckpointError, match=says):
        run.load_state_dict(state)
    assert fingerprint(run.state_dict()) == before
    run.fit(2)
    whole = shuffled_run()
    whole.fit(2)
    assert fingerprint(run.state_dict()) == fingerprint(whole.state_dict())


def test_a_schedule_that_the_saved_run_did_not_have():
    with pytest.raises(CheckpointError, match="has no schedule, this one has one"):
        language_run(schedule="step").load_state_dict(language_run(schedule="none").state_dict())


def test_a_broken_checkpoint_is_an_error_and_no_fresh_start(tmp_path):
    store = io.Folder(tmp_path)
    shuffled_run(store).fit(1)
    path = store.checkpoint("last")
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match=r"last\.safetensors"):
        shuffled_run(store).resume()


# -- the carry -------------------------------------------------------------------------------------


def test_a_carry_keeps_its_tensors_arrays_and_structure(tmp_path):
    w = mg.tensor([2.0], requires_grad=True)
    tree = {"h": (w * 3, [mg.tensor([1, 2])]), "a": np.ones(2), "n": 3, "none": None, "e": ()}
    free = detach(tree)
    assert not free["h"][0].requires_grad
    io.save_checkpoint(tmp_path / "carry", pack(free))
    back = unpack(io.load_checkpoint(tmp_path / "carry"), mg.device("cpu"))
    assert isinstance(back["h"], tuple)
    assert isinstance(back["h"][0], mg.Tensor)
    assert back["h"][0].tolist() == [6.0]
    assert back["h"][1][0].tolist() == [1, 2]
    assert type(back["a"]) is np.ndarray
    assert (back["n"], back["none"], back["e"]) == (3, None, ())


# -- processes that are really killed --------------------------------------------------------------

CHILD = """
import sys, time
from minigrad import io
from tests.training.runs import language_run, lm_step

folder, epochs, limit = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def slow(*args):
    global limit
    limit -= 1
    time.sleep(60 if limit < 0 else 0.004)  # at the limit, wait to be killed
    print("step", flush=True)
    return lm_step(*args)

run = language_run(io.Folder(folder), step=slow, save_every=1)
run.resume()
print("from", run.epoch * 4 + run.batch, flush=True)
run.fit(epochs)
print("done", flush=True)
"""


def start(folder, epochs, limit=1000):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(epochs), str(limit)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_steps(child, count):
    """Read the child's words up to its `count`-th step; returns where it went on from."""
    began = None
    while count:
        line = child.stdout.readline()
        assert line, child.stderr.read()
        if line.startswith("from"):
            began = int(line.split()[1])
        count -= line.startswith("step")
    return began


def ended(folder):
    state = io.load_checkpoint(folder / "last.safetensors")
    streams = state["rng"]["streams"]  # this process may have opened other devices before
    state["rng"]["streams"] = {"cpu": streams["cpu"]}
    return fingerprint(state)


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_kill_9_again_and_again(tmp_path):
    epochs = 10
    whole = language_run(io.Folder(tmp_path / "whole"))
    whole.fit(epochs)
    starts = []
    for kill in range(3):
        child = start(tmp_path / "cut", epochs, limit=12)
        starts.append(first_steps(child, 9))
        time.sleep(0.003 * kill)  # in the step, in the update, in the midst of saving
        child.send_signal(signal.SIGKILL)
        assert child.wait(30) == -signal.SIGKILL
        child.communicate()
        for line in (tmp_path / "cut" / "history.jsonl").read_text().splitlines():
            json.loads(line)  # complete at any time
    child = start(tmp_path / "cut", epochs)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert out.endswith("done\n")
    starts.append(int(out.split()[1]))
    assert starts[0] == 0
    assert all(7 <= b - a <= 12 for a, b in itertools.pairwise(starts))
    assert ended(tmp_path / "cut") == ended(tmp_path / "whole")


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize(
    ("number", "code", "says"),
    [(signal.SIGINT, -signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, 143, "")],
)
def test_a_signal_waits_for_the_batch_and_saves(tmp_path, number, code, says):
    epochs = 40
    whole = language_run(io.Folder(tmp_path / "whole"))
    whole.fit(epochs)
    child = start(tmp_path / "cut", epochs)
    first_steps(child, 6)
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == code, err
    assert "stopping after this batch" in err
    assert says in err
    run = language_run(io.Folder(tmp_path / "cut"), seed=1)
    assert run.resume()
    assert 6 <= run.epoch * 4 + run.batch < epochs * 4
    run.fit(epochs)
    assert ended(tmp_path / "cut") == ended(tmp_path / "whole")
