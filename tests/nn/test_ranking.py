"""CTC and the losses of similarity, order and likelihood: PyTorch's numbers."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import (
    ConfigError,
    DataError,
    DeviceError,
    DTypeError,
    IndexRangeError,
    ShapeError,
)
from minigrad.testing import gradcheck, gradgradcheck

parity = pytest.importorskip("tests.nn.parity")
torch = parity.torch

REDUCTIONS = ["mean", "sum", "none"]
SIGNS = np.array([1.0, -1, -1, 1])

# -- CTC -----------------------------------------------------------------------------------------

TARGETS = np.array([[1, 2, 2, 3], [3, 3, 0, 0], [0, 0, 0, 0], [1, 2, 1, 2]])
FRAMES, LABELS = [9, 7, 4, 8], [4, 2, 0, 3]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("flat", [True, False])
def test_ctc(reduction, flat):
    targets = TARGETS
    if flat:
        targets = np.concatenate([row[:n] for row, n in zip(TARGETS, LABELS, strict=True)])
    mine, theirs = nn.CTCLoss(reduction=reduction), torch.nn.CTCLoss(reduction=reduction)
    parity.assert_parity(
        lambda x: mine(mg.log_softmax(x), mg.asarray(targets), FRAMES, LABELS),
        lambda x: theirs(torch.log_softmax(x, -1), torch.tensor(targets), FRAMES, LABELS),
        parity.array(9, 4, 5),
    )


def test_ctc_of_one_sequence_with_another_blank():
    parity.assert_parity(
        lambda x: mg.ctc_loss(mg.log_softmax(x), mg.tensor([0, 1, 1]), 6, 3, blank=4),
        lambda x: torch.nn.functional.ctc_loss(
            torch.log_softmax(x, -1), torch.tensor([0, 1, 1]), (6,), (3,), blank=4
        ),
        parity.array(6, 5),
    )


def test_ctc_of_targets_that_are_too_long():
    x = mg.tensor(parity.array(3, 2, 4), requires_grad=True)
    given = mg.tensor([[1, 1, 1], [1, 2, 3]]), [3, 3], [3, 3]  # repeats need blanks between them
    losses = mg.ctc_loss(mg.log_softmax(x), *given, reduction="none")
    assert losses[0].item() == np.inf
    assert np.isfinite(losses[1].item())
    losses.sum().backward()
    assert not x.grad.numpy()[:, 0].any()
    assert np.isfinite(x.grad.numpy()).all()
    parity.assert_parity(
        lambda x: mg.ctc_loss(mg.log_softmax(x), *given, zero_infinity=True),
        lambda x: torch.nn.functional.ctc_loss(
            torch.log_softmax(x, -1), torch.tensor(given[0].numpy()), *given[1:], zero_infinity=True
        ),
        x.detach().numpy(),
    )


def test_ctc_padding_never_counts():
    x = parity.array(9, 4, 5)
    padded = x.copy()
    for n, frames in enumerate(FRAMES):
        padded[frames:, n] = np.nan
    targets = np.where(np.arange(4) < np.array(LABELS)[:, None], TARGETS, -99)
    found = []
    for values, t in ((x, TARGETS), (padded, targets)):
        logits = mg.tensor(values, requires_grad=True)
        loss = mg.ctc_loss(logits, mg.asarray(t), FRAMES, LABELS)
        loss.backward()
        found.append((loss.item(), logits.grad.numpy()))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])


def test_ctc_of_long_sequences_stays_in_range():
    x = mg.log_softmax(mg.tensor(parity.array(400, 1, 30) * 5, dtype="float32"))
    targets = np.random.default_rng(0).integers(1, 30, (1, 100))
    assert 0 < mg.ctc_loss(x, mg.asarray(targets), [400], [100]).item() < np.inf


def test_ctc_errors():
    x = mg.zeros((5, 2, 4))
    for targets, frames, labels in (
        ([[1, 2]], [5, 5], [2, 2]),
        ([[1], [2]], [5, 6], [1, 1]),
        ([[1], [2]], [5], [1, 1]),
        ([[1], [2]], [5, 5], [1, 2]),
        ([[1], [2]], [5, 5], [1, -1]),
        ([1, 2, 3], [5, 5], [1, 1]),
    ):
        with pytest.raises(ShapeError, match="ctc_loss"):
            mg.ctc_loss(x, mg.tensor(targets), frames, labels)
    for wrong in (0, 4, -1):
        with pytest.raises(IndexRangeError, match=f"target {wrong}"):
            mg.ctc_loss(x, mg.tensor([[1], [wrong]]), [5, 5], [1, 1])
    with pytest.raises(IndexRangeError, match="blank"):
        mg.ctc_loss(x, mg.tensor([[1], [1]]), [5, 5], [1, 1], blank=4)
    with pytest.raises(DTypeError, match="targets"):
        mg.ctc_loss(x, mg.tensor([[1.0], [1.0]]), [5, 5], [1, 1])
    with pytest.raises(ShapeError, match="log_probs"):
        mg.ctc_loss(x[0, 0], mg.tensor([1]), 1, 1)
    with pytest.raises(ConfigError, match="reduction"):
        nn.CTCLoss(reduction="median")(x, mg.tensor([[1], [1]]), [5, 5], [1, 1])
    with pytest.raises(DeviceError, match="input_lengths"):
        mg.ctc_loss(x, mg.tensor([[1], [1]]), mg.tensor([5, 5], device="strict"), [1, 1])


# -- the others ----------------------------------------------------------------------------------

PAIR = parity.array(4, 3), parity.array(4, 3, seed=1)
CASES = [
    ("CosineEmbeddingLoss", {"margin": 0.1}, (*PAIR, SIGNS)),
    ("CosineEmbeddingLoss", {}, (*PAIR, SIGNS)),
    ("MarginRankingLoss", {"margin": 0.3}, (*(x[:, 0] for x in PAIR), SIGNS)),
    ("HingeEmbeddingLoss", {"margin": 0.7}, (abs(PAIR[0][:, 0]), SIGNS)),
    ("SoftMarginLoss", {}, (PAIR[0] * 300, np.sign(PAIR[1]))),
    ("MultiMarginLoss", {}, (PAIR[0], np.array([0, 2, 1, 1]))),
    ("MultiMarginLoss", {"p": 2, "margin": 0.4}, (PAIR[0], np.array([0, 2, 1, 1]))),
    ("TripletMarginLoss", {}, (*PAIR, parity.array(4, 3, seed=2))),
    ("TripletMarginLoss", {"swap": True, "p": 3.0}, (*PAIR, parity.array(4, 3, seed=2))),
    ("GaussianNLLLoss", {}, (*PAIR, abs(parity.array(4, 3, seed=2)))),
    ("GaussianNLLLoss", {"full": True, "eps": 0.5}, (*PAIR, abs(parity.array(4, 1, seed=2)))),
    ("GaussianNLLLoss", {}, (*PAIR, abs(parity.array(4, seed=2)))),
    ("PoissonNLLLoss", {}, PAIR),
    ("PoissonNLLLoss", {"full": True}, (PAIR[0], np.arange(1.0, 13).reshape(4, 3))),
    ("PoissonNLLLoss", {"log_input": False}, (abs(PAIR[0]), abs(PAIR[1]))),
    ("KLDivLoss", {"log_target": True}, PAIR),
]


@pytest.mark.filterwarnings("ignore:(?s).*reduction:UserWarning")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "options", "inputs"), CASES, ids=lambda c: str(c)[:30])
def test_same_as_torch(name, options, inputs, reduction):
    mine = getattr(nn, name)(**options, reduction=reduction)
    theirs = getattr(torch.nn, name)(**options, reduction=reduction)
    if name == "SoftMarginLoss":  # PyTorch has no derivative by its target
        x, target = inputs
        parity.assert_parity(
            lambda x: mine(x, mg.asarray(target)), lambda x: theirs(x, torch.tensor(target)), x
        )
    else:
        parity.assert_parity(mine, theirs, *inputs)


@pytest.mark.parametrize(("name", "options", "inputs"), CASES, ids=lambda c: str(c)[:30])
def test_derivatives_and_the_strict_device(name, options, inputs):
    loss = getattr(nn, name)(**options)
    smooth = [inputs[0] if name != "SoftMarginLoss" else inputs[0] / 300, *inputs[1:]]
    constant = [mg.asarray(x) for x in smooth[1:]]
    assert gradcheck(lambda x: loss(x, *constant), smooth[:1])
    assert gradgradcheck(lambda x: loss(x, *constant), smooth[:1])
    parity.assert_same_on_the_strict_device(loss, *inputs)


def test_kl_div_batchmean():
    parity.assert_parity(
        nn.KLDivLoss("batchmean", True),
        torch.nn.KLDivLoss(reduction="batchmean", log_target=True),
        *PAIR,
    )


def test_a_weight_per_class():
    weight = np.array([0.5, 2.0, 1.0])
    parity.assert_parity(
        nn.MultiMarginLoss(weight=mg.asarray(weight)),
        torch.nn.MultiMarginLoss(weight=torch.tensor(weight)),
        PAIR[0],
        np.array([0, 2, 1, 1]),
    )


def test_similarity_and_distance():
    f, g = torch.nn.functional, nn.functional
    for axis in (0, 1, -1):
        parity.assert_parity(
            lambda x, y, axis=axis: g.cosine_similarity(x, y, axis),
            lambda x, y, axis=axis: f.cosine_similarity(x, y, axis),
            *PAIR,
        )
    for p in (1.0, 2.0, 3.5):
        parity.assert_parity(
            lambda x, y, p=p: g.pairwise_distance(x, y, p),
            lambda x, y, p=p: f.pairwise_distance(x, y, p),
            *PAIR,
        )


def test_errors():
    x = mg.ones((4, 3))
    for f, inputs in (
        (nn.CosineEmbeddingLoss(), (x, x, mg.ones(3))),
        (nn.CosineEmbeddingLoss(), (x, mg.ones((4, 1)), mg.ones(4))),
        (nn.MarginRankingLoss(), (x, x, mg.ones(3))),
        (nn.HingeEmbeddingLoss(), (x, mg.ones(3))),
        (nn.SoftMarginLoss(), (x, mg.ones(3))),
        (nn.MultiMarginLoss(), (x, mg.tensor([0, 1]))),
        (nn.TripletMarginLoss(), (x, x, mg.ones(3))),
        (nn.GaussianNLLLoss(), (x, x, mg.ones(3))),
        (nn.GaussianNLLLoss(), (x, mg.ones(3), x)),
        (nn.PoissonNLLLoss(), (x, mg.ones(3))),
    ):
        with pytest.raises(ShapeError, match="_loss"):
            f(*inputs)
    with pytest.raises(IndexRangeError, match="multi_margin_loss"):
        nn.MultiMarginLoss()(x, mg.tensor([0, 1, 2, 3]))
    with pytest.raises(DTypeError, match="class ids"):
        nn.MultiMarginLoss()(x, mg.ones(4))
    with pytest.raises(ConfigError, match="p is 3"):
        nn.MultiMarginLoss(p=3)(x, mg.tensor([0, 1, 2, 2]))
    with pytest.raises(ConfigError, match="margin"):
        nn.TripletMarginLoss(margin=0)(x, x, x)
    with pytest.raises(DataError, match="negative"):
        nn.GaussianNLLLoss()(x, x, -x)
