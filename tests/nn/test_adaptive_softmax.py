"""AdaptiveLogSoftmaxWithLoss against PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError, IndexRangeError, ShapeError
from minigrad.testing import gradgradcheck

parity = pytest.importorskip("tests.nn.parity")
torch = parity.torch
array = parity.array


class TestAdaptiveSoftmax:
    @pytest.mark.parametrize("options", [{}, {"head_bias": True, "div_value": 2.0}])
    def test_parity(self, options):
        given = (64, 20, [4, 9, 15])
        mine, theirs = parity.twins(
            nn.AdaptiveLogSoftmaxWithLoss(*given, **options),
            torch.nn.AdaptiveLogSoftmaxWithLoss(*given, **options),
        )
        target = np.array([0, 3, 4, 8, 19, 15, 10])
        parity.assert_parity(
            lambda x: tuple(mine(x, mg.tensor(target))),
            lambda x: tuple(theirs(x, torch.tensor(target))),
            array(7, 64),
        )
        parity.assert_parity(mine.log_prob, theirs.log_prob, array(7, 64))
        x = array(7, 64)
        np.testing.assert_array_equal(
            mine.predict(mg.tensor(x)).numpy(), theirs.predict(torch.tensor(x)).numpy()
        )
        mine.zero_grad()
        mine(mg.tensor(x), target).loss.backward()
        theirs.zero_grad()
        theirs(torch.tensor(x), torch.tensor(target)).loss.backward()
        for (name, p), q in zip(mine.named_parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), atol=1e-12, err_msg=name)

    def test_probabilities_and_one_row(self):
        mine = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [5], dtype="float64")
        x = mg.tensor(array(3, 8))
        log_p = mine.log_prob(x).detach().numpy()
        np.testing.assert_allclose(np.exp(log_p).sum(axis=1), 1)
        output, loss = mine(x[0], 7)
        np.testing.assert_allclose(output.item(), log_p[0, 7], rtol=1e-12)
        np.testing.assert_allclose(loss.item(), -log_p[0, 7], rtol=1e-12)
        assert gradgradcheck(lambda x: mine(x, [0, 7, 11]).loss, [array(3, 8)])

    def test_errors(self):
        for cutoffs in ([], [5, 3], [0, 4], [12], [4, 4]):
            with pytest.raises(ConfigError, match="cutoffs"):
                nn.AdaptiveLogSoftmaxWithLoss(8, 12, cutoffs)
        mine = nn.AdaptiveLogSoftmaxWithLoss(8, 12, [5])
        with pytest.raises(IndexRangeError):
            mine(mg.ones((1, 8)), [12])
        with pytest.raises(ShapeError):
            mine(mg.ones((1, 7)), [1])
