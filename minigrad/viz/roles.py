"""Recognising gates: what a sigmoid is for, read from the wiring and not from names.

In the cell of an LSTM (Hochreiter and Schmidhuber 1997; Gers et al. 2000) the candidate is the tanh
multiplied by a sigmoid (the input gate), the output gate multiplies a tanh of the sum, and the
forget gate multiplies the old cell. In a GRU (Cho et al. 2014) the reset gate multiplies what goes
into the candidate's tanh, and the update gate mixes the old state with the candidate.
"""

from __future__ import annotations

from .ir import GraphIR, Item

SQUASH = {"sigmoid": "σ", "hard_sigmoid": "σ"}
THROUGH = frozenset({"getitem", "split", "reshape", "expand_dims", "unstack", "alias", "add"})


def mark_gates(ir: GraphIR) -> None:
    """Set kind "gate" on sigmoids that multiply something; title those of LSTM and GRU cells."""
    into: dict[str, list[str]] = {}
    out: dict[str, list[str]] = {}
    for e in ir.links:
        into.setdefault(e.dst, []).append(e.src)
        out.setdefault(e.src, []).append(e.dst)
    items = ir.items
    gates = [
        item
        for item in items.values()
        if item.op in SQUASH
        and item.kind == "op"
        and any(items[d].op == "multiply" for d in out.get(item.id, ()))
    ]
    for gate in gates:
        gate.kind = "gate"
    for gate in gates:
        if not gate.name and not gate.title:
            role = _role(items, into, out, gate)
            if role:
                gate.title = f"{role} = {SQUASH[gate.op]}"
    for gate in gates:
        _name_states(items, into, out, gate)
    _name_by_role(ir)
    named = {i.facts["family"]: i.name for i in items.values()
             if "family" in i.facts and not i.name.startswith("state")}  # fmt: skip
    for item in items.values():  # the parts of one loop
        if item.facts.get("family") in named:
            _rename(items, item, named[item.facts["family"]])
    for item in items.values():
        if item.kind == "state":
            for source in into.get(item.id, ()):
                if items[source].kind == "state" and not items[source].name.startswith("state"):
                    _rename(items, item, items[source].name)
    for e in ir.links:  # what a loop starts from
        leaf, state = items[e.src], items[e.dst]
        if leaf.title == "initial state" and state.kind == "state" and len(state.name) == 1:
            leaf.title = f"{state.name}0"
    for item in items.values():  # what runs through a stack of layers
        box = ir.boxes.get(item.loop)
        if item.kind == "state" and item.name == "state" and box and box.kind == "layers":
            _rename(items, item, "x")
    for gate in gates:  # the candidate is what the input gate, or 1 − z, multiplies
        letter = {"input": "g", "update": "n"}.get(gate.title.partition(" ")[0])
        sources = [gate.id, *(d for d in out.get(gate.id, ()) if items[d].op == "subtract")]
        for source in sources if letter else ():
            for other in _partners(items, into, out, items[source]):
                if other.op == "tanh" and other.kind == "op":
                    other.kind = "gate"
                    if not other.name:
                        other.title = f"candidate  {letter} = tanh"


def _name_states(
    items: dict[str, Item], into: dict[str, list[str]], out: dict[str, list[str]], gate: Item
) -> None:
    """c is what the forget gate multiplies, h what leaves the output gate."""
    if gate.title.startswith("forget"):
        for partner in _partners(items, into, out, gate):
            if partner.kind == "state":
                _rename(items, partner, "c")
    elif gate.title.startswith("output"):
        for product in out.get(gate.id, ()):
            for state in out.get(product, ()):
                if items[state].kind == "state":
                    _rename(items, items[state], "h")
    elif gate.title.startswith("update"):
        for partner in _partners(items, into, out, gate):
            if partner.kind == "state":
                _rename(items, partner, "h")


def _name_by_role(ir: GraphIR) -> None:
    """A state that a recurrent op takes as `h0` is h; reshapes on the way do not matter."""
    readers: dict[str, list[tuple[str, str]]] = {}
    for e in ir.links:
        readers.setdefault(e.src, []).append((e.dst, e.role))
    for item in list(ir.items.values()):
        if item.kind != "state" or not item.id.endswith("in"):
            continue
        front = [item.id]
        for _ in range(3):
            roles = [role for f in front for _, role in readers.get(f, ()) if role[1:] == "0"]
            if roles:
                _rename(ir.items, item, roles[0][0])
                break
            front = [d for f in front for d, _ in readers.get(f, ()) if ir.items[d].op in THROUGH]


def _rename(items: dict[str, Item], state: Item, letter: str) -> None:
    """Both ends of a state, unless the user named it."""
    old = state.name
    if not old.startswith("state"):
        return
    for side in ("in", "out"):
        end = items.get(state.id.removesuffix("in").removesuffix("out") + side)
        if end is not None:
            end.title = letter + end.title[len(old) :]
            end.name = letter


def _partners(
    items: dict[str, Item], into: dict[str, list[str]], out: dict[str, list[str]], gate: Item
) -> list[Item]:
    """What the gate is multiplied with."""
    found = []
    for d in out.get(gate.id, ()):
        if items[d].op == "multiply":
            found += [items[s] for s in into[d] if s != gate.id]
    return found


def _role(
    items: dict[str, Item], into: dict[str, list[str]], out: dict[str, list[str]], gate: Item
) -> str:
    partners = _partners(items, into, out, gate)
    sums = {
        s
        for d in out.get(gate.id, ())
        if items[d].op == "multiply"
        for s in out.get(d, ())
        if items[s].op == "add"
    }
    complement = any(items[d].op == "subtract" for d in out.get(gate.id, ()))
    for partner in partners:
        if partner.kind == "state" and complement and sums:
            return "update  z"
        if partner.op == "tanh":
            fed_by = {items[s].op for s in into.get(partner.id, ())}
            product = {s for s in into.get(partner.id, ()) if items[s].op == "add"}
            if sums and not (product & sums):
                if _adds_state(items, into, sums):
                    return "input  i"
            elif fed_by == {"add"} and not sums:
                return "output  o"
        if partner.kind == "state" and sums and _adds_candidate(items, into, sums):
            return "forget  f"
        if partner.op != "tanh" and _leads_to_tanh(items, out, gate):
            return "reset  r"
    return ""


def _adds_state(items: dict[str, Item], into: dict[str, list[str]], sums: set[str]) -> bool:
    """Whether a sum has a term gate × state: then it is the new cell of an LSTM."""
    return any(
        items[factor].kind == "state"
        for s in sums
        for term in into[s]
        if items[term].op == "multiply"
        for factor in into[term]
    )


def _adds_candidate(items: dict[str, Item], into: dict[str, list[str]], sums: set[str]) -> bool:
    """Whether a sum has a term gate × tanh."""
    return any(
        items[factor].op == "tanh"
        for s in sums
        for term in into[s]
        if items[term].op == "multiply"
        for factor in into[term]
    )


def _leads_to_tanh(items: dict[str, Item], out: dict[str, list[str]], gate: Item) -> bool:
    front = [d for d in out.get(gate.id, ()) if items[d].op == "multiply"]
    for _ in range(4):
        reached = [d for f in front for d in out.get(f, ())]
        front = [d for d in reached if items[d].op in (*THROUGH, "matmul", "linear", "tanh")]
        if any(items[d].op == "tanh" for d in front):
            return True
    return False
