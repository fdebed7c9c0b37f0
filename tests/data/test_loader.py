import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.data import (
    ArrayDataset,
    BlockDataset,
    BucketSampler,
    DataLoader,
    padding_waste,
    random_split,
    split_by_key,
)
from minigrad.errors import CheckpointError, ConfigError, ShapeError


def samples(loader):
    return [batch.tolist() for batch in loader]


def test_every_sample_comes_once_per_epoch_in_a_new_order():
    loader = DataLoader(range(10), 3, shuffle=True, seed=1)
    epochs = [samples(loader) for _ in range(3)]
    for epoch in epochs:
        assert sorted(i for batch in epoch for i in batch) == list(range(10))
        assert [len(batch) for batch in epoch] == [3, 3, 3, 1]
    assert epochs[0] != epochs[1] != epochs[2]


def test_same_seed_same_order_and_another_seed_another():
    def run(seed):
        loader = DataLoader(range(50), 8, shuffle=True, seed=seed)
        return [samples(loader), samples(loader)]

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_seed_defaults_to_manual_seed():
    import minigrad as mg

    mg.manual_seed(7)
    a = samples(DataLoader(range(50), 8, shuffle=True))
    assert a == samples(DataLoader(range(50), 8, shuffle=True, seed=7))
    mg.manual_seed(8)
    assert a != samples(DataLoader(range(50), 8, shuffle=True))


def test_order_does_not_touch_numpys_global_state():
    np.random.seed(0)  # noqa: NPY002  # the point of the test
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    samples(DataLoader(range(50), 8, shuffle=True, seed=0))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_drop_last_and_length():
    assert samples(DataLoader(range(7), 3, drop_last=True)) == [[0, 1, 2], [3, 4, 5]]
    assert len(DataLoader(range(7), 3, drop_last=True)) == 2
    assert len(DataLoader(range(7), 3)) == 3
    assert samples(DataLoader([], 3)) == []


def test_an_epoch_left_early_starts_again():
    loader = DataLoader(range(10), 2, shuffle=True, seed=0)
    first = next(iter(loader)).tolist()
    assert next(iter(loader)).tolist() == first
    assert samples(loader)[0] == first
    assert loader.epoch == 1
    assert next(iter(loader)).tolist() != first


@given(
    size=st.integers(0, 30),
    batch_size=st.integers(1, 7),
    stop=st.integers(0, 40),
    drop_last=st.booleans(),
    buckets=st.booleans(),
)
def test_resuming_anywhere_equals_never_stopping(size, batch_size, stop, drop_last, buckets):
    lengths = np.arange(size) * 7 % 11

    def loader(seed):
        if buckets:
            sampler = BucketSampler(lengths, batch_size, pool=2, drop_last=drop_last, seed=seed)
            return DataLoader(range(size), sampler=sampler)
        return DataLoader(range(size), batch_size, shuffle=True, drop_last=drop_last, seed=seed)

    whole = loader(5)
    expected = [batch for _ in range(3) for batch in samples(whole)]

    first, seen, state = loader(5), [], None
    for _ in range(3):
        for batch in first:
            if len(seen) == stop:
                break
            seen.append(batch.tolist())
            state = first.state_dict()
        else:
            continue
        break
    if state is None:
        state = loader(5).state_dict()
    second = loader(999)  # the state brings its own seed
    second.load_state_dict(json.loads(json.dumps(state)))
    while second.epoch < 3:
        seen += samples(second)
    assert seen == expected


