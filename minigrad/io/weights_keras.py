"""Weights of Keras 3 models, both ways.

Keras writes a product as x @ kernel where PyTorch writes x @ weightᵀ, so kernels are transposed. It
orders the LSTM's gates i f c o, as PyTorch does (i f g o), with one bias where PyTorch adds two;
and the GRU's z r h, where PyTorch has r z n, with both biases as the rows of one.

`from_keras` and `to_keras` are functions of arrays and need no Keras; the files need h5py.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.errors import CheckpointError, missing_extra
from minigrad.io.arrays import Host, PathLike, host_array
from minigrad.io.atomic import atomic_write

__all__ = ["from_keras", "load_keras", "save_keras", "to_keras"]

Place = str | tuple[str, int]  # a module's path, and the layer in a stack

_GATES = {"simple_rnn": 1, "lstm": 4, "gru": 3}
_KINDS = {"rnn": "simple_rnn", "linear": "dense", "layer_norm": "layer_normalization"}
_VECTORS = ("weight", "bias", "running_mean", "running_var")


def from_keras(kind: str, weights: Sequence[Any], *, layer: int = 0) -> dict[str, Host]:
    """The parameters of a layer, by PyTorch's names, from the arrays of Keras's `get_weights()`.

    Args:
        kind: Keras's class: "LSTM", "GRU", "SimpleRNN", "Bidirectional LSTM" (or GRU, SimpleRNN;
            also known by its number of arrays), "Dense", "Embedding", "LayerNormalization",
            "BatchNormalization" or "Conv1D".
        weights: the arrays in Keras's order.
        layer: the place in a stack, for names that end in `_l1`.

    Raises: CheckpointError for arrays that are not those of such a layer, and for a GRU with
    `reset_after=False`, which is another function.

    >>> from_keras("Dense", [np.zeros((3, 2)), np.zeros(2)])["weight"].shape
    (2, 3)
    """
    name = _kind(kind)
    arrays = [host_array(w, f"from_keras: array {i}") for i, w in enumerate(weights)]
    if name in _GATES:
        return _recurrent(name, arrays, layer)
    expected = {"embedding": (1,), "dense": (1, 2), "conv1d": (1, 2), "layer_normalization": (1, 2)}
    if len(arrays) not in expected.get(name, (2, 4)):
        raise CheckpointError(f"from_keras: a {kind} has other than {len(arrays)} arrays")
    if name in {"dense", "conv1d"}:
        ndim = 2 if name == "dense" else 3
        if arrays[0].ndim != ndim:
            raise CheckpointError(
                f"from_keras: the kernel of a {kind} has {ndim} axes, got {arrays[0].shape}"
            )
        arrays[0] = np.ascontiguousarray(arrays[0].T)  # (k, in, out) → (out, in, k)
    return dict(zip(_VECTORS, arrays, strict=False))


def to_keras(module: Any, *, layer: int = 0) -> list[Host]:
    """The arrays for `set_weights` of the Keras layer that does what `module` does.

    For RNN, LSTM and GRU: those of the stack's layer number `layer`; with both directions, those of
    a Bidirectional. Raises: CheckpointError for a module that Keras has no layer for.

    >>> from minigrad import nn
    >>> [w.shape for w in to_keras(nn.GRU(3, 4))]
    [(3, 12), (4, 12), (2, 12)]
    """
    name = _kind(type(module).__name__)
    state = {k: host_array(v, k) for k, v in module.state_dict().items()}
    if name in _GATES:
        found: list[Host] = []
        for end in (f"_l{layer}", f"_l{layer}_reverse"):
            if f"weight_ih{end}" in state:
                found += _direction(name, state, end)
        if not found or f"weight_hr_l{layer}" in state:
            what = "projections" if found else f"layer {layer}"
            raise CheckpointError(f"to_keras: this {type(module).__name__} in Keras has no {what}")
        return found
    if name in {"dense", "conv1d"}:
        state["weight"] = np.ascontiguousarray(state["weight"].T)
    elif name not in {"embedding", "layer_normalization", "batch_norm1d"}:
        raise CheckpointError(f"to_keras: no Keras layer is known for {type(module).__name__}")
    return [state[key] for key in _VECTORS if key in state]


def load_keras(
    path: PathLike,
    *,
    names: Mapping[str, Place] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> dict[str, Host]:
    """The weights of a Keras 3 model (`.keras` or `.weights.h5`), by "layer.parameter".

    Args:
        names: from a layer's name in Keras to the path of the module here ("encoder"), or with the
            layer in a stack (("encoder", 1) → `encoder.weight_ih_l1`). By default Keras's name.
        kinds: the class of each layer whose class the file does not tell, by its name.

    Raises: CheckpointError if the file is absent or damaged, or a layer cannot be converted;
    MissingExtraError without h5py.
    """
    layers = _read(path)
    state: dict[str, Host] = {}
    for name, (guess, arrays) in layers.items():
        place = (names or {}).get(name, name)
        target, layer = (place, 0) if isinstance(place, str) else place
        try:
            converted = from_keras((kinds or {}).get(name, guess), arrays, layer=layer)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: layer {name!r}: {error}") from error
        state.update({f"{target}.{key}" if target else key: a for key, a in converted.items()})
    return state


def save_keras(path: PathLike, layers: Mapping[str, Any]) -> None:
    """Write a `.weights.h5` for `model.load_weights(path)` of a Keras model of the same layers.

    Args:
        layers: in the order of the Keras model: its name in the file, which is the class in lower
            case with a number from the second on ("lstm", "lstm_1", "dense"; "bidirectional" for
            both directions), and the module, or (module, layer) for one layer of a stack.

    Raises: CheckpointError for a module that Keras has no layer for; MissingExtraError without
    h5py.
    """
    h5py = _h5py()
    converted = {}
    for name, value in layers.items():
        module, layer = value if isinstance(value, tuple) else (value, 0)
        converted[name] = (type(module).__name__, to_keras(module, layer=layer))
    with atomic_write(path) as temporary, h5py.File(temporary, "w") as file:
        for name, (kind, arrays) in converted.items():
            group = file.create_group(f"layers/{name}")
            group.create_group("vars").attrs["name"] = name
            for part, values in _parts(name, _kind(kind), arrays):
                inner = group.require_group(f"{part}vars")
                inner.attrs["name"] = f"{_kind(kind)}_cell" if part else name
                for i, array in enumerate(values):
                    inner[str(i)] = array


def _parts(name: str, kind: str, arrays: list[Host]) -> list[tuple[str, list[Host]]]:
    """(path, arrays) of the places of a layer's variables in Keras's file."""
    if kind not in _GATES:
        return [("", arrays)]
    if not name.startswith("bidirectional"):
        return [("cell/", arrays)]
    half = len(arrays) // 2
    return [("forward_layer/cell/", arrays[:half]), ("backward_layer/cell/", arrays[half:])]


def _kind(name: str) -> str:
    """Keras's class, or ours, in lower case: "SimpleRNN" → "simple_rnn"."""
    name = re.sub(r"^bidirectional\W*", "", name.strip(), flags=re.IGNORECASE) or name
    short = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    short = re.sub(r"_\d+$", "", short)
    return _KINDS.get(short, short)


