"""What the record and the page hold of a search over hyper-parameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from kmodels.errors import DataError
from kmodels.evaluation import selection
from kmodels.report import sentences
from kmodels.report.figures.trials import search_figures
from kmodels.report.metrics import describe, number, spread


def summary(found: Any, payoff: pd.DataFrame, *, algorithm: str) -> dict[str, Any]:
    """What `tuning.search` and what `tuning.payoff` gives, in numbers for `metrics.json`, and a sentence on both."""
    ranked = _ranked(found)
    return {
        "algorithm": algorithm,
        "trials": len(found.trials),
        "completed": len(ranked),
        "objective": found.objective,
        "best": ranked.iloc[0][["trial", found.objective, *found.parameters]].to_dict(),
        "seconds": float(found.trials["seconds"].sum()),
        "payoff": payoff.to_dict("records"),
        "verdict": sentences.payoff(_compared(payoff), payoff["seed"].nunique()),
    }


def section(found: Any, payoff: pd.DataFrame) -> dict[str, Any]:
    """What the page's section of a search shows, for `search.html.j2`."""
    ranked, trials = _ranked(found), found.trials
    failed = trials[trials["status"] == "failed"]
    columns = [found.objective, "epoch", "epochs", "seconds", *found.parameters]
    best = ranked.head(10).astype({"epoch": "Int64", "epochs": "Int64"})
    return {
        "verdict": sentences.payoff(_compared(payoff), payoff["seed"].nunique()),
        "payoff": differences(payoff),
        "trials": len(trials),
        "failed": [f"trial {row.trial}: {row.reason}" for row in failed.itertuples()],
        "epochs": int(ranked["epochs"].sum()),
        "seconds": float(ranked["seconds"].sum()),
        "best": best.set_index("trial")[columns],
    }


def figures(found: Any, *, seed: int = 0) -> dict[str, Figure]:
    """The figures of a search, by the names that `search.html.j2` shows."""
    return search_figures(found.trials, found.parameters, found.objective, direction=found.direction, seed=seed)


def differences(payoff: pd.DataFrame) -> pd.DataFrame:
    """Both settings and their difference as text, a row per metric."""
    rows = {}
    for metric, row in _compared(payoff).iterrows():
        gap, low, high = (number(row[name], like=row["tuned_mean"]) for name in ("difference", "low", "high"))
        rows[sentences.metric_label(str(metric))] = {
            **{f"{name} settings": spread(row[f"{name}_mean"], row[f"{name}_std"]) for name in ("default", "tuned")},
            "difference": gap,
            "95 % interval": f"{low} to {high}" if np.isfinite(row["low"]) else "–",
            "tuned is better in": f"{row['better_in']} of {len(payoff) // 2}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _compared(payoff: pd.DataFrame) -> pd.DataFrame:
    better = {name: describe(name.removeprefix("validation_")).better for name in map(str, payoff)}
    return selection.payoff_summary(payoff, {name: each for name, each in better.items() if each is not None})


def _ranked(found: Any) -> pd.DataFrame:
    """The completed trials, best first."""
    done = found.trials[found.trials["status"] == "completed"]
    if done.empty:
        raise DataError("no trial was completed", column=found.objective)
    return done.sort_values(found.objective, ascending=found.direction == "min", kind="stable")