def test_state_after_the_last_batch_leaves_nothing_of_that_epoch():
    loader = DataLoader(range(4), 2)
    for _ in loader:
        state = loader.state_dict()
    resumed = DataLoader(range(4), 2)
    resumed.load_state_dict(state)
    assert samples(resumed) == []
    assert (resumed.epoch, len(samples(resumed))) == (1, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"samples": 9},
        {"batches": 4},
        {"batch": 6},
        {"epoch": -1},
        {"epoch": 1.5},
        {"batch": True},
        {"extra": 1},
    ],
)
def test_a_foreign_state_changes_nothing(change):
    loader = DataLoader(range(10), 2, shuffle=True, seed=0)
    before, order = loader.state_dict(), samples(DataLoader(range(10), 2, shuffle=True, seed=0))
    with pytest.raises(CheckpointError, match="DataLoader"):
        loader.load_state_dict({**before, "seed": 1, **change})
    assert loader.state_dict() == before
    assert samples(loader) == order


def test_arrays_are_indexed_by_the_batch():
    x, y = np.arange(12).reshape(6, 2), np.arange(6) * 10
    batches = list(DataLoader(ArrayDataset(x, y), 4))
    np.testing.assert_array_equal(batches[1][0], x[4:])
    np.testing.assert_array_equal(batches[1][1], y[4:])
    (single,) = DataLoader(ArrayDataset(x), 6)
    np.testing.assert_array_equal(single, x)


def test_collate_fn_gets_the_samples():
    loader = DataLoader(["a", "b", "c"], 2, collate_fn="".join)
    assert list(loader) == ["ab", "c"]


def test_blocks_pass_through_uncollated():
    blocks = BlockDataset(np.arange(21), batch_size=2, steps=3)
    loader = DataLoader(blocks, batch_size=None)
    for (x, y), (x0, y0) in zip(loader, blocks, strict=True):
        np.testing.assert_array_equal(x, x0)
        np.testing.assert_array_equal(y, y0)
    assert len(loader) == len(blocks) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 0},
        {"batch_size": None, "drop_last": True},
        {"batch_size": 2, "sampler": BucketSampler([1, 2], 2, seed=0)},
        {"sampler": BucketSampler([1, 2], 2, seed=0), "shuffle": True},
        {"seed": -1},
    ],
)
def test_options_without_meaning(options):
    with pytest.raises(ConfigError):
        DataLoader(range(2), **options)


# -- buckets --------------------------------------------------------------------------------------


def test_buckets_cover_everything_and_waste_less():
    lengths = np.random.default_rng(0).geometric(0.05, 3000)
    sampler = BucketSampler(lengths, 32, seed=0)
    plain = padding_waste(lengths, [range(i, min(i + 32, 3000)) for i in range(0, 3000, 32)])
    for epoch in range(2):
        batches = sampler.batches(epoch)
        assert sorted(np.concatenate(batches).tolist()) == list(range(3000))
        assert sampler.waste == padding_waste(lengths, batches)
        assert sampler.waste < 0.05 < 0.6 < plain
    a, b = sampler.batches(0), sampler.batches(1)
    assert any(x.tolist() != y.tolist() for x, y in zip(a, b, strict=True))


def test_waste_is_the_padded_fraction():
    sampler = BucketSampler([5, 1, 4, 2], 2, shuffle=False, pool=None)
    assert [b.tolist() for b in sampler.batches(0)] == [[1, 3], [2, 0]]
    assert sampler.waste == 1 - 12 / (2 * 2 + 5 * 2)
    assert BucketSampler([], 2, seed=0).waste == 0
    assert BucketSampler([0, 0], 2, seed=0).waste == 0


def test_buckets_of_pairs_sort_by_both_lengths():
    lengths = [(2, 9), (1, 5), (2, 1), (1, 2)]
    sampler = BucketSampler(lengths, 2, shuffle=False)
    assert [b.tolist() for b in sampler.batches(0)] == [[3, 1], [2, 0]]
    assert sampler.waste == 1 - (1 + 2 + 1 + 5 + 2 + 1 + 2 + 9) / (2 * (1 + 5) + 2 * (2 + 9))


def test_a_small_pool_keeps_epochs_mixed():
    lengths = np.arange(100)
    batches = BucketSampler(lengths, 5, pool=1, seed=0).batches(0)
    assert max(int(np.ptp(lengths[b])) for b in batches) > 50
    assert padding_waste(lengths, batches) > BucketSampler(lengths, 5, pool=20, seed=0).waste


