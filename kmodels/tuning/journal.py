"""A search that survives: KerasTuner's oracle, with every step of the search in one append-only file.

KerasTuner writes the state of a search into several files, one after the other. Killed between two of them it loses a
trial or tries one twice, and the random state of its Bayesian oracle is in none. Here the file holds what happened, and
a search that starts again lets a new oracle of the same seed live through it: the state is then what it was, whenever
the process was killed.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner

from kmodels import backend, files
from kmodels.errors import ConfigurationError

JOURNAL = "journal.jsonl"


def journaled_oracle(base: type[keras_tuner.Oracle], folder: Path, **settings: Any) -> Any:
    """Makes an oracle of a class of KerasTuner's that tries the defaults first and writes down what happens."""

    class Journaled(base):
        replaying = False
        on_end: Callable[[Any], object] | None = None
        journal = folder / JOURNAL
        hyperparameters: Any
        ongoing_trials: Any
        start_order: list[str]
        trials: Any
        _retry_queue: Any

        def create_trial(self, tuner_id: str) -> Any:
            is_new = tuner_id not in self.ongoing_trials
            trial = super().create_trial(tuner_id)
            if is_new and trial.status == "RUNNING":
                self._write(event="started", tuner=tuner_id, trial=trial.trial_id, values=trial.hyperparameters.values)
            return trial

        def _random_values(self) -> Any:
            if self.start_order:
                return super()._random_values()
            # The first trial has the defaults, so that a search does not end behind them.
            first = keras_tuner.HyperParameters()
            for parameter in self.hyperparameters.space:
                first.merge([parameter])
            return first.values

        def finish(self, name: str, *, status: str, metrics: dict[str, float], reason: str | None) -> None:
            """Records how a running trial ended: "COMPLETED" with metrics, or "FAILED" for a reason."""
            trial = {trial.trial_id: trial for trial in self.ongoing_trials.values()}[name]
            # Before the oracle's own books: a kill in between must not cost the training.
            self._write(event="ended", trial=name, status=status, metrics=metrics, reason=reason)
            if metrics:
                self.update_trial(name, metrics)
            trial.status, trial.message = status, reason
            self.end_trial(trial)
            if self.on_end is not None:
                self.on_end(self)

        def requeue(self, tuners: list[str]) -> None:
            """Gives what tuners that are gone were running to whoever asks next."""
            if tuners:
                self._write(event="resumed", tuners=tuners)
                self._retry_queue += [self.ongoing_trials.pop(tuner).trial_id for tuner in tuners]

        def _write(self, **event: Any) -> None:
            if self.replaying:
                return
            with self.journal.open("ab") as file:
                file.write(json.dumps(event | {"check": _checksum(event)}).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

        def save(self) -> None:
            pass

        def reload(self) -> None:
            pass

        def _save_trial(self, trial: Any) -> None:
            pass

    oracle = Journaled(**settings)
    backend.require("searches", oracle=oracle)
    oracle.verbose = 0
    return oracle


def _checksum(event: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(event).encode())


def replay(oracle: Any) -> None:
    """Brings a new oracle to where the journal ends; what was running then is run again."""
    oracle.replaying, wanted = True, oracle.max_trials
    for number, line in enumerate(_lines(oracle.journal), start=1):
        try:
            event = json.loads(line)
            if event.pop("check") != _checksum(event):
                raise ValueError("the line has been changed")
            _apply(oracle, event)
        except files.DAMAGE as error:
            text = f"{oracle.journal}, line {number}: not an event of this search ({error!r:.300})"
            raise ConfigurationError(text) from error
    oracle.replaying, oracle.max_trials = False, wanted
    oracle.requeue(list(oracle.ongoing_trials))


def _apply(oracle: Any, event: dict[str, Any]) -> None:
    match event:
        case {"event": "started", "tuner": str(tuner), "trial": str(name), "values": dict(values)}:
            # A trial's name has as many digits as the number of trials that were asked for at its time.
            oracle.max_trials = int("9" * len(name))
            trial = oracle.create_trial(tuner)
            if trial.trial_id != name or set(trial.hyperparameters.values) != set(values):
                raise ValueError(f"trial {trial.trial_id} of {list(trial.hyperparameters.values)} starts here")
            # The same values already, but for the last digits of a Gaussian process.
            trial.hyperparameters.values = values
        case {"event": "ended", "trial": name, "status": status, "metrics": metrics, "reason": reason}:
            oracle.finish(name, status=status, metrics=metrics, reason=reason)
        case {"event": "resumed", "tuners": tuners}:
            oracle.requeue(tuners)
        case _:
            raise ValueError(event)


def _lines(path: Path) -> list[bytes]:
    """The whole lines of the journal; half a line, left by a kill, is cut off."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return whole.splitlines()
