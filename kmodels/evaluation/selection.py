"""Model selection and significance: the one-standard-error rule, paired tests, the payoff of a search, fold means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from kmodels import checks
from kmodels.errors import ConfigurationError, DataError

__all__ = ["choose", "paired"]

Better = Literal["lower", "higher"]
Outcome = Literal["better", "worse", "not significant", "one seed", "same settings"]
# Model -> of each fold, in the same order, part -> metric -> value.
Folds = Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]]
_FEWEST_TRIALS = 5  # below which nothing can be said about which hyper-parameter matters


@dataclass(frozen=True)
class Choice:
    """What `choose` chose, and the facts that justify it."""

    name: str
    best: str  # the model with the best value
    values: Mapping[str, float]  # what was compared, by model
    costs: Mapping[str, float]
    tolerance: float  # the difference from the best that counts as equal
    rows: int | None  # validation rows behind the tolerance
    repeats: int | None  # repeats behind the tolerance; without rows and repeats it was set beforehand
    nearest: str | None  # of the models cheaper than the chosen one, the best


def choose(
    values: Mapping[str, float],
    costs: Mapping[str, float],
    *,
    better: Better = "higher",
    tolerance: float | None = None,
    rows: int | None = None,
    repeats: pd.DataFrame | None = None,
) -> Choice:
    """Choose the cheapest model whose validation value is within a tolerance of the best.

    This is the one-standard-error rule (Breiman, Friedman, Olshen and Stone 1984, section 3.4.3). Exactly one of
    `tolerance`, `rows` and `repeats` says what counts as equal.

    Args:
        values: Validation value by model; with `repeats`, their means are taken instead.
        costs: Cost by model, less is better; the same names.
        better: Whether "higher" (default) or "lower" values are better.
        tolerance: The greatest difference from the best that counts as equal.
        rows: Number of validation rows, for a value that is a share of them (accuracy): the tolerance is the standard
            error of the best one's share, sqrt(p (1 - p) / rows).
        repeats: (repeats, models), two repeats or more, those with NaN left out: the tolerance is the standard
            error of the best one's mean.

    Returns:
        The choice.

    Raises:
        ConfigurationError: Not exactly one tolerance is given, or it cannot be one.
        DataError: There is no model, a value is not finite, or `costs` or `repeats` lack a model.

    Example:
        >>> chosen = choose({"small": 0.93, "wide": 0.932}, {"small": 60_000, "wide": 270_000}, rows=6000)
        >>> chosen.name, chosen.best, round(chosen.tolerance, 4)
        ('small', 'wide', 0.0033)
    """
    if sum(given is not None for given in (tolerance, rows, repeats)) != 1:
        raise ConfigurationError("give exactly one of tolerance, rows and repeats: it says what counts as equal")
    if not values:
        raise DataError("there is no model to choose from", expected="at least one")
    for name in values:
        if repeats is not None and name not in repeats:
            raise DataError("the repeats lack a model", column=name, received=list(repeats.columns))
        if name not in costs:
            raise DataError("a model has no cost", column=name, received=sorted(costs))
    if repeats is not None:
        repeats = repeats[list(values)].dropna()
        values = {name: float(repeats[name].mean()) for name in values}
    for name, value in values.items():
        if not np.isfinite(value):
            raise DataError("a model has no finite value", column=name, received=value)
    sign = 1 if better == "lower" else -1
    best = min(values, key=lambda name: sign * values[name])
    allowed = _tolerance(values[best], best, tolerance, rows, repeats)
    equal = [name for name in values if sign * (values[name] - values[best]) <= allowed + 1e-12]
    chosen = min(equal, key=lambda name: (costs[name], sign * values[name]))
    cheaper = [name for name in values if costs[name] < costs[chosen]]
    nearest = min(cheaper, key=lambda name: sign * values[name]) if cheaper else None
    known = {name: costs[name] for name in values}
    count = None if repeats is None else len(repeats)
    return Choice(chosen, best, dict(values), known, allowed, rows, count, nearest)


def paired(
    table: pd.DataFrame, baseline: str, *, better: Better = "higher", test_to_train: float = 0.0
) -> pd.DataFrame:
    """Compare models with one of them repeat by repeat, so that the variation between repeats cancels.

    Args:
        table: (repeats, models) one metric: a row for each seed or fold, the same for every model. Repeats in which a
            value is NaN, such as ROC AUC where all test rows are of one class, are left out.
        baseline: The column the others are compared with.
        better: Whether "higher" (default) or "lower" values are better.
        test_to_train: Test rows over training rows where the repeats are folds or splits of the same rows (0.25 for
            five folds): such repeats are not independent, and the interval is widened accordingly (Nadeau and Bengio
            2003, the corrected resampled t-test). 0, the default, is for independent repeats.

    Returns:
        A row for each model: `mean` and `std` (of the sample; NaN for one repeat), `difference` (mean of model less
        baseline), `low` and `high` (95 % interval of the difference by Student's t), `better_in` (repeats in which it
        is ahead of the baseline) and `significant` (whether the interval leaves out 0). The baseline's own difference
        and interval are NaN; where no repeat is left, all are.

    Raises:
        DataError: `baseline` is no column, or a value is infinite.

    Example:
        >>> repeats = pd.DataFrame({"majority": [0.5, 0.6, 0.55], "net": [0.6, 0.71, 0.64]})
        >>> paired(repeats, "majority").round(3).loc["net", ["difference", "low", "high"]].to_dict()
        {'difference': 0.1, 'low': 0.075, 'high': 0.125}
    """
    if baseline not in table:
        raise DataError("no such model", column=baseline, expected=f"one of {', '.join(map(str, table.columns))}")
    table = table.astype(np.float64).dropna()
    for name in table:
        checks.finite(table[name].to_numpy(), str(name))
    repeats, sign = len(table), 1 if better == "higher" else -1
    gaps = table.sub(table[baseline], axis="index")
    difference = gaps.mean()
    reach = stats.t.ppf(0.975, repeats - 1) * gaps.std() * np.sqrt(1 / max(repeats, 1) + test_to_train)
    compared = {"difference": difference, "low": difference - reach, "high": difference + reach}
    found = pd.DataFrame({"mean": table.mean(), "std": table.std(), **compared})
    found.loc[baseline, list(compared)] = np.nan
    found = found.assign(better_in=(sign * gaps > 0).sum(), significant=difference.abs() > reach)
    return found.rename(index=str).rename_axis("model")


def paired_folds(
    folds: Folds, baseline: str, metric: str, *, better: Better = "higher", test_to_train: float
) -> pd.DataFrame:
    """Compares models over the folds of a cross-validation by a metric of the test rows, as `paired` does."""
    table = pd.DataFrame({name: [fold["test"][metric] for fold in every] for name, every in folds.items()})
    return paired(table, baseline, better=better, test_to_train=test_to_train)


def mean_and_std(folds: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """Mean of each metric over the folds that have it, and its standard deviation (of the sample; NaN for one)."""
    if not folds or any(set(fold) != set(folds[0]) for fold in folds):
        raise DataError("the folds have no metrics in common", received=[sorted(fold) for fold in folds])
    table = pd.DataFrame(folds, dtype=np.float64)
    mean, std = table.mean().to_dict(), table.std().to_dict()
    return {str(name): value for name, value in mean.items()}, {str(name): value for name, value in std.items()}


def fold_means(folds: Folds) -> dict[str, dict[str, dict[str, float]]]:
    """Model -> part -> metric -> mean over the folds."""
    return {
        name: {part: mean_and_std([fold[part] for fold in every])[0] for part in every[0]}
        for name, every in folds.items()
    }


def mean_history(histories: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Averages each epoch over the trainings that reached it."""
    return pd.concat(list(histories)).groupby("epoch", as_index=False).mean()


