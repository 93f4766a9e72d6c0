import os
import signal

import keras
import numpy as np
import pytest

from kmodels import training
from kmodels.pipelines import Batches
from kmodels.training.interruption import interrupt_between_steps


@pytest.fixture(autouse=True)
def ctrl_c():
    """The interpreter's own handler, which test runners replace, and the sending of the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: os.kill(os.getpid(), signal.SIGINT)
    signal.signal(signal.SIGINT, before)


def test_a_step_ends_before_ctrl_c_takes_effect(ctrl_c):
    done = []

    def steps():
        with interrupt_between_steps() as check:
            for step in range(5):
                if step == 2:
                    ctrl_c()
                done.append(step)
                check()

    with pytest.raises(KeyboardInterrupt):
        steps()
    assert done == [0, 1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_after_the_last_step_is_not_lost(ctrl_c):
    with pytest.raises(KeyboardInterrupt), interrupt_between_steps():
        ctrl_c()


def test_a_second_signal_does_not_wait(ctrl_c):
    done = []

    def step():
        with interrupt_between_steps():
            ctrl_c()
            done.append("first")
            ctrl_c()
            done.append("second")

    with pytest.raises(KeyboardInterrupt):
        step()
    assert done == ["first"]


def test_somebody_elses_handler_stays(ctrl_c):
    received = []
    signal.signal(signal.SIGINT, lambda *_: received.append("own"))
    with interrupt_between_steps() as check:
        ctrl_c()
        check()
    assert received == ["own"]


class Epochs(keras.callbacks.Callback):
    """Counts, and acts on no batch."""

    def __init__(self):
        super().__init__()
        self.ended = 0

    def on_epoch_end(self, epoch, logs=None):
        self.ended += 1


class Steps(Epochs):
    """Acts on batches too."""

    def on_train_batch_end(self, batch, logs=None):
        pass


@pytest.mark.parametrize("watching", [Epochs, Steps])
def test_ctrl_c_while_a_batch_is_made_ends_training_within_the_epoch(ctrl_c, tmp_path, watching):
    made = 0

    def send(rows):
        nonlocal made
        made += 1
        if made == 30:  # the second epoch of twenty batches
            ctrl_c()
        return {}

    model = keras.Sequential([keras.Input((1,), name="x"), keras.layers.Dense(1)])
    training.compile_model(model, keras.optimizers.Adam())
    train = Batches({"x": np.ones((80, 1), np.float32)}, np.ones(80, np.float32), batch_size=4, parts=[send])
    counter = watching()
    with pytest.raises(KeyboardInterrupt):
        training.fit(model, train, None, epochs=4, folder=tmp_path, callbacks=[counter], engine="pydataset")
    assert counter.ended == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
