"""A search in several processes, on one machine or on several, by KerasTuner's chief and workers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from concurrent import futures
from typing import Any

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute import oracle_chief, oracle_client

from kmodels.errors import ConfigurationError, TrainingError

# What KerasTuner reads; https://keras.io/keras_tuner/guides/distributed_tuning/
_ID, _IP, _PORT = "KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT"
_MOST_RESTARTS = 3
_POLL_S = 0.2


def role() -> str | None:
    """Whether this process is a "chief" or a "worker" by KerasTuner's environment variables; None without them."""
    given = [name for name in (_ID, _IP, _PORT) if name in os.environ]
    if not given:
        return None
    if len(given) < 3:
        raise ConfigurationError(f"{', '.join((_ID, _IP, _PORT))} go together. Received: only {', '.join(given)}")
    return "chief" if "chief" in os.environ[_ID] else "worker"


def run_worker(tuner: Any, *, timeout: float, **data: Any) -> None:
    """Runs the trials that the chief gives out, until there are none."""
    oracle_client.TIMEOUT = timeout
    try:
        tuner.search(**data)
    except grpc.RpcError as error:
        raise TrainingError(
            f"no chief answered at {os.environ[_IP]}:{os.environ[_PORT]} within {timeout:g} s "
            f"({error.code().name}); this worker gives up"
        ) from error


def run_chief(oracle: Any, *, workers: int) -> None:
    """Gives out the trials of an oracle until all have ended."""
    ip = os.environ.get(_IP, "127.0.0.1")
    port = int(os.environ.get(_PORT) or _free_port())
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    servicer = oracle_chief.OracleServicer(oracle)
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    server.add_insecure_port(f"{ip}:{port}")
    server.start()
    pool = _WorkerPool(oracle, {f"worker{i}": {_ID: f"worker{i}", _IP: ip, _PORT: str(port)} for i in range(workers)})
    try:
        # A worker leaves the oracle's list when it knows that there is nothing left to do.
        while not (servicer.stop_triggered and oracle_chief.exit_chief(oracle)):
            time.sleep(_POLL_S)
            pool.look_after()
        pool.wait()
    finally:
        pool.stop()
        server.stop(grace=1).wait()


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

    def look_after(self) -> None:
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
            # Under the same name: the oracle then gives it the trial it had.
            self.processes[name] = self._start(name)

    def wait(self) -> None:
        for process in self.processes.values():
            process.wait()

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()
                process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
