"""Normalisation with running statistics: over a batch, or over each sequence by itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import ops
from ..backend import device as find_device
from ..engine import Tensor, no_grad
from ..errors import ShapeError
from ..ops import get_default_dtype
from .normalization import Norm

__all__ = ["BatchNorm1d", "BatchNorm2d", "InstanceNorm1d", "InstanceNorm2d"]


class RunningNorm(Norm):
    """γ and β per channel, and the mean and variance of what was seen: what the layers below share.

    A layer says which x it takes, an axis a letter, and what it makes of it (`_normalize`).
    """

    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    _layouts: tuple[str, ...]

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        *,
        bias: bool,
        dtype: Any,
        device: Any,
    ) -> None:
        super().__init__(num_features, weight=affine, bias=bias, dtype=dtype, device=device)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        values: dict[str, Any] = dict.fromkeys(
            ("running_mean", "running_var", "num_batches_tracked")
        )
        if track_running_stats:
            dtype = dtype or get_default_dtype()
            values["running_mean"] = np.zeros(num_features, dtype)
            values["running_var"] = np.ones(num_features, dtype)
            values["num_batches_tracked"] = np.zeros((), np.int64)
        for name, value in values.items():
            made = None if value is None else Tensor(find_device(device).asarray(value))
            self.register_buffer(name, made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """γ = 1, β = 0, and nothing seen."""
        super().reset_parameters()
        self.reset_running_stats()

    def reset_running_stats(self) -> None:
        """Forget what was seen: running mean 0 and variance 1."""
        for name, value in (("running_mean", 0), ("running_var", 1), ("num_batches_tracked", 0)):
            buffer = getattr(self, name)
            if buffer is not None:
                buffer.assign_(value)

    def forward(self, x: Tensor) -> Tensor:
        C = self.num_features
        layout = next((a for a in self._layouts if len(a) == x.ndim), None)
        if layout is None or x.shape[layout.index("C")] != C:
            expected = (f"({', '.join(a).replace('C', str(C))})" for a in self._layouts)
            raise ShapeError(
                f"{type(self).__name__}: x is {x.shape}, expected {' or '.join(expected)}"
            )
        if layout[0] == "C":
            return self(x[None])[0]
        if self.training or self.running_mean is None:
            return self._normalize(x)
        return ops.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.eps
        )

    def _normalize(self, x: Tensor) -> Tensor:
        """Normalise x by its own statistics; in training, follow them."""
        raise NotImplementedError

    def _follow(self, mean: Tensor, var: Tensor, share: Any) -> None:
        """Move the running statistics by `share` of the way to these."""
        if self.running_mean is None or self.running_var is None:
            return
        for running, value in (self.running_mean, mean), (self.running_var, var):
            running.assign_(running * (1 - share) + value * share)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm1d(RunningNorm):
    """y = (x - μ) / √(σ² + ε) · γ + β per channel, μ and σ² over the batch and all places.

    In training μ and σ² (biased) are the batch's, and `running_mean` and `running_var` (unbiased)
    follow them: r ← (1 - momentum) · r + momentum · new. After `eval()` the running ones are used.

    Shapes: x (N, C) or (N, C, L) → the same; weight γ and bias β (C,).
    Init: γ = 1, β = 0, running mean 0 and variance 1.
    Raises: ShapeError for another x, or in training if there is but one value per channel.
    Paper: Ioffe & Szegedy 2015.

    Args:
        num_features: C.
        momentum: None: the running ones are plain averages over all batches.
        affine: learn γ and β; bias=False: γ alone.
        track_running_stats: False: no running ones, the batch's are used in evaluation, too.
    """

    _layouts: tuple[str, ...] = ("NC", "NCL")

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        running = momentum, affine, track_running_stats
        super().__init__(num_features, eps, *running, bias=bias, dtype=dtype, device=device)

    def _normalize(self, x: Tensor) -> Tensor:
        if self.training:
            count = x.size // max(1, self.num_features)
            if count == 1:
                raise ShapeError(
                    f"{type(self).__name__}: x is {x.shape}, one value per channel has no "
                    "variance; give larger batches, or call .eval()"
                )
            if count and self.num_batches_tracked is not None:
                with no_grad():
                    seen = self.num_batches_tracked
                    seen.assign_(seen + 1)
                    share: Any = self.momentum
                    if share is None:
                        share = 1 / seen.astype(x.dtype)
                    axes = tuple(a for a in range(x.ndim) if a != 1)
                    mean, var = x.mean(axis=axes), ops.var(x, axis=axes)
                    self._follow(mean, var * (count / (count - 1)), share)
        return ops.batch_norm(x, None, None, self.weight, self.bias, self.eps)


class BatchNorm2d(BatchNorm1d):
    """`BatchNorm1d` for images: x (N, C, H, W) → the same."""

    _layouts = ("NCHW",)


class InstanceNorm1d(RunningNorm):
    """y = (x - μ) / √(σ² + ε) · γ + β, μ and σ² over each channel of each sequence by itself.

    With `track_running_stats`, running ones follow the means of μ and σ² (unbiased) over the batch
    in training, and are used after `eval()`, as in `BatchNorm1d`.

    Shapes: x (N, C, L) or (C, L) → the same; weight γ and bias β (C,) with `affine`.
    Init: γ = 1, β = 0, running mean 0 and variance 1.
    Raises: ShapeError for another x, or if its own statistics are those of one value.
    Paper: Ulyanov, Vedaldi & Lempitsky 2016.

    Args:
        num_features: C.
        momentum: None: the running ones stay as they are, as in PyTorch.
        affine: learn γ and β; bias=False: γ alone.
        track_running_stats: keep running ones.
    """

    _layouts: tuple[str, ...] = ("NCL", "CL")

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        bias: bool = True,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        running = momentum, affine, track_running_stats
        super().__init__(num_features, eps, *running, bias=bias, dtype=dtype, device=device)

    def _normalize(self, x: Tensor) -> Tensor:
        places = tuple(range(2, x.ndim))
        if math.prod(x.shape[2:]) == 1:
            raise ShapeError(f"{type(self).__name__}: x is {x.shape}, one value has no variance")
        follows = self.momentum is not None and self.running_mean is not None
        if self.training and follows and x.size:
            with no_grad():
                mean, var = x.mean(axis=places), ops.var(x, axis=places, correction=1)
                self._follow(mean.mean(axis=0), var.mean(axis=0), self.momentum)
        return ops.group_norm(x, self.num_features, self.weight, self.bias, self.eps)


class InstanceNorm2d(InstanceNorm1d):
    """`InstanceNorm1d` for images: x (N, C, H, W) or (C, H, W) → the same."""

    _layouts = ("NCHW", "CHW")
