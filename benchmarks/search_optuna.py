"""`tuning.search` compared with Optuna on the purchases sample: the best validation error by number of trials.

    pip install optuna    # 5.0; kmodels does not need it
    KERAS_BACKEND=jax python benchmarks/search_optuna.py                         20 trials, four epochs, three seeds
    KERAS_BACKEND=jax python benchmarks/search_optuna.py --trials 4 --seeds 1 --epochs 1 --out /tmp/quick.png

KerasTuner's random and Bayesian search and Optuna's random and TPE samplers, each with its library's own defaults,
search the same space (`tuning.embedding_space`) for the regressor of `recipes/purchases.py`; the first trial of each
has the space's defaults. They minimise the same function of (settings, seed): the seed draws the weights, the order of
the rows and the dropout. This is checked: the best settings of each of KerasTuner's searches are trained again as
Optuna's trials are, and must score the same.
"""

from __future__ import annotations

import argparse
import runpy
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kmodels import cli

cli.choose_backend()

import keras  # noqa: E402
import keras_tuner  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from kmodels import backend, training, tuning, workflow  # noqa: E402
from kmodels.datasets import purchases  # noqa: E402
from kmodels.files import write_atomically  # noqa: E402
from kmodels.pipelines import Batches  # noqa: E402
from kmodels.report import style  # noqa: E402

IMAGE = Path(__file__).parents[1] / "docs" / "images" / "search_optuna.png"
OBJECTIVE = "val_rmse"
PURCHASES = Path(__file__).parents[1] / "recipes" / "purchases.py"
RECIPE = runpy.run_path(str(PURCHASES))


class OptunaSpace:
    """Gives a search space the methods of KerasTuner's `hp`, answered by a trial of Optuna's."""

    def __init__(self, trial: Any) -> None:
        self.trial = trial

    def Float(self, name: str, low: float, high: float, sampling: str = "linear", **_: Any) -> float:  # noqa: N802, D102
        return self.trial.suggest_float(name, low, high, log=sampling == "log")

    def Choice(self, name: str, values: list, **_: Any) -> Any:  # noqa: N802, D102
        return self.trial.suggest_categorical(name, values)


def amounts(table: pd.DataFrame, *, batch_size: int, epochs: int) -> workflow.Task:
    """The recipe's task of the amounts of a table, which is split with seed 0."""
    flags = {"data": "sample", "batch_size": batch_size, "epochs": epochs, "seed": 0}
    args = argparse.Namespace(**flags, out="", devices=1, shard_tables=False, track=None, export=None)
    run, columns = workflow.Run(args, PURCHASES), table.drop(columns="amount")
    return RECIPE["prepare"](run, columns, table["amount"].to_numpy())[1]


def builder(task: workflow.Task) -> Callable[[Any], keras.Model]:
    """From `hp` to the recipe's regressor, compiled."""
    return lambda hp: RECIPE["build"](task, "regressor", tuning.embedding_space(hp))


def score(hp: Any, build: Callable, train: Batches, validation: Batches, *, epochs: int, seed: int) -> float:
    """The best epoch's error of the settings that `hp` gives, as a trial of `tuning.search` has it."""
    backend.clear_session()
    model = build(hp)
    training.initialize(model, seed)
    with tempfile.TemporaryDirectory() as folder:
        options = {"epochs": epochs, "folder": Path(folder), "seed": seed, "progress": False}
        return float(training.fit(model, train, validation, **options)[OBJECTIVE].min())


def scores(task: workflow.Task, *, trials: int, epochs: int, seed: int) -> dict[str, list[float]]:
    """Each algorithm's errors, trial by trial."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    data, build, found = task.batches(seed=seed)[:2], builder(task), {}
    for algorithm in ("random", "bayesian"):
        options = {"algorithm": algorithm, "trials": trials, "epochs": epochs, "seed": seed, "objective": OBJECTIVE}
        with tempfile.TemporaryDirectory() as folder:
            search = tuning.search(build, *data, directory=Path(folder) / "search", **options)
        found[f"KerasTuner, {algorithm}"] = search.trials[OBJECTIVE].tolist()
        retrained, best = score(search.best, build, *data, epochs=epochs, seed=seed), search.trials[OBJECTIVE].min()
        if abs(retrained / best - 1) > 1e-6:
            raise SystemExit(f"the two sides do not minimise the same: {retrained} and {best}")
    known: dict[tuple, float] = {}
    first = keras_tuner.HyperParameters()
    tuning.embedding_space(first)

    def objective(trial: Any) -> float:
        tuning.embedding_space(OptunaSpace(trial))
        settings = tuple(trial.params.items())
        if settings not in known:  # TPE starts with ten random trials
            known[settings] = score(OptunaSpace(trial), build, *data, epochs=epochs, seed=seed)
        return known[settings]

    for name, sampler in {"random": optuna.samplers.RandomSampler, "TPE": optuna.samplers.TPESampler}.items():
        study = optuna.create_study(sampler=sampler(seed=seed))
        study.enqueue_trial(first.values)
        study.optimize(objective, n_trials=trials)
        found[f"Optuna, {name}"] = [trial.value for trial in study.trials]
    return found


def draw(best: dict[str, np.ndarray], path: Path) -> None:
    """Draws the best error so far, (seeds, trials) for each algorithm, as the mean over the seeds."""
    figure, (axes,) = style.panels(4.2)
    looks = zip((style.GREY, style.BLUE, "#E69F00", style.ORANGE), ("dashed", "solid") * 2, strict=True)
    trials = np.arange(1, len(next(iter(best.values()))[0]) + 1)
    for (name, values), (color, line) in zip(best.items(), looks, strict=True):
        axes.step(trials, values.mean(axis=0), where="post", color=color, linestyle=line, linewidth=2, label=name)
    axes.set(xlabel="trials", ylabel="RMSE on validation, standardised")
    axes.legend(fontsize=style.TEXT - 2, frameon=False)
    seeds = len(next(iter(best.values())))
    style.heading(axes, f"Best so far, mean of {seeds} seeds")
    style.few_ticks(axes.xaxis)
    write_atomically(path, style.png(figure))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 to this, without it")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out", type=Path, default=IMAGE, help="the picture; default: %(default)s")
    args = parser.parse_args()
    task = amounts(purchases.load("sample").table, batch_size=512, epochs=args.epochs)
    runs = [scores(task, trials=args.trials, epochs=args.epochs, seed=seed) for seed in range(args.seeds)]
    best = {name: np.minimum.accumulate([run[name] for run in runs], axis=1) for name in runs[0]}
    marks = sorted({min(mark, args.trials) for mark in (1, 5, 10, 20, args.trials)})
    print(f"\n{'best after trials':24s}{''.join(f'{mark:>9d}' for mark in marks)}    seed by seed at the end")
    for name, values in best.items():
        means = "".join(f"{values[:, mark - 1].mean():9.4f}" for mark in marks)
        print(f"{name:24s}{means}    {', '.join(f'{value:.4f}' for value in values[:, -1])}")
    draw(best, args.out)


if __name__ == "__main__":
    main()
