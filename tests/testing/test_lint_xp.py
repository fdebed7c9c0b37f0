from pathlib import Path

import pytest

from minigrad.testing.lint_xp import check_paths, check_source, main

ROOT = Path(__file__).parents[2]

FOUND = {
    "a name": ("def f(xp, x): return xp.einsum_path(x)", "xp.einsum_path: CuPy 14"),
    "a name in helpers": ("def f(x):\n    xp = namespace(x)\n    xp.errstate()", "xp.errstate"),
    "a nested name": ("def f(xp, x): return xp.linalg.vector_norm(x)", "xp.linalg.vector_norm"),
    "a keyword": ("def f(xp, x): return xp.sum(x, initial=0)", "xp.sum(initial=): CuPy takes (a, "),
    "where of a ufunc": ("def f(xp, x): xp.add(x, x, where=x)", "xp.add(where=)"),
    "reduce": ("def f(xp, x): return xp.maximum.reduce(x)", "xp.maximum.reduce: CuPy has it for"),
    "accumulate": ("def f(xp, x): return xp.fmax.accumulate(x)", "xp.fmax.accumulate"),
    "matmul": ("def f(xp, x): return xp.matmul(x, x)", "xp.matmul: multiply through matmul"),
    "einsum": ("def f(xp, x): return xp.einsum('ij->i', x)", "xp.einsum: multiply through"),
    "@": ("def f(xp, x): return x @ x", "@: multiply through matmul"),
    "random": ("def f(xp, x): return xp.random.uniform()", "xp.random: draw from"),
    "NumPy": ("def f(xp, x): return np.exp(x)", "np.exp(): a NumPy call"),
    "numpy": ("def f(xp, x): return numpy.linalg.norm(x)", "numpy.linalg.norm()"),
    "item": ("def f(xp, x): return x.sum().item()", ".item(): makes the host wait"),
    "tolist": ("def f(xp, x): return x.tolist()", ".tolist()"),
    "a method's keyword": ("def f(xp, x): return x.max(initial=0)", ".max(initial=): CuPy takes"),
    "a rule": ("tanh.defvjp(lambda g, y, x: np.exp(g))", "np.exp()"),
    "the second rule": ("f.defvjp(None, lambda g, y, a, b: g @ b)", "@: multiply"),
    "a backward": ("@lstm.backward\ndef _(xp_, gs): return gs.item()", ".item()"),
    "a composite": ("@lstm.composite\ndef _(x): return np.tanh(x)", "np.tanh()"),
    "a keyword-only xp": ("def f(x, /, xp): return np.exp(x)", "np.exp()"),
    "the other branch": ("def f(xp, x):\n if on_cpu(xp): pass\n else: np.exp(x)", "np.exp()"),
    "or": ("def f(xp, x):\n if on_cpu(xp) or x: np.exp(x)", "np.exp()"),
    "the other expression": ("def f(xp, x): return 1 if on_cpu(xp) else np.exp(x)", "np.exp()"),
    "no return": ("def f(xp, x):\n if not on_cpu(xp): pass\n return np.exp(x)", "np.exp()"),
    "no reason": ("def f(xp, x): return x.item()  # xp: allow", ".item()"),
}
FINE = {
    "names": "def f(xp, x): return xp.sum(xp.exp(x), axis=0, keepdims=True)",
    "constants": "def f(xp, x): return x.astype(xp.float32) * xp.pi + xp.newaxis",
    "deep names": "def f(xp, x): return xp.lib.stride_tricks.as_strided(x)",
    "reduce": "def f(xp, x): return xp.add.reduce(x) + xp.multiply.accumulate(x)",
    "add.at": "def f(xp, x): xp.add.at(x, x, x)",
    "ufunc keywords": "def f(xp, x): xp.add(x, x, out=x, dtype='f4')",
    "kwargs": "def f(xp, x): return xp.pad(x, 1, constant_values=0)",
    "metadata": "def f(xp, x): return np.result_type(x.dtype, np.float32)",
    "host code": "def f(x): return np.exp(x).item() @ x",
    "get of a dict": "def f(xp, x): return x.get('key')",
    "for NumPy": "def f(xp, x):\n if on_cpu(xp):\n  return np.bincount(x)\n return xp.exp(x)",
    "and": "def f(xp, x):\n if on_cpu(xp) and np.isfinite(x).all():\n  np.exp(x)",
    "if expression": "def f(xp, x): return np.exp(x) if on_cpu(xp) else xp.exp(x)",
    "else": "def f(xp, x):\n if not on_cpu(xp):\n  xp.exp(x)\n else:\n  np.bincount(x)",
    "the rest": "def f(xp, x):\n if not on_cpu(xp):\n  return x\n y = np.diff(x)\n return y.item()",
    "a reason": "def f(xp, x): return x.item()  # xp: allow - a length, on the host",
}

EXCEPTIONS = {"_products.py": "cuts products into blocks for NumPy, and only for NumPy"}


@pytest.mark.parametrize("name", FOUND)
def test_it_finds(name):
    source, message = FOUND[name]
    (finding,) = check_source(source, "ops.py")
    assert message in str(finding)
    assert str(finding).startswith(f"ops.py:{len(source.splitlines())}: ")


@pytest.mark.parametrize("name", FINE)
def test_it_leaves_alone(name):
    assert check_source(FINE[name]) == []


def test_as_a_command(tmp_path, capsys):
    (tmp_path / "b.py").write_text("def f(xp, x): return xp.errstate\n")
    (tmp_path / "a.py").write_text("def f(xp, x): return x @ x\n\ndef g(xp): return xp.nditer\n")
    assert main([str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    places = [line.rpartition("/")[2].split(": ")[0] for line in lines]
    assert places == ["a.py:1", "a.py:3", "b.py:1"]
    assert main([str(tmp_path / "a.py"), str(tmp_path / "b.py")]) == 1
    (tmp_path / "c.py").write_text("x = 1\n")
    capsys.readouterr()
    assert main([str(tmp_path / "c.py")]) == 0
    assert capsys.readouterr().out == ""


def test_the_ops_and_layers_of_minigrad_run_on_both_backends():
    folders = [ROOT / "minigrad" / name for name in ("ops", "nn", "optim", "engine")]
    findings = [f for f in check_paths(folders) if Path(f.path).name not in EXCEPTIONS]
    assert findings == [], "\n".join(map(str, findings))
