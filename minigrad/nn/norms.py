"""Normalisation layers beside `LayerNorm`: RMS, batch and group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..backend import device as find_device
from ..engine import Tensor, no_grad
from ..errors import ConfigError, ShapeError
from ..ops import get_default_dtype
from . import init
from .module import Module, Parameter, new_parameter

__all__ = ["BatchNorm1d", "BatchNorm2d", "GroupNorm", "InstanceNorm1d", "RMSNorm"]


class RMSNorm(Module):
    """y = x / √(E[x²] + ε) · γ, over the last axes.

    Shapes: x (..., *normalized_shape) → the same; weight γ has `normalized_shape`.
    Init: γ = 1. ε is the machine epsilon of x's dtype by default, as in PyTorch.
    Raises: ShapeError if the last axes of x are not `normalized_shape`.
    Paper: Zhang & Sennrich 2019.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> nn.RMSNorm(2, elementwise_affine=False)(mg.tensor([[1.0, 7.0]]))
    tensor([[0.2..., 1.4...]])
    """

    weight: Parameter | None

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else normalized_shape
        self.normalized_shape, self.eps = tuple(shape), eps
        self.weight = None
        if elementwise_affine:
            self.weight = new_parameter(*self.normalized_shape, dtype=dtype, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """γ = 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return ops.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}"


class GroupNorm(Module):
    """y = (x - E[x]) / √(Var[x] + ε) · γ + β, over each group of channels and all places.

    Shapes: x (N, C, …) → the same; weight γ and bias β (C,), one entry per channel.
    Init: γ = 1, β = 0; `bias=False`: no β, `affine=False`: neither.
    Raises: ConfigError if num_groups does not divide num_channels; ShapeError for another x.
    Paper: Wu & He 2018.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        *,
        bias: bool = True,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ConfigError(
                f"GroupNorm: {num_channels} channels do not divide into {num_groups} groups"
            )
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self.weight = self.bias = None
        if affine:
            self.weight = new_parameter(num_channels, dtype=dtype, device=device)
        if affine and bias:
            self.bias = new_parameter(num_channels, dtype=dtype, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """γ = 1, β = 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[1] != self.num_channels:
            raise ShapeError(f"GroupNorm: x is {x.shape}, expected (N, {self.num_channels}, …)")
        return ops.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}"


class BatchNorm1d(Module):
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

    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    _axes: tuple[int, ...] = (2, 3)
    _layout = "(N, {C}) or (N, {C}, L)"

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
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = self.bias = None
        if affine:
            self.weight = new_parameter(num_features, dtype=dtype, device=device)
        if affine and bias:
            self.bias = new_parameter(num_features, dtype=dtype, device=device)
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
        """γ = 1, β = 0, and no batch seen."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def reset_running_stats(self) -> None:
        """Forget the batches: running mean 0 and variance 1."""
        for name, value in (("running_mean", 0), ("running_var", 1), ("num_batches_tracked", 0)):
            buffer = getattr(self, name)
            if buffer is not None:
                buffer.assign_(value)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim not in self._axes or x.shape[1] != self.num_features:
            layout = self._layout.format(C=self.num_features)
            raise ShapeError(f"{type(self).__name__}: x is {x.shape}, expected {layout}")
        affine = self.weight, self.bias, self.eps
        if not self.training and self.running_mean is not None:
            return ops.batch_norm(x, self.running_mean, self.running_var, *affine)
        if self.training:
            count = x.size // max(1, self.num_features)
            if count == 1:
                raise ShapeError(
                    f"{type(self).__name__}: x is {x.shape}, one value per channel has no "
                    "variance; give larger batches, or call .eval()"
                )
            if count:
                self._follow(x, count)
        return ops.batch_norm(x, None, None, *affine)

    def _follow(self, x: Tensor, count: int) -> None:
        """Move the running statistics towards those of the batch."""
        mean, var, seen = self.running_mean, self.running_var, self.num_batches_tracked
        if mean is None or var is None or seen is None:
            return
        with no_grad():
            axes = tuple(a for a in range(x.ndim) if a != 1)
            seen.assign_(seen + 1)
            share: Any = self.momentum
            if share is None:
                share = 1 / seen.astype(mean.dtype)
            x = x.detach()
            new = x.mean(axis=axes), ops.var(x, axis=axes) * (count / (count - 1))
            for running, value in zip((mean, var), new, strict=True):
                running.assign_(running * (1 - share) + value * share)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class BatchNorm2d(BatchNorm1d):
    """`BatchNorm1d` for images: x (N, C, H, W) → the same."""

    _axes = (4,)
    _layout = "(N, {C}, H, W)"


class InstanceNorm1d(Module):
    """y = (x - E[x]) / √(Var[x] + ε) · γ + β, over each channel of each sequence by itself.

    Shapes: x (N, C, L) or (C, L) → the same; weight γ and bias β (C,) with `affine`.
    Init: γ = 1, β = 0.
    Raises: ShapeError for another x; ConfigError for running statistics, which it has not: momentum
    is PyTorch's and changes nothing.
    Paper: Ulyanov, Vedaldi & Lempitsky 2016.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        *,
        dtype: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__()
        if track_running_stats:
            raise ConfigError("InstanceNorm1d: track_running_stats=True is not there; leave it out")
        self.num_features, self.eps = num_features, eps
        self.weight = self.bias = None
        if affine:
            self.weight = new_parameter(num_features, dtype=dtype, device=device)
            self.bias = new_parameter(num_features, dtype=dtype, device=device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """γ = 1, β = 0."""
        if self.weight is not None and self.bias is not None:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        C = self.num_features
        if x.ndim not in (2, 3) or x.shape[-2] != C:
            raise ShapeError(f"InstanceNorm1d: x is {x.shape}, expected (N, {C}, L) or ({C}, L)")
        if x.ndim == 2:
            return ops.group_norm(x[None], C, self.weight, self.bias, self.eps)[0]
        return ops.group_norm(x, C, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}"
