"""`mg.linalg` beside NumPy, its errors, and what a derivative cannot be asked of."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing.gradcheck import gradcheck, gradgradcheck

LA = mg.linalg
RNG = np.random.default_rng(0)


def matrices(*shape):
    return mg.asarray(RNG.normal(size=shape))


class TestValues:
    @pytest.mark.parametrize("shape", [(3, 3), (2, 4, 3), (2, 3, 4), (0, 3), (2, 0, 0)], ids=str)
    @pytest.mark.parametrize("full", [True, False])
    def test_svd(self, shape, full):
        x = matrices(*shape)
        u, s, vh = LA.svd(x, full_matrices=full)
        expected = np.linalg.svd(x.numpy(), full_matrices=full)
        assert [f.shape for f in (u, s, vh)] == [f.shape for f in expected]
        k = s.shape[-1]
        back = LA.matmul(u[..., :k] * s[..., None, :], vh[..., :k, :])
        np.testing.assert_allclose(back.numpy(), x.numpy(), atol=1e-12)

    @pytest.mark.parametrize("shape", [(3, 3), (2, 4, 3), (2, 3, 4), (3, 0)], ids=str)
    @pytest.mark.parametrize("mode", ["reduced", "complete"])
    def test_qr(self, shape, mode):
        x = matrices(*shape)
        q, r = LA.qr(x, mode=mode)
        for mine, theirs in zip((q, r), np.linalg.qr(x.numpy(), mode), strict=True):
            np.testing.assert_allclose(mine.numpy(), theirs, atol=1e-12)

    @pytest.mark.parametrize("ord", ["fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
    @pytest.mark.parametrize("keepdims", [True, False])
    def test_matrix_norm(self, ord, keepdims):
        x = matrices(2, 3, 4)
        expected = np.linalg.matrix_norm(x.numpy(), ord=ord, keepdims=keepdims)
        np.testing.assert_allclose(LA.matrix_norm(x, ord=ord, keepdims=keepdims).numpy(), expected)
        assert gradcheck(lambda x: LA.matrix_norm(x, ord=ord), x)

    @pytest.mark.parametrize("ord", [0, 1, 2, 3.5, -1, np.inf, -np.inf])
    def test_vector_norm(self, ord):
        x = matrices(2, 3) * mg.asarray([1.0, 1.0, 1.0] if ord == -1 else [1.0, 0.0, 1.0])
        expected = np.linalg.vector_norm(x.numpy(), ord=ord, axis=1)
        np.testing.assert_allclose(LA.vector_norm(x, ord=ord, axis=1).numpy(), expected)

    @pytest.mark.parametrize("n", range(-3, 6))
    def test_matrix_power(self, n):
        x = matrices(2, 3, 3)
        y = LA.matrix_power(x, n)
        np.testing.assert_allclose(y.numpy(), np.linalg.matrix_power(x.numpy(), n), rtol=1e-9)
        assert y is not x
        assert n == 0 or gradcheck(lambda x: LA.matrix_power(x, n), x + 3 * mg.eye(3, dtype="f8"))

    def test_matrix_rank(self):
        x = np.array([np.eye(3), np.ones((3, 3)), np.zeros((3, 3)), np.diag([1, 1e-3, 0])])
        assert LA.matrix_rank(mg.asarray(x)).tolist() == [3, 1, 0, 2]
        assert LA.matrix_rank(mg.asarray(x), rtol=mg.asarray([0.1] * 4)).tolist() == [3, 1, 0, 1]
        assert LA.matrix_rank(mg.zeros((2, 0, 3))).tolist() == [0, 0]

    def test_pinv(self):
        x = matrices(4, 2) @ matrices(2, 3)  # of rank 2
        np.testing.assert_allclose(LA.pinv(x).numpy(), np.linalg.pinv(x.numpy()), atol=1e-12)
        cut = LA.pinv(mg.asarray(np.diag([1.0, 0.1])), rtol=0.2)
        np.testing.assert_allclose(cut.numpy(), [[1, 0], [0, 0]])
        assert LA.pinv(mg.zeros((0, 3))).shape == (3, 0)

    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_cross(self, axis):
        x, y = matrices(3, 3), matrices(3, 3)
        expected = np.cross(x.numpy(), y.numpy(), axis=axis)
        np.testing.assert_allclose(LA.cross(x, y, axis=axis).numpy(), expected)

    def test_cross_broadcasts_and_is_differentiable(self):
        x, y = matrices(2, 1, 3), matrices(4, 3)
        np.testing.assert_allclose(LA.cross(x, y).numpy(), np.cross(x.numpy(), y.numpy()))
        assert gradgradcheck(LA.cross, [x, y])

    def test_trace(self):
        x = mg.asarray(np.arange(12, dtype="float32").reshape(3, 4))
        assert LA.trace(x, offset=1, dtype=mg.float64).dtype == mg.float64
        assert LA.trace(x, offset=1).item() == 1 + 6 + 11

    def test_cholesky(self):
        x = matrices(2, 3, 3)
        x = x @ x.mT + mg.eye(3, dtype="f8")
        upper = LA.cholesky(x, upper=True)
        np.testing.assert_allclose((upper.mT @ upper).numpy(), x.numpy())

    def test_names_of_the_results(self):
        x = matrices(2, 2)
        assert LA.qr(x)._fields == ("Q", "R")
        assert LA.svd(x)._fields == ("U", "S", "Vh")
        assert LA.eigh(x)._fields == ("eigenvalues", "eigenvectors")
        assert LA.slogdet(x)._fields == ("sign", "logabsdet")

    @pytest.mark.parametrize("name", LA.__all__)
    def test_all(self, name):
        assert hasattr(LA, name)


class TestDerivatives:
    def test_equal_singular_values(self):
        """The values alone are differentiable, whatever the vectors are."""
        x = mg.asarray(np.eye(3) * 2, dtype="f8").requires_grad_()
        LA.svdvals(x).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), np.eye(3), atol=1e-12)
        y = mg.asarray(np.eye(3) * 2, dtype="f8").requires_grad_()
        LA.eigh(y).eigenvalues.sum().backward()
        np.testing.assert_allclose(y.grad.numpy(), np.eye(3), atol=1e-12)

    def test_det_of_a_singular_matrix(self):
        x = mg.asarray([[1.0, 2.0], [2.0, 4.0]], dtype="f8").requires_grad_()
        LA.det(x).backward()
        np.testing.assert_allclose(x.grad.numpy(), [[4, -2], [-2, 1]], atol=1e-12)
        z = mg.zeros((3, 3), requires_grad=True)
        LA.det(z).backward()
        assert z.grad.tolist() == [[0] * 3] * 3

    @pytest.mark.parametrize("upper", [True, False])
    def test_gradients_of_symmetric_arguments_are_symmetric(self, upper):
        x = matrices(3, 3)
        x = (x @ x.mT + mg.eye(3, dtype="f8")).detach().requires_grad_()
        LA.cholesky(x, upper=upper).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), x.grad.numpy().T)

    def test_a_function_of_the_spectrum(self):
        """log det through three decompositions: the same gradient, x⁻¹."""
        x = matrices(4, 4)
        x = (x @ x.mT + mg.eye(4, dtype="f8")).detach().requires_grad_()
        routes = (
            2 * mg.log(LA.diagonal(LA.cholesky(x))).sum(),
            mg.log(LA.eigh(x).eigenvalues).sum(),
            mg.log(LA.svdvals(x)).sum(),
            mg.log(mg.abs(LA.diagonal(LA.qr(x).R))).sum(),
            LA.slogdet(x).logabsdet,
            mg.log(LA.det(x)),
        )
        for y in routes:
            (g,) = mg.grad(y, [x])
            np.testing.assert_allclose(g.numpy(), np.linalg.inv(x.numpy()), rtol=1e-8)

    def test_what_has_none_says_so(self):
        x = mg.ones((4, 3), requires_grad=True)
        with pytest.raises(mg.errors.GradError, match="full_matrices=False"):
            LA.svd(x)
        with pytest.raises(mg.errors.GradError, match="reduced"):
            LA.qr(x, mode="complete")
        assert LA.svd(x.detach()).U.shape == (4, 4)


class TestErrors:
    def test_singular(self):
        with pytest.raises(
            mg.errors.LinAlgError, match=r"inv: Singular matrix, for shape \(2, 2\)"
        ):
            LA.inv(mg.ones((2, 2)))
        with pytest.raises(mg.errors.LinAlgError, match="solve"):
            LA.solve(mg.ones((2, 2)), mg.ones(2))
        with pytest.raises(mg.errors.LinAlgError, match="cholesky: Matrix is not positive"):
            LA.cholesky(-mg.eye(2))

    @pytest.mark.parametrize("name", ["inv", "det", "slogdet", "cholesky", "eigh", "eigvalsh"])
    def test_not_square(self, name):
        with pytest.raises(mg.errors.ShapeError, match=rf"{name}.*\(2, 3\).*square"):
            getattr(LA, name)(mg.ones((2, 3)))

    @pytest.mark.parametrize("name", ["qr", "svd", "svdvals", "pinv", "matrix_norm"])
    def test_no_matrix(self, name):
        with pytest.raises(mg.errors.ShapeError, match=name):
            getattr(LA, name)(mg.ones(3))

    def test_others(self):
        x = mg.ones((2, 2))
        with pytest.raises(mg.errors.ShapeError, match="solve"):
            LA.solve(x, mg.ones(3))
        with pytest.raises(mg.errors.ShapeError, match="cross"):
            LA.cross(x, x)
        with pytest.raises(mg.errors.ConfigError, match="ord='max'"):
            LA.matrix_norm(x, ord="max")
        with pytest.raises(mg.errors.ConfigError, match="mode"):
            LA.qr(x, mode="raw")
        with pytest.raises(mg.errors.DTypeError, match="integer"):
            LA.matrix_power(x, 0.5)
