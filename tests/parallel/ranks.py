"""What the processes of the tests run: `mpiexec -n 2 python -m tests.parallel.ranks CASE DIR`.

Results are written to DIR/<case>-<size>.npz by rank 0, and to DIR/rank<r>.txt by each.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

import minigrad as mg
from minigrad import data, io, nn, optim, parallel
from minigrad.training import Trainer


def values(model):
    return {name: p.numpy().copy() for name, p in model.named_parameters()}


def model_and_data(seed=0):
    mg.manual_seed(seed)
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(13, 4)).astype("f4"), rng.normal(size=(13, 2)).astype("f4")
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
    return model, x, y


def collectives(group, folder):
    """Everything a Group does."""
    flat = np.full(5, group.rank + 1.0, "f4")
    group.all_reduce(flat)
    half = np.full(3, group.rank + 1, "f2")
    group.all_reduce(half)
    numbers = np.full(2, group.rank + 5.0)
    group.broadcast(numbers)
    total = sum(range(1, group.size + 1))
    assert flat.tolist() == [total] * 5
    assert half.tolist() == [total] * 3
    assert half.dtype == np.float16
    assert numbers.tolist() == [5.0] * 2
    assert group.gather({"rank": group.rank}) == [{"rank": r} for r in range(group.size)]
    assert group.share(group.rank) == 0
    assert group.sums(1, group.rank) == [group.size, total - group.size]
    group.barrier()

    mg.manual_seed(group.rank)  # each its own, until they are made alike
    w, missing = mg.rand(3, requires_grad=True), mg.rand(2, requires_grad=True)
    group.synchronize([w, missing])
    assert len({g.tobytes() for g in group.gather(w.numpy())}) == 1
    assert len({str(s) for s in group.gather(mg.get_rng_state())}) == 1
    with group.streams():
        drawn = mg.rand(4).numpy().tolist()
    assert len({tuple(d) for d in group.gather(drawn)}) == group.size
    assert len({str(s) for s in group.gather(mg.get_rng_state())}) == 1

    w.grad = mg.full(3, float(group.rank + 1))
    if group.rank == 0:
        missing.grad = mg.ones(2)
    group.average([w, missing], weight=group.rank + 1)  # Σ r² / Σ r
    expected = sum(r * r for r in range(1, group.size + 1)) / total
    np.testing.assert_allclose(w.grad.numpy(), [expected] * 3, rtol=1e-6)
    np.testing.assert_allclose(missing.grad.numpy(), [1 / total] * 2, rtol=1e-6)
    w.grad = mg.full(3, float("nan") if group.rank else 2.0)
    group.average([w], weight=0 if group.rank else 5)  # without weight, whatever it is
    np.testing.assert_allclose(w.grad.numpy(), [2.0] * 3, rtol=1e-6)
    w.grad = mg.full(3, float(group.rank))
    group.average([w])
    np.testing.assert_allclose(w.grad.numpy(), [(group.size - 1) / 2] * 3, rtol=1e-6)


def by_hand(group, folder):
    """A step without a Trainer: equal shares, one all-reduce."""
    model, x, y = model_and_data(seed=group.rank)
    group.synchronize(model.parameters())
    adam = optim.Adam(model.parameters(), lr=0.05)
    for step in range(3):
        rows = slice(step * 2, step * 2 + 8)
        mine = slice(group.rank, None, group.size)
        adam.zero_grad()
        loss = mg.mse_loss(model(mg.tensor(x[rows][mine])), mg.tensor(y[rows][mine]))
        loss.backward()
        group.average(adam)
        adam.step()
    if group.main:
        np.savez(folder / f"by_hand-{group.size}.npz", **values(model))


def shuffled_trainer(group, folder, store=None, **options):
    """13 samples in batches of 4: the last one is shorter than there may be processes."""
    model, x, y = model_and_data()
    loader = data.DataLoader(
        data.ArrayDataset(x, y), batch_size=4, shuffle=True, seed=5, shard=group.shard
    )

    def step(model, batch, carry):
        return mg.mse_loss(model(mg.tensor(batch[0])), mg.tensor(batch[1]))

    return Trainer(
        model, optim.Adam(model.parameters(), lr=0.05), step, loader, group=group, store=store,
        evaluate=lambda m: {"valid_loss": step(m, (x, y), None).item()}, clip_norm=0.5,
        progress=False, **options,
    )  # fmt: skip


class LM(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(7, 5), nn.LSTM(5, 6)
        self.head = nn.Linear(6, 7)

    def forward(self, ids, state=None):
        hidden, state = self.lstm(self.embedding(ids), state)
        return self.head(hidden), state


def language_trainer(group, folder, store=None, **options):
    """5 columns of text with a carried state."""
    mg.manual_seed(3)
    ids = np.random.default_rng(5).integers(0, 7, 5 * (4 * 3 + 1))
    model = LM()
    blocks = data.BlockDataset(ids, batch_size=5, steps=3, shard=group.shard)

    def step(model, batch, carry):
        logits, state = model(batch[0], carry)
        return mg.cross_entropy(logits, batch[1]), state

    return Trainer(
        model, optim.Adam(model.parameters(), lr=0.02), step,
        data.DataLoader(blocks, batch_size=None), group=group, store=store, progress=False,
        carry_axis=1, **options,
    )  # fmt: skip


def finish(trainer, group, folder, name):
    if group.main:
        rows = {f"row{i}": row["train_loss"] for i, row in enumerate(trainer.history)}
        np.savez(folder / f"{name}-{group.size}.npz", **values(trainer.model), **rows)


def shuffled(group, folder):
    trainer = shuffled_trainer(group, folder)
    trainer.fit(3)
    finish(trainer, group, folder, "shuffled")


def compiled(group, folder):
    """A Trainer's program, and a whole step with the all-reduce in it."""
    trainer = shuffled_trainer(group, folder, compile=True)
    trainer.fit(3)
    finish(trainer, group, folder, "compiled")

    model, x, y = model_and_data(seed=group.rank)
    group.synchronize(model.parameters())
    sgd = optim.SGD(model.parameters(), lr=0.1)

    def step(x, y):
        sgd.zero_grad()
        loss = mg.mse_loss(model(x), y)
        loss.backward()
        group.average(sgd)
        sgd.step()
        return loss

    recorded, mine = mg.compile(step), slice(group.rank, None, group.size)
    for _ in range(4):
        recorded(mg.tensor(x[:8][mine]), mg.tensor(y[:8][mine]))
    if group.main:
        np.savez(folder / f"whole_step-{group.size}.npz", **values(model))