def payoff_summary(runs: pd.DataFrame, better: Mapping[str, Better]) -> pd.DataFrame:
    """Compare the tuned settings with the default ones seed by seed, given the table of `tuning.payoff`.

    Returns a row for each metric that has a direction in `better` and finite values: mean and std of both settings,
    what `paired` gives of the tuned ones, and the `Outcome` of the search.
    """
    missing = [name for name in ("settings", "seed") if name not in runs]
    if missing or any(sorted(each) != ["default", "tuned"] for _, each in runs.groupby("seed")["settings"]):
        expected = "settings ('default' and 'tuned'), seed and metrics, a row for each seed and settings"
        raise DataError("not the payoff of a search", expected=expected, received=list(runs.columns))
    names = [str(name) for name in runs if name not in ("settings", "seed")]
    kept = [name for name in names if name in better and np.isfinite(runs[name]).all()]
    if not kept:
        raise DataError("no metric of the payoff has a known better direction and finite values", received=names)
    same = bool((runs.drop(columns="settings").groupby("seed").nunique() == 1).all(axis=None))
    rows = {}
    for metric in kept:
        repeats = runs.pivot(index="seed", columns="settings", values=metric)
        table = paired(repeats, "default", better=better[metric])
        values = {f"{name}_{kind}": table.loc[name, kind] for name in ("default", "tuned") for kind in ("mean", "std")}
        tuned = table.loc["tuned", ["difference", "low", "high", "better_in", "significant"]].to_dict()
        rows[metric] = values | tuned | {"outcome": _outcome(tuned, better[metric], len(repeats), same)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")


def parameter_importance(
    trials: pd.DataFrame, parameters: Sequence[str], objective: str, *, seed: int = 0
) -> pd.DataFrame:
    """Loss of R² when one hyper-parameter is shuffled, by a random forest of completed trials, the largest first.

    With few trials this is a hint and no more (Breiman 2001); with fewer than 5 the table is empty.
    """
    done = trials[trials["status"] == "completed"]
    if len(done) < _FEWEST_TRIALS:
        return pd.DataFrame({"parameter": [], "importance": []})
    x = np.column_stack([_codes(done[name]) for name in parameters])
    forest = RandomForestRegressor(200, random_state=seed).fit(x, done[objective])
    drops = permutation_importance(forest, x, done[objective], n_repeats=20, random_state=seed).importances_mean
    table = pd.DataFrame({"parameter": list(parameters), "importance": np.maximum(drops, 0.0)})
    return table.sort_values("importance", ascending=False, ignore_index=True)


def _tolerance(
    value: float, best: str, tolerance: float | None, rows: int | None, repeats: pd.DataFrame | None
) -> float:
    if tolerance is not None:
        if tolerance < 0:
            raise ConfigurationError(f"tolerance must not be negative. Received: tolerance={tolerance}")
        return tolerance
    if rows is not None:
        if not 0 <= value <= 1 or rows < 1:
            raise ConfigurationError(f"rows go with a share from 0 to 1. Received: rows={rows}, value={value}")
        return float(np.sqrt(value * (1 - value) / rows))
    assert repeats is not None
    if len(repeats) < 2:
        raise DataError("one repeat has no standard error", expected="two repeats or more", received=len(repeats))
    return float(repeats[best].std(ddof=1) / np.sqrt(len(repeats)))


def _outcome(tuned: Mapping[Any, Any], better: Better, seeds: int, same: bool) -> Outcome:
    if same:
        return "same settings"
    if seeds == 1:
        return "one seed"
    if not tuned["significant"]:
        return "not significant"
    return "better" if (tuned["difference"] < 0) == (better == "lower") else "worse"


def _codes(values: pd.Series) -> np.ndarray:
    """Numbers as they are, logarithms where they spread widely, positions in the sorted order for names."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(np.float64)
        return np.log(numbers) if values.min() > 0 and values.max() >= 30 * values.min() else numbers
    return pd.Categorical(values.astype(str)).codes.astype(np.float64)
