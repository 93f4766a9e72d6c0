"""The trials of a search over hyper-parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kmodels.errors import DataError
from kmodels.report.style import (
    BLUE,
    DENSITY,
    GREY,
    INK,
    ORANGE,
    TEXT,
    Floats,
    few_ticks,
    heading,
    named_bars,
    note,
    panels,
    short,
)


def search_progress(trials: pd.DataFrame, objective: str, *, direction: str = "min") -> Figure:
    """Draw the objective of each trial, and the best one so far."""
    done = _completed(trials, objective)
    best = done[objective].cummin() if direction == "min" else done[objective].cummax()
    figure, (axes,) = panels(3.6)
    axes.scatter(done["trial"], done[objective], s=28, color=GREY, zorder=3)
    axes.step(done["trial"], best, where="post", color=BLUE, linewidth=2)
    failed = trials.loc[trials["status"] == "failed", "trial"]
    axes.scatter(failed, np.full(len(failed), done[objective].max()), marker="x", color=ORANGE, zorder=3)
    heading(axes, "Trials, and the best so far")
    texts = [(f"best {short(float(best.iloc[-1]))}", BLUE)] + [(f"× {len(failed)} failed", ORANGE)] * bool(len(failed))
    for line, (text, colour) in enumerate(texts):
        if direction == "min":
            note(axes, text, (0.98, 0.97), color=colour, ha="right", lines_down=line)
        else:
            note(axes, text, (0.98, 0.03), color=colour, ha="right", va="bottom", lines_down=-line)
    axes.set(xlabel="trial", ylabel=objective)
    few_ticks(axes.xaxis)
    return figure


def search_parameters(trials: pd.DataFrame, parameters: Sequence[str], objective: str) -> Figure:
    """Draw the objective against each hyper-parameter, a panel each; the later a trial, the darker its dot."""
    done = _completed(trials, objective)
    figure, stack = panels(0.4 + 2.3 * len(parameters), [1.0] * len(parameters))
    for axes, name in zip(stack, parameters, strict=True):
        known = done[done[name].notna()]
        values = known[name] if _is_number(known[name]) else known[name].astype(str)
        if _is_wide(known[name]):
            axes.set_xscale("log")
        axes.scatter(values, known[objective], c=known["trial"], cmap=DENSITY, s=30, edgecolor=INK)
        heading(axes, name)
        axes.set_ylabel(objective)
    return figure


def search_coordinates(
    trials: pd.DataFrame, parameters: Sequence[str], objective: str, *, direction: str = "min"
) -> Figure:
    """Draw each trial as a line over all hyper-parameters to its objective; the best tenth stands out."""
    done = _completed(trials, objective)
    names = [*parameters, objective]
    figure, (axes,) = panels(4.2)
    scaled = {}
    for index, name in enumerate(names):
        codes = _codes(done[name])
        low, high = np.nanmin(codes), np.nanmax(codes)
        scaled[name] = (codes - low) / (high - low) if high > low else np.full(len(codes), 0.5)
        axes.axvline(index, color="#B8BEC7", linewidth=0.8)
        for row, y, offset in ((np.nanargmax(codes), 1.0, 4), (np.nanargmin(codes), 0.0, -13)):
            text = _text(done[name].iloc[int(row)])
            axes.annotate(text, (index, y), (0, offset), textcoords="offset points", ha="center", fontsize=TEXT - 2)
    lines = np.column_stack(list(scaled.values()))
    order = done[objective].rank(ascending=direction == "min", method="first").to_numpy()
    for row in np.argsort(-order):
        is_good = order[row] <= max(1, len(done) // 10)
        colour, alpha, width = (BLUE, 1.0, 2) if is_good else (GREY, 0.35, 1)
        axes.plot(lines[row], color=colour, alpha=alpha, linewidth=width)
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axes.set(yticks=[], ylim=(-0.12, 1.12))
    heading(axes, "All trials; blue: the best tenth")
    return figure


def search_importance(table: pd.DataFrame) -> Figure:
    """Draw how much each hyper-parameter moved the objective, as `selection.parameter_importance` gives it."""
    values = dict(zip(table["parameter"], table["importance"], strict=True))
    figure, (axes,) = panels(1.3 + 0.62 * len(values))
    named_bars(axes, values, {name: f"{value:.2f}" for name, value in values.items()}, BLUE, room=1.25)
    axes.set_xlabel("loss of R² when shuffled")
    heading(axes, "Importance")
    return figure


def _completed(trials: pd.DataFrame, objective: str) -> pd.DataFrame:
    done = trials[trials["status"] == "completed"]
    if done.empty:
        raise DataError("no trial was completed", column=objective)
    return done


def _codes(values: pd.Series) -> Floats:
    """Numbers as they are, logarithms where they spread widely, positions in the sorted order for names."""
    if _is_number(values):
        numbers = values.to_numpy(np.float64)
        return np.log(numbers) if _is_wide(values) else numbers
    return pd.Categorical(values.astype(str)).codes.astype(np.float64)


def _is_number(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _is_wide(values: pd.Series) -> bool:
    return _is_number(values) and bool(values.min() > 0 and values.max() >= 30 * values.min())


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
