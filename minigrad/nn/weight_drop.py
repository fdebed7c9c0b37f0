"""`WeightDrop`: dropout on the weights of any layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import ops
from ..engine import Tensor
from ..errors import ConfigError
from .masks import dropout_mask
from .module import Module, Parameter

__all__ = ["WeightDrop"]


class WeightDrop(Module):
    """A layer some of whose weights lose entries, in training, with probability p: DropConnect.

    One mask per call, so the same for all steps of a sequence; what stays is scaled by 1 / (1 - p).
    On weight_hh of an LSTM it is the recurrent regularisation of AWD-LSTM. The parameters stay
    those of the layer, under `module.`; gradients and optimisers see them as ever.

    Shapes: those of the layer; its `batch_first` is passed on, so that `Bidirectional` takes it.
    Raises: ConfigError for a name that is no parameter of the layer, or what is no probability.
    Papers: Wan et al. 2013; Merity, Keskar & Socher 2018.

    Args:
        module: the layer.
        weights: names of its parameters; by default all that start with "weight_hh".
        dropout: p.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> layer = nn.WeightDrop(nn.LSTM(3, 8), dropout=0.5)
    >>> y, _ = layer(mg.zeros((5, 2, 3)))
    >>> layer.weights
    ('weight_hh_l0',)
    """

    def __init__(
        self, module: Module, weights: Sequence[str] | None = None, dropout: float = 0.5
    ) -> None:
        super().__init__()
        if not 0 <= dropout <= 1:
            raise ConfigError(f"WeightDrop: dropout is {dropout}, expected a probability")
        own = [name for name, value in vars(module).items() if isinstance(value, Parameter)]
        chosen = [n for n in own if n.startswith("weight_hh")] if weights is None else list(weights)
        if not chosen or set(chosen) - set(own):
            raise ConfigError(
                f"WeightDrop: weights are {chosen}; {type(module).__name__} has {', '.join(own)}"
            )
        self.module, self.weights, self.dropout = module, tuple(chosen), dropout
        self.batch_first = bool(getattr(module, "batch_first", False))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The layer's answer; it takes the same arguments."""
        if not self.training or not self.dropout:
            return self.module(*args, **kwargs)
        place = vars(self.module)
        raw: dict[str, Tensor] = {name: place[name] for name in self.weights}
        try:  # for this call the layer's attribute is the thinned weight, a result on the tape
            for name, weight in raw.items():
                place[name] = ops.multiply(weight, dropout_mask(weight, weight.shape, self.dropout))
            return self.module(*args, **kwargs)
        finally:
            place.update(raw)

    def extra_repr(self) -> str:
        return f"{', '.join(self.weights)}, dropout={self.dropout}"
