"""What the package promises before anything is computed."""

import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
import textwrap
import tomllib
from importlib import metadata
from operator import attrgetter
from pathlib import Path

import pytest

import minigrad as mg
from minigrad.engine.calls import NAMES

ROOT = Path(__file__).parents[1]
OPTIONAL = [
    "IPython", "cupy", "graphviz", "matplotlib", "ml_dtypes", "mpi4py", "pooch", "pygraphviz",
    "requests", "sacrebleu", "safetensors", "torch", "tqdm",
]  # fmt: skip


def python(code, *arguments):
    """What `code` prints in a fresh interpreter, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_import_loads_numpy_and_the_standard_library_only():
    loaded = python("""
        import json, sys
        import numpy
        before = set(sys.modules)
        import minigrad
        print(json.dumps(sorted(set(sys.modules) - before)))
    """)
    foreign = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert foreign - {"numpy"} == {"minigrad"}
    parts = {name.split(".")[1] for name in loaded if name.startswith("minigrad.")}
    assert parts == {"backend", "engine", "errors", "ops"}  # the rest comes when it is used
    slow = {"asyncio", "concurrent", "dataclasses", "inspect", "multiprocessing", "unittest"}
    assert not slow & set(loaded)


def test_every_module_imports_without_the_optional_packages():
    names = [m.name for m in pkgutil.walk_packages(mg.__path__, "minigrad.")]
    failures = python(
        """
        import importlib, json, sys
        names, optional = map(json.loads, sys.argv[1:])
        sys.modules.update(dict.fromkeys(optional))
        failures = {}
        for name in names:
            try:
                importlib.import_module(name)
            except Exception as error:
                failures[name] = repr(error)
        print(json.dumps(failures))
        """,
        json.dumps(names),
        json.dumps(OPTIONAL),
    )
    assert failures == {}


def test_all_is_sorted_and_equal_to_the_public_names():
    natural = sorted(  # as ruff sorts: constants, classes, the rest; int8 before int16
        mg.__all__,
        key=lambda name: (
            not (name.isupper() and len(name) > 1),
            not name[0].isupper(),
            [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)],
        ),
    )
    assert list(mg.__all__) == natural
    assert len(set(mg.__all__)) == len(mg.__all__)
    assert all(hasattr(mg, name) for name in mg.__all__)
    public = {
        name
        for name, value in vars(mg).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    } - {"TYPE_CHECKING", "Any", "annotations"}
    assert public <= set(mg.__all__)
    assert set(mg.__all__) <= set(dir(mg))
    assert {"data", "errors", "io", "nn", "optim", "testing", "training", "viz"} < set(mg.__all__)


@pytest.mark.parametrize(
    "name", [m.name for m in pkgutil.walk_packages(mg.__path__, "minigrad.") if m.ispkg]
)
def test_packages_export_what_they_list(name):
    package = importlib.import_module(name)
    if hasattr(package, "__all__"):
        assert len(set(package.__all__)) == len(package.__all__)
        assert all(hasattr(package, public) for public in package.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"minigrad.*no_such_name"):
        mg.no_such_name  # noqa: B018


def test_names_of_pytorch_lead_to_ours():
    with pytest.raises(AttributeError, match=r"'cat'; write mg\.concat"):
        mg.cat  # noqa: B018
    for name, hint in NAMES.items():
        assert not hasattr(mg, name)
        for ours in re.findall(r"mg\.([\w.]+)", hint):
            assert attrgetter(ours)(mg)


def test_version_and_types():
    assert (Path(mg.__file__).parent / "py.typed").exists()
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {mg.__version__}" in changelog
    try:
        installed = metadata.version("minigrad")
    except metadata.PackageNotFoundError:
        pytest.skip("minigrad is not installed here, only importable")
    assert installed == mg.__version__


def test_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    (everything,) = extras["all"]
    named = set(everything.removeprefix("minigrad[").removesuffix("]").split(","))
    assert named == set(extras) - {"all", "cuda12", "cuda13", "nccl", "mkl"}
    required = {d.split(">")[0] for d in project["dependencies"]}
    assert required == {"numpy", "safetensors", "graphviz"}
    assert not any("torch" in d for group in extras.values() for d in group)
