import os
import pickle
import struct
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.errors import CheckpointError, DTypeError
from minigrad.io import (
    load_checkpoint,
    load_safetensors,
    read_metadata,
    save_checkpoint,
    save_safetensors,
)
from tests.io.files import header, same_bits, spec

DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]


# -- arrays ---------------------------------------------------------------------------------------


@given(
    array=st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))
    )
)
def test_every_bit_comes_back(array, tmp_path_factory):
    path = tmp_path_factory.mktemp("io") / "a.safetensors"
    save_safetensors(path, {"x": array})
    loaded = load_safetensors(path)["x"]
    same_bits(loaded, array)
    assert loaded.flags.writeable


def test_layout_does_not_matter(path):
    base = np.arange(24, dtype=np.float64).reshape(4, 6)
    views = {
        "transposed": base.T,
        "strided": base[::2, ::-1],
        "broadcast": np.broadcast_to(np.float32(3), (2, 2)),
        "big": base.astype(">f8"),
        "fortran": np.asfortranarray(base),
        "scalar": np.float32(2.5),
    }
    save_safetensors(path, views)
    for name, loaded in load_safetensors(path).items():
        np.testing.assert_array_equal(loaded, views[name])
        assert loaded.dtype.isnative


def test_nan_payloads_and_signed_zeros(path):
    bits = np.array([0x7FF8_0000_0000_1234, 0x8000_0000_0000_0000], np.uint64)
    save_safetensors(path, {"x": bits.view(np.float64)})
    np.testing.assert_array_equal(load_safetensors(path)["x"].view(np.uint64), bits)


def test_tensors_and_metadata(path):
    weight = mg.tensor([[1.0, 2.0]], requires_grad=True)
    save_safetensors(path, {"weight": weight}, {"note": "naïve ✓"})
    np.testing.assert_array_equal(load_safetensors(path)["weight"], [[1, 2]])
    assert read_metadata(path) == {"note": "naïve ✓"}
    save_safetensors(path, {})
    assert load_safetensors(path) == {}
    assert read_metadata(path) == {}


def test_arrays_of_another_device_are_brought_home(path):
    there = mg.device("strict").asarray(np.arange(3.0))
    save_checkpoint(path, {"raw": there, "tensor": mg.asarray(there)})
    loaded = load_checkpoint(path)
    for name in ("raw", "tensor"):
        assert type(loaded[name]) is np.ndarray
        np.testing.assert_array_equal(loaded[name], [0, 1, 2])


def test_a_failing_writer_is_reported_and_leaves_nothing(path, monkeypatch):
    import safetensors.numpy

    def full(*args, **kwargs):
        raise safetensors.SafetensorError("no space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", full)
    with pytest.raises(CheckpointError, match=r"model\.safetensors.*no space left"):
        save_safetensors(path, {"x": np.ones(1)})
    assert list(path.parent.iterdir()) == []


def test_pytorch_reads_and_writes_the_same_files(path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    layer = torch.nn.LSTM(3, 4, bidirectional=True, dtype=torch.float64)
    save_file(layer.state_dict(), path)
    arrays = load_safetensors(path)
    assert set(arrays) == set(layer.state_dict())
    save_safetensors(path, arrays)
    for name, value in load_file(path).items():
        assert torch.equal(value, layer.state_dict()[name])
    save_safetensors(path, layer.state_dict())
    np.testing.assert_array_equal(load_safetensors(path)["bias_hh_l0"], arrays["bias_hh_l0"])


@pytest.mark.parametrize("known", [True, False])
def test_bfloat16_keeps_its_values(known, path, monkeypatch):
    if known:
        pytest.importorskip("ml_dtypes")
    else:
        monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    bits = np.array([0x3FC0, 0xC000, 0x7F61], "<u2")  # 1.5, -2, 2.99e38
    content = {"half": spec("BF16", (1, 3), (0, 6)), "one": spec("F32", (), (6, 10))}
    path.write_bytes(header(content, bits.tobytes() + np.float32(1).tobytes()))
    loaded = load_safetensors(path)
    values = loaded["half"].astype("f4")
    np.testing.assert_array_equal(values.view("u4") >> 16, bits[None].astype("u4"))
    assert values[0, :2].tolist() == [1.5, -2]
    assert loaded["one"] == np.float32(1)
    if known:
        save_safetensors(path, loaded)
        same_bits(load_safetensors(path)["half"], loaded["half"])


@pytest.mark.parametrize(
    "tensors",
    [
        {"x": np.array(["text"])},
        {"x": np.array([object()])},
        {"x": np.zeros(2, np.complex128)},
        {"x": np.zeros(2, np.longdouble)},
        {"x": [1.0, 2.0]},
        {"x": None},
        {3: np.zeros(2)},
        {"__metadata__": np.zeros(2)},
    ],
)
def test_what_cannot_be_stored_leaves_no_file(tensors, path):
    with pytest.raises(DTypeError, match=r"x|name"):
        save_safetensors(path, {"fine": np.ones(2), **tensors})
    assert list(path.parent.iterdir()) == []
    with pytest.raises(DTypeError, match="metadata"):
        save_safetensors(path, {}, {"epoch": 3})


def test_a_module_in_place_of_its_state(path):
    with pytest.raises(DTypeError, match=r"state_dict\(\); got .*Linear"):
        save_safetensors(path, mg.nn.Linear(2, 2))
    with pytest.raises(DTypeError, match=r"a path, then arrays.*got dict, "):
        save_safetensors({}, path)


# -- broken and hostile files ---------------------------------------------------------------------


HOSTILE = {
    "empty": b"",
    "short": b"\x01\x02",
    "huge header": struct.pack("<Q", 2**62) + b"{}",
    "negative header": b"\xff" * 16,
    "not json": struct.pack("<Q", 4) + b"oops",
    "list": header([1, 2]),
    "no data": header({"x": spec()}),
    "too much data": header({"x": spec()}, b"\0" * 9),
    "overlap": header({"x": spec(), "y": spec(offsets=(4, 12))}, b"\0" * 12),
    "hole": header({"x": spec(), "y": spec(offsets=(16, 24))}, b"\0" * 24),
    "backwards": header({"x": spec(offsets=(8, 0))}, b"\0" * 8),
    "wrong size": header({"x": spec(shape=(3,))}, b"\0" * 8),
    "overflow": header({"x": spec(shape=(2**40, 2**40))}, b"\0" * 8),
    "negative": header({"x": spec(shape=(-2, -1))}, b"\0" * 8),
    "unknown dtype": header({"x": spec(dtype="F99")}, b"\0" * 8),
    "dtype numpy lacks": header({"x": spec(dtype="F8_E4M3", shape=(8,))}, b"\0" * 8),
    "pickle": pickle.dumps({"x": 1}),
    "zip": b"PK\x03\x04" + b"\0" * 60,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("load", [load_safetensors, load_checkpoint])
def test_hostile_files(content, load, path):
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load(path)


def test_a_pickle_is_named_and_never_run(path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(path.parent / "ran"),)

    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="never unpickles"):
        load_checkpoint(path)
    assert not (path.parent / "ran").exists()


def test_truncation_anywhere_is_found(path):
    save_checkpoint(path, {"w": np.arange(3.0), "n": [1, {"a": None}]})
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


@pytest.mark.parametrize("load", [load_safetensors, load_checkpoint, read_metadata])
def test_absent_files_and_folders(load, tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        load(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load(tmp_path)