@pytest.mark.parametrize(
    ("lengths", "options", "error"),
    [
        ([-1, 2], {}, ShapeError),
        (np.zeros((2, 2, 2)), {}, ShapeError),
        ([1, 2], {"batch_size": 0}, ConfigError),
        ([1, 2], {"pool": 0}, ConfigError),
    ],
)
def test_bad_buckets(lengths, options, error):
    with pytest.raises(error, match="BucketSampler"):
        BucketSampler(lengths, **{"batch_size": 2, **options})


# -- datasets -------------------------------------------------------------------------------------


def test_array_dataset_checks_lengths():
    with pytest.raises(ShapeError, match=r"\(3, 2\)"):
        ArrayDataset(np.zeros((3, 2)), np.zeros(4))
    with pytest.raises(ShapeError):
        ArrayDataset(np.float64(1))
    with pytest.raises(ConfigError):
        ArrayDataset()


def test_random_split_is_a_partition():
    parts = random_split(range(101), (0.7, 0.2, 0.1), seed=3)
    assert sorted(x for part in parts for x in part) == list(range(101))
    assert [len(p) for p in parts] == [71, 20, 10]
    assert [list(p) for p in random_split(range(101), (0.7, 0.2, 0.1), seed=3)] == list(
        map(list, parts)
    )
    assert list(parts[0]) != list(random_split(range(101), (0.7, 0.3), seed=4)[0])
    assert list(parts[0][2:4]) == list(parts[0])[2:4]
    for fractions in ((0.5, 0.6), (1.5, -0.5), ()):
        with pytest.raises(ConfigError):
            random_split(range(10), fractions)


def test_split_by_key_keeps_keys_together():
    items = [(i, i % 37) for i in range(400)]
    parts = split_by_key(items, [key for _, key in items], (0.5, 0.25, 0.25), seed=0)
    keys = [{key for _, key in part} for part in parts]
    assert not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]  # noqa: PT018
    assert sorted(item for part in parts for item in part) == items
    assert all(part == sorted(part) for part in parts)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_shards_are_the_batch_divided(size):
    def loader(shard):
        return DataLoader(np.arange(11), batch_size=4, shuffle=True, seed=3, shard=shard)

    whole = [np.sort(batch) for batch in loader((0, 1))]
    loaders = [loader((rank, size)) for rank in range(size)]
    for expected, *parts in zip(whole, *loaders, strict=True):
        counted = [part[: each.share] for part, each in zip(parts, loaders, strict=True)]
        assert np.sort(np.concatenate(counted)).tolist() == expected.tolist()
    assert len({str(each.state_dict()) for each in loaders}) == 1


def test_a_shard_that_gets_nothing_has_a_stand_in_without_weight():
    loader = DataLoader(np.arange(5), batch_size=4, shard=(1, 2))
    first, last = list(loader)
    assert first.tolist() == [1, 3]
    assert last.tolist() == [4]  # rank 0 has it
    assert loader.share == 0


def test_the_position_of_a_shard_is_that_of_any_other():
    first = DataLoader(np.arange(12), batch_size=4, shuffle=True, seed=1, shard=(0, 2))
    batches = iter(first)
    next(batches)
    other = DataLoader(np.arange(12), batch_size=4, shuffle=True, seed=9, shard=(2, 3))
    other.load_state_dict(first.state_dict())
    whole = list(DataLoader(np.arange(12), batch_size=4, shuffle=True, seed=1))
    assert [b.tolist() for b in other] == [b[2::3].tolist() for b in whole[1:]]


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 0)])
def test_a_shard_is_a_rank_and_a_size(shard):
    with pytest.raises(ConfigError, match="shard is \\(rank, size\\)"):
        DataLoader(np.arange(5), shard=shard)
