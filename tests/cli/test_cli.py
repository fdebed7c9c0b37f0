from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import minigrad as mg
from minigrad.cli import MODELS, classes, main
from minigrad.viz import render

SCRIPT = Path(__file__).with_name("script.py")
ROOT = Path(__file__).parents[2]
has_engine = pytest.mark.skipif(render.find_engine() is None, reason="no Graphviz here")


@pytest.fixture(autouse=True)
def _tidy(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "minigrad_script", raising=False)


def at(name):
    return f"{SCRIPT}:{name}"


def graph_of(tmp_path, *arguments):
    path = tmp_path / "g.json"
    assert main(["draw", *arguments, "-o", str(path)]) == 0
    return json.loads(path.read_text(encoding="utf-8"))


# -- draw ----------------------------------------------------------------------------------------


def test_the_models_of_the_help_are_those_there_are():
    assert sorted(classes.MODELS) == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_draw_a_model(name, tmp_path):
    graph = graph_of(tmp_path, "--model", name, "--steps", "4", "--hidden", "6")
    loss = graph["nodes"][-1]
    assert loss["kind"] == "loss"
    parameters = [n for n in graph["nodes"] if n["kind"] == "parameter"]
    closed = [n for n in graph["nodes"] if n["kind"] == "module"]
    assert parameters or closed
    assert all(n["facts"]["grad"] > 0 or "_hh" in n["name"] for n in parameters)


def test_draw_folds_the_steps_of_a_composite(tmp_path):
    graph = graph_of(tmp_path, "--model", "lstm", "--steps", "9", "--composite")
    (cell,) = (b for b in graph["boxes"] if b["kind"] == "steps")
    assert cell["count"] == 9
    titles = {n.get("title") for n in graph["nodes"]}
    assert {"forget  f = σ", "input  i = σ", "output  o = σ", "candidate  g = tanh"} <= titles
    flat = graph_of(tmp_path, "--model", "lstm", "--steps", "9", "--composite", "--no-fold")
    assert len(flat["nodes"]) > 9 * 10


def test_draw_a_script(tmp_path):
    graph = graph_of(tmp_path, at("loss"))
    assert graph["title"] == "Sequential  —  loss"
    assert {n["name"] for n in graph["nodes"] if n["kind"] == "parameter"} == {
        "0.weight", "0.bias", "2.weight", "2.bias",
    }  # fmt: skip
    assert not graph["banner"]
    graph = graph_of(tmp_path, at("loss"), "--no-backward")
    assert "no gradients yet" in graph["banner"]


def test_draw_after_backward_keeps_the_gradients_there_are(tmp_path):
    graph = graph_of(tmp_path, at("freed"))
    assert not graph["banner"]


def test_draw_takes_names_and_drawn_graphs(tmp_path):
    graph = graph_of(tmp_path, at("named"))
    assert [n["name"] for n in graph["nodes"] if n["kind"] == "parameter"] == ["w"]
    assert graph_of(tmp_path, at("drawn"))["title"] == "by hand"


@pytest.mark.parametrize(
    ("suffix", "start"),
    [
        ("html", "<!doctype html>"), ("dot", "digraph minigrad"), ("mmd", "flowchart"),
        pytest.param("svg", "<svg", marks=has_engine),
        pytest.param("png", "\x89PNG", marks=has_engine),
        pytest.param("pdf", "%PDF", marks=has_engine),
    ],
)  # fmt: skip
def test_the_suffix_is_the_format(suffix, start, tmp_path, capsys):
    path = tmp_path / f"graph.{suffix}"
    assert main(["draw", at("loss"), "-o", str(path)]) == 0
    text = path.read_bytes().decode("latin-1")
    assert text.lower().startswith(start.lower())
    assert capsys.readouterr().out.startswith(f"{path}: 6 tape lines")


def test_draw_without_a_file_says_it_in_words(capsys):
    assert main(["draw", "--model", "gru", "--composite"]) == 0
    assert "×20 steps" in capsys.readouterr().out


# -- tape ----------------------------------------------------------------------------------------


def test_tape(capsys):
    assert main(["tape", at("loss")]) == 0
    head, line, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["line", "op", "inputs", "shape", "dtype", "saved", "rule", "source"]
    assert set(line) == {"─", " "}
    assert rows[0].split()[:7] == ["1", "linear", "input,", "0.weight,", "0.bias", "(2,", "3)"]
    assert rows[1].split()[:3] == ["2", "tanh", "%1"]
    assert "x: g (1 − y²)" in rows[1]
    assert "float32" in rows[1]
    assert " 24 " in rows[1]  # six numbers of four bytes
    assert rows[1].endswith("script.py:17")
    assert "multiply  0.5 ×" in rows[4]
    assert "loss = %6" in rows
    assert "parameters: 0.weight (3, 4), 0.bias (3,), 2.weight (1, 3), 2.bias (1,)" in rows


def test_tape_names_one_of_several_outputs(capsys):
    assert main(["tape", at("recurrent")]) == 0
    out = capsys.readouterr().out
    assert "%1.0" in out
    assert "x: daₜ W" in out


def test_tape_of_a_freed_one_and_the_last_lines(capsys):
    assert main(["tape", at("freed"), "--last", "2"]) == 0
    out = capsys.readouterr().out
    assert out.count("freed") == 2
    assert "4 earlier lines" in out


