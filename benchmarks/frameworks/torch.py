"""PyTorch: eager with its fused optimisers, or torch.compile."""

from __future__ import annotations

import gc
import os
from typing import Any

import torch

from benchmarks.workloads import Batch, Weights, Workload

from . import RATE, SkipError, names


class Work:
    """A model of layers, an optimiser, and the usual step."""

    def __init__(self, workload: Workload, weights: Weights, options: dict[str, Any]) -> None:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        self.workload, self.options = workload, options
        if not hasattr(workload.module, "in_torch"):
            return
        self.model, self.loss = workload.module.in_torch(workload.s)
        self.device = options.get("device", "cpu")
        if self.device == "cuda":
            if not torch.cuda.is_available():
                raise SkipError(
                    f"PyTorch {torch.__version__}, which minigrad is compared with, sees no GPU: "
                    "install a build for CUDA (pytorch.org says how)"
                )
            torch.backends.cudnn.allow_tf32 = False  # float32 means float32, as everywhere else
        self.dtype = torch.bfloat16 if options.get("bits") == 16 else torch.float32
        self.model.to(self.device, self.dtype)
        self.load(weights)
        rule = {"Adam": torch.optim.Adam, "SGD": torch.optim.SGD}[workload.optimizer]
        self.optimizer = rule(self.model.parameters(), lr=RATE, fused=True)
        if options.get("compiled"):
            torch._dynamo.config.allow_rnn = True  # else its recurrent layers run as eager ones
            self.loss = torch.compile(self.loss)

    def load(self, weights: Weights) -> None:
        self.model.load_state_dict({name: torch.from_numpy(w) for name, w in weights.items()})

    def place(self, batch: Batch) -> Batch:
        batch = getattr(self.workload.module, "by_length", tuple)(batch)
        found = []
        for name, array in zip(names(self.workload, batch), batch, strict=True):
            t = torch.from_numpy(array)
            if name != "lengths":  # packing wants them on the host
                t = t.to(self.device, self.dtype if t.is_floating_point() else None)
            found.append(t)
        return tuple(found)

    def step(self, *batch: Any) -> float:
        loss = self.loss(self.model, *batch)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def gradients(self) -> Weights:
        return {
            name: p.grad.float().cpu().numpy().copy() for name, p in self.model.named_parameters()
        }

    def memory(self) -> float:
        """MB that the GPU's allocator holds; nan on the CPU."""
        if self.device != "cuda":
            return float("nan")
        return float(torch.cuda.memory_reserved() / 2**20)

    def free(self) -> None:
        """Leave nothing on the GPU to who comes next in this process."""
        vars(self).clear()
        gc.collect()
        torch.cuda.empty_cache()

    def parts(self) -> Any:
        return self.workload.module.torch_parts(self.workload.s, self.options)
