import math

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import IndexRangeError, ShapeError
from minigrad.training import Mean, accuracy, class_report, format_report


def test_a_mean_is_weighted_and_empty_at_first():
    mean = Mean()
    assert math.isnan(mean.value)
    for value, weight in ((1.0, 1), (4.0, 3), (100.0, 0)):
        mean.add(value, weight=weight)
    assert mean.value == 3.25
    mean.add(np.float32(0.5))
    assert mean.value == 2.7
    assert isinstance(mean.value, float)


def test_accuracy_leaves_out_what_is_ignored():
    target = np.array([[1, 2], [-100, 0]])
    assert accuracy([[1, 0], [5, 0]], target) == 2 / 3
    assert accuracy(mg.asarray([[1, 2], [5, 0]]), mg.asarray(target)) == 1.0
    assert accuracy([1, 1], [1, 7], ignore_index=7) == 1.0
    assert math.isnan(accuracy([1], [-100]))
    assert math.isnan(accuracy([], []))


def test_accuracy_of_different_shapes():
    with pytest.raises(ShapeError, match=r"\(2,\), targets \(3,\)"):
        accuracy([1, 2], [1, 2, 3])
    with pytest.raises(ShapeError, match="argmax"):
        accuracy(mg.zeros((2, 3)), [1, 2])


def test_the_report_against_definitions():
    rng = np.random.default_rng(0)
    target, predicted = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    target[target == 2] = 0  # predicted, but never there
    predicted[predicted == 3] = 1  # there, but never predicted
    rows = {row["class"]: row for row in class_report(predicted, target, "abcd")}
    for i, name in enumerate("abcd"):
        hit = int(((predicted == i) & (target == i)).sum())
        found, there = int((predicted == i).sum()), int((target == i).sum())
        row = rows[name]
        assert row["support"] == there
        assert row["precision"] == (hit / found if found else 0.0)
        assert row["recall"] == (hit / there if there else 0.0)
        total = found + there
        assert row["f1"] == pytest.approx(2 * hit / total if total else 0.0)
    assert rows["c"]["recall"] == rows["d"]["precision"] == 0.0


def test_the_report_is_sorted_and_lines_up():
    rows = class_report([0, 1, 1, 1], [0, 1, 1, 0], ["x", "a long name"])
    assert [row["class"] for row in rows] == ["x", "a long name"]  # a tie stays in order
    lines = format_report(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["x", "2", "1.000", "0.500", "0.667"]


def test_reports_that_make_no_sense():
    with pytest.raises(ShapeError, match="2 predictions, but 1 targets"):
        class_report([0, 1], [0], ["a", "b"])
    for predicted, target in (([2], [0]), ([0], [-100])):
        with pytest.raises(IndexRangeError, match="2 names"):
            class_report(predicted, target, ["a", "b"])
    assert format_report([]) == "class  support  precision  recall     f1"
