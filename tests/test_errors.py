import inspect
import re

import pytest

from minigrad import errors


def classes():
    return {
        name: cls
        for name, cls in vars(errors).items()
        if inspect.isclass(cls) and issubclass(cls, errors.MinigradError)
    }


def test_the_drawn_tree_is_the_tree():
    drawn, path = {}, []
    for line in errors.__doc__.splitlines():
        found = re.match(r"^    ((?:│   |    )*)(?:[├└]── )?(\w+Error)\s*(?:\((\w+)\))?", line)
        if found and ("──" in line or found[2] == "MinigradError"):
            depth = len(found[1]) // 4 + ("──" in line)
            path[depth:] = [found[2]]
            bases = {path[depth - 1]} if depth else {"Exception"}
            drawn[found[2]] = bases | ({found[3]} if found[3] else set())
    assert drawn == {
        name: {base.__name__ for base in cls.__bases__} for name, cls in classes().items()
    }


def test_all_is_complete():
    assert errors.__all__ == sorted([*classes(), "missing_extra"])


def test_missing_extra_names_the_command():
    error = errors.missing_extra("matplotlib", extra="viz")
    assert error.name == "matplotlib"
    with pytest.raises(ImportError, match=r'pip install "minigrad\[viz\]"'):
        raise error
