"""Weights of Chainer's links, both ways, in the files of `chainer.serializers.save_npz`.

`links.LSTM` has its gates a i f o interleaved, unit by unit; `links.NStepLSTM` has eight matrices
per layer and direction: of the input, then of the state, each in the order i f a o, which is
PyTorch's (its docstring says i f o a, its code runs i f a o). `links.NStepGRU` has six: r z h.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.errors import CheckpointError
from minigrad.io.arrays import Host, PathLike, host_array
from minigrad.io.atomic import atomic_write

__all__ = ["from_chainer", "load_chainer", "save_chainer", "to_chainer"]

_NUMBERED = re.compile(r"(?:(.*)/)?(\d+)/([wb])(\d+)")
_GATES = {2: 1, 6: 3, 8: 4}  # matrices per layer and direction → gates
_FOUR = (1, 2, 0, 3)  # a i f o → i f g o


def from_chainer(arrays: Mapping[str, Any], *, directions: int = 1) -> dict[str, Host]:
    """The parameters by PyTorch's names, from those of Chainer's links by theirs ("lstm/0/w3").

    Converts Linear (W, b), EmbedID (W), LSTM (upward, lateral), and NStepLSTM, NStepGRU,
    NStepRNNTanh and NStepRNNReLU, of which those with a "Bi" need `directions=2`. The links' names
    stay, with dots: "encoder/W" → "encoder.weight".

    Raises: CheckpointError for other links; GRU and StatefulGRU among them, which reset the state
    before the product and so are another function.

    >>> sorted(from_chainer({"l/W": np.zeros((2, 3)), "l/b": np.zeros(2)}))
    ['l.bias', 'l.weight']
    """
    state: dict[str, Host] = {}
    stacks: dict[tuple[str, int], dict[str, Host]] = {}
    for key, value in arrays.items():
        array = host_array(value, key)
        prefix, _, leaf = key.rpartition("/")
        if match := _NUMBERED.fullmatch(key):
            stacks.setdefault((match[1] or "", int(match[2])), {})[match[3] + match[4]] = array
        elif prefix.endswith(("upward", "lateral")) and leaf in {"W", "b"}:
            side = "ih" if prefix.endswith("upward") else "hh"
            name = _dotted(prefix.removesuffix("upward").removesuffix("lateral"))
            state[f"{name}{'weight' if leaf == 'W' else 'bias'}_{side}_l0"] = _apart(key, array)
        elif leaf in {"W", "b"}:
            state[_dotted(prefix + "/") + ("weight" if leaf == "W" else "bias")] = array
        elif leaf in {"gamma", "beta", "avg_mean", "avg_var"}:
            names = {"gamma": "weight", "beta": "bias"}
            name = names.get(leaf, leaf.replace("avg", "running"))
            state[_dotted(prefix + "/") + name] = array
        elif leaf not in {"N", "persistent"}:  # a counter of batch normalisation
            raise CheckpointError(f"from_chainer: {key!r} is of a link that is not converted")
    for name in [n for n in state if "bias_ih_l" in n]:
        state.setdefault(name.replace("bias_ih", "bias_hh"), np.zeros_like(state[name]))
    for (prefix, index), parts in stacks.items():
        state.update(_n_step(prefix, index, parts, directions))
    return state


def to_chainer(module: Any, *, prefix: str = "") -> dict[str, Host]:
    """The arrays of the Chainer links that do what a module and its children do, by their names.

    RNN, LSTM and GRU become NStep links (of all layers and directions), Linear and Embedding
    become Linear and EmbedID. Raises: CheckpointError for other modules that have parameters.
    """
    found: dict[str, Host] = {}
    for path, part in module.named_modules(prefix.replace("/", ".")):
        own = {
            key: host_array(value, key)
            for key, value in part.state_dict().items()
            if "." not in key
        }
        start = path.replace(".", "/") + "/" if path else ""
        kind = type(part).__name__
        if not own:
            continue
        if kind in {"RNN", "LSTM", "GRU"} and not part.proj_size:
            for i, end in enumerate(_ends(own)):
                for letter, name in (("w", "weight"), ("b", "bias")):
                    pieces = [_blocks(own.get(f"{name}_{s}{end}"), part) for s in ("ih", "hh")]
                    for j, piece in enumerate(pieces[0] + pieces[1]):
                        found[f"{start}{i}/{letter}{j}"] = piece
        elif kind in {"Linear", "Embedding"}:
            found[f"{start}W"] = own["weight"]
            if "bias" in own:
                found[f"{start}b"] = own["bias"]
        else:
            raise CheckpointError(f"to_chainer: no link is known for {path or kind} ({kind})")
    return found


def load_chainer(path: PathLike, *, directions: int = 1) -> dict[str, Host]:
    """The weights in an npz file of Chainer's, as `from_chainer` converts them.

    Nothing in the file is unpickled. Raises: CheckpointError if it is absent or damaged, or holds a
    link that cannot be converted.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: there is no such file") from error
    except (AttributeError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: cannot be read as an npz file: {error!r}") from error
    try:
        return from_chainer(arrays, directions=directions)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def save_chainer(path: PathLike, module: Any) -> None:
    """Write an npz file for `chainer.serializers.load_npz`, as `to_chainer` converts the module."""
    arrays = to_chainer(module)
    with atomic_write(path) as temporary, Path(temporary).open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # names, not allow_pickle


def _dotted(prefix: str) -> str:
    return prefix.lstrip("/").replace("/", ".")


def _apart(key: str, array: Host) -> Host:
    """Interleaved gates (4 H, …), unit by unit, as blocks in PyTorch's order."""
    if array.shape[0] % 4:
        raise CheckpointError(f"from_chainer: {key} has {array.shape[0]} rows, not four per unit")
    units = array.reshape(-1, 4, *array.shape[1:])
    return np.concatenate([units[:, gate] for gate in _FOUR])


def _n_step(prefix: str, index: int, parts: Mapping[str, Host], directions: int) -> dict[str, Host]:
    count = sum(name.startswith("w") for name in parts)
    where = f"{prefix}/{index}".lstrip("/")
    if count not in _GATES:
        raise CheckpointError(f"from_chainer: {where} has {count} matrices, expected 2, 6 or 8")
    layer, direction = divmod(index, directions)
    end = f"_l{layer}{'_reverse' if direction else ''}"
    start = f"{_dotted(prefix)}." if prefix else ""
    state = {}
    for letter, name in (("w", "weight"), ("b", "bias")):
        for j, side in enumerate(("ih", "hh")):
            gates = range(j * _GATES[count], (j + 1) * _GATES[count])
            try:
                blocks = [parts[f"{letter}{gate}"] for gate in gates]
            except KeyError as error:
                raise CheckpointError(f"from_chainer: {where} lacks {error}") from error
            state[f"{start}{name}_{side}{end}"] = np.concatenate(blocks)
    return state


def _ends(own: Mapping[str, Host]) -> list[str]:
    return [key[len("weight_ih") :] for key in own if key.startswith("weight_ih")]


def _blocks(array: Host | None, module: Any) -> list[Host]:
    if array is None:  # the links always have biases
        return [np.zeros(module.hidden_size, module.weight_ih_l0.dtype)] * module.gates
    return [np.ascontiguousarray(block) for block in np.split(array, module.gates)]
