"""A search in several processes, on one machine or on several: a chief hands trials out, its workers run them.

They exchange lines of JSON over TCP. A worker proves that it knows the chief's secret before it is given anything; its
trial is run again when its connection ends, or when the trial takes too long. A worker ends with its chief.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from kmodels import files
from kmodels.errors import ConfigurationError, TrainingError

# The first three are KerasTuner's: https://keras.io/keras_tuner/guides/distributed_tuning/
_ID, _IP, _PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
_SECRET = "KMODELS_SEARCH_SECRET"
_CHIEF = "KMODELS_SEARCH_CHIEF"  # the process of the chief that started a worker
_MOST_RESTARTS = 3
_POLL_S, _GREETING_S, _FAREWELL_S = 0.2, 10.0, 10.0
_LONGEST = 2**20  # bytes of a message


def role() -> str | None:
    """Whether this process is a "chief" or a "worker" by its environment variables; None without them."""
    given = [name for name in (_ID, _IP, _PORT, _SECRET) if os.environ.get(name)]
    if not given:
        return None
    if len(given) < 4:
        raise ConfigurationError(
            f"{', '.join((_ID, _IP, _PORT, _SECRET))} go together. Received: only {', '.join(given)}"
        )
    if not os.environ[_PORT].isdecimal() or int(os.environ[_PORT]) > 65535:
        raise ConfigurationError(f"{_PORT} must be a port, 0 to 65535. Received: {os.environ[_PORT]!r}")
    return "chief" if "chief" in os.environ[_ID] else "worker"


def _proof(secret: str, challenge: str) -> str:
    return hmac.new(secret.encode(), challenge.encode(), "sha256").hexdigest()


def run_worker(run_trial: Callable[[str, dict[str, Any]], dict[str, Any]], *, timeout: float) -> None:
    """Runs the trials that the chief gives out, until there are none."""
    address = f"{os.environ[_IP]}:{os.environ[_PORT]}"
    deadline = time.monotonic() + timeout
    try:
        with _connect(deadline, timeout) as connection, connection.makefile("rwb") as stream:
            proof = _proof(os.environ[_SECRET], _receive(stream)["challenge"])
            message: dict[str, Any] = {"tuner": os.environ[_ID], "proof": proof}
            while True:
                _send(stream, message)
                given = _receive(stream)
                message = {}
                if given["status"] == "STOPPED":
                    return
                if given["status"] == "IDLE":  # other workers run what the next trials depend on
                    time.sleep(_POLL_S)
                    continue
                ended = threading.Event()
                threading.Thread(target=_end_with_chief, args=(connection, ended), daemon=True).start()
                message = {"ended": run_trial(given["trial"], given["values"])}
                ended.set()
    except (OSError, EOFError) as error:
        raise TrainingError(
            f"no chief answered at {address} within {timeout:g} s ({error}); this worker gives up"
        ) from error
    except files.DAMAGE as error:
        raise TrainingError(f"what answers at {address} is no chief ({error!r})") from error


def _connect(deadline: float, timeout: float) -> socket.socket:
    while True:
        try:
            return socket.create_connection((os.environ[_IP], int(os.environ[_PORT])), timeout)
        except OSError as error:
            # It listens before it starts workers; one that is started by hand may come later than they.
            if os.environ.get(_CHIEF) not in (None, str(os.getppid())):
                raise TrainingError("the chief that started this worker is gone; it ends") from error
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL_S)


def _end_with_chief(connection: socket.socket, ended: threading.Event) -> None:
    """Ends this process when its connection ends during a trial."""
    watched = connection.dup()
    watched.settimeout(_POLL_S)
    while not ended.is_set():
        try:
            gone = not watched.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            continue
        except OSError:
            gone = True
        if gone and not ended.is_set():
            print("the chief is gone, or has given this trial up; this worker ends", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
        return


def _send(stream: Any, message: dict[str, Any]) -> None:
    stream.write(json.dumps(message).encode() + b"\n")
    stream.flush()


def _receive(stream: Any) -> dict[str, Any]:
    line = stream.readline(_LONGEST)
    if not line.endswith(b"\n"):
        raise EOFError("the connection has ended")
    return json.loads(line)


class _Chief(socketserver.ThreadingTCPServer):
    """Hands out the trials of an oracle, each to one worker."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, oracle: Any, address: tuple[str, int], secret: str, trial_timeout: float) -> None:
        self.oracle, self.secret, self.trial_timeout = oracle, secret, trial_timeout
        self.lock = threading.Lock()
        self.attempts: Counter[str] = Counter()
        self.connected: Counter[str] = Counter()
        self.late: list[str] = []  # workers whose trial was given up
        self.error: Exception | None = None
        self.done = False
        try:
            super().__init__(address, _Worker)
        except OSError as error:
            raise ConfigurationError(
                f"the chief cannot listen at {address[0]}:{address[1]} ({error.strerror})"
            ) from error

    def next_trial(self, tuner: str, ended: dict[str, Any] | None) -> dict[str, Any]:
        """Records how a worker's trial ended, and gives it another."""
        with self.lock:
            try:
                if ended is not None:
                    self.oracle.finish(self.oracle.ongoing_trials[tuner].trial_id, **ended)
                trial = self.oracle.create_trial(tuner)
                if trial.status == "STOPPED" and self.oracle.ongoing_trials:
                    return {"status": "IDLE"}  # one of them may have to be run again
                self.done = self.done or trial.status == "STOPPED"
                return {"status": trial.status, "trial": trial.trial_id, "values": trial.hyperparameters.values}
            except Exception as error:  # such as a full disk: the search ends with it
                self.error = error
                raise

    def lose(self, tuner: str, *, is_late: bool) -> None:
        """Has a worker's trial run again by another one; often enough given up, it is a failed one."""
        with self.lock:
            trial = self.oracle.ongoing_trials.get(tuner)
            if trial is None or self.done:
                return
            self.attempts[trial.trial_id] += is_late
            if is_late:
                self.late.append(tuner)
            if self.attempts[trial.trial_id] > _MOST_RESTARTS:
                reason = f"not finished within {self.trial_timeout:g} s, {_MOST_RESTARTS + 1} times"
                self.oracle.finish(trial.trial_id, status="FAILED", metrics={}, reason=reason)
                return
            self.oracle.requeue([tuner])
            why = f"has not finished trial {trial.trial_id} within {self.trial_timeout:g} s" if is_late else "is gone"
            print(f"{tuner} {why}; its trial is run again", file=sys.stderr, flush=True)


