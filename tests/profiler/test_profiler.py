import json
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, parallel, profiler
from minigrad.engine import MODES, OPS, fork
from minigrad.errors import ConfigError
from minigrad.profiler import Roofline, roofline
from minigrad.profiler.work import FORMULAS, MOVES, PRODUCTS


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """A machine of 100 GFLOP/s and 10 GB/s: nothing is measured."""
    monkeypatch.setattr("minigrad.profiler.measure.roofline", lambda: Roofline(1e11, 1e10))


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by 1 ms at each look."""
    now = iter(range(0, 10**12, 10**6))
    monkeypatch.setattr("minigrad.profiler.measure.clock", lambda: next(now))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(9, 5), nn.LSTM(5, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, ids):
        return self.head(self.lstm(self.embedding(ids))[0])


def rows(p, by="op"):
    return {row[by]: row for row in p.rows(by)}


def test_calls_are_counted_forward_and_backward():
    x = mg.ones((4, 4), requires_grad=True)
    with mg.profile() as p:
        y = mg.tanh(x @ x)
        (y * 2 + y).sum().backward()
        mg.exp(x.detach())  # without a gradient, too
    found = rows(p)
    assert {name: row["calls"] for name, row in found.items()} == {
        "matmul": 1, "tanh": 1, "multiply": 1, "add": 1, "sum": 1, "exp": 1,
    }  # fmt: skip
    assert found["tanh"]["backward"] > 0
    assert found["exp"]["backward"] == 0
    kinds = {(e.name, e.kind) for e in p.events}
    assert ("matmul", "backward") in kinds


def test_the_result_is_the_same_as_without():
    def run():
        mg.manual_seed(0)
        net = Net()
        adam = optim.Adam(net.parameters())
        ids = np.arange(6).reshape(3, 2)
        for _ in range(2):
            adam.zero_grad()
            mg.dropout(net(ids), 0.5).sum().backward()
            adam.step()
        return [p.numpy().tobytes() for p in net.parameters()]

    plain = run()
    with mg.profile():
        assert run() == plain


def test_time_is_an_events_own(clock):
    """Forward and backward are 1 ms each; of a rule that runs ops, only what is its own."""
    x = mg.ones(3, requires_grad=True)
    with mg.profile() as p:
        y = mg.tanh(x)
        mg.grad(y.sum(), [x], create_graph=True)
    inner = [e for e in p.events if e.depth]
    outer = [e for e in p.events if e.kind == "backward" and e.name == "tanh"]
    assert inner, "rules on Tensors are ops of their own"
    assert len(outer) == 1
    inside = [e for e in inner if outer[0].start < e.start and e.end < outer[0].end]
    assert inside
    assert outer[0].own < outer[0].end - outer[0].start
    assert all(e.own == e.end - e.start == 10**6 for e in inside)
    assert sum(e.own for e in p.events) <= p.wall * 1e9


FLOPS = {
    "matmul": lambda: mg.ones((3, 4), requires_grad=True) @ mg.ones((4, 5), requires_grad=True),
    "linear": lambda: mg.linear(
        mg.ones((2, 3, 4), requires_grad=True),
        mg.ones((5, 4), requires_grad=True),
        mg.ones(5, requires_grad=True),
    ),
    "contract": lambda: mg.einsum(
        "bij,bjk->bik",
        mg.ones((2, 3, 4), requires_grad=True),
        mg.ones((2, 4, 5), requires_grad=True),
    ),
}


@pytest.mark.parametrize(("op", "expected"), [("matmul", 120), ("linear", 240), ("contract", 240)])
def test_products_are_counted_as_multiplications_and_additions(op, expected):
    with mg.profile() as p:
        FLOPS[op]().sum().backward()
    forward = [e.flops for e in p.events if e.kind == "forward" and e.name in PRODUCTS]
    backward = [e.flops for e in p.events if e.kind == "backward" and e.name in PRODUCTS]
    assert forward == [expected]
    assert backward == [2 * expected]


@pytest.mark.parametrize(("layer", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("lengths", [None, "host", "tuple"])
def test_a_recurrent_layer_multiplies_its_weights_once_per_step(
    layer, gates, bidirectional, bias, lengths, monkeypatch
):
    monkeypatch.setattr("minigrad.ops.recurrent._both.WORTH", 0)  # both directions as one op
    T, I, H = 7, 5, 6
    B = gates * H  # as many sequences as rows of a weight
    if lengths is not None:
        lengths = np.arange(B) % (T + 1) if lengths == "host" else (T,) * (B - 1) + (2,)
    steps = T * B if lengths is None else sum(lengths)
    net = layer(I, H, bidirectional=bidirectional, bias=bias)
    threads = mg.get_num_threads()
    mg.set_num_threads(2)
    try:
        with mg.profile() as p:
            net(mg.ones((T, B, I)), lengths=lengths)[0].sum().backward()
    finally:
        mg.set_num_threads(threads)
    events = [e for e in p.events if e.name.endswith(("rnn", "gru", "lstm"))]
    forward, backward = (
        [e.flops for e in events if e.kind == kind] for kind in ("forward", "backward")
    )
    assert len(forward) == len(backward) == 1
    assert forward == [(1 + bidirectional) * steps * gates * H * (2 * (I + H) + 10)]
    assert backward == [2 * forward[0]]


def test_a_projection_is_one_of_the_weights():
    with mg.profile() as p:
        nn.LSTM(5, 6, proj_size=2)(mg.ones((7, 3, 5)))
    (event,) = (e for e in p.events if e.name == "lstm")
    assert event.flops == 7 * 3 * (2 * (24 * (5 + 2) + 2 * 6) + 10 * 24)


def test_elements_are_counted_where_no_formula_says_more():
    x, y = mg.ones((4, 1), requires_grad=True), mg.ones(5)
    with mg.profile() as p:
        z = x * y
        z.reshape(20)
        mg.concat([z, z])
        z.sum()
    flops = {e.name: e.flops for e in p.events}
    assert flops == {"multiply": 20.0, "reshape": 0.0, "concat": 0.0, "sum": 20.0}
    nbytes = {e.name: e.nbytes for e in p.events}
    assert nbytes["multiply"] == 4 * (4 + 5 + 20)
    assert nbytes["reshape"] == 0
    assert nbytes["concat"] == 4 * (20 + 20 + 40)


def test_formulas_are_of_ops():
    unknown = (set(FORMULAS) | MOVES | PRODUCTS) - set(OPS)
    assert unknown == set()


def test_the_table_can_be_read(clock):
    net = Net()
    with mg.profile() as p:
        net(np.zeros((3, 2), int)).sum().backward()
    text = str(p)
    head, machine, _, columns, *body = text.splitlines()
    assert "between the ops" in head
    assert "100 GFLOP/s in products, 10 GB/s in copies" in machine
    assert columns.split()[:2] == ["op", "calls"]
    names = {line.split()[0] for line in body} - {"sum_rows"}  # of the embedding, without `fast`
    assert names == {"embedding", "lstm", "linear", "sum", "stack"}
    assert all(line.endswith("%") for line in body)
    assert p.table(limit=2).splitlines()[-1].startswith(f"({len(body) - 2} more)")
    shares = [float(line.split("%")[0].split()[-1]) for line in body]
    assert sum(shares) == pytest.approx(100, abs=3)


def test_what_could_be_reached_is_the_roofline(clock):
    """1 ms for 20 MFLOP of 100 GFLOP/s in cache is a fifth of what could be."""
    x = mg.ones((100, 1000)) @ mg.ones((1000, 100))
    del x
    with mg.profile() as p:
        mg.ones((100, 1000)) @ mg.ones((1000, 100))
    assert p.table().splitlines()[-1].endswith("20%")
    machine = Roofline(1e11, 1e10)
    assert machine.limit(100.0, 1.0) == 1e11
    assert machine.limit(1.0, 1.0) == 1e10
    assert machine.seconds(1e11, 1e10) == 1.0


def test_rows_by_module_line_kind_and_thread():
    net = Net()
    with mg.profile() as p:
        net(np.zeros((3, 2), int)).sum().backward()
    scopes = rows(p, "scope")
    assert {"Net/embedding", "Net/lstm", "Net/head", "(no module)"} <= set(scopes)
    assert scopes["Net/head"]["backward"] > 0
    assert any("test_profiler.py:" in place for place in rows(p, "place"))
    assert set(rows(p, "kind")) - {"update"} == {"forward", "backward"}
    assert list(rows(p, "thread")) == ["main"]
    with pytest.raises(ConfigError, match="by is 'colour', expected one of 'op'"):
        p.rows(by="colour")


def test_an_optimiser_is_seen():
    w = mg.ones(100, requires_grad=True)
    adam = optim.Adam([w])
    w.grad = mg.ones(100)
    with mg.profile() as p:
        adam.step()
    assert any(e.kind == "update" and e.nbytes > 0 for e in p.events)


def test_branches_are_on_their_own_threads():
    before = mg.get_num_threads()
    mg.set_num_threads(2)
    both = threading.Barrier(2, timeout=20)

    def branch():
        both.wait()
        return mg.tanh(mg.ones(3))

    try:
        with mg.profile() as p:
            fork(branch, branch)
    finally:
        mg.set_num_threads(before)
    assert len({e.thread for e in p.events}) == 2
    names = set(rows(p, "thread"))
    assert "main" in names
    assert len(names) == 2


def test_a_divided_batch_is_seen_whole():
    net = Net()
    ids = np.arange(8).reshape(2, 4)
    with mg.profile() as p:
        parallel.backward(
            lambda ids: net(ids).mean(), (ids,), axes=(1,), params=net.parameters(), workers=2
        )
    assert rows(p)["lstm"]["calls"] == 2


def check_nesting(slices):
    """On a thread, two slices are apart or one is inside the other."""
    open_ = []
    for s in slices:
        while open_ and open_[-1] <= s["ts"] + 1e-9:
            open_.pop()
        if open_:
            assert s["ts"] + s["dur"] <= open_[-1] + 1e-9
        open_.append(s["ts"] + s["dur"])


def test_the_trace_is_chromes(tmp_path):
    net = Net()
    with mg.profile() as p:
        for _ in range(2):
            net(np.zeros((3, 2), int)).sum().backward()
        fork(lambda: mg.tanh(mg.ones(3)), lambda: net.head(mg.ones((2, 6))))
    path = p.save_trace(tmp_path / "deep" / "trace.json")
    trace = json.loads(path.read_text())
    assert set(trace) == {"traceEvents", "displayTimeUnit"}
    slices = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    meta = [e for e in trace["traceEvents"] if e["ph"] == "M"]
    assert len(slices) + len(meta) == len(trace["traceEvents"])
    for e in slices:
        assert set(e) == {"name", "cat", "ph", "ts", "dur", "pid", "tid", "args"}
        assert isinstance(e["name"], str)
        assert isinstance(e["pid"], int)
        assert isinstance(e["tid"], int)
        assert e["ts"] >= 0
        assert e["dur"] >= 0
    threads = {e["tid"]: e["args"]["name"] for e in meta if e["name"] == "thread_name"}
    assert threads[0] == "main"
    assert {e["tid"] for e in slices} <= set(threads)
    for tid in threads:
        check_nesting([e for e in slices if e["tid"] == tid])
    modules = [e["name"] for e in slices if e["cat"] == "module"]
    assert modules.count("Net") == 2
    assert modules.count("Net backward") == 2
    outer = next(e for e in slices if e["name"] == "Net")
    inner = next(e for e in slices if e["name"] == "lstm" and e["cat"] == "module")
    kernel = next(e for e in slices if e["name"] == "lstm" and e["cat"] == "forward")
    assert outer["ts"] <= inner["ts"] <= kernel["ts"]
    assert kernel["args"]["module"] == "Net/lstm"
    assert kernel["args"]["arrays"].startswith("f4[3,2,5] ")
    assert "test_profiler.py:" in kernel["args"]["at"]


def test_nothing_is_on_outside_and_after_an_exception():
    assert MODES.get().usual
    p = mg.profile()

    def fails():
        assert not MODES.get().usual
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), p:
        fails()
    assert MODES.get().usual
    mg.ones(3).sum()
    assert p.events == []
    with p:
        mg.ones(3).sum()
        with pytest.raises(ConfigError, match="taken already"), p:
            pass
    assert len(p.events) == 1  # it goes on where it was
    assert repr(p).startswith("<profile of 1 events in ")


def test_an_op_that_fails_explains_itself_as_ever():
    with pytest.raises(mg.errors.ShapeError, match="matmul"), mg.profile() as p:
        mg.ones((2, 3), requires_grad=True) @ mg.ones((2, 3), requires_grad=True)
    with p:
        mg.ones(3).sum()
    assert [(e.name, e.depth) for e in p.events] == [("sum", 0)]


def test_a_device_is_waited_for(monkeypatch):
    waited = []
    device = mg.device("strict")
    monkeypatch.setattr(type(device), "synchronize", lambda self: waited.append(self.name))
    x = mg.ones(3).to("strict").requires_grad_()
    with mg.profile() as p:
        mg.tanh(x).sum().backward()
    assert len(waited) == 2 * len(p.events)


def test_a_machine_is_measured_once(monkeypatch):
    monkeypatch.undo()
    first = roofline()
    assert first is roofline()
    assert first.flops > 1e8
    assert first.bandwidth > 1e7
    assert profiler.profile is mg.profile


def test_summing_down_to_an_arguments_shape_is_part_of_its_line():
    x, bias = mg.ones((8, 4)), mg.zeros(4, requires_grad=True)
    with mg.profile() as p:
        (x + bias).sum().backward()
    (event,) = [e for e in p.events if (e.name, e.kind) == ("add", "backward")]
    assert event.nbytes == 4 * (8 * 4 + 4 + 4)  # what came, the bias, its gradient
