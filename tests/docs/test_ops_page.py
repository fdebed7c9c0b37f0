"""docs/ops.md: every op has a row, every check passes, and the page is what the code gives."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from docs import generate_ops as pages
from minigrad.engine import OPS
from minigrad.testing.samples import table


@pytest.fixture(scope="module")
def fresh():
    return pages.page()


def names(text):
    """The op of each row."""
    return re.findall(r"^\| `(\w+)\(", text, re.MULTILINE)


def test_every_op_has_one_row(fresh):
    ours = sorted(n for n, op in OPS.items() if op.__module__.startswith("minigrad."))
    assert sorted(names(fresh)) == ours


def test_every_check_passes(fresh):
    assert [line for line in fresh.splitlines() if pages.FAILED in line] == []


def test_the_committed_page_is_up_to_date(fresh):
    committed = pages.PAGE.read_text(encoding="utf-8")
    assert sorted(names(committed)) == sorted(names(fresh)), "python -m docs.generate_ops"
    assert committed == fresh, "out of date: python -m docs.generate_ops"


def test_a_row_says_what_is_known_of_an_op():
    row = pages.row(OPS["tanh"])
    for part in ("`tanh(x)`", "| x |", "g (1 − y²)"):
        assert part in row
    assert row.count(pages.PASSED) == len(pages.CHECKS) - 1  # one argument: nothing to broadcast


def test_the_checks_see_a_wrong_rule(monkeypatch):
    op = OPS["exp"]
    monkeypatch.setattr(op, "rules", (lambda g, y, _x: g * y * 2,))
    found = dict(zip(pages.CHECKS, pages.marks("exp"), strict=True))
    assert found["vjp"] == found["jvp"] == pages.FAILED
    assert found["value"] == pages.PASSED


def test_the_checks_see_a_wrong_value(monkeypatch):
    wrong = [replace(s, reference=lambda x: 1.01 * np.exp(x)) for s in table() if s.op == "exp"]
    monkeypatch.setattr(pages, "table", lambda: wrong)
    assert pages.marks("exp")[0] == pages.FAILED


def test_each_check_applies_to_some_sample():
    for name, check in pages.CHECKS.items():
        assert any(pages._result(check, s) for s in table() if s.op in {"multiply", "sum"}), name
