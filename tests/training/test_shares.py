"""A Trainer whose batches are divided; the processes are in tests/parallel/test_mpi.py."""

import numpy as np
import pytest

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.errors import ConfigError, ParallelError, ShapeError
from minigrad.parallel import Group
from minigrad.training import Trainer
from minigrad.training.shares import Shares
from tests.training.runs import fingerprint, language_run, shuffled_run


def rows(trainer):
    return [row["train_loss"] for row in trainer.fit(3)]


@pytest.fixture(autouse=True)
def threads():
    before = mg.get_num_threads()
    mg.set_num_threads(2)
    yield
    mg.set_num_threads(before)


def plain_lm(model, batch, carry):
    x, y = batch
    hidden, state = model.lstm(model.embedding(x), carry)
    return mg.cross_entropy(model.head(hidden), y), state


def test_threads_learn_what_one_learns_with_a_carried_state():
    def run(**options):
        trainer = language_run(step=plain_lm, **options)
        trainer.evaluate = None
        trainer.monitor.name = "train_loss"
        trainer.model.lstm.dropout = 0.0
        return rows(trainer), trainer

    alone, _ = run()
    parts, trainer = run(workers=2, batch_axes=(1, 1), carry_axis=1)
    assert parts == pytest.approx(alone, rel=1e-5)
    assert trainer.shares.workers == 2


def test_a_run_on_threads_repeats_and_resumes_bit_for_bit(tmp_path):
    def run(**options):
        return shuffled_run(workers=2, batch_axes=0, **options)

    whole = run()
    whole.fit(3)
    first = run(store=mg.io.Folder(tmp_path))
    first.fit(1)
    second = run(store=mg.io.Folder(tmp_path), seed=99)
    assert second.resume()
    second.fit(3)
    assert fingerprint(second.state_dict()) == fingerprint(whole.state_dict())


def test_threads_weigh_their_pieces():
    """A mean over tokens: without the weights another number comes out."""
    x = np.random.default_rng(0).normal(size=(6, 3)).astype("f4")
    y = np.array([0, -100, -100, 1, 0, 1])

    def run(**options):
        mg.manual_seed(0)
        model = nn.Linear(3, 2)
        return Trainer(
            model, optim.SGD(model.parameters(), lr=0.1),
            lambda model, batch, _: mg.cross_entropy(model(mg.tensor(batch[0])), batch[1]),
            data.DataLoader(data.ArrayDataset(x, y), batch_size=6), progress=False, **options,
        )  # fmt: skip

    alone = rows(run())
    weighed = run(workers=2, batch_axes=0, weight=lambda batch: int((batch[1] != -100).sum()))
    assert rows(weighed) == pytest.approx(alone, rel=1e-5)
    assert rows(run(workers=2, batch_axes=0)) != pytest.approx(alone, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"workers": 0}, "workers is at least 1"),
        ({"workers": 2}, "needs batch_axes"),
    ],
)
def test_options_without_a_meaning(options, says):
    with pytest.raises(ConfigError, match=says):
        shuffled_run(**options)


class Two(Group):
    """Rank `rank` of two that do the same; what the other gives is what this one gives."""

    size = 2

    def __init__(self, rank):
        self.rank = rank

    def all_reduce(self, array):
        array *= 2

    def gather(self, value):
        return [value, value]


def test_processes_need_shares_of_the_data():
    with pytest.raises(ConfigError, match=r"shard=group\.shard"):
        shuffled_run(group=Two(0))


def test_a_carry_needs_an_axis_to_be_put_together():
    loader = data.DataLoader([1], batch_size=None)
    shares = Shares(Two(1), None, 1, None, None, loader)
    with pytest.raises(ConfigError, match="carry_axis says"):
        shares.whole(mg.ones((1, 4)))
    shares = Shares(Two(1), None, 1, None, 1, loader)
    state = (mg.ones((1, 2, 3)), mg.zeros((1, 2, 3)))
    whole = shares.whole(state)
    assert [s.shape for s in whole] == [(1, 4, 3)] * 2
    assert [s.shape for s in shares.mine(whole)] == [(1, 2, 3)] * 2
    assert shares.whole(None) is None
    assert shares.mine(None) is None


def test_the_loss_is_the_mean_by_weight():
    loader = data.DataLoader([1], batch_size=None)
    shares = Shares(Two(0), lambda batch: batch, 1, None, None, loader)
    loader.share = 1
    assert shares.mean(3.0, 5) == 3.0
    assert shares.part == 0.5
    loader.share = 0  # a stand-in: the other has all
    with pytest.raises(ConfigError, match="the weights sum to"):
        shares.mean(float("nan"), 5)


def test_what_rank_0_fails_at_all_fail_at():
    class Other(Two):
        def gather(self, value):
            return [(None, "ValueError('no')"), value]

    shares = Shares(Other(1), None, 1, None, None, data.DataLoader([1], batch_size=None))
    with pytest.raises(ParallelError, match=r"rank 0 failed in evaluate: ValueError\('no'\)"):
        shares.by_main("evaluate", dict)
    first = Shares(Two(0), None, 1, None, None, data.DataLoader([1], batch_size=None))
    with pytest.raises(ShapeError, match="mine"):
        first.by_main("evaluate", lambda: (_ for _ in ()).throw(ShapeError("mine")))
    assert first.by_main("evaluate", lambda: 5) == 5