class _Worker(socketserver.StreamRequestHandler):
    """The chief's end of the connection to one worker."""

    timeout = _GREETING_S
    server: _Chief

    def handle(self) -> None:
        challenge, tuner, is_late = secrets.token_hex(), "", False
        try:
            _send(self.wfile, {"challenge": challenge})
            message = _receive(self.rfile)
            if not hmac.compare_digest(str(message["proof"]), _proof(self.server.secret, challenge)):
                return
            if self.server.connected[str(message["tuner"])]:
                return  # two workers of one name
            tuner = str(message["tuner"])
            self.server.connected[tuner] += 1
            self.connection.settimeout(self.server.trial_timeout)
            while True:
                given = self.server.next_trial(tuner, message.get("ended"))
                _send(self.wfile, given)
                if given["status"] == "STOPPED":
                    return
                message = _receive(self.rfile)
        except TimeoutError:
            is_late = True
        except (OSError, *files.DAMAGE):
            pass  # a stranger, or a worker that has ended
        finally:
            if tuner:
                self.server.lose(tuner, is_late=is_late)
                self.server.connected[tuner] -= 1


def run_chief(oracle: Any, *, workers: int, trial_timeout: float) -> None:
    """Gives out the trials of an oracle until all have ended; starts and watches workers on this machine."""
    address, secret = ("127.0.0.1", 0), secrets.token_hex()
    if role() == "chief":
        address, secret = (os.environ[_IP], int(os.environ[_PORT])), os.environ[_SECRET]
    with _Chief(oracle, address, secret, trial_timeout) as chief:
        threading.Thread(target=chief.serve_forever, args=(_POLL_S,), daemon=True).start()
        variables = {_IP: address[0], _PORT: str(chief.server_address[1]), _SECRET: secret, _CHIEF: str(os.getpid())}
        pool = _WorkerPool(oracle, {f"worker{i}": variables | {_ID: f"worker{i}"} for i in range(workers)})
        try:
            while not chief.done and chief.error is None:
                time.sleep(_POLL_S)
                pool.look_after(chief.late)
            if chief.error is not None:
                raise chief.error
            deadline = time.monotonic() + _FAREWELL_S
            while time.monotonic() < deadline and (any(chief.connected.values()) or pool.is_alive()):
                time.sleep(_POLL_S)
        finally:
            chief.done = True
            pool.stop()
            chief.shutdown()


class _WorkerPool:
    """The worker processes of this machine."""

    def __init__(self, oracle: Any, environments: dict[str, dict[str, str]]) -> None:
        self.oracle, self.environments = oracle, environments
        self.restarts = dict.fromkeys(environments, 0)
        self.ended = 0
        self.processes = {name: self._start(name) for name in environments}

    def _start(self, name: str) -> subprocess.Popen:
        # What the script prints is the chief's to print; errors stay visible.
        return subprocess.Popen(
            [sys.executable, *sys.orig_argv[1:]],
            env=os.environ | self.environments[name],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def look_after(self, late: list[str]) -> None:
        """Ends workers that are late, and starts again those that have ended."""
        while late:
            if (process := self.processes.get(late.pop())) is not None:
                process.kill()
                process.wait()
        if len(self.oracle.end_order) > self.ended:
            self.ended = len(self.oracle.end_order)
            self.restarts = dict.fromkeys(self.restarts, 0)
        for name, process in self.processes.items():
            if process.poll() in (None, 0):
                continue
            if self.restarts[name] == _MOST_RESTARTS:
                raise TrainingError(
                    f"{name} died {_MOST_RESTARTS + 1} times without a trial ended in between, the last time with "
                    f"code {process.returncode}"
                )
            self.restarts[name] += 1
            print(f"{name} died with code {process.returncode}; starting it again", file=sys.stderr)
            self.processes[name] = self._start(name)

    def is_alive(self) -> bool:
        return any(process.poll() is None for process in self.processes.values())

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
