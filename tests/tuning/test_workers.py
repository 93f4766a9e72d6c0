"""The chief and its workers, on loopback, as processes of their own."""

import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time

import keras_tuner
import pandas as pd
import pytest

from kmodels import tuning
from kmodels.errors import ConfigurationError, TrainingError
from kmodels.tuning import workers
from kmodels.tuning.journal import journaled_oracle

SCRIPT = """
import os, sys, time
from pathlib import Path
import keras, numpy as np
from kmodels import training, tuning
from kmodels.pipelines import Batches

def build(hp):
    if hp.values and tuning.workers.role() == "worker" and (Path(sys.argv[1]) / "sleeps").exists():
        (Path(sys.argv[1]) / str(os.getpid())).touch()
        time.sleep(600)
    x = keras.Input((2,), name="x")
    model = keras.Model({"x": x}, keras.layers.Dense(1)(keras.layers.Dense(hp.Int("units", 1, 16), "relu")(x)))
    training.compile_model(model, keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log")))
    marker = Path(sys.argv[1]) / "dies-once"
    if tuning.workers.role() == "worker" and hp.get("units") > 4:
        try:
            marker.unlink()  # by one worker alone, though two may come here at a time
            os._exit(9)
        except FileNotFoundError:
            pass
    return model

rng = np.random.default_rng(0)
x = rng.normal(size=(96, 2)).astype("float32")
data = Batches({"x": x}, x[:, 0] * x[:, 1], batch_size=32)
found = tuning.search(build, data, data, directory=Path(sys.argv[1]) / sys.argv[2], trials=6, objective="val_rmse",
                      epochs=2, workers=int(sys.argv[3]))
if found is not None:
    found.trials.to_csv(Path(sys.argv[1]) / f"{sys.argv[2]}.csv", index=False)
"""


def start(folder, *arguments, **environment):
    script = folder / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, str(script), str(folder), *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | environment)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def finish(process):
    error = process.communicate(timeout=300)[1]
    assert process.returncode == 0, error
    return error


def table(folder, name):
    return pd.read_csv(folder / f"{name}.csv").drop(columns="seconds")


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    (folder / "script.py").write_text(SCRIPT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["script.py", str(folder), "alone", "1"])
        runpy.run_path(str(folder / "script.py"))
    return table(folder, "alone")


@pytest.mark.first_backend
def test_a_worker_that_dies_loses_one_trial_which_is_run_again(alone, tmp_path):
    (tmp_path / "dies-once").touch()
    assert "died with code 9; starting it again" in finish(start(tmp_path, "together", "2"))
    together = table(tmp_path, "together")
    assert (together["status"] == "completed").all()
    pd.testing.assert_frame_equal(together, alone, rtol=1e-5)


@pytest.mark.first_backend
def test_of_two_workers_started_by_hand_one_may_vanish(alone, tmp_path):
    (tmp_path / "dies-once").touch()
    place = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(free_port())}
    names = ("worker0", "worker1", "chief")  # the chief last
    running = {
        name: start(tmp_path, "hand", "1", KERASTUNER_TUNER_ID=name, KMODELS_SEARCH_SECRET="between us", **place)
        for name in names
    }
    assert re.search(r"worker\d is gone; its trial is run again", finish(running["chief"]))
    for name in names[:2]:
        running[name].communicate()
    assert sorted(running[name].returncode for name in names[:2]) == [0, 9]
    pd.testing.assert_frame_equal(table(tmp_path, "hand"), alone, rtol=1e-5)


def small_oracle(folder, trials=3):
    space = keras_tuner.HyperParameters()
    space.Float("rate", 0.0, 1.0)
    return journaled_oracle(
        keras_tuner.oracles.RandomSearchOracle,
        folder,
        objective=keras_tuner.Objective("loss", "min"),
        max_trials=trials,
        hyperparameters=space,
        max_consecutive_failed_trials=100,
        seed=1,
    )


def score(name, values):
    return {"status": "COMPLETED", "metrics": {"loss": values["rate"]}, "reason": None}


@pytest.fixture
def place(monkeypatch):
    """A port for a chief and workers in threads of this process."""
    values = {"TUNER_ID": "chief", "ORACLE_IP": "127.0.0.1", "ORACLE_PORT": str(free_port())}
    for name, value in values.items():
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    monkeypatch.setenv("KMODELS_SEARCH_SECRET", "between us")
    return "127.0.0.1", int(values["ORACLE_PORT"])


@pytest.fixture
def chief(place, tmp_path, monkeypatch):
    """A chief in a thread; what it raised, when it has ended."""
    errors = []

    def run(oracle, trial_timeout):
        try:
            workers.run_chief(oracle, workers=0, trial_timeout=trial_timeout)
        except Exception as error:
            errors.append(error)

    def started(oracle, trial_timeout=60.0):
        thread = threading.Thread(target=run, args=(oracle, trial_timeout))
        thread.start()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(place).close()
                break
            except OSError:
                time.sleep(0.05)
        monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
        return thread, errors

    return started


STRANGERS = {
    "silent": b"",
    "garbage": b"\xff\x00\n" * 10,
    "no object": b"[]\n",
    "endless": b"9" * 2**21,
    "deep": b"[" * 100_000 + b"\n",
    "a winner": b'{"tuner": "worker9", "proof": "", "ended": {"status": "COMPLETED", "metrics": {"loss": -9}}}\n',
    "letters": '{"tuner": "worker9", "proof": "ä"}\n'.encode(),
}


