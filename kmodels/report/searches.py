"""What the record and the page hold of a search over hyper-parameters."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from kmodels.errors import DataError
from kmodels.report import search as drawing
from kmodels.report.payoff import differences, verdict

_BEST = 10  # trials on the page


def summary(found: Any, payoff: pd.DataFrame, *, algorithm: str) -> dict[str, Any]:
    """A search in numbers, for `metrics.json`.

    Args:
        found: A `tuning.Search`.
        payoff: What `tuning.payoff` gives.
        algorithm: Name of the algorithm.

    Returns:
        algorithm, trials and completed (their numbers), objective, best (trial, the objective, each hyper-parameter),
        seconds (of all trials together), payoff (a list of its rows) and verdict (a sentence).

    Raises:
        DataError: If no trial was completed.
    """
    ranked = _ranked(found)
    return {
        "algorithm": algorithm,
        "trials": len(found.trials),
        "completed": len(ranked),
        "objective": found.objective,
        "best": ranked.iloc[0][["trial", found.objective, *found.parameters]].to_dict(),
        "seconds": float(found.trials["seconds"].sum()),
        "payoff": payoff.to_dict("records"),
        "verdict": verdict(payoff),
    }


def section(found: Any, payoff: pd.DataFrame) -> dict[str, Any]:
    """What the page's section of a search shows, for `search.html.j2`."""
    ranked, trials = _ranked(found), found.trials
    failed = trials[trials["status"] == "failed"]
    columns = [found.objective, "epoch", "epochs", "seconds", *found.parameters]
    best = ranked.head(_BEST).astype({"epoch": "Int64", "epochs": "Int64"})
    return {
        "verdict": verdict(payoff),
        "payoff": differences(payoff),
        "trials": len(trials),
        "failed": [f"trial {row.trial}: {row.reason}" for row in failed.itertuples()],
        "epochs": int(ranked["epochs"].sum()),
        "seconds": float(ranked["seconds"].sum()),
        "best": best.set_index("trial")[columns],
    }


def figures(found: Any, *, seed: int = 0) -> dict[str, Figure]:
    """The figures of a search, by the names that `search.html.j2` places."""
    trials, parameters, objective = found.trials, found.parameters, found.objective
    drawn = {
        "search_trials": drawing.progress(trials, objective, direction=found.direction),
        "search_parameters": drawing.against_objective(trials, parameters, objective),
        "search_coordinates": drawing.parallel_coordinates(trials, parameters, objective, direction=found.direction),
    }
    ranked = drawing.importance(trials, parameters, objective, seed=seed)
    if len(ranked):
        drawn["search_importance"] = drawing._importance_bars(ranked)
    return drawn


def _ranked(found: Any) -> pd.DataFrame:
    """The completed trials, best first."""
    done = found.trials[found.trials["status"] == "completed"]
    if done.empty:
        raise DataError("no trial was completed", column=found.objective)
    return done.sort_values(found.objective, ascending=found.direction == "min", kind="stable")