def _recurrent(kind: str, arrays: list[Host], layer: int) -> dict[str, Host]:
    if len(arrays) not in {2, 3, 4, 6}:
        raise CheckpointError(
            f"from_keras: a {kind} has 2 or 3 arrays, twice as many if it is "
            f"bidirectional; got {len(arrays)}"
        )
    ends = (f"_l{layer}", f"_l{layer}_reverse") if len(arrays) > 3 else (f"_l{layer}",)
    each = len(arrays) // len(ends)
    state: dict[str, Host] = {}
    for i, end in enumerate(ends):
        kernel, recurrent, *bias = arrays[i * each : (i + 1) * each]
        H = recurrent.shape[0]
        rows = _GATES[kind] * H
        if kernel.shape[1:] != (rows,) or recurrent.shape[1:] != (rows,):
            raise CheckpointError(
                f"from_keras: a {kind} of {H} units has kernels (in, {rows}) and ({H}, {rows}), "
                f"got {kernel.shape} and {recurrent.shape}"
            )
        state[f"weight_ih{end}"] = _swap(kind, kernel.T)
        state[f"weight_hh{end}"] = _swap(kind, recurrent.T)
        if bias:
            expected = (2, rows) if kind == "gru" else (rows,)
            if bias[0].shape != expected:
                raise CheckpointError(
                    f"from_keras: the bias of a {kind} of {H} units is {expected}, got "
                    f"{bias[0].shape}; a GRU with reset_after=False cannot be converted"
                )
            pair = bias[0] if kind == "gru" else (bias[0], np.zeros_like(bias[0]))
            state[f"bias_ih{end}"], state[f"bias_hh{end}"] = (_swap(kind, b) for b in pair)
    return state