@pytest.mark.first_backend
def test_strangers_are_given_nothing_and_change_nothing(chief, place, tmp_path):
    oracle = small_oracle(tmp_path)
    thread, errors = chief(oracle)
    open_ends = []
    for words in STRANGERS.values():
        stranger = socket.create_connection(place)
        open_ends.append(stranger)
        assert b"challenge" in stranger.recv(1000)
        try:
            stranger.sendall(words)
        except OSError:
            continue  # hung up on
        if words and words.endswith(b"\n"):
            stranger.settimeout(5)
            assert stranger.recv(1000) == b""
    workers.run_worker(score, timeout=5.0)
    thread.join(20)
    assert not thread.is_alive()
    assert errors == []
    assert [trial.score for trial in oracle.trials.values()] == [trial.get("rate") for trial in
            (each.hyperparameters for each in oracle.trials.values())]  # fmt: skip
    assert (tmp_path / "journal.jsonl").read_text().count("worker9") == 0
    for stranger in open_ends:
        stranger.close()


@pytest.mark.first_backend
def test_a_worker_of_another_secret_is_refused(chief, tmp_path, monkeypatch):
    thread, _ = chief(small_oracle(tmp_path))
    monkeypatch.setenv("KMODELS_SEARCH_SECRET", "guessed")
    with pytest.raises(TrainingError, match="no chief answered"):
        workers.run_worker(score, timeout=5.0)
    monkeypatch.setenv("KMODELS_SEARCH_SECRET", "between us")
    workers.run_worker(score, timeout=5.0)
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.first_backend
def test_a_trial_that_takes_too_long_is_run_again_and_at_last_a_failed_one(chief, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(workers.os, "kill", lambda *_: None)  # the worker would end itself
    oracle = small_oracle(tmp_path, trials=2)
    thread, errors = chief(oracle, trial_timeout=0.3)
    calls = []

    def slow(name, values):
        calls.append(name)
        if name == "0":
            time.sleep(1.0)
        return score(name, values)

    for _ in range(4):
        with pytest.raises(TrainingError):
            workers.run_worker(slow, timeout=5.0)
    workers.run_worker(slow, timeout=5.0)
    thread.join(20)
    assert not thread.is_alive()
    assert errors == []
    assert calls == ["0"] * 4 + ["1"]
    assert [trial.status for trial in oracle.trials.values()] == ["FAILED", "COMPLETED"]
    assert oracle.trials["0"].message == "not finished within 0.3 s, 4 times"
    assert "worker0 has not finished trial 0 within 0.3 s; its trial is run again" in capsys.readouterr().err


@pytest.mark.first_backend
def test_a_port_that_is_taken_is_an_error(place, tmp_path):
    with socket.create_server(place), pytest.raises(ConfigurationError, match="cannot listen at 127"):
        workers.run_chief(small_oracle(tmp_path), workers=0, trial_timeout=60.0)


@pytest.mark.first_backend
def test_an_error_of_the_chief_ends_the_search(chief, tmp_path, monkeypatch):
    oracle = small_oracle(tmp_path)

    def full(**_):
        raise OSError(28, "No space left on device")

    oracle._write = full
    thread, errors = chief(oracle)
    with pytest.raises(TrainingError):
        workers.run_worker(score, timeout=5.0)
    thread.join(20)
    assert [error.errno for error in errors] == [28]


@pytest.mark.first_backend
def test_workers_end_with_their_chief(tmp_path):
    (tmp_path / "sleeps").touch()
    process = start(tmp_path, "killed", "2")
    pids = []
    deadline = time.monotonic() + 120
    while len(pids) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        pids = [int(path.name) for path in tmp_path.iterdir() if path.name.isdecimal()]
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 30
    while alive := [pid for pid in pids if is_alive(pid)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)


def is_alive(pid):
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.first_backend
def test_workers_that_keep_dying_end_the_search(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, "-c", "import os; os._exit(9)"])
    with pytest.raises(
        TrainingError, match=r"died 4 times without a trial ended in between, the last time with code 9"
    ):
        workers.run_chief(small_oracle(tmp_path), workers=2, trial_timeout=60.0)


@pytest.mark.first_backend
def test_a_worker_without_its_chief_gives_up(build, data, place, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    with pytest.raises(TrainingError, match=r"no chief answered at 127.0.0.1:\d+ within 0.5 s .*this worker gives up"):
        tuning.search(build, data, data, directory=tmp_path / "search", chief_timeout=0.5)


@pytest.mark.first_backend
def test_a_worker_whose_chief_ended_before_they_spoke_does_not_wait_for_another(place, monkeypatch):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    monkeypatch.setenv("KMODELS_SEARCH_CHIEF", str(os.getpid()))  # which is not this process's parent
    with pytest.raises(TrainingError, match="the chief that started this worker is gone"):
        workers.run_worker(score, timeout=60.0)


@pytest.mark.first_backend
def test_half_of_keras_tuners_variables_are_refused(monkeypatch):
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    with pytest.raises(ConfigurationError, match=r"go together\. Received: only KERASTUNER_TUNER_ID"):
        tuning.workers.role()
