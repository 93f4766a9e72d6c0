"""Search over hyper-parameters with KerasTuner, for any builder, on any backend."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
from tqdm import tqdm

from kmodels import backend, files, training
from kmodels.errors import ConfigurationError, DataError, TrainingError
from kmodels.pipelines import Batches
from kmodels.tuning import workers as processes
from kmodels.tuning.journal import journaled_oracle, replay

_ALGORITHMS = ("random", "hyperband", "bayesian")
_SETTINGS, _CHECKPOINT = "search.json", "checkpoint.npz"
_MOST_FAILED_BUILDS = 10


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        trials: One row per trial, in the order of their start: trial (from 1), status ("completed", "failed" or
            "running"), the objective, epoch (the best one), epochs, seconds, reason (of a failure), and a column for
            each hyper-parameter.
        parameters: Names of the hyper-parameters, the columns of `trials`.
        objective: Name of the objective.
        direction: "min" or "max".
        best: KerasTuner's HyperParameters of the best trial: `build(search.best)` makes its model.
    """

    trials: pd.DataFrame
    parameters: tuple[str, ...]
    objective: str
    direction: str
    best: Any


def search(
    build: Callable[[Any], keras.Model],
    train: Batches,
    validation: Batches,
    *,
    directory: str | Path,
    algorithm: str = "random",
    trials: int = 20,
    objective: str = "val_loss",
    direction: str = "min",
    epochs: int = 10,
    callbacks: Callable[[], Sequence[Any]] = tuple,
    seed: int = 0,
    about: str = "",
    workers: int = 1,
    chief_timeout: float = 300.0,
    trial_timeout: float = 86_400.0,
) -> Search | None:
    """Searches for the hyper-parameters of the best model; a search that was stopped goes on where it was.

    Each trial builds a model, draws its weights by `training.initialize` and trains it by `training.fit`; its score is
    the objective's best epoch. The first trial has the space's defaults, so that a search does not end behind them. A
    trial that fails is written down with its reason and the search goes on.

    With `workers` above 1 this process becomes the chief and starts the running script once more for each worker, with
    the same arguments: the script must come to this call again. Where the environment has KerasTuner's variables
    (`KERASTUNER_TUNER_ID` …) and `KMODELS_SEARCH_SECRET`, this process is the chief or the worker that they say.

    Args:
        build: From KerasTuner's `hp` to a compiled model. The trial's number of epochs stands in
            `hp.values.get("tuner/epochs")` for "hyperband".
        train: Training batches.
        validation: Validation batches.
        directory: Where `search.json`, `journal.jsonl` and a folder for each running trial go.
        algorithm: "random", "hyperband" (Li et al. 2018) or "bayesian" (a Gaussian process). Default "random".
        trials: Number of trials, failed ones included; a finished search goes on when it is asked for more. Default 20.
        objective: Name of a logged value. Default "val_loss".
        direction: "min" or "max". Default "min".
        epochs: Epochs of a trial; the most of one for "hyperband". Default 10.
        callbacks: Makes the Keras callbacks of one trial; by default none.
        seed: Seed of the trials, of their weights and dropout. Default 0.
        about: What else the result depends on, such as the data's checksum: a search in `directory` with another
            `about` is refused. Default "".
        workers: Processes side by side on this machine. Default 1.
        chief_timeout: Seconds that a worker waits for its chief before it gives up. Default 300.
        trial_timeout: Seconds after which a worker's trial is given up and run again; after the fourth time it is a
            failed one. Default 86400, a day.

    Returns:
        What was found; None in a worker, whose work is then done.

    Raises:
        ConfigurationError: If an argument is unknown, or `directory` holds another search or other files.
        TrainingError: If every trial failed, the workers keep dying, or a worker has no chief.

    Example:
        >>> import tempfile
        >>> def build(hp):
        ...     x = keras.Input((1,), name="x")
        ...     hidden = keras.layers.Dense(hp.Int("units", 1, 8))(x)
        ...     model = keras.Model({"x": x}, keras.layers.Dense(1)(hidden))
        ...     training.compile_model(model, keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, sampling="log")))
        ...     return model
        >>> x = np.linspace(-1, 1, 64, dtype="float32")
        >>> batches = Batches({"x": x[:, None]}, x)
        >>> found = search(build, batches, batches, directory=tempfile.mkdtemp(), trials=2, epochs=1)
        >>> found.trials["status"].tolist(), found.parameters
        (['completed', 'completed'], ('units', 'rate'))
    """
    folder = Path(directory)
    settings = _Settings(algorithm, trials, objective, direction, epochs, seed, about)
    role = processes.role()
    oracle = _make_oracle(settings, folder)
    _explore(build, oracle)
    trainer = _Trainer(build, oracle.get_space(), train, validation, folder, settings, callbacks)
    if role == "worker":
        processes.run_worker(trainer, timeout=chief_timeout)
        return None
    _open(folder, settings, oracle.get_space())
    replay(oracle)
    with _Progress(oracle) as progress:
        oracle.on_end = progress
        if role == "chief" or workers > 1:
            processes.run_chief(oracle, workers=0 if role == "chief" else workers, trial_timeout=trial_timeout)
        else:
            while (trial := oracle.create_trial("tuner0")).status != "STOPPED":
                oracle.finish(trial.trial_id, **trainer(trial.trial_id, trial.hyperparameters.values))
    for path in folder.glob(f"trial_*/{_CHECKPOINT}"):
        path.unlink()
    return _result(oracle, settings)


