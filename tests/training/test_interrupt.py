import signal
import threading

import pytest

from minigrad.training.interrupt import Interrupt
from tests.training.runs import fingerprint, shuffled_run

in_main_thread = pytest.mark.skipif(
    threading.current_thread() is not threading.main_thread(), reason="signals need the main thread"
)


@in_main_thread
def test_ctrl_c_ends_the_batch_first(capfd):
    whole = shuffled_run()
    whole.fit(2)
    run = shuffled_run()
    inner = run.take_step

    def step(*args):
        if run.batch == 2:
            run.take_step = inner
            signal.raise_signal(signal.SIGINT)
        return inner(*args)

    run.take_step = step
    with pytest.raises(KeyboardInterrupt):
        run.fit(2)
    assert run.batch == 3
    assert "once more to stop at once" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    run.fit(2)
    assert fingerprint(run.state_dict()) == fingerprint(whole.state_dict())


@in_main_thread
def test_ctrl_c_during_the_last_evaluation_is_not_lost():
    def evaluate(model):
        signal.raise_signal(signal.SIGINT)
        return {"valid_loss": 1.0}

    run = shuffled_run(evaluate=evaluate)
    with pytest.raises(KeyboardInterrupt):
        run.fit(1)
    assert run.epoch == 1


@in_main_thread
def test_a_second_ctrl_c_acts_at_once():
    with Interrupt() as interrupt:
        signal.raise_signal(signal.SIGINT)
        assert interrupt.received == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@in_main_thread
def test_a_handler_of_the_users_stays():
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with Interrupt() as interrupt:
            signal.raise_signal(signal.SIGTERM)
            interrupt.check()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_training_in_another_thread():
    run = shuffled_run()
    thread = threading.Thread(target=run.fit, args=(2,))
    thread.start()
    thread.join()
    assert run.epoch == 2
