"""Each example from its command line, with `--preset quick`: what it leaves, how it resumes."""

import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

import minigrad as mg
from examples import char_lm, cli, seq2seq, tagger
from minigrad.data.datasets import locate, tagging, translation
from minigrad.data.datasets import text as texts

ROOT = Path(__file__).parents[2]
MPIEXEC = shutil.which("mpiexec", path=sysconfig.get_path("scripts")) or shutil.which("mpiexec")
FILES = {
    char_lm: (),
    tagger: tuple(tagging._EWT.values()),
    seq2seq: (translation._FRA_ENG,),
}
LEAVES = {
    char_lm: {"sample.txt"},
    tagger: {"report.txt"},
    seq2seq: {"translations.txt", "alignment.svg"},
}
ALWAYS = {
    "config.json", "history.csv", "history.jsonl", "best.safetensors", "last.safetensors",
    "model.safetensors", "loss.svg", "graph.svg",
}  # fmt: skip
BRIEF = {
    char_lm: ["--preset", "quick", "--limit", "8000"],
    tagger: ["--preset", "quick"],
    seq2seq: ["--preset", "quick"],
}
each = pytest.mark.parametrize("example", FILES, ids=lambda module: module.__name__)


@pytest.fixture
def run(tmp_path, capsys):
    """Call an example's command line; its figures, its words, its folder."""

    def call(example, *arguments, out="run", options=None):
        for file in FILES[example]:
            if locate(file) is None:
                pytest.skip(
                    f"{file.folder} is not on this machine: set MINIGRAD_DATA to its folder"
                )
        folder = tmp_path / out
        brief = BRIEF[example] if options is None else options
        figures = example.main([*brief, *arguments, "--out", str(folder)])
        return figures, capsys.readouterr().out, folder

    return call


def parameters(folder):
    return mg.io.load_safetensors(folder / "model.safetensors")


def losses(folder):
    with (folder / "history.csv").open(newline="") as file:
        return [row["train_loss"] for row in csv.DictReader(file)]


def picture_or_source(folder):
    """The graph is drawn where there is a graphviz to lay it out, else its text is left."""
    return "graph.svg" if (folder / "graph.svg").exists() else "graph.dot"


@each
def test_it_leaves_the_files_it_names(example, run):
    figures, said, folder = run(example)
    found = {path.name for path in folder.iterdir() if path.is_file()}
    assert found - {"graph.dot"} >= (ALWAYS | LEAVES[example]) - {"graph.svg"}
    assert picture_or_source(folder) in found
    assert str(folder) in said.splitlines()[-1]
    assert said.count("epoch 1/2") == (2 if example is seq2seq else 1)
    for path in folder.glob("*.svg"):
        assert ET.parse(path).getroot().tag.endswith("svg")
    assert all(np.isfinite(value) for value in figures.values())
    assert len(losses(folder)) == 2
    assert json.loads((folder / "config.json").read_text())["epochs"] == 2
    about = json.loads(mg.io.read_metadata(folder / "model.safetensors")["minigrad"])
    assert about["model"] == example.__name__.split(".")[1]


@each
def test_more_epochs_are_a_resumed_run_with_its_options(example, run):
    _, _, folder = run(example, "--seed", "3")
    before = losses(folder)
    _, said, _ = run(example, "--resume", "--epochs", "3", options=[])  # the folder knows them
    assert "going on after 2 epochs and 0 batches" in said
    assert losses(folder)[:2] == before
    assert len(losses(folder)) == 3
    config = json.loads((folder / "config.json").read_text())
    assert (config["seed"], config["epochs"], config["resume"]) == (3, 3, True)


@each
def test_equal_seeds_give_equal_models(example, run):
    (_, _, a), (_, _, b), (_, _, c) = (
        run(example, "--seed", seed, "--epochs", "1", out=name)
        for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))
    )
    first, second, other = parameters(a), parameters(b), parameters(c)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not all(np.array_equal(first[name], other[name]) for name in first)


