import csv
import json
import math

import pytest

from minigrad import io
from minigrad.training import History
from tests.training.runs import shuffled_run


def test_the_files_are_complete_after_every_epoch_and_before_the_first(tmp_path):
    seen = []

    def evaluate(model):
        lines = (tmp_path / "history.jsonl").read_text().splitlines()
        with (tmp_path / "history.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        rows = [json.loads(line) for line in lines]
        assert [row["epoch"] for row in rows] == [int(row["epoch"]) for row in table]
        seen.append(len(rows))
        return {"valid_loss": 1 / (1 + len(rows))}

    run = shuffled_run(io.Folder(tmp_path), evaluate=evaluate)
    run.fit(3)
    assert seen == [0, 1, 2]
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert rows == run.history.rows  # to the last digit
    assert not list(tmp_path.glob("*.tmp"))


def test_columns_that_come_and_go(tmp_path):
    history = History(io.Folder(tmp_path).write_text)
    history.append({"epoch": 1, "a": 0.5})
    history.append({"epoch": 2, "b": 1.5})
    assert (tmp_path / "history.csv").read_text() == "epoch,a,b\n1,0.5,\n2,,1.5\n"
    assert history["a"] == [0.5]
    assert history["nothing"] == []
    assert [row["epoch"] for row in history] == [1, 2]
    assert len(history) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_knows_no_nan(value):
    history = History()
    history.append({"epoch": 1, "loss": value})
    (line,) = history.jsonl().splitlines()
    assert json.loads(line, parse_constant=pytest.fail) == {"epoch": 1, "loss": None}
    assert float(history.csv().splitlines()[1].split(",")[1]) == pytest.approx(value, nan_ok=True)


def test_without_rows_the_files_are_empty():
    assert History().csv() == History().jsonl() == ""