def _direction(kind: str, state: Mapping[str, Host], end: str) -> list[Host]:
    found = [_swap(kind, state[f"weight_{part}{end}"]).T for part in ("ih", "hh")]
    if f"bias_ih{end}" in state:
        pair = [_swap(kind, state[f"bias_{part}{end}"]) for part in ("ih", "hh")]
        found.append(np.stack(pair) if kind == "gru" else pair[0] + pair[1])
    return [np.ascontiguousarray(a) for a in found]


def _swap(kind: str, array: Host) -> Host:
    """The GRU's gates z r h as r z n, and back; other layers have one order."""
    if kind == "gru":
        first, second, third = np.split(array, 3)
        array = np.concatenate([second, first, third])
    return np.array(array, order="C")


def _h5py() -> Any:
    try:
        import h5py
    except ImportError as error:
        raise missing_extra("h5py", extra="keras") from error
    return h5py


def _read(path: PathLike) -> dict[str, tuple[str, list[Host]]]:
    """Kind and arrays of each layer that has weights, by Keras's name."""
    h5py = _h5py()
    where = Path(path)
    try:
        source: Any = where
        if zipfile.is_zipfile(where):
            with zipfile.ZipFile(where) as archive:
                source = io.BytesIO(archive.read("model.weights.h5"))
        layers: dict[str, tuple[str, list[Host]]] = {}
        with h5py.File(source, "r") as file:
            for key, group in _groups(file):
                name, kind, arrays = _layer(key, group)
                if arrays:
                    layers[name if name not in layers else key] = kind, arrays
    except (KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: cannot be read as Keras 3 weights: {error!r}") from error
    if not layers:
        raise CheckpointError(f"{path}: holds no layers with weights")
    return layers


def _groups(group: Any) -> list[tuple[str, Any]]:
    """The layers in order of creation: those in `layers`, and attributes of subclassed models."""
    found = []
    for key, inner in group.items():
        if key in {"vars", "optimizer"} or not hasattr(inner, "items"):
            continue
        if "vars" in inner and (len(inner["vars"]) or _cells(inner)):
            found.append((key, inner))
        else:
            found += _groups(inner)
    return found


def _cells(group: Any) -> list[Any]:
    """Where the variables of a recurrent layer are: its cell, or the cells of both directions."""
    if "forward_layer" in group:
        return [c for d in ("forward_layer", "backward_layer") for c in _cells(group[d])]
    return [group["cell"]["vars"]] if "cell" in group else []


def _layer(key: str, group: Any) -> tuple[str, str, list[Host]]:
    cells = _cells(group)
    arrays = [
        np.asarray(values[i])
        for values in cells or [group["vars"]]
        for i in sorted(values, key=int)
        if values[i].dtype.kind == "f"  # not the state of a dropout's random numbers
    ]
    kind = str(cells[0].attrs.get("name", key)).split("_cell")[0] if cells else key
    return str(group["vars"].attrs.get("name", key)), kind, arrays
