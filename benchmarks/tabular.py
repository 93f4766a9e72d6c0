"""Networks and gradient boosting on real tables: error, rank, seconds to fit and to predict.

    python benchmarks/tabular.py FOLDER                                     every table in it, five splits
    python benchmarks/tabular.py FOLDER --tables adult --models kmodels boosting --seeds 2
    python benchmarks/tabular.py FOLDER --trials 20 --json found.json

FOLDER has CSV files of a header and a column "target"; adult.csv has "income" in its place, california_housing.csv
"MedHouseVal". Each seed splits the rows 80:20, classes stratified; all models are fitted to the same 80 % and
evaluated on the same 20 %. Nothing is set for a table.

- kmodels: `TabularClassifier()` or `TabularRegressor()`, which keep rows back from the 80 % to stop in time;
- MLP: scikit-learn's, two layers of 128 units, stopped early, on standardised numbers and one-hot categories;
- linear: logistic or ridge regression on the same columns, the penalty chosen by cross-validation;
- boosting: scikit-learn's HistGradientBoosting as it is; tuned boosting: the best of `--trials` random settings on a
  seventh of the 80 %, fitted again to all of them;
- LightGBM, CatBoost: as they are, where they are installed.

Printed are accuracy or RMSE and its standard error over the seeds, and per model the mean over tables of its rank on
each (1 is the best) and on how many tables it is within one standard error of the best.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import accuracy_score, root_mean_squared_error
from sklearn.model_selection import RandomizedSearchCV, ShuffleSplit, StratifiedShuffleSplit, train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

TARGETS = {"adult": "income", "california_housing": "MedHouseVal"}
AMOUNTS = ("california_housing",)
SPACE = {
    "learning_rate": stats.loguniform(0.02, 0.3),
    "max_iter": [100, 200, 400, 800],
    "max_leaf_nodes": [7, 15, 31, 63, 127],
    "min_samples_leaf": [5, 10, 20, 50],
    "l2_regularization": stats.loguniform(1e-3, 10),
    "max_features": [0.3, 0.5, 0.8, 1.0],
}


def load(folder: Path, name: str) -> tuple[pd.DataFrame, pd.Series]:
    """Columns and target; text is categorical."""
    frame = pd.read_csv(folder / f"{name}.csv")
    y = frame.pop(TARGETS.get(name, "target"))
    text = frame.select_dtypes(["object", "string"]).columns
    return frame.astype(dict.fromkeys(text, "category")), y


def one_hot() -> Any:
    """Standardised numbers and one-hot categories."""
    return make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), make_column_selector(dtype_include="category")),
        remainder=StandardScaler(),
    )


def boosting(amounts: bool, seed: int, **options: Any) -> Any:
    kind = HistGradientBoostingRegressor if amounts else HistGradientBoostingClassifier
    return kind(categorical_features="from_dtype", random_state=seed, **options)


def tuned(amounts: bool, seed: int, trials: int) -> Any:
    """Boosting with the best of some random settings on a seventh of the rows, fitted again to all."""
    part = (ShuffleSplit if amounts else StratifiedShuffleSplit)(1, test_size=1 / 7, random_state=seed)
    model = boosting(amounts, seed, early_stopping=False)
    scoring = "neg_root_mean_squared_error" if amounts else "accuracy"
    return RandomizedSearchCV(model, SPACE, n_iter=trials, cv=part, scoring=scoring, random_state=seed)


def models(amounts: bool, seed: int, trials: int) -> dict[str, Callable[[], Any]]:
    """Name -> function that makes a model."""

    def kmodels() -> Any:
        from kmodels.estimators import TabularClassifier, TabularRegressor

        return (TabularRegressor if amounts else TabularClassifier)(random_state=seed)

    def mlp() -> Any:
        network = (MLPRegressor if amounts else MLPClassifier)(
            hidden_layer_sizes=(128, 128), early_stopping=True, random_state=seed
        )
        return make_pipeline(one_hot(), network)

    def linear() -> Any:
        strengths = np.logspace(-2, 2, 5)
        model = RidgeCV(strengths) if amounts else LogisticRegressionCV(Cs=strengths, cv=3, max_iter=1000)
        return make_pipeline(one_hot(), model)

    found: dict[str, Callable[[], Any]] = {
        "kmodels": kmodels,
        "MLP": mlp,
        "linear": linear,
        "boosting": lambda: boosting(amounts, seed),
        "tuned boosting": lambda: tuned(amounts, seed, trials),
    }
    try:
        import lightgbm

        kind = lightgbm.LGBMRegressor if amounts else lightgbm.LGBMClassifier
        found["LightGBM"] = lambda: kind(random_state=seed, verbose=-1)
    except ImportError:
        pass
    try:
        import catboost
    except ImportError:
        return found

    def cat() -> Any:
        kind = catboost.CatBoostRegressor if amounts else catboost.CatBoostClassifier
        return kind(random_seed=seed, verbose=0, allow_writing_files=False)

    return found | {"CatBoost": cat}


def measure(make: Callable[[], Any], x: Any, y: Any, train: Any, test: Any, amounts: bool) -> dict[str, float]:
    """Error and seconds of one model on one split."""
    model, fitted, known = make(), x.iloc[train], y.iloc[train]
    options = {}
    if type(model).__module__.startswith("catboost"):
        options["cat_features"] = list(x.select_dtypes("category"))
    started = time.perf_counter()
    model.fit(fitted, known, **options)
    middle = time.perf_counter()
    predicted = np.ravel(model.predict(x.iloc[test]))
    ended = time.perf_counter()
    true = y.iloc[test]
    if amounts:
        score = float(root_mean_squared_error(true, predicted))
    else:
        score = float(accuracy_score(true.astype(str), predicted.astype(str)))
    return {"score": score, "fit_s": middle - started, "predict_s": ended - middle}


def summarise(found: dict[str, dict[str, list[dict[str, float]]]]) -> None:
    """Prints a line for each table and the ranks."""
    names = list(next(iter(found.values())))
    print(f"\n{'':20s}" + "".join(f"{name:>18s}" for name in names))
    ranks, near = [], dict.fromkeys(names, 0)
    for table, results in found.items():
        scores = {name: np.array([each["score"] for each in results[name]]) for name in names}
        means = np.array([scores[name].mean() for name in names])
        errors = np.array([stats.sem(scores[name]) if len(scores[name]) > 1 else 0.0 for name in names])
        losses = means if table in AMOUNTS else -means
        best = losses.argmin()
        for i, name in enumerate(names):
            near[name] += int(losses[i] <= losses[best] + errors[best])
        ranks.append(stats.rankdata(np.round(losses, 6)))
        print(f"{table:20s}" + "".join(f"{f'{m:.4f} ± {e:.4f}':>18s}" for m, e in zip(means, errors, strict=True)))
    print(f"{'mean rank':20s}" + "".join(f"{rank:18.2f}" for rank in np.mean(ranks, axis=0)))
    print(f"{'within one error':20s}" + "".join(f"{near[name]:18d}" for name in names))
    for what in ("fit_s", "predict_s"):
        print(f"\nmedian {what}")
        for table, results in found.items():
            seconds = [np.median([each[what] for each in results[name]]) for name in names]
            print(f"{table:20s}" + "".join(f"{each:18.2f}" for each in seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("folder", type=Path)
    add("--tables", nargs="+", help="default: all of the folder")
    add("--models", nargs="+", help="default: all that are installed")
    add("--seeds", type=int, default=5, help="splits; default: %(default)s")
    add("--trials", type=int, default=20, help="of the tuned models; default: %(default)s")
    add("--json", type=Path, metavar="FILE", help="also write every split's figures")
    args = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores, backend {os.environ.get('KERAS_BACKEND')}")
    warnings.filterwarnings("ignore")
    tables = args.tables or sorted(path.stem for path in args.folder.glob("*.csv"))
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for table in tables:
        x, y = load(args.folder, table)
        amounts = table in AMOUNTS
        found[table] = {name: [] for name in args.models or models(amounts, 0, args.trials)}
        for seed in range(args.seeds):
            rows = np.arange(len(y))
            train, test = train_test_split(rows, test_size=0.2, random_state=seed, stratify=None if amounts else y)
            made = models(amounts, seed, args.trials)
            for name, results in found[table].items():
                results.append(measure(made[name], x, y, train, test, amounts))
                print(f"{table}, split {seed}, {name}: {results[-1]}", flush=True)
        if args.json:
            args.json.write_text(json.dumps(found, indent=1))
    summarise(found)


if __name__ == "__main__":
    main()
