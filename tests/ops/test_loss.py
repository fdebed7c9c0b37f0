"""Losses: parity with PyTorch, numerical extremes, bad targets."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ConfigError, DataError, DTypeError, IndexRangeError, ShapeError

RNG = np.random.default_rng(0)
LOGITS, IDS = RNG.standard_normal((6, 5)), RNG.integers(0, 5, 6)
WEIGHT = RNG.uniform(0.5, 2, 5)
X, Y = RNG.standard_normal((4, 3)) * 2, RNG.standard_normal((4, 3)) * 2
P, Q = RNG.uniform(0.05, 0.95, (4, 3)), RNG.uniform(0, 1, (4, 3))
REDUCTIONS = ["mean", "sum", "none"]


def both(name, *inputs, theirs=None, **options):
    """Value and gradients by minigrad and by PyTorch, which must agree."""
    torch = pytest.importorskip("torch")
    floating = [x.dtype.kind == "f" for x in inputs]
    ours = [mg.tensor(x, requires_grad=f) for x, f in zip(inputs, floating, strict=True)]
    other = [torch.tensor(x, requires_grad=f) for x, f in zip(inputs, floating, strict=True)]
    tensors = {k: v for k, v in options.items() if isinstance(v, np.ndarray)}
    rest = {k: v for k, v in options.items() if k not in tensors}
    a = getattr(mg, name)(*ours, **rest, **{k: mg.tensor(v) for k, v in tensors.items()})
    theirs = {**rest, **(theirs or {}), **{k: torch.tensor(v) for k, v in tensors.items()}}
    theirs.pop("axis", None)
    b = getattr(torch.nn.functional, name)(*other, **theirs)
    np.testing.assert_allclose(a.numpy(), b.detach().numpy(), rtol=1e-11)
    a.sum().backward()
    b.sum().backward()
    for one, two in zip(ours, other, strict=True):
        if one.requires_grad:
            np.testing.assert_allclose(one.grad.numpy(), two.grad.numpy(), rtol=1e-9, atol=1e-14)


class TestParity:
    @pytest.mark.parametrize(
        ("reduction", "smoothing", "weight"),
        list(itertools.product(REDUCTIONS, [0.0, 0.1, 1.0], [None, WEIGHT])),
    )
    def test_cross_entropy(self, reduction, smoothing, weight):
        options = {} if weight is None else {"weight": weight}
        ids = IDS.copy()
        ids[2] = -100
        both(
            "cross_entropy", LOGITS, ids, reduction=reduction, label_smoothing=smoothing, **options
        )

    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_cross_entropy_in_torchs_layout(self, reduction):
        x, ids = RNG.standard_normal((2, 5, 3, 2)), RNG.integers(0, 5, (2, 3, 2))
        both("cross_entropy", x, ids, reduction=reduction, axis=1)
        both("nll_loss", x, ids, reduction=reduction, axis=1)

    @pytest.mark.parametrize("reduction", REDUCTIONS)
    @pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
    def test_nll_loss(self, reduction, weight):
        ids = IDS.copy()
        ids[1] = 3
        ids[4] = 7
        options = {} if weight is None else {"weight": weight}
        both("nll_loss", LOGITS, ids, reduction=reduction, ignore_index=7, **options)

    @pytest.mark.parametrize("reduction", REDUCTIONS)
    @pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss"])
    def test_of_numbers(self, name, reduction):
        both(name, X, Y, reduction=reduction)

    @pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "huber_loss"])
    def test_those_of_numbers_are_one_line(self, name):
        x = mg.tensor(X, requires_grad=True)
        line = getattr(mg, name)(x, Y).node
        assert line.op.name == name
        assert line.parents[0] is x

    @pytest.mark.parametrize("size", [0.3, 1.0, 2.5])
    def test_where_it_turns_linear(self, size):
        both("huber_loss", X, Y, delta=size)
        both("smooth_l1_loss", X, Y, beta=size)

    def test_smooth_l1_without_a_bend(self):
        both("smooth_l1_loss", X, Y, beta=0.0)

    @pytest.mark.parametrize("reduction", REDUCTIONS)
    def test_binary(self, reduction):
        both("binary_cross_entropy", P, Q, reduction=reduction)
        both("binary_cross_entropy", P, Q, reduction=reduction, weight=P)
        both("binary_cross_entropy_with_logits", X, Q, reduction=reduction)
        both("binary_cross_entropy_with_logits", X, Q, reduction=reduction, weight=P)
        both("binary_cross_entropy_with_logits", X, Q, reduction=reduction, pos_weight=WEIGHT[:3])

    @pytest.mark.filterwarnings("ignore:reduction. 'mean' divides:UserWarning")
    @pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
    @pytest.mark.parametrize("log_target", [False, True])
    def test_kl_div(self, reduction, log_target):
        target = np.log(Q) if log_target else Q
        both("kl_div", np.log(P), target, reduction=reduction, log_target=log_target)


class TestCrossEntropy:
    @pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
    def test_large_scores(self, dtype):
        x = mg.tensor([[1e4, 0.0], [-1e4, 0.0], [0.0, 0.0]], dtype=dtype, requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loss = mg.cross_entropy(x, mg.tensor([0, 1, 0]), reduction="sum")
            loss.backward()
        assert loss.dtype == x.grad.dtype == dtype
        assert loss.item() == pytest.approx(np.log(2), rel=1e-3)
        np.testing.assert_allclose(x.grad.numpy(), [[0, 0], [0, 0], [-0.5, 0.5]])

    def test_masked_classes(self):
        """-inf takes a class out, also where the target is ignored."""
        x = mg.tensor([[-np.inf, 0.0, 0.0], [-np.inf, 1.0, 1.0]], requires_grad=True)
        loss = mg.cross_entropy(x, mg.tensor([1, -100]))
        loss.backward()
        assert loss.item() == pytest.approx(np.log(2))
        np.testing.assert_allclose(x.grad.numpy(), [[0, -0.5, 0.5], [0, 0, 0]])

    @pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
    def test_nothing_counts(self, name):
        x = mg.tensor(LOGITS, requires_grad=True)
        loss = getattr(mg, name)(x, mg.full(6, -100))
        loss.backward()
        assert loss.item() == 0
        assert not x.grad.numpy().any()

    def test_no_rows(self):
        x = mg.zeros((0, 5), requires_grad=True)
        loss = mg.cross_entropy(x, mg.zeros(0, dtype="int64"))
        loss.backward()
        assert loss.item() == 0
        assert x.grad.shape == (0, 5)

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_many_blocks_and_the_shifted_path_agree(self, monkeypatch, smoothing):
        from minigrad.ops import rows

        x, ids = RNG.standard_normal((50, 7)) * 5, RNG.integers(0, 7, 50)
        results = []
        for block, tame in ((1 << 17, 60.0), (20, 60.0), (20, 0.0)):
            monkeypatch.setattr(rows, "BLOCK", block)
            monkeypatch.setattr(rows, "TAME", tame)
            t = mg.tensor(x, requires_grad=True)
            loss = mg.cross_entropy(t, mg.tensor(ids), label_smoothing=smoothing)
            (loss * 3).backward()
            results.append((loss.item(), t.grad.numpy()))
        for loss, g in results[1:]:
            assert loss == pytest.approx(results[0][0], rel=1e-14)
            np.testing.assert_allclose(g, results[0][1], rtol=1e-12, atol=1e-16)

    def test_twice_backward(self):
        x = mg.tensor(LOGITS, requires_grad=True)
        loss = mg.cross_entropy(x, mg.tensor(IDS))
        loss.backward(retain_graph=True)
        once = x.grad.numpy().copy()
        loss.backward()
        np.testing.assert_allclose(x.grad.numpy(), 2 * once)

    def test_weight_is_a_constant(self):
        w = mg.tensor(WEIGHT, requires_grad=True)
        x = mg.tensor(LOGITS, requires_grad=True)
        loss = mg.cross_entropy(x, mg.tensor(IDS), weight=w)
        assert mg.grad(loss, [x, w], allow_unused=True)[1] is None

    def test_lists_and_arrays_as_targets(self):
        x = mg.tensor(LOGITS)
        expected = mg.cross_entropy(x, mg.tensor(IDS)).item()
        assert mg.cross_entropy(x, IDS).item() == expected
        assert mg.cross_entropy(x, IDS.tolist()).item() == expected
        assert mg.cross_entropy(x.to("strict"), IDS.tolist()).item() == pytest.approx(expected)
        assert mg.cross_entropy(LOGITS, IDS) == pytest.approx(expected)
        w = WEIGHT.tolist()
        assert mg.cross_entropy(x, IDS, weight=w).item() == pytest.approx(
            mg.cross_entropy(x, IDS, weight=mg.tensor(WEIGHT)).item(), rel=1e-6
        )


class TestBadInput:
    @pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
    @pytest.mark.parametrize(
        ("target", "error", "match"),
        [
            ([0, 1, 2, 3, 4, 5], IndexRangeError, "target 5 is no class; ids run from 0 to 4"),
            ([0, 1, 2, 3, 4, -1], IndexRangeError, "target -1"),
            ([0, 1], ShapeError, r"need ids of shape \(6,\), got \(2,\)"),
            ([[0] * 5] * 6, ShapeError, "axis=1"),
            ([True] * 6, DTypeError, "integer"),
        ],
    )
    def test_ids(self, name, target, error, match):
        with pytest.raises(error, match=match):
            getattr(mg, name)(mg.tensor(LOGITS), mg.tensor(target))

    @pytest.mark.parametrize(
        ("options", "error", "match"),
        [
            ({"reduction": "average"}, ConfigError, "'sum'"),
            ({"label_smoothing": 1.5}, ConfigError, "label_smoothing"),
            ({"axis": 2}, ShapeError, "axis 2"),
            ({"weight": mg.ones(4)}, ShapeError, r"expected \(5,\)"),
        ],
    )
    def test_options(self, options, error, match):
        with pytest.raises(error, match=match):
            mg.cross_entropy(mg.tensor(LOGITS), mg.tensor(IDS), **options)

    def test_scores_are_floating(self):
        with pytest.raises(DTypeError, match="scores"):
            mg.cross_entropy(mg.ones((2, 3), dtype="int64"), mg.tensor([0, 1]))

    def test_soft_targets(self):
        soft = np.full((6, 5), 0.2)
        soft[1, 1] = np.nan
        with pytest.raises(DataError, match="NaN"):
            mg.cross_entropy(mg.tensor(LOGITS), mg.tensor(soft))
        with pytest.raises(ShapeError, match="probabilities of shape"):
            mg.cross_entropy(mg.tensor(LOGITS), mg.tensor(soft[:, 0]))

    @pytest.mark.parametrize(
        "name", ["mse_loss", "l1_loss", "huber_loss", "binary_cross_entropy_with_logits", "kl_div"]
    )
    def test_pairs(self, name):
        loss = getattr(mg, name)
        with pytest.raises(ShapeError, match=rf"{name}.*\(3,\).*\(3, 1\)"):
            loss(mg.ones(3), mg.ones((3, 1)))
        with pytest.raises(DataError, match=f"{name}: target has NaN"):
            loss(mg.ones(2), mg.tensor([1.0, np.nan]))
        with pytest.raises(ConfigError, match="reduction"):
            loss(mg.ones(2), mg.ones(2), reduction="avg")
        # A target that is itself being learned is no label: its NaN is for detect_anomaly to find.
        learned = mg.tensor([1.0, np.nan], requires_grad=True)
        assert np.isnan(loss(mg.ones(2), learned).item())

    def test_probabilities(self):
        with pytest.raises(DataError, match="with_logits"):
            mg.binary_cross_entropy(mg.tensor([1.5]), mg.tensor([1.0]))
        with pytest.raises(ConfigError, match="delta"):
            mg.huber_loss(mg.ones(2), mg.ones(2), delta=0)
        with pytest.raises(ConfigError, match="beta"):
            mg.smooth_l1_loss(mg.ones(2), mg.ones(2), beta=-1)


class TestExtremes:
    def test_certain_and_wrong(self):
        x = mg.tensor([1000.0, -1000.0], requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loss = mg.binary_cross_entropy_with_logits(x, mg.tensor([0.0, 1.0]), reduction="sum")
            loss.backward()
            assert loss.item() == 2000
            assert x.grad.tolist() == [1, -1]
            p = mg.tensor([0.0, 1.0], requires_grad=True)
            loss = mg.binary_cross_entropy(p, mg.tensor([1.0, 0.0]), reduction="sum")
            loss.backward()
            assert loss.item() == 200

    def test_kl_div_where_the_target_is_zero(self):
        x = mg.tensor([-1.0, -2.0], requires_grad=True)
        mg.kl_div(x, mg.tensor([0.0, 1.0]), reduction="sum").backward()
        assert x.grad.tolist() == [0, -1]

    def test_second_derivative_of_huber(self):
        def f(x):
            return mg.huber_loss(x, mg.zeros(2), reduction="sum")

        h = mg.hessian(f, mg.tensor([0.5, 3.0]))
        assert h.tolist() == [[1, 0], [0, 0]]
