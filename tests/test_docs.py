"""The code in the README and in docs/ runs, and prints what it says it prints."""

import ast
import contextlib
import doctest
import io
import re
import tokenize
from pathlib import Path

import pytest

import minigrad as mg

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def blocks(page):
    """(line, code) of each ```python block."""
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        yield text.count("\n", 0, match.start()) + 2, match.group(1)


def comments(code):
    """The comment on each line, by number."""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    return {
        t.start[0]: t.string.removeprefix("#").removeprefix(" ")
        for t in tokens
        if t.type == tokenize.COMMENT
    }


def expected_after(statement, code):
    """What an expression is said to show: the comment behind it, and those directly below it."""
    said, lines = comments(code), code.splitlines()
    shown = [said[statement.end_lineno]] if statement.end_lineno in said else []
    line = statement.end_lineno + 1
    while line in said and lines[line - 1].lstrip().startswith("#"):
        shown.append(said[line])
        line += 1
    return "\n".join(shown)


def run(code, names, where):
    """Run a block: statement by statement, with each expression compared with its comment."""
    if code.lstrip().startswith(">>>"):
        test = doctest.DocTestParser().get_doctest(code, names, where, where, 0)
        report = io.StringIO()
        result = doctest.DocTestRunner(optionflags=FLAGS).run(
            test, out=report.write, clear_globs=False
        )
        names.update(test.globs)
        assert not result.failed, report.getvalue()
        return
    for statement in ast.parse(code).body:
        if not isinstance(statement, ast.Expr):
            exec(compile(ast.Module([statement], []), where, "exec"), names)  # noqa: S102
            continue
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            value = eval(compile(ast.Expression(statement.value), where, "eval"), names)  # noqa: S307
        found = out.getvalue() + ("" if value is None else repr(value))
        expected = expected_after(statement, code)
        if found and expected:
            same = doctest.OutputChecker().check_output(
                expected.strip() + "\n", found.strip() + "\n", FLAGS
            )
            assert same, f"{where}: {ast.unparse(statement)}\nsays  {expected}\nshows {found}"


@each_page
def test_the_code_runs_and_shows_what_it_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    mg.manual_seed(0)
    names = {"__name__": "__docs__"}
    for line, code in blocks(page):
        run(code, names, f"{page.relative_to(ROOT)}:{line}")


def test_the_runner_can_fail():
    with pytest.raises(AssertionError, match="says  3"):
        run("1 + 1  # 3", {}, "here:1")
    with pytest.raises(AssertionError, match="Expected"):
        run(">>> 1 + 1\n3\n", {}, "here:1")
    with pytest.raises(NameError):
        run("absent", {}, "here:1")
    run("x = 1  # a name\nprint(x)\n# 1\n\n# free text\nx + 1  # 2", {}, "here:1")


@each_page
def test_links_lead_somewhere(page):
    text = re.sub(
        r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)|<img[^>]*src=\"([^\"]+)\"", text):
        link = "".join(target)
        if not link.startswith(("http", "mailto")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in PAGES:
        if page.parent.name == "docs" and page.name != "index.md":
            assert f"({page.name})" in index


def command(name):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.split(f"<!-- {name} -->")[1].split("<!-- end -->")[0]
    return [line for line in block.strip().splitlines() if not line.startswith("```")]


@pytest.mark.parametrize("name", ["example-command", "test-command"])
def test_the_two_commands_are_one_line_each(name):
    (line,) = command(name)
    assert line.startswith("python3 -m venv .venv && .venv/bin/pip install ")