@dataclass(frozen=True)
class _Settings:
    algorithm: str
    trials: int
    objective: str
    direction: str
    epochs: int
    seed: int
    about: str

    def __post_init__(self) -> None:
        for name, known in (("algorithm", _ALGORITHMS), ("direction", ("min", "max"))):
            if getattr(self, name) not in known:
                raise ConfigurationError(
                    f"{name} must be one of {', '.join(known)}. Received: {name}={getattr(self, name)!r}"
                )
        for name in ("trials", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1. Received: {name}={getattr(self, name)}")


@dataclass(frozen=True)
class _Trainer:
    """Trains and scores a trial, a run of `training.fit`."""

    build: Callable[[Any], keras.Model]
    space: Any
    train: Batches
    validation: Batches
    folder: Path
    settings: _Settings
    callbacks: Callable[[], Sequence[Any]]

    def __call__(self, name: str, values: dict[str, Any]) -> dict[str, Any]:
        """Returns what the oracle's `finish` takes."""
        started = time.perf_counter()
        # Also starts Keras's automatic names anew, by which the first weights are drawn.
        backend.clear_session()
        try:
            scores = self._scores(self._history(self.folder / f"trial_{name}", values))
        except Exception as error:
            return {"status": "FAILED", "metrics": {}, "reason": f"{type(error).__name__}: {error}"}
        best = int(scores.argmin() if self.settings.direction == "min" else scores.argmax())
        seconds = time.perf_counter() - started
        metrics = {self.settings.objective: float(scores[best]), "epoch": best + 1, "epochs": len(scores)}
        return {"status": "COMPLETED", "metrics": metrics | {"seconds": seconds}, "reason": None}

    def _history(self, folder: Path, values: dict[str, Any]) -> pd.DataFrame:
        folder.mkdir(parents=True, exist_ok=True)
        parameters = self.space.copy()
        parameters.values = dict(values)
        try:
            self._inherit_checkpoint(values.get("tuner/trial_id"), folder)
            model = self.build(parameters)
            training.initialize(model, self.settings.seed)
            return training.fit(
                model,
                self.train,
                self.validation,
                epochs=int(values.get("tuner/epochs", self.settings.epochs)),
                folder=folder,
                callbacks=list(self.callbacks()),
                resume=True,
                seed=self.settings.seed,
                progress=False,
            )
        finally:
            if self.settings.algorithm != "hyperband":
                (folder / _CHECKPOINT).unlink(missing_ok=True)

    def _inherit_checkpoint(self, parent: str | None, folder: Path) -> None:
        """Hyperband goes on with the best trials of a round: from their weights, where this machine has them."""
        before = self.folder / f"trial_{parent}" / _CHECKPOINT
        if parent is not None and before.exists() and not (folder / _CHECKPOINT).exists():
            # Half a copy, left by a kill, would be taken for the trial's own.
            with files.atomic(folder / _CHECKPOINT) as part:
                shutil.copy(before, part)

    def _scores(self, history: pd.DataFrame) -> np.ndarray:
        if self.settings.objective not in history:
            known = ", ".join(history.columns.drop(["epoch", "seconds"]))
            raise ConfigurationError(f"nothing named {self.settings.objective} is logged; there are {known}")
        return history[self.settings.objective].to_numpy()


def _explore(build: Callable[[Any], keras.Model], oracle: Any) -> None:
    """Has an oracle know the space: what `build` asks for, under each condition; a build that fails is no obstacle."""
    parameters, known, failures = oracle.get_space(), [], 0
    while True:
        try:
            build(parameters)
            failed = False
        except Exception:  # the trial of these values will say it
            failed, failures = True, failures + 1
        oracle.update_space(parameters)
        known += parameters.active_scopes
        waiting = [scope for scope in parameters.inactive_scopes if scope not in known]
        parameters = oracle.get_space()
        if waiting:
            known.append(waiting[0])
            parameters.values |= {condition.name: condition.values[0] for condition in waiting[0]}
            parameters.ensure_active_values()
        elif failed and failures < _MOST_FAILED_BUILDS:  # which may have ended before it had asked for all
            parameters.values = {each.name: each.random_sample(seed=failures) for each in parameters.space}
        else:
            return


def _make_oracle(settings: _Settings, folder: Path) -> Any:
    oracles = keras_tuner.oracles
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "random": (oracles.RandomSearchOracle, {"max_trials": settings.trials}),
        "bayesian": (oracles.BayesianOptimizationOracle, {"max_trials": settings.trials}),
        # As many rounds of Hyperband as the trials allow; its oracle takes the number of trials as an attribute only.
        "hyperband": (oracles.HyperbandOracle, {"max_epochs": settings.epochs, "hyperband_iterations": 1_000_000}),
    }
    kind, arguments = kinds[settings.algorithm]
    oracle = journaled_oracle(
        kind,
        folder,
        objective=keras_tuner.Objective(settings.objective, settings.direction),
        # KerasTuner takes a seed of 0 for none.
        seed=settings.seed + 1,
        max_consecutive_failed_trials=settings.trials + 1,
        **arguments,
    )
    oracle.max_trials = settings.trials
    return oracle


