"""The models of `models/` as compiled train steps: the bits of eager, batches of all lengths."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from models.char_lm import CharLM
from models.seq2seq import Seq2Seq
from models.tagger import Tagger, TaggerBatch


def char_lm():
    model = CharLM(9, embedding_size=4, hidden_size=6, dropout=0.3)
    rng = np.random.default_rng(0)

    def loss(ids, following, h, c):
        logits, state = model(ids, (h, c))
        return mg.cross_entropy(logits.reshape(-1, 9), following.reshape(-1)), *state

    def batches():
        h = c = mg.zeros((2, 3, 6))
        for _ in range(3):
            h, c = yield rng.integers(0, 9, (5, 3)), rng.integers(0, 9, (5, 3)), h, c

    return model, loss, batches()


def tagger():
    model = Tagger(9, 7, 4, word_size=5, char_size=3, char_hidden=4, hidden_size=6)
    rng = np.random.default_rng(0)

    def loss(batch):
        return (mg.cross_entropy(model(batch).reshape(-1, 4), batch.tags.reshape(-1)),)

    def batches():
        for lengths in ([5, 3, 1], [5, 5, 5], [2, 5, 4]):
            outside = np.arange(5)[:, None] >= np.array(lengths)
            yield (
                TaggerBatch(
                    words=np.where(outside, 0, rng.integers(1, 9, (5, 3))),
                    lengths=np.array(lengths),
                    spelling=rng.integers(0, 7, (4, 6)),
                    spelling_lengths=rng.integers(1, 5, 6),
                    which=rng.integers(0, 6, (5, 3)),
                    tags=np.where(outside, -100, rng.integers(0, 4, (5, 3))),
                ),
            )

    return model, loss, batches()


def seq2seq(attention=True):
    model = Seq2Seq(9, 8, bos=1, eos=2, size=4, hidden_size=6, attention=attention)
    rng = np.random.default_rng(0)

    def loss(source, lengths, target):
        logits, _ = model(source, lengths, target[:-1])
        flat = logits.reshape(-1, 8), target[1:].reshape(-1)
        return (mg.cross_entropy(*flat, ignore_index=0),)

    def batches():
        for lengths in ([5, 3, 1], [5, 5, 5]):
            yield rng.integers(1, 9, (5, 3)), np.array(lengths), rng.integers(1, 8, (4, 3))

    return model, loss, batches()


def run(make, compiled):
    mg.manual_seed(0)
    model, loss_of, batches = make()
    optimizer = mg.optim.Adam(model.parameters(), lr=0.05)

    def step(*batch):
        optimizer.zero_grad()
        loss, *carry = loss_of(*batch)
        loss.backward()
        mg.optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss, *carry

    if compiled:
        step = mg.compile(step)
    losses, batch = [], next(batches)
    while True:
        loss, *carry = step(*batch)
        losses.append(loss.item())
        try:
            batch = batches.send([c.detach() for c in carry] if carry else None)
        except StopIteration:
            break
    return losses, [p.numpy().copy() for p in model.parameters()], step


@pytest.mark.parametrize("make", [char_lm, tagger, seq2seq, lambda: seq2seq(attention=False)])
def test_train_steps(make):
    losses, parameters, _ = run(make, compiled=False)
    again, same, step = run(make, compiled=True)
    assert losses == again
    assert len(losses) > 1
    assert len(step.programs) == 1
    for a, b in zip(parameters, same, strict=True):
        np.testing.assert_array_equal(a, b)