@each
def test_a_run_that_is_stopped_goes_on_as_if_it_had_not_been(example, run, monkeypatch):
    _, _, whole = run(example, "--seed", "1", out="whole")
    take_step, calls = mg.training.Trainer._step, 0

    def stopped(self, batch):
        nonlocal calls
        calls += 1
        if calls == len(self.data) + 2:
            raise KeyboardInterrupt
        return take_step(self, batch)

    monkeypatch.setattr(mg.training.Trainer, "_step", stopped)
    with pytest.raises(SystemExit, match=r"stopped; --resume --out .*cut goes on"):
        run(example, "--seed", "1", out="cut")
    monkeypatch.undo()
    _, said, cut = run(example, "--resume", out="cut")
    assert "going on after 1 epochs" in said
    a, b = parameters(whole), parameters(cut)
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert losses(cut) == losses(whole)


@each
def test_help_names_every_option(example, capsys):
    with pytest.raises(SystemExit, match="0"):
        example.main(["--help"])
    said = capsys.readouterr().out
    assert example.__doc__.splitlines()[0] in said
    for name in example.Config.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in said
    assert "--preset {quick" in said


@each
def test_an_unknown_option(example, capsys):
    with pytest.raises(SystemExit, match="2"):
        example.main(["--epoch-count", "3"])
    assert "--epoch-count" in capsys.readouterr().err


# -- one by one ------------------------------------------------------------------------------------


def test_nothing_to_resume_is_a_fresh_start(run):
    _, said, folder = run(char_lm, "--resume", "--epochs", "1")
    assert "nothing to resume" in said
    assert len(losses(folder)) == 1


def test_a_trained_model_writes_again(run):
    _, _, folder = run(char_lm)
    before = parameters(folder)
    _, said, _ = run(
        char_lm, "--resume", "--prompt", "The ", "--sample", "25", "--temperature", "0.5"
    )
    assert "epoch " not in said
    text = (folder / "sample.txt").read_text()
    assert text.startswith("The ")
    assert len(text) == len("The ") + 25 + 1
    assert all(np.array_equal(before[name], value) for name, value in parameters(folder).items())


@pytest.mark.parametrize("kind", ["rnn", "gru"])
def test_other_layers_than_the_lstm(run, kind):
    figures, said, _ = run(char_lm, "--kind", kind, "--epochs", "1", "--dropout", "0.1")
    assert f"(rnn): {kind.upper()}(" in said
    assert figures["epochs"] == 1


def test_the_language_model_learns(run):
    options = ["--limit", "20000", "--batch", "8", "--steps", "32", "--lr", "0.01"]
    figures, _, _ = run(char_lm, *options)
    assert figures["valid_loss"] < 2.7  # letters by their frequency alone: 3.1


def test_shakespeare_is_a_preset(run):
    if locate(texts._SHAKESPEARE) is None:
        pytest.skip("tinyshakespeare is not on this machine: set MINIGRAD_DATA to its folder")
    small = ["--limit", "8000", "--epochs", "1", "--layers", "1", "--hidden", "16"]
    _, said, _ = run(char_lm, *small, options=["--preset", "shakespeare"])
    assert said.startswith("shakespeare: 8,000 characters to learn")


def test_the_tagger_without_characters(run):
    _, said, _ = run(tagger, "--char-hidden", "0", "--epochs", "1")
    assert "char_lstm" not in said
    assert "test accuracy" in said


def test_the_translation_without_its_baseline(run):
    figures, _, folder = run(seq2seq, "--no-baseline", "--epochs", "1")
    assert set(figures) == {"valid_loss", "bleu_greedy", "bleu", "seconds"}
    assert not (folder / "baseline").exists()


