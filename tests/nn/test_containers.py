"""ModuleDict, ModuleList, ParameterList, ParameterDict."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import ConfigError

parity = pytest.importorskip("tests.nn.parity")
torch = parity.torch
array = parity.array


class TestContainers:
    def test_module_dict(self):
        made = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.Tanh()})
        theirs = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 3), "b": torch.nn.Tanh()})
        made.load_state_dict(theirs.state_dict())
        assert list(made) == list(made.keys()) == ["a", "b"]
        assert isinstance(made["b"], nn.Tanh)
        assert "a" in made
        made["c"] = nn.ReLU()
        assert [type(m).__name__ for m in made.values()] == ["Linear", "Tanh", "ReLU"]
        del made["b"]
        assert [k for k, _ in made.items()] == ["a", "c"]
        assert len(made) == 2
        with pytest.raises(KeyError):
            del made["b"]
        for name in ("items", "training", "a.b", ""):
            with pytest.raises(ConfigError, match="name"):
                made[name] = nn.ReLU()

    def test_module_list(self):
        made = nn.ModuleList([nn.Tanh()]).extend([nn.ReLU(), nn.Sigmoid()])
        made.insert(1, nn.Linear(2, 2))
        made[-1] = nn.GELU()
        assert [type(m).__name__ for m in made] == ["Tanh", "Linear", "ReLU", "GELU"]
        assert [name for name, _ in made.named_parameters()] == ["1.weight", "1.bias"]

    def test_parameter_list(self):
        made = nn.ParameterList([mg.ones(2), nn.Parameter(np.zeros(3))])
        theirs = torch.nn.ParameterList([torch.ones(2), torch.zeros(3)])
        made.load_state_dict(theirs.state_dict())
        made.append(mg.ones(1)).extend([mg.ones(4)])
        assert [p.shape for p in made] == [(2,), (3,), (1,), (4,)]
        assert all(isinstance(p, nn.Parameter) and p.requires_grad for p in made)
        made[1] = mg.ones(5)
        assert made[-3].shape == (5,)
        assert len(made) == len(list(made.parameters())) == 4
        assert [p.shape for p in made[:2]] == [(2,), (5,)]

    def test_parameter_dict(self):
        made = nn.ParameterDict({"w": mg.ones(2)})
        theirs = torch.nn.ParameterDict({"w": torch.ones(2)})
        made.load_state_dict(theirs.state_dict())
        made["v"] = mg.zeros(3)
        assert list(made) == list(made.keys()) == ["w", "v"]
        assert [p.shape for p in made.values()] == [(2,), (3,)]
        assert dict(made.items())["v"] is made["v"]
        assert "v" in made
        del made["w"]
        assert len(made) == 1
        with pytest.raises(KeyError):
            made["w"]
        with pytest.raises(KeyError):
            del made["w"]