def language(group, folder):
    trainer = language_trainer(group, folder)
    trainer.fit(3)
    finish(trainer, group, folder, "language")


class Cut(Exception):
    """Stands for a run that is over."""


def cut(group, folder):
    """6 of 12 batches: in the middle of the second epoch, with a carried state."""
    trainer = language_trainer(group, folder, io.Folder(folder / "run"), save_every=1)
    take_step, left = trainer.take_step, [6]

    def step(*args):
        if not left[0]:
            raise Cut
        left[0] -= 1
        return take_step(*args)

    trainer.take_step = step
    try:
        trainer.fit(3)
    except Cut:
        (folder / f"rank{group.rank}.txt").write_text(f"{trainer.epoch} {trainer.batch}")


def resume(group, folder):
    trainer = language_trainer(group, folder, io.Folder(folder / "run"))
    assert trainer.resume()
    assert (trainer.epoch, trainer.batch) == (1, 2)
    trainer.fit(3)
    assert trainer.load_best()
    finish(trainer, group, folder, "resume")


def interrupted(group, folder):
    """A signal for one process stops all of them after the same batch."""
    trainer = shuffled_trainer(group, folder, io.Folder(folder / "run"))
    take_step, left = trainer.take_step, [6]

    def step(*args):
        left[0] -= 1
        if not left[0] and group.rank == group.size - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return take_step(*args)

    trainer.take_step = step
    try:
        trainer.fit(5)
    except KeyboardInterrupt:
        (folder / f"rank{group.rank}.txt").write_text(f"{trainer.epoch} {trainer.batch}")


def evaluation_fails(group, folder):
    """What rank 0 alone does fails: all stop, and the epoch's work is saved."""
    trainer = shuffled_trainer(group, folder, io.Folder(folder / "run"))

    def fails(model):
        raise ValueError("no validation today")

    trainer.evaluate = fails
    try:
        trainer.fit(2)
    except Exception as error:  # noqa: BLE001
        (folder / f"rank{group.rank}.txt").write_text(f"{type(error).__name__}: {error}")


def raises(group, folder):
    trainer = shuffled_trainer(group, folder)
    take_step = trainer.take_step

    def step(*args):
        if group.rank == 1:
            raise ZeroDivisionError("rank 1 has had enough")
        return take_step(*args)

    trainer.take_step = step
    trainer.fit(2)


def killed(group, folder):
    trainer = shuffled_trainer(group, folder)
    take_step = trainer.take_step

    def step(*args):
        if group.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return take_step(*args)

    trainer.take_step = step
    trainer.fit(2)


def hangs(group, folder):
    group.timeout = 1.0
    if group.rank == 1:
        time.sleep(60)
    group.all_reduce(np.ones(3))


def main():
    case, folder = sys.argv[1], Path(sys.argv[2])
    with parallel.start("mpi", timeout=60) as group:
        globals()[case](group, folder)


if __name__ == "__main__":
    main()
