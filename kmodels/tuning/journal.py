"""A search that survives: KerasTuner's oracle, with every step of the search in one append-only file.

KerasTuner writes the state of a search into several files, one after the other. Killed between two of them it loses a
trial or tries one twice, and the random state of its Bayesian oracle is in none. Here the file holds what happened, and
a search that starts again lets a new oracle of the same seed live through it: the state is then what it was, whenever
the process was killed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras_tuner

from kmodels.errors import ConfigurationError

JOURNAL, FAILURE = "journal.jsonl", "failure.txt"
IDLE_S = 0.2


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
            if trial.status == "IDLE":
                # Hyperband waits for the round's last trials; its workers would ask again at once, without end.
                time.sleep(IDLE_S)
            return trial

        def _random_values(self) -> Any:
            if self.start_order:
                return super()._random_values()
            # The first trial has the defaults, so that a search does not end behind them.
            first = keras_tuner.HyperParameters()
            for parameter in self.hyperparameters.space:
                first.merge([parameter])
            return first.values

        def end_trial(self, trial: Any) -> None:
            metrics = self.trials[trial.trial_id].metrics
            values = {name: metrics.get_best_value(name) for name in metrics.metrics}
            failure = folder / f"trial_{trial.trial_id}" / FAILURE
            if trial.status != "COMPLETED" and failure.exists():
                trial.message = failure.read_text(encoding="utf-8").strip()
            # Before the oracle's own books: a kill in between must not cost the training.
            self._write(event="ended", trial=trial.trial_id, status=trial.status, metrics=values, reason=trial.message)
            super().end_trial(trial)
            if self.on_end is not None:
                self.on_end(self)

        def requeue(self) -> None:
            """Gives what was running when the process ended to whoever asks next."""
            if self.ongoing_trials:
                self._write(event="resumed")
                self._retry_queue += [trial.trial_id for trial in self.ongoing_trials.values()]
                self.ongoing_trials = {}

        def _write(self, **event: Any) -> None:
            if self.replaying:
                return
            with self.journal.open("ab") as file:
                file.write(json.dumps(event).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

        def save(self) -> None:
            pass

        def reload(self) -> None:
            pass

        def _save_trial(self, trial: Any) -> None:
            pass

    oracle = Journaled(**settings)
    oracle.verbose = 0
    return oracle


def replay(oracle: Any) -> None:
    """Brings a new oracle to where the journal ends; what was running then is run again."""
    oracle.replaying = True
    for number, line in enumerate(_lines(oracle.journal), start=1):
        try:
            _apply(oracle, json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"{oracle.journal}, line {number}: not an event of this search ({error!r})"
            ) from error
    oracle.replaying = False
    oracle.requeue()


def _apply(oracle: Any, event: dict[str, Any]) -> None:
    match event["event"]:
        case "started":
            trial = oracle.create_trial(event["tuner"])
            if trial.trial_id != event["trial"]:
                raise ValueError(f"trial {trial.trial_id} starts here")
            # The same values already, but for the last digits of a Gaussian process.
            trial.hyperparameters.values = event["values"]
        case "ended":
            trial = oracle.trials[event["trial"]]
            if event["metrics"]:
                oracle.update_trial(trial.trial_id, event["metrics"])
            trial.status, trial.message = event["status"], event["reason"]
            oracle.end_trial(trial)
        case "resumed":
            oracle.requeue()
        case other:
            raise ValueError(other)


def _lines(path: Path) -> list[bytes]:
    """The whole lines of the journal; half a line, left by a kill, is cut off."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    return whole.splitlines()
