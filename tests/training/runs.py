"""A small run with everything that has a state: dropout, a carried state, schedule, shuffling."""

import numpy as np

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.training import Trainer

OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.05),
}
SCHEDULES = {
    "none": lambda o: (None, "epoch"),
    "step": lambda o: (optim.StepLR(o, 1, gamma=0.5), "epoch"),
    "cosine": lambda o: (optim.CosineAnnealingLR(o, T_max=12), "batch"),
    "plateau": lambda o: (optim.ReduceLROnPlateau(o, patience=0, factor=0.5), "epoch"),
}


class LM(nn.Module):
    """A language model whose LSTM carries its state from block to block."""

    def __init__(self, dropout=0.3):
        super().__init__()
        self.embedding = nn.Embedding(7, 5)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(5, 6, 2, dropout=dropout)
        self.head = nn.Linear(6, 7)

    def forward(self, ids, state=None):
        hidden, state = self.lstm(self.dropout(self.embedding(ids)), state)
        return self.head(hidden), state


def lm_step(model, batch, carry):
    x, y = batch
    logits, state = model(x, None if carry is None else carry["state"])
    seen = 0 if carry is None else carry["seen"]
    return mg.cross_entropy(logits, y), {"state": state, "seen": seen + y.size}


def language_run(store=None, *, optimizer="adam", schedule="cosine", seed=0, **options):
    """4 blocks per epoch, in order, with a carried state; `seed` of parameters and dropout."""
    mg.manual_seed(seed)
    ids = np.random.default_rng(5).integers(0, 7, 2 * (4 * 3 + 1))
    model = LM()
    rule = OPTIMIZERS[optimizer](model.parameters())
    plan, every = SCHEDULES[schedule](rule)
    blocks = data.BlockDataset(ids, batch_size=2, steps=3)
    options = {"step": lm_step, "progress": False, "clip_norm": 0.5, **options}
    return Trainer(
        model,
        rule,
        data=data.DataLoader(blocks, batch_size=None),
        evaluate=lambda m: {"valid_loss": lm_step(m, blocks[1], None)[0].item()},
        schedule=plan,
        schedule_every=every,
        store=store,
        **options,
    )


def shuffled_run(store=None, *, seed=0, **options):
    """10 samples in 4 shuffled batches, the last one smaller, with dropout."""
    mg.manual_seed(seed)
    x = np.random.default_rng(6).normal(size=(10, 4)).astype("f4")
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 2))

    def step(model, batch, carry):
        assert carry is None
        return ((model(batch) - batch[:, :2]) ** 2).mean()

    options = {"step": step, "progress": False, **options}
    loader = data.DataLoader(data.ArrayDataset(x), batch_size=3, shuffle=True, seed=11)
    return Trainer(
        model, optim.Adam(model.parameters(), lr=0.05), data=loader, store=store, **options
    )


def fingerprint(state):
    """A state with every array as its bytes, and without what a clock measured."""
    if isinstance(state, dict):
        return {k: fingerprint(v) for k, v in state.items() if k != "seconds"}
    if isinstance(state, list | tuple):
        return [fingerprint(v) for v in state]
    if isinstance(state, mg.Tensor | np.ndarray):
        array = np.asarray(state)
        return array.dtype.str, array.shape, array.tobytes()
    return state


def scored_run(scores, store=None, **options):
    """A run of one batch per epoch whose monitored number is given: scores[epoch - 1]."""
    model = nn.Linear(1, 1)
    rule = optim.SGD(model.parameters(), lr=1.0)
    run = Trainer(
        model,
        rule,
        lambda model, batch, _: model(batch).sum() * 0.01,
        data.DataLoader(data.ArrayDataset(np.ones((2, 1), "f4")), batch_size=2),
        evaluate=lambda _: {"score": scores[run.epoch]},
        monitor="score",
        store=store,
        progress=False,
        **options,
    )
    return run


def parameters(run):
    return {name: p.numpy().copy() for name, p in run.model.named_parameters()}


def same(a, b):
    return all(np.array_equal(a[name], b[name]) for name in a)
