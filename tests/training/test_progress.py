import io
import sys

import pytest

from minigrad.training import progress
from tests.training.runs import shuffled_run


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_per_epoch(capsys):
    shuffled_run(progress=True, evaluate=lambda _: {"valid_loss": 0.25}).fit(10)
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert len(lines) == 10
    assert lines[0].startswith("epoch  1/10  train_loss ")
    assert "  valid_loss 0.2500  lr 0.05  " in lines[0]
    assert lines[0].endswith(" s  best")
    assert lines[1].endswith(" s")
    assert all(len(line) < 100 for line in lines)


def test_silence(capsys):
    shuffled_run(progress=False).fit(1)
    assert capsys.readouterr() == ("", "")


def test_long_epochs_say_something_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "QUIET", 0.0)
    shuffled_run(progress=True).fit(1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  loss")[0] for line in lines[:-1]] == [
        f"epoch 1/1  batch {i}/4" for i in (1, 2, 3)
    ]
    assert lines[-1].startswith("epoch 1/1  train_loss")


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    shuffled_run(progress=True).fit(2)
    drawn = terminal.getvalue()
    assert "epoch 1/2" in drawn
    assert "/4 [" in drawn
    assert drawn.endswith("\r")  # the bar is gone, the epoch's line stays
    assert "\n" not in drawn
    assert capsys.readouterr().out.count("\n") == 2


def test_a_bar_goes_on_where_the_run_was_cut(monkeypatch):
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = progress.track(range(10), start=6, label="epoch", show=True)
    iter(bar.batches)
    assert (bar.batches.n, bar.batches.total) == (6, 10)
    bar.close()


def test_the_bar_is_closed_when_a_step_fails(monkeypatch):
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    def step(*_):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        shuffled_run(progress=True, step=step).fit(1)
    assert terminal.getvalue().endswith("\r")


def test_without_tqdm_a_terminal_has_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "stderr", Terminal())
    shuffled_run(progress=True).fit(1)
    assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.5, "0.5000"), (0.0, "0.0000"), (2e-5, "2.000e-05"), (3e7, "3.000e+07"), (7, "7"),
     (float("nan"), "nan"), (-1.25, "-1.2500")],
)  # fmt: skip
def test_numbers_of_any_size(value, text):
    row = {"epoch": 1, "x": value, "lr": 1e-3, "seconds": 0.04}
    assert progress.summary(row, epochs=1, best=False) == f"epoch 1/1  x {text}  lr 0.001  0.0 s"
