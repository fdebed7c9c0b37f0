"""The engine: Tensors, the tape, ops and their derivatives, functions of functions.

Reading order: `tensor`, `op`, `define`, `tape`, `walk`, `derive`, `gradients`, `transforms`,
`checkpoint`, `modes`. It imports no op.
"""

from .arena import Arena
from .checkpoint import checkpoint, checkpoint_sequence, checkpoint_sequential
from .define import OPS, FusedOp, alias, elementwise, function, fused, op
from .gradients import backward
from .homes import arenas, settle, stamp
from .jacobians import jacfwd, jacrev, linearize
from .modes import MODES, detect_anomaly, enable_grad, is_grad_enabled, no_grad, scope
from .op import Op
from .operators import ops
from .program import Compiled, compile
from .recording import before_replay, examine, fork, kernel, primitive, recording
from .sparse import RowSparse
from .tape import Node, edge
from .tensor import Hook, Tensor, wrap
from .transforms import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
from .vmap import vmap
from .walk import pull

__all__ = [
    "MODES",
    "OPS",
    "Arena",
    "Compiled",
    "FusedOp",
    "Hook",
    "Node",
    "Op",
    "RowSparse",
    "Tensor",
    "alias",
    "arenas",
    "backward",
    "before_replay",
    "checkpoint",
    "checkpoint_sequence",
    "checkpoint_sequential",
    "compile",
    "detect_anomaly",
    "edge",
    "elementwise",
    "enable_grad",
    "examine",
    "fork",
    "function",
    "fused",
    "grad",
    "hessian",
    "hvp",
    "is_grad_enabled",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "kernel",
    "linearize",
    "no_grad",
    "op",
    "ops",
    "primitive",
    "pull",
    "recording",
    "scope",
    "settle",
    "stamp",
    "value_and_grad",
    "vjp",
    "vmap",
    "wrap",
]

ops.backward = backward