# -- check ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("loss", ["0.weight", "0.bias", "2.weight", "2.bias", "all together"]),
        ("recurrent", ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "all together"]),
        ("pair", ["x", "w", "all together"]),
        ("positional", ["x"]),
        ("declared", ["x", "h", "all together"]),
    ],
)
def test_check(name, inputs, capsys):
    assert main(["check", at(name)]) == 0
    _, _, head, _, *rows = capsys.readouterr().out.splitlines()
    assert "first order  second order  forward mode" in head
    for name, row in zip(inputs, rows, strict=False):
        assert row.startswith(name)
        assert row.split()[-3:] == ["ok", "ok", "ok"]
    assert rows[-1] == f"{3 * len(inputs)} of {3 * len(inputs)} checks passed"


def test_check_finds_a_wrong_rule(capsys):
    assert main(["check", at("wrong")]) == 1
    out = capsys.readouterr().out
    assert "WRONG" in out
    assert "analytic 0.3, numeric 0.955336489" in out
    assert "1 of 3 checks passed" in out
    assert main(["check", at("wrong"), "--order", "1"]) == 1
    assert "second order" not in capsys.readouterr().out


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tape", "no_such.py:f"], "there is no file 'no_such.py'"),
        (["tape", "script.py"], "is not SCRIPT.py:FUNCTION"),
        (["tape", at("los")], "has no function 'los'; it has constant, declared"),
        (["tape", at("SECRET")], "has no function 'SECRET'"),
        (["tape", at("needy")], "its argument 'x' has no default"),
        (["tape", at("number")], "outputs is a int"),
        (["tape", at("drawn")], "return the Tensor"),
        (["tape", f"{ROOT / 'pyproject.toml'}:f"], "its name must end in .py"),
        (["check", at("number")], r"returned a int; return \(f, inputs\)"),
        (["check", at("forgotten")], "argument b of add, line 1, is a constant that was not kept"),
        (["check", at("constant")], "nothing that the function returns depends on a leaf"),
        (["draw"], "either SCRIPT.py:FUNCTION or --model"),
        (["draw", at("loss"), "--model", "lstm"], "either SCRIPT.py:FUNCTION or --model"),
        (["draw", "--model", "lstm", "--steps", "0"], "--steps is 0; expected at least 1"),
        (["draw", "--model", "mlp", "--layers", "-1"], "--layers is -1"),
        (["draw", at("loss"), "-o", "no/such/folder/g.svg"], "there is no folder"),
        (["draw", at("loss"), "-o", "g.bmp"], "format 'bmp' is not one of"),
        (["draw", at("loss"), "--depth", "-1", "-o", "g.dot"], "depth is -1"),
    ],
)
def test_errors_are_one_line(arguments, words, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"minigrad {arguments[0]}: ")
    assert re.search(words, line)


def test_an_unknown_option_is_an_error_and_no_command_is_the_help(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["draw", "--model", "elman"])
    assert stop.value.code == 2
    assert main([]) == 2
    assert "COMMAND" in capsys.readouterr().out


def test_a_script_sees_its_folder_and_its_errors_are_its_own(tmp_path, capsys):
    (tmp_path / "near.py").write_text("SIZE = 3\n")
    script = tmp_path / "random.py"  # a name that the standard library has too
    script.write_text(
        "import near, minigrad as mg\n"
        "def ones():\n    return mg.ones(near.SIZE, requires_grad=True) * 2\n"
        "def broken():\n    raise RuntimeError('mine')\n"
        "if __name__ == '__main__':\n    raise SystemExit(7)\n"
    )
    assert main(["tape", f"{script}:ones"]) == 0
    assert "(3,)" in capsys.readouterr().out
    with pytest.raises(RuntimeError, match="mine"):
        main(["tape", f"{script}:broken"])


def test_python_m_minigrad():
    command = [sys.executable, "-m", "minigrad", "tape", at("loss")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tanh" in done.stdout
    version = subprocess.run([*command[:3], "--version"], cwd=ROOT, capture_output=True, check=True)
    assert version.stdout.startswith(b"minigrad 0")


def test_draw_shows_single_steps(tmp_path, capsys):
    path = tmp_path / "lstm.json"
    line = ["draw", "--model", "lstm", "--steps", "9", "--expand", "lstm:0,8", "-o", str(path)]
    assert main(line) == 0
    boxes = json.loads(path.read_text(encoding="utf-8"))["boxes"]
    titles = {b["title"] for b in boxes if b["kind"] in ("step", "steps")}
    assert titles == {"step 0", "step t", "step 8"}


def test_draw_names_a_step_that_is_not_there(capsys):
    assert main(["draw", "--model", "lstm", "--expand", "lstm:99"]) == 2
    assert "asks for step 99; there are 20" in capsys.readouterr().err


def test_summary_says_how_to_get_a_picture(capsys):
    assert main(["draw", "--model", "mlp"]) == 0
    assert "-o graph.html" in capsys.readouterr().out


def test_a_listing_fits_a_width():
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    loss = mg.nn.functional.cross_entropy(mg.stack([w, w]), mg.tensor([0, 1]))
    for width in (110, 140):
        table = mg.viz.listing(loss, width=width).splitlines()[:4]
        assert max(map(len, table)) <= width