def test_a_file_is_left_where_no_graphviz_is_installed(run, monkeypatch):
    def render(*_):
        raise mg.errors.missing_extra("graphviz", extra="viz")

    monkeypatch.setattr(mg.viz.Graph, "render", render)
    _, said, folder = run(char_lm, "--epochs", "1")
    assert 'pip install "minigrad[viz]"' in said
    assert (folder / "graph.dot").read_text().startswith("digraph")
    assert "graph.dot" in said.splitlines()[-1]


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.parametrize("processes", ["1", "2"])
def test_ctrl_c_says_how_to_go_on(tmp_path, processes):
    child = subprocess.Popen(
        [sys.executable, "-m", "examples.char_lm", "--preset", "quick", "--epochs", "500",
         "--out", str(tmp_path), "--processes", processes],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0,
    )  # fmt: skip
    while "epoch" not in (line := child.stdout.readline()):
        assert line, child.stderr.read()
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all that it runs
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1
    assert err.splitlines()[-1] == f"stopped; --resume --out {tmp_path} goes on"
    assert "Traceback" not in err
    state = mg.io.load_checkpoint(tmp_path / "last.safetensors")
    assert state["epoch"] >= 1


def test_options_come_from_the_preset_and_then_from_the_command_line(tmp_path):
    config = cli.parse(
        char_lm.Config, "", char_lm.PRESETS, ["--preset", "quick", "--hidden", "7", "--top-k", "3"]
    )
    assert (config.epochs, config.layers, config.hidden, config.top_k) == (2, 1, 7, 3)
    (tmp_path / "config.json").write_text(json.dumps({"hidden": 5, "layers": 3, "forgotten": 1}))
    resumed = cli.parse(
        char_lm.Config, "", {}, ["--resume", "--layers", "4", "--out", str(tmp_path)]
    )
    assert (resumed.hidden, resumed.layers, resumed.resume) == (5, 4, True)


def test_a_compiled_step_learns_the_same(run):
    plain = losses(run(char_lm, "--epochs", "1", "--dropout", "0.2", out="plain")[2])
    compiled = run(char_lm, "--epochs", "1", "--dropout", "0.2", "--compile", out="compiled")
    assert losses(compiled[2]) == plain


@each
def test_a_batch_divided_over_threads_learns_the_same(example, run):
    """But for dropout, whose masks are other ones."""
    quiet = [] if example is char_lm else ["--dropout", "0"]
    quiet += ["--no-baseline"] if example is seq2seq else []
    whole = losses(run(example, *quiet, "--epochs", "1", out="whole")[2])
    parts = losses(run(example, *quiet, "--epochs", "1", "--workers", "2", out="parts")[2])
    assert [float(x) for x in parts] == pytest.approx([float(x) for x in whole], rel=1e-4)


@each
@pytest.mark.parametrize("kind", ["fork", "mpi"])
def test_processes_that_share_a_batch_learn_the_same(example, kind, run, tmp_path):
    if kind == "mpi" and (MPIEXEC is None or importlib.util.find_spec("mpi4py") is None):
        pytest.skip("mpi4py or mpiexec is missing: pip install mpi4py mpich")
    options = [*BRIEF[example], "--epochs", "1"]
    options += [] if example is char_lm else ["--dropout", "0"]
    options += ["--unknown", "0"] if example is tagger else []
    options += ["--no-baseline"] if example is seq2seq else []
    _, _, alone = run(example, options=options, out="alone")
    together = tmp_path / "together"
    command = [sys.executable, "-m", example.__name__, *options, "--out", str(together)]
    done = subprocess.run(
        [*command, "--processes", "2"]
        if kind == "fork"
        else [MPIEXEC, "-n", "2", *command, "--parallel", "mpi"],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("epoch 1/1") == 1  # one process speaks
    assert {p.name for p in together.iterdir()} >= LEAVES[example] | {"model.safetensors"}
    assert [float(x) for x in losses(together)] == pytest.approx(
        [float(x) for x in losses(alone)], rel=1e-4
    )