class _Progress:
    """Trials done of all, the best score and the time left: a bar on a terminal, else a line for each trial."""

    def __init__(self, oracle: Any) -> None:
        # Those of an earlier process took no time in this one.
        self.before, self.started = len(oracle.end_order), time.perf_counter()
        options = {"desc": "search", "unit": "trial", "dynamic_ncols": True, "disable": None}
        self.bar = tqdm(total=oracle.max_trials, initial=self.before, **options)
        if self.before and self.bar.disable:
            print(f"going on after {self._state(oracle)}", file=sys.stderr, flush=True)

    def __call__(self, oracle: Any) -> None:
        self.bar.set_postfix_str(self._best(oracle), refresh=False)
        failed = sum(trial.status == "FAILED" for trial in oracle.trials.values())
        if failed:
            self.bar.set_description(f"search ({failed} failed)", refresh=False)
        self.bar.update()
        if self.bar.disable:
            done = len(oracle.end_order)
            left = (oracle.max_trials - done) * (time.perf_counter() - self.started) / (done - self.before)
            print(f"{self._state(oracle)}, {tqdm.format_interval(left)} left", file=sys.stderr, flush=True)

    def _state(self, oracle: Any) -> str:
        best = self._best(oracle)
        return f"trial {len(oracle.end_order)}/{oracle.max_trials}" + (f", {best} so far" if best else "")

    def _best(self, oracle: Any) -> str:
        done = [trial.score for trial in oracle.trials.values() if trial.status == "COMPLETED"]
        pick = min if oracle.objective.direction == "min" else max
        return f"best {oracle.objective.name} {pick(done):.4g}" if done else ""

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()


def _open(folder: Path, settings: _Settings, space: Any) -> None:
    """Makes the folder of a search, or finds that it holds this one."""
    content = {**asdict(settings), "space": [parameter.get_config() for parameter in space.space]}
    text = json.dumps(content, indent=1, default=str) + "\n"
    path = folder / _SETTINGS
    if path.exists():
        found, wanted = files.read_json(path), json.loads(text)
        if not isinstance(found, dict):
            raise DataError("not the settings of a search", file=path, expected="an object")
        differing = [name for name in wanted if found.get(name) != wanted[name]]
        asks_for_more = (
            differing == ["trials"] and type(found.get("trials")) is int and found["trials"] < settings.trials
        )
        if differing and not asks_for_more:
            what = "; ".join(
                f"{name} is {found.get(name)!r:.200} there, here {wanted[name]!r:.200}" for name in differing
            )
            raise ConfigurationError(f"{folder} holds another search: {what}")
    elif folder.exists() and set(folder.iterdir()) - set(folder.glob(f"{path.stem}.*.tmp{path.suffix}")):
        raise ConfigurationError(f"{folder} holds files that are no search; give the search a folder of its own")
    folder.mkdir(parents=True, exist_ok=True)
    files.write_atomically(path, text)


def _result(oracle: Any, settings: _Settings) -> Search:
    parameters = tuple(parameter.name for parameter in oracle.get_space().space)
    rows = []
    for number, name in enumerate(oracle.start_order, start=1):
        trial = oracle.trials[name]
        figures = {metric: trial.metrics.get_best_value(metric) for metric in trial.metrics.metrics}
        rows.append(
            {
                "trial": number,
                "status": trial.status.lower(),
                settings.objective: figures.get(settings.objective, np.nan),
                **{name: figures.get(name, np.nan) for name in ("epoch", "epochs", "seconds")},
                "reason": trial.message or "",
                **{name: trial.hyperparameters.values.get(name) for name in parameters},
            }
        )
    table = pd.DataFrame(rows)
    if not (table["status"] == "completed").any():
        raise TrainingError(f"all {len(table)} trials failed, the first one: {table['reason'].iloc[0]}")
    best = oracle.get_best_trials(1)[0].hyperparameters
    return Search(table, parameters, settings.objective, settings.direction, best)
