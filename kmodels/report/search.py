"""The pictures and the table of a search over hyper-parameters, drawn from the table of its trials."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from kmodels.errors import DataError
from kmodels.report.bar_charts import bars
from kmodels.report.canvas import (
    BLUE,
    DENSITY,
    GREY,
    INK,
    ORANGE,
    TEXT,
    Floats,
    few_ticks,
    heading,
    note,
    panels,
    save,
    short,
)
from kmodels.report.fragments import Picture, Section, gallery, listing, paragraphs
from kmodels.report.payoff import comparison, verdict
from kmodels.report.tables import frame

_FEWEST = 5  # completed trials below which nothing can be said about which hyper-parameter matters


def progress(trials: pd.DataFrame, objective: str, *, direction: str = "min") -> Figure:
    """Draws the objective of each trial, and the best one so far.

    Args:
        trials: One row per trial, in order: trial, status and the objective, NaN where it failed.
        objective: Name of the objective's column.
        direction: "min" or "max". Default "min".

    Returns:
        The figure.

    Raises:
        DataError: If no trial was completed.

    Example:
        >>> trials = pd.DataFrame({"trial": [1, 2], "status": ["completed", "failed"], "val_rmse": [0.9, np.nan]})
        >>> progress(trials, "val_rmse").axes[0].get_xlabel()
        'trial'
    """
    done = _completed(trials, objective)
    best = done[objective].cummin() if direction == "min" else done[objective].cummax()
    figure, (axes,) = panels(3.6)
    axes.scatter(done["trial"], done[objective], s=28, color=GREY, zorder=3)
    axes.step(done["trial"], best, where="post", color=BLUE, linewidth=2)
    failed = trials.loc[trials["status"] == "failed", "trial"]
    axes.scatter(failed, np.full(len(failed), done[objective].max()), marker="x", color=ORANGE, zorder=3)
    heading(axes, "Trials, and the best so far")
    at = (0.98, 0.97) if direction == "min" else (0.98, 0.03)
    va = "top" if direction == "min" else "bottom"
    note(axes, f"best {short(float(best.iloc[-1]))}", at, color=BLUE, ha="right", va=va)  # type: ignore[arg-type]
    if len(failed):
        note(axes, f"× {len(failed)} failed", at, color=ORANGE, ha="right", va=va, lines_down=1)  # type: ignore[arg-type]
    axes.set(xlabel="trial", ylabel=objective)
    few_ticks(axes.xaxis)
    return figure


def against_objective(trials: pd.DataFrame, parameters: Sequence[str], objective: str) -> Figure:
    """Draws the objective against each hyper-parameter, a panel each; the later a trial, the darker its dot.

    Args:
        trials: One row per trial: trial, status, the objective and a column for each hyper-parameter.
        parameters: At least one column of `trials`; numbers spread over a factor of 30 or more get a logarithmic axis.
        objective: Name of the objective's column.

    Returns:
        The figure.

    Raises:
        DataError: If no trial was completed.
    """
    done = _completed(trials, objective)
    figure, stack = panels(0.4 + 2.3 * len(parameters), [1.0] * len(parameters))
    for axes, name in zip(stack, parameters, strict=True):
        known = done[name].notna()
        values = _drawable(axes, done.loc[known, name])
        axes.scatter(values, done.loc[known, objective], c=done.loc[known, "trial"], cmap=DENSITY, s=30, edgecolor=INK)
        heading(axes, name)
        axes.set_ylabel(objective)
    return figure


def importance(trials: pd.DataFrame, parameters: Sequence[str], objective: str, *, seed: int = 0) -> pd.DataFrame:
    """Says how much each hyper-parameter moved the objective, by a random forest fitted to the trials.

    The forest predicts the objective from the hyper-parameters; shuffling one of them between the trials costs it that
    much of its R² (Breiman 2001). With few trials this is a hint and no more; a hyper-parameter the search soon fixed
    looks unimportant.

    Args:
        trials: One row per trial.
        parameters: The hyper-parameters' columns.
        objective: Name of the objective's column.
        seed: Seed of the forest. Default 0.

    Returns:
        parameter and importance (loss of R², 0 or more), the largest first; empty with fewer than 5 completed trials.

    Raises:
        DataError: If no trial was completed.

    Example:
        >>> rates = np.linspace(0, 1, 20)
        >>> trials = pd.DataFrame({"status": "completed", "val_rmse": rates, "rate": rates, "units": [1, 2] * 10})
        >>> importance(trials, ["units", "rate"], "val_rmse")["parameter"].tolist()
        ['rate', 'units']
    """
    done = _completed(trials, objective)
    if len(done) < _FEWEST:
        return pd.DataFrame({"parameter": [], "importance": []})
    x = np.column_stack([_codes(done[name]) for name in parameters])
    forest = RandomForestRegressor(200, random_state=seed).fit(x, done[objective])
    drops = permutation_importance(forest, x, done[objective], n_repeats=20, random_state=seed).importances_mean
    table = pd.DataFrame({"parameter": list(parameters), "importance": np.maximum(drops, 0.0)})
    return table.sort_values("importance", ascending=False, ignore_index=True)


def parallel_coordinates(
    trials: pd.DataFrame, parameters: Sequence[str], objective: str, *, direction: str = "min"
) -> Figure:
    """Draws each trial as a line over all hyper-parameters to its objective; the best tenth stands out.

    Args:
        trials: One row per trial.
        parameters: The hyper-parameters' columns.
        objective: Name of the objective's column.
        direction: "min" or "max". Default "min".

    Returns:
        The figure. Each axis goes from the smallest value tried, below, to the largest, above.

    Raises:
        DataError: If no trial was completed.
    """
    done = _completed(trials, objective)
    names = [*parameters, objective]
    scaled, labels = [], []
    for name in names:
        codes = _codes(done[name])
        low, high = np.nanmin(codes), np.nanmax(codes)
        scaled.append((codes - low) / (high - low) if high > low else np.full(len(codes), 0.5))
        ends = [done[name].iloc[int(pick(codes))] for pick in (np.nanargmin, np.nanargmax)]
        labels.append([_text(end) for end in ends])
    order = done[objective].rank(ascending=direction == "min", method="first")
    figure, (axes,) = panels(4.2)
    for row in order.sort_values(ascending=False).index:
        is_good = order[row] <= max(1, len(done) // 10)
        line = [values[done.index.get_loc(row)] for values in scaled]
        axes.plot(line, color=BLUE if is_good else GREY, alpha=1.0 if is_good else 0.35, linewidth=2 if is_good else 1)
    for place, (low_text, high_text) in enumerate(labels):
        axes.axvline(place, color="#B8BEC7", linewidth=0.8)
        axes.annotate(high_text, (place, 1.0), (0, 4), textcoords="offset points", ha="center", fontsize=TEXT - 2)
        axes.annotate(low_text, (place, 0.0), (0, -13), textcoords="offset points", ha="center", fontsize=TEXT - 2)
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axes.set(yticks=[], ylim=(-0.12, 1.12))
    heading(axes, "All trials; blue: the best tenth")
    return figure


def draw(
    folder: str | Path,
    trials: pd.DataFrame,
    parameters: Sequence[str],
    objective: str,
    *,
    direction: str = "min",
    seed: int = 0,
    payoff: pd.DataFrame | None = None,
) -> Section:
    """Draws a search into the run folder's `plots/` and tells it as a section of the report.

    Args:
        folder: The run folder.
        trials: The table of trials, as `tuning.Search` has it.
        parameters: The hyper-parameters.
        objective: Name of the objective's column.
        direction: "min" or "max". Default "min".
        seed: Seed of the forest behind the importances. Default 0.
        payoff: As `payoff.verdict` takes it; None (default) leaves out whether the search paid.

    Returns:
        A section for `html.write_report`: whether the search paid, the ten best trials, what the search cost, and the
        pictures.

    Raises:
        DataError: If no trial was completed, or `payoff` is not as described.
    """
    done = _completed(trials, objective)
    figures = {
        "trials": (
            progress(trials, objective, direction=direction),
            "The search",
            "Validation, each trial's best epoch.",
        ),
        "parameters": (against_objective(trials, parameters, objective), "Each hyper-parameter", "Darker: later."),
        "coordinates": (parallel_coordinates(trials, parameters, objective, direction=direction), "All at once", ""),
    }
    ranked = importance(trials, parameters, objective, seed=seed)
    if len(ranked):
        figures["importance"] = (
            _importance_bars(ranked),
            "What mattered",
            "Loss of R² of a random forest fitted to the trials when a hyper-parameter is shuffled.",
        )
    pictures = [
        Picture(save(figure, Path(folder) / "plots" / f"search_{name}.png"), title, caption)
        for name, (figure, title, caption) in figures.items()
    ]
    best = done.sort_values(objective, ascending=direction == "min", kind="stable").head(10)
    best = best.astype({"epoch": "Int64", "epochs": "Int64"})
    columns = [objective, "epoch", "epochs", "seconds", *parameters]
    failed = trials[trials["status"] == "failed"]
    cost = (
        f"{len(trials)} trials, {len(failed)} of them failed, {done['epochs'].sum():,.0f} epochs and "
        f"{done['seconds'].sum() / 60:.1f} minutes of training."
    )
    reasons = [f"trial {row.trial}: {row.reason}" for row in failed.itertuples()]
    paid = [] if payoff is None else [paragraphs(verdict(payoff), kind="choice"), comparison(payoff)]
    body = [
        *paid,
        paragraphs(cost),
        frame(best.set_index("trial")[columns], caption="The best trials"),
        listing(reasons, summary=f"{len(failed)} failed trials") if reasons else "",
        gallery(pictures),
    ]
    return Section("Search", "\n".join(body))


def tell(
    folder: str | Path, found: Any, payoff: pd.DataFrame | None = None, *, algorithm: str, seed: int = 0
) -> tuple[dict[str, Any], Section]:
    """Tells a search twice, for `metrics.json` and for the page.

    Args:
        folder: The run folder.
        found: A `tuning.Search`.
        payoff: As `payoff.verdict` takes it; None (default) leaves out whether the search paid.
        algorithm: Name of the algorithm.
        seed: As `draw` takes it. Default 0.

    Returns:
        {"search": what `summary` gives}, and what `draw` gives.

    Raises:
        DataError: If no trial was completed, or `payoff` is not as described.
    """
    what, how = (found.trials, found.parameters, found.objective), {"direction": found.direction, "payoff": payoff}
    return {"search": summary(*what, algorithm=algorithm, **how)}, draw(folder, *what, seed=seed, **how)


def summary(
    trials: pd.DataFrame,
    parameters: Sequence[str],
    objective: str,
    *,
    algorithm: str,
    direction: str = "min",
    payoff: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Puts a search into numbers, for `metrics.json`.

    Args:
        trials: The table of trials, as `tuning.Search` has it.
        parameters: The hyper-parameters.
        objective: Name of the objective's column.
        algorithm: Name of the algorithm.
        direction: "min" or "max". Default "min".
        payoff: As `payoff.verdict` takes it; None (default) leaves it out.

    Returns:
        algorithm, trials and completed (their numbers), objective (its name), best (trial, the objective and each
        hyper-parameter), seconds (of all trials together), and with a payoff: payoff, a list of its rows, and verdict.

    Raises:
        DataError: If no trial was completed.

    Example:
        >>> trials = {"trial": [1, 2], "status": "completed", "val_rmse": [0.9, 0.8], "seconds": 3.0, "dim": [8, 4]}
        >>> summary(pd.DataFrame(trials), ["dim"], "val_rmse", algorithm="random")["best"]
        {'trial': 2, 'val_rmse': 0.8, 'dim': 4}
    """
    done = _completed(trials, objective)
    best = done.sort_values(objective, ascending=direction == "min", kind="stable").iloc[0]
    found: dict[str, Any] = {
        "algorithm": algorithm,
        "trials": len(trials),
        "completed": len(done),
        "objective": objective,
        "best": best[["trial", objective, *parameters]].to_dict(),
        "seconds": float(trials["seconds"].sum()),
    }
    if payoff is not None:
        found |= {"payoff": payoff.to_dict("records"), "verdict": verdict(payoff)}
    return found


def _importance_bars(ranked: pd.DataFrame) -> Figure:
    values = dict(zip(ranked["parameter"], ranked["importance"], strict=True))
    figure, (axes,) = panels(1.3 + 0.62 * len(values))
    bars(axes, values, {name: f"{value:.2f}" for name, value in values.items()}, BLUE, room=1.25)
    axes.set_xlabel("loss of R² when shuffled")
    heading(axes, "Importance")
    return figure


def _completed(trials: pd.DataFrame, objective: str) -> pd.DataFrame:
    done = trials[trials["status"] == "completed"]
    if done.empty:
        raise DataError("no trial was completed", column=objective)
    return done


def _codes(values: pd.Series) -> Floats:
    """Numbers as they are, logarithms where they spread widely, places in the sorted order for names."""
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(np.float64)
        return np.log(numbers) if _is_wide(values) else numbers
    return pd.Categorical(values.astype(str)).codes.astype(np.float64)


def _is_wide(values: pd.Series) -> bool:
    return bool(values.min() > 0 and values.max() >= 30 * values.min())


def _drawable(axes: Axes, values: pd.Series) -> pd.Series:
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return values.astype(str)
    if _is_wide(values):
        axes.set_xscale("log")
    return values


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
