"""The trials of a search over hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kmodels.evaluation import selection
from kmodels.report import style
from kmodels.report.figures.comparison import bars
from kmodels.report.style import few_ticks, heading, is_wide, label, note, panels, short


def search_figures(
    trials: pd.DataFrame, parameters: Sequence[str], objective: str, *, direction: str = "min", seed: int = 0
) -> dict[str, Figure]:
    """Draw the table of trials that `tuning.search` has; `seed` is that of the forest behind the importances."""
    done = trials[trials["status"] == "completed"]
    failed = trials.loc[trials["status"] == "failed", "trial"]
    drawn = {
        "search_trials": _progress(done, failed, objective, direction),
        "search_parameters": _parameters(done, parameters, objective),
        "search_coordinates": _coordinates(done, [*parameters, objective], direction),
    }
    ranked = selection.parameter_importance(trials, parameters, objective, seed=seed)
    values = dict(zip(ranked["parameter"], ranked["importance"], strict=True)) if len(ranked) else {}
    return drawn | ({"search_importance": bars(values, "loss of R² when shuffled")} if values else {})


def _progress(done: pd.DataFrame, failed: pd.Series, objective: str, direction: str) -> Figure:
    """The objective of each trial, and the best one so far."""
    best = done[objective].cummin() if direction == "min" else done[objective].cummax()
    figure, (axes,) = panels(3.6)
    axes.scatter(done["trial"], done[objective], s=28, color=style.GREY, zorder=3)
    axes.step(done["trial"], best, where="post", color=style.BLUE, linewidth=2)
    axes.scatter(failed, np.full(len(failed), done[objective].max()), marker="x", color=style.ORANGE, zorder=3)
    corner = "top right" if direction == "min" else "bottom right"
    note(axes, f"best {short(float(best.iloc[-1]))}", corner, color=style.BLUE)
    if len(failed):
        note(axes, f"× {len(failed)} failed", corner, color=style.ORANGE, lines=1)
    heading(axes, "Trials, and the best so far")
    axes.set(xlabel="trial", ylabel=objective)
    few_ticks(axes.xaxis)
    return figure


def _parameters(done: pd.DataFrame, parameters: Sequence[str], objective: str) -> Figure:
    """The objective against each hyper-parameter, a panel each; the later a trial, the darker its dot."""
    figure, stack = panels(0.4 + 2.3 * len(parameters), [1.0] * len(parameters))
    for axes, name in zip(stack, parameters, strict=True):
        known = done[done[name].notna()]
        is_number = known[name].dtype.kind in "iuf"
        axes.set_xscale("log" if is_number and is_wide(known[name], 30) else "linear")
        values = known[name] if is_number else known[name].astype(str)
        axes.scatter(values, known[objective], c=known["trial"], cmap=style.DENSITY, s=30, edgecolor=style.INK)
        heading(axes, name)
        axes.set_ylabel(objective)
    return figure


def _coordinates(done: pd.DataFrame, names: Sequence[str], direction: str) -> Figure:
    """Each trial as a line over all hyper-parameters to its objective, the last name; the best tenth stands out."""
    figure, (axes,) = panels(4.2)
    names = [name for name in names if done[name].notna().any()]
    scaled = []
    for index, name in enumerate(names):
        values, is_number = done[name], done[name].dtype.kind in "iuf"
        codes = (values if is_number else values.astype(str).astype("category").cat.codes).to_numpy(float)
        codes = np.log(codes) if is_number and is_wide(codes, 30) else codes
        low, high = np.nanmin(codes), np.nanmax(codes)
        scaled.append((codes - low) / (high - low) if high > low else np.full(len(codes), 0.5))
        axes.axvline(index, color="#B8BEC7", linewidth=0.8)
        for row, y, offset in ((np.nanargmax(codes), 1.0, 4), (np.nanargmin(codes), 0.0, -13)):
            value = values.iloc[int(row)]
            text = f"{value:.3g}" if isinstance(value, float) else str(value)
            label(axes, (index, y), (0, offset), text, ha="center", fontsize=style.TEXT - 2)
    order = done[names[-1]].rank(ascending=direction == "min", method="first").to_numpy()
    lines = np.column_stack(scaled)
    for row in np.argsort(-order):
        is_good = order[row] <= max(1, len(done) // 10)
        colour, alpha, width = (style.BLUE, 1.0, 2) if is_good else (style.GREY, 0.35, 1)
        axes.plot(lines[row], color=colour, alpha=alpha, linewidth=width)
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axes.set(yticks=[], ylim=(-0.12, 1.12))
    heading(axes, "All trials; blue: the best tenth")
    return figure
