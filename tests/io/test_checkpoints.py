import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import CheckpointError, DTypeError
from minigrad.io import (
    atomic_write,
    load_checkpoint,
    load_safetensors,
    save_checkpoint,
    save_safetensors,
)
from tests.io.files import same_bits

# -- checkpoints ----------------------------------------------------------------------------------


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from([np.arange(6.0).reshape(2, 3), np.array(True), np.zeros((0, 2), np.int64)])
)
keys = st.text() | st.integers() | st.booleans() | st.tuples(st.integers(), st.text())
states = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.dictionaries(st.sampled_from(["$array", "$tuple", "__metadata__", "a.b", "a"]), inner)
    ),
    max_leaves=12,
)


def assert_same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert [(type(k), k) for k in a] == [(type(k), k) for k in b]
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    elif isinstance(a, (np.ndarray, np.generic)):
        same_bits(a, b)
    else:
        assert a == b


@given(state=states)
def test_any_state_comes_back(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("io") / "a.safetensors"
    save_checkpoint(path, state)
    assert_same(load_checkpoint(path), state)


def test_a_training_state(path):
    generator = np.random.Generator(np.random.Philox(0))
    generator.normal(size=3)
    state = {
        "model": {"lstm.weight_ih_l0": np.ones((8, 3), np.float32)},
        "optim": {"step": 10**30, "lr": 0.1 + 0.2, "moments": [(np.zeros(3), np.ones(3))], 3: None},
        "numpy": generator.bit_generator.state,
        "scores": {"best": float("-inf"), "scalar": np.float32(1.1), "text": np.str_("x")},
    }
    save_checkpoint(path, state)
    loaded = load_checkpoint(path)
    state["scores"]["text"] = "x"
    assert_same(loaded, state)
    assert np.isnan(_roundtrip(path, float("nan")))
    again = np.random.Generator(np.random.Philox(1))
    again.bit_generator.state = loaded["numpy"]
    np.testing.assert_array_equal(again.normal(size=5), generator.normal(size=5))


def _roundtrip(path, state):
    save_checkpoint(path, state)
    return load_checkpoint(path)


def test_tensors_are_saved_by_their_place(path):
    state = {"model": {"w": mg.tensor([1.0, 2.0])}, "more": [np.ones(1)], "model.w": np.zeros(1)}
    loaded = _roundtrip(path, state)
    np.testing.assert_array_equal(loaded["model"]["w"], [1, 2])
    np.testing.assert_array_equal(loaded["model.w"], [0])
    assert set(load_safetensors(path)) == {"model.w", "more.0", "model.w#2"}


def test_what_cannot_be_saved_is_named_by_its_place(path):
    with pytest.raises(DTypeError, match=r"optim\.groups\.0\.fn is a function"):
        save_checkpoint(path, {"optim": {"groups": [{"fn": test_a_training_state}]}})
    with pytest.raises(DTypeError, match=r"a\.b: dtype object"):
        save_checkpoint(path, {"a": {"b": np.array([None])}})
    loop = []
    loop.append(loop)
    with pytest.raises(DTypeError, match="in itself"):
        save_checkpoint(path, loop)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"format": 1}', "damaged"),
        ('{"format": 2, "state": 0}', "format 2"),
        ('{"format": 1, "state": {"$array": "absent"}}', "damaged"),
        ('{"format": 1, "state": {"$array": ["x"]}}', "damaged"),
        ('{"format": 1, "state": {"$tuple": 3}}', "damaged"),
        ('{"format": 1, "state": {"$dict": [[1]]}}', "damaged"),
        ('{"format": 1, "state": {"$dict": [[[1], 2]]}}', "damaged"),
        ('{"format": 1, "state": {"$eval": "1"}}', "damaged"),
        ('{"format": 1, "state": {"$tuple": [], "b": 1}}', "damaged"),
        ('{"format": 1, "state": ' + "[" * 100_000 + "]" * 100_000 + "}", "damaged"),
    ],
)
def test_damaged_states(text, message, path):
    save_safetensors(path, {"x": np.ones(1)}, {"minigrad.state": text})
    with pytest.raises(CheckpointError, match=rf"model\.safetensors.*{message}"):
        load_checkpoint(path)


def test_arrays_without_a_state_are_no_checkpoint(path):
    save_safetensors(path, {"x": np.ones(1)})
    with pytest.raises(CheckpointError, match="load_safetensors reads it"):
        load_checkpoint(path)


# -- atomic ---------------------------------------------------------------------------------------


def test_a_failed_write_keeps_the_old_file(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyError), atomic_write(target) as temporary:  # noqa: PT012
        temporary.write_text("half of the n")
        raise KeyError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions and links")
def test_permissions_and_links(tmp_path):
    (tmp_path / "real").mkdir()
    plain = tmp_path / "plain"
    plain.touch()
    link = tmp_path / "link.safetensors"
    link.symlink_to(tmp_path / "real" / "model.safetensors")
    save_safetensors(link, {"x": np.ones(1)})
    assert link.is_symlink()
    assert link.stat().st_mode == plain.stat().st_mode  # readable by whom the umask allows


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_kill_9_while_saving_leaves_a_whole_checkpoint(path):
    code = """
        import sys
        import numpy as np
        from minigrad.io import save_checkpoint
        n = 0
        while True:
            save_checkpoint(sys.argv[1], {"w": np.full(300_000, n), "n": n})
            print(n, flush=True)
            n += 1
    """
    for _ in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(path)],
            stdout=subprocess.PIPE,
            cwd=os.getcwd(),  # noqa: PTH109
        )
        while int(writer.stdout.readline()) < 3:
            pass
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        state = load_checkpoint(path)
        assert (state["w"] == state["n"]).all()
