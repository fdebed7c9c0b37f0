"""Code no one here wrote, run on Tensors: einops, SciPy, array-api-extra, array-api-compat.

They know only the Array API standard. Their results are those they give for NumPy's arrays, and
gradients flow through what stays inside the namespace.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing.gradcheck import gradcheck, gradgradcheck

X = np.linspace(0.1, 1.0, 12).reshape(3, 4) ** 2
ROOT = Path(__file__).parents[2]


class TestEinops:
    api = pytest.importorskip("einops.array_api")

    @pytest.mark.parametrize(
        ("pattern", "sizes"),
        [
            ("(a b) c -> b c a", {"a": 3}),
            ("a (b c) -> (c a) b", {"b": 2}),
            ("a b -> b a 1", {}),
        ],
    )
    def test_rearrange(self, pattern, sizes):
        def f(x):
            return self.api.rearrange(x, pattern, **sizes)

        np.testing.assert_allclose(f(mg.asarray(X)).numpy(), f(X))
        assert gradgradcheck(f, X)

    @pytest.mark.parametrize("how", ["sum", "mean", "max", "min", "prod"])
    def test_reduce(self, how):
        def f(x):
            return self.api.reduce(x, "a (b c) -> c", how, b=2)

        np.testing.assert_allclose(f(mg.asarray(X)).numpy(), f(X))
        assert gradgradcheck(f, X)

    def test_repeat(self):
        def f(x):
            return self.api.repeat(x, "a b -> (a n) b m", n=2, m=3)

        np.testing.assert_allclose(f(mg.asarray(X)).numpy(), f(X))
        assert gradcheck(f, X)

    def test_pack_and_unpack(self):
        x, y = mg.asarray(X), mg.asarray(X[:, 0]).requires_grad_()
        packed, shapes = self.api.pack([x, y], "a *")
        assert packed.shape == (3, 5)
        back = self.api.unpack(packed * 2, shapes, "a *")[1]
        back.sum().backward()
        assert y.grad.tolist() == [2, 2, 2]


class TestArrayApiExtra:
    xpx = pytest.importorskip("array_api_extra")

    @pytest.mark.parametrize(
        "name",
        ["atleast_nd", "cov", "create_diagonal", "kron", "pad", "sinc", "one_hot",
         "nunique", "isclose", "setdiff1d", "default_dtype", "at"],
    )  # fmt: skip
    def test_value_and_gradient(self, name):
        if not hasattr(self.xpx, name):
            pytest.skip(f"this array-api-extra has no {name}")
        f, smooth = _EXTRA[name]
        ours, theirs = f(self.xpx, mg.asarray(X), mg), f(self.xpx, X, np)
        assert isinstance(ours, mg.Tensor) or name == "default_dtype"
        np.testing.assert_allclose(
            ours.numpy() if isinstance(ours, mg.Tensor) else 0,
            theirs if isinstance(ours, mg.Tensor) else 0,
        )
        if smooth:
            assert gradcheck(lambda x: f(self.xpx, x, mg), X)
            assert gradgradcheck(lambda x: f(self.xpx, x, mg), X)


_EXTRA = {
    "atleast_nd": (lambda xpx, x, xp: xpx.atleast_nd(x, ndim=4), True),
    "cov": (lambda xpx, x, xp: xpx.cov(x), True),
    "create_diagonal": (lambda xpx, x, xp: xpx.create_diagonal(x[0], offset=1), True),
    "kron": (lambda xpx, x, xp: xpx.kron(x, x[:2, :2]), True),
    "pad": (lambda xpx, x, xp: xpx.pad(x, ((1, 0), (0, 2)), constant_values=2.0), True),
    "sinc": (lambda xpx, x, xp: xpx.sinc(x), True),
    "one_hot": (lambda xpx, x, xp: xpx.one_hot(xp.asarray([0, 2, 1]), 4), False),
    "nunique": (lambda xpx, x, xp: xpx.nunique(x > 0.3), False),
    "isclose": (lambda xpx, x, xp: xpx.isclose(x, x + 1e-9), False),
    "setdiff1d": (
        lambda xpx, x, xp: xpx.setdiff1d(xp.asarray([1, 2, 3, 4]), xp.asarray([2, 4])),
        False,
    ),
    "default_dtype": (lambda xpx, x, xp: xpx.default_dtype(xp), False),
    "at": (lambda xpx, x, xp: xpx.at(x, (0, slice(None))).multiply(3.0, copy=True), True),
}


def test_array_api_compat_knows_the_namespace():
    compat = pytest.importorskip("array_api_compat")
    x = mg.ones(2)
    assert compat.is_array_api_obj(x)
    assert compat.array_namespace(x) is mg
    assert compat.array_namespace(x, mg.zeros(1)) is mg
    assert compat.size(x) == 2
    assert str(compat.device(x)) == "cpu"
    assert compat.to_device(x, "cpu") is x


SCIPY = """
logsumexp      special.logsumexp(x, axis=1)
softmax        special.softmax(x, axis=1)
log_softmax    special.log_softmax(x, axis=0)
xlogy          special.xlogy(x, x + 1)
rel_entr       special.rel_entr(x, x + 1)
skew           stats.skew(x, axis=0)
kurtosis       stats.kurtosis(x, axis=None)
zscore         stats.zscore(x, axis=1)
gmean          stats.gmean(x)
hmean          stats.hmean(x)
pmean          stats.pmean(x, 3)
variation      stats.variation(x, ddof=1)
sem            stats.sem(x)
tmean          stats.tmean(x)
tvar           stats.tvar(x)
circmean       stats.circmean(x, axis=0)
circvar        stats.circvar(x)
iqr            stats.iqr(x)
whiten         cluster.vq.whiten(x)
trapezoid      integrate.trapezoid(x, axis=1)
cumtrapz       integrate.cumulative_trapezoid(x, axis=0)
romb           integrate.romb(x[:, :3], axis=1)
rotation       spatial.transform.Rotation.from_rotvec(x[:, :3]).as_matrix()
euler          spatial.transform.Rotation.from_quat(x).as_euler("xyz")
rotated        spatial.transform.Rotation.from_quat(x).apply(x[:, :3])
rigid          spatial.transform.RigidTransform.from_translation(x[:, :3]).as_matrix()
gausspulse     signal.gausspulse(x)
lp2lp          signal.lp2lp(x[0], x[1], 2.0)[0]
abcd           signal.abcd_normalize(x[:3, :3], x[:3, :1], x[:1, :3], x[:1, :1])[0]
weighted       special.logsumexp(x, axis=0, b=x)
block_diag     linalg.block_diag(x, x)
rosen          optimize.rosen(x)
moment         stats.moment(x, order=3)
kstat          stats.kstat(x, 2)
gzscore        stats.gzscore(x)
zmap           stats.zmap(x, x * 2)
tmax           stats.tmax(x)
tstd           stats.tstd(x)
gstd           stats.gstd(x)
circstd        stats.circstd(x, axis=0)
directional    stats.directional_stats(x).mean_direction
quantile       stats.quantile(x, 0.3, axis=0)
lmoment        stats.lmoment(x[0])
trim_mean      stats.trim_mean(x, 0.1)
sigmaclip      stats.sigmaclip(x)[0]
mad            stats.median_abs_deviation(x)
boxcox_llf     stats.boxcox_llf(0.5, x[0])
"""

SCRIPT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
import scipy
from scipy import cluster, integrate, linalg, optimize, signal, spatial, special, stats
import scipy.cluster.vq, scipy.spatial.transform
import minigrad as mg
from minigrad.testing.gradcheck import gradcheck

X = np.linspace(0.1, 1.0, 12).reshape(3, 4) ** 2
answers = {}
for line in json.loads(sys.argv[1]):
    name, _, call = line.partition(" ")
    try:
        f = eval("lambda x: " + call.strip())
        y = f(mg.asarray(X).requires_grad_())
        assert isinstance(y, mg.Tensor), type(y)
        np.testing.assert_allclose(y.detach().numpy(), f(X), rtol=1e-10, atol=1e-13)
        assert gradcheck(f, X)
        answers[name] = "ok"
    except Exception as error:
        answers[name] = repr(error)
try:
    special.gammaln(mg.asarray(X).requires_grad_())
    answers["compiled"] = "no error"
except mg.errors.GradError:
    answers["compiled"] = "refused"
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def scipy_answers():
    """What SciPy says with SCIPY_ARRAY_API=1, which it reads when it is imported."""
    pytest.importorskip("scipy", minversion="1.17")
    import os

    lines = [line for line in SCIPY.strip().splitlines() if line]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), json.dumps(lines)],
        cwd=ROOT, env={**os.environ, "SCIPY_ARRAY_API": "1"}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", [line.split()[0] for line in SCIPY.strip().splitlines()])
def test_scipy(scipy_answers, name):
    assert scipy_answers[name] == "ok"


def test_scipy_never_loses_a_gradient_silently(scipy_answers):
    """Its compiled functions would: they want NumPy's arrays."""
    assert scipy_answers["compiled"] == "refused"
