import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.data import (
    BlockDataset,
    batchify,
    check_ids,
    collate,
    length_mask,
    pad,
    pad_collate,
    unpad,
)
from minigrad.errors import ConfigError, DTypeError, IndexRangeError, ShapeError


@given(st.lists(st.lists(st.integers(0, 99)), min_size=1, max_size=6), st.booleans())
def test_unpad_inverts_pad(sequences, batch_first):
    data, lengths = pad(sequences, value=-1, batch_first=batch_first)
    assert [part.tolist() for part in unpad(data, lengths, batch_first=batch_first)] == sequences
    mask = length_mask(lengths, batch_first=batch_first)
    assert mask.shape == data.shape
    assert (data[~mask] == -1).all()
    assert (data[mask] >= 0).all()
    assert lengths.dtype == np.int64


def test_pad_features_keep_shape_dtype_and_order():
    a, b = np.ones((2, 3), np.float32), np.full((1, 3), 2, np.float32)
    data, lengths = pad([a, b, np.zeros((0, 3), np.float32)], length=4)
    assert data.shape == (4, 3, 3)
    assert data.dtype == np.float32
    assert data.flags.c_contiguous
    np.testing.assert_array_equal(data[:2, 0], a)
    np.testing.assert_array_equal(data[1:, 1], 0)
    assert lengths.tolist() == [2, 1, 0]


def test_an_empty_list_does_not_make_ids_floats():
    data, lengths = pad([[], [3, 4]])
    assert data.dtype == np.array([3]).dtype
    assert lengths.tolist() == [0, 2]
    assert pad([[1], [2]], dtype=np.int32).data.dtype == np.int32
    assert pad([[], []]).data.shape == (0, 2)


@pytest.mark.parametrize(
    ("sequences", "options"),
    [
        ([], {}),
        ([1, 2], {}),
        ([np.zeros((2, 3)), np.zeros((2, 4))], {}),
        ([[1, 2, 3]], {"length": 2}),
    ],
)
def test_pad_refuses(sequences, options):
    with pytest.raises(ShapeError, match="pad"):
        pad(sequences, **options)


@pytest.mark.parametrize("lengths", [[3], [1, 4], [-1, 1], [[1, 1]]])
def test_unpad_refuses_lengths_that_do_not_fit(lengths):
    with pytest.raises(ShapeError, match="unpad"):
        unpad(np.zeros((3, 2)), lengths)


def test_length_mask_of_given_size():
    assert length_mask([0, 2], 3, batch_first=True).tolist() == [
        [False, False, False],
        [True, True, False],
    ]
    assert length_mask([]).shape == (0, 0)
    with pytest.raises(ShapeError, match="4"):
        length_mask([4], 3)


# -- collation ------------------------------------------------------------------------------------


def test_collate_fields():
    batch = collate([{"x": [1.0, 2.0], "y": 1}, {"x": [3.0, 4.0], "y": 0}])
    np.testing.assert_array_equal(batch["x"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(batch["y"], [1, 0])
    np.testing.assert_array_equal(collate([np.float32(1), np.float32(2)]), [1, 2])


def test_collate_keeps_named_tuples():
    from minigrad.data.datasets import LabelledImages

    batch = collate([LabelledImages(np.ones((2, 2)), np.int64(3))] * 2)
    assert type(batch) is LabelledImages
    assert batch.images.shape == (2, 2, 2)


@pytest.mark.parametrize(
    "samples", [[], [[1, 2], [3]], [(1, 2), (1,)], [{"a": 1}, {"b": 1}], [np.zeros(2), np.zeros(3)]]
)
def test_collate_refuses_what_does_not_stack(samples):
    with pytest.raises(ShapeError, match="collate"):
        collate(samples)


def test_pad_collate_values_per_field():
    samples = [([1, 2, 3], [4], 0.5), ([6], [7, 8], 1.5)]
    first, second, third = pad_collate(batch_first=True, value=(0, -100, 0))(samples)
    assert first.data.tolist() == [[1, 2, 3], [6, 0, 0]]
    assert second.data.tolist() == [[4, -100], [7, 8]]
    assert second.lengths.tolist() == [1, 2]
    assert third.tolist() == [0.5, 1.5]
    data, lengths = pad_collate(value=9)([[1, 2], [3]])
    assert data.tolist() == [[1, 3], [2, 9]]
    assert lengths.tolist() == [2, 1]
    with pytest.raises(ConfigError, match="2 values for the 3 fields"):
        pad_collate(value=(0, 1))(samples)


# -- streams --------------------------------------------------------------------------------------


@given(st.integers(2, 60), st.integers(1, 5), st.integers(1, 7), st.booleans())
def test_blocks_go_on_where_they_stopped(size, batch_size, steps, drop_last):
    stream = np.arange(size)
    predicted = size // batch_size - 1
    if predicted < (steps if drop_last else 1):
        with pytest.raises((ConfigError, ShapeError)):
            BlockDataset(stream, batch_size=batch_size, steps=steps, drop_last=drop_last)
        return
    blocks = BlockDataset(stream, batch_size=batch_size, steps=steps, drop_last=drop_last)
    x = np.concatenate([a for a, _ in blocks])
    y = np.concatenate([b for _, b in blocks])
    np.testing.assert_array_equal(x + 1, y)
    columns = batchify(stream, batch_size)
    kept = predicted // steps * steps if drop_last else predicted
    np.testing.assert_array_equal(x, columns[:kept])
    assert all(len(a) == steps for a, _ in list(blocks)[: None if drop_last else -1])


def test_block_index_errors():
    blocks = BlockDataset(np.arange(11), batch_size=2, steps=2)
    np.testing.assert_array_equal(blocks[-1][0], blocks[len(blocks) - 1][0])
    for index in (2, -3):
        with pytest.raises(IndexRangeError, match=str(index)):
            blocks[index]
    with pytest.raises(ShapeError, match="batchify"):
        batchify(np.arange(3), 4)
    with pytest.raises(ShapeError):
        batchify(np.zeros((3, 3)), 1)


# -- ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ids", [[[0, 1], [7, 2]], [[0, 1], [-1, 2]]])
def test_ids_out_of_range_are_named(ids):
    with pytest.raises(IndexRangeError, match=r"words: id (7|-1) at position \(1, 0\).* 0 … 6"):
        check_ids(ids, 7, name="words")


def test_ids_keep_their_dtype():
    assert check_ids(np.array([0, 255], np.uint8), 256).dtype == np.uint8
    assert check_ids([], 3).dtype == np.int64
    assert check_ids(np.zeros((0, 2), np.int32), 3).shape == (0, 2)
    for ids in ([0.0, 1.0], [True, False]):
        with pytest.raises(DTypeError, match="integers"):
            check_ids(ids, 3)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_columns_are_divided_among_processes(size):
    tokens = np.arange(5 * 7)
    whole = BlockDataset(tokens, batch_size=5, steps=2)
    shards = [BlockDataset(tokens, batch_size=5, steps=2, shard=(r, size)) for r in range(size)]
    assert sum(each.share for each in shards) == 5
    for i in range(len(whole)):
        for k in range(2):
            side_by_side = np.concatenate([each[i][k] for each in shards], axis=1)
            assert side_by_side.tolist() == whole[i][k].tolist()


def test_each_process_needs_a_column():
    with pytest.raises(ConfigError, match="2 columns for 3 processes"):
        BlockDataset(np.arange(30), batch_size=2, steps=2, shard=(0, 3))
