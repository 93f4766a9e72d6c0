"""Whether a search paid: the tuned settings beside the default ones, and the difference told apart from luck."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from kmodels.errors import DataError
from kmodels.report.choice import paired
from kmodels.report.fragments import paragraphs
from kmodels.report.glossary import Metric, describe, number
from kmodels.report.tables import frame


def verdict(payoff: pd.DataFrame) -> str:
    """Says in one sentence whether a search paid, by the first metric of the repeats.

    The difference is taken seed by seed, and it is luck unless its 95 % interval leaves out 0 (`choice.paired`).

    Args:
        payoff: A row for each seed and settings, as `tuning.payoff` makes it: settings ("default" or "tuned"), seed,
            and metrics of the test rows, or of the validation rows where a name begins with `validation_`.

    Returns:
        The sentence.

    Raises:
        DataError: If the table has another form, or a better direction is not known.

    Example:
        >>> runs = {"settings": ["default", "tuned"] * 2, "seed": [0, 0, 1, 1], "rmse": [0.92, 0.90, 0.93, 0.91]}
        >>> print(verdict(pd.DataFrame(runs)))
        The search paid: over the same 2 seeds, the RMSE on test rows is 0.9050 with the tuned settings and 0.9250 ...
    """
    metric = _metrics(payoff)[0]
    label = _described(metric).label
    table = _beside(payoff, metric)
    tuned, seeds = table.loc["tuned"], payoff["seed"].nunique()
    if (payoff.drop(columns="settings").groupby("seed").nunique() == 1).all(axis=None):
        return (
            "The search found nothing better than the default settings, its first trial: with them, the "
            f"{label} on test rows is {number(tuned['mean'])}."
        )
    is_better = (tuned["difference"] < 0) == (_described(metric).better == "lower")
    if seeds == 1:
        opening, closing = "Whether the search paid cannot be said from one seed", "their difference may be luck"
    elif not tuned["beyond_luck"]:
        opening, closing = "The search brought nothing beyond luck", "the 95 % interval of their difference holds 0"
    elif is_better:
        opening, closing = "The search paid", "the 95 % interval of their difference leaves out 0"
    else:
        opening, closing = "The search did harm", "the 95 % interval of their difference leaves out 0"
    over = "with the same seed" if seeds == 1 else f"over the same {seeds} seeds"
    return (
        f"{opening}: {over}, the {label} on test rows is {number(tuned['mean'])} with the tuned settings and "
        f"{number(table.loc['default', 'mean'])} with the default ones, and {closing}."
    )


def differences(payoff: pd.DataFrame) -> pd.DataFrame:
    """Both settings and their difference as text, a row per metric."""
    rows = {}
    for metric in _metrics(payoff):
        each = _beside(payoff, metric).to_dict("index")
        tuned = each["tuned"]
        gap, low, high = (number(tuned[name], like=tuned["mean"]) for name in ("difference", "low", "high"))
        rows[_described(metric).label] = {
            **{f"{name} settings": _spread(each[name]) for name in ("default", "tuned")},
            "difference": gap,
            "95 % interval": f"{low} to {high}" if np.isfinite(tuned["low"]) else "–",
            "tuned is better in": f"{tuned['better_in']} of {len(payoff) // 2}",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def comparison(payoff: pd.DataFrame) -> str:
    """Makes the table of both settings and their difference, a row for each metric.

    Args:
        payoff: As `verdict` takes it.

    Returns:
        Markup.

    Raises:
        DataError: As `verdict`.
    """
    words = (
        "Both settings were trained on the whole training part, over the same seeds of weights and order. Mean ± "
        "standard deviation on the test rows; the difference is tuned less default, seed by seed."
    )
    return paragraphs(words) + frame(differences(payoff), name="metric")


def _beside(payoff: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Sets the tuned settings beside the default ones by one metric."""
    repeats = payoff.pivot(index="seed", columns="settings", values=metric)
    better = _described(metric).better
    assert better is not None  # `_metrics` leaves out what has none
    return paired(repeats, "default", better=better)


def _metrics(payoff: pd.DataFrame) -> list[str]:
    """Names of the metrics that can be compared; refuses a table of another form."""
    missing = [name for name in ("settings", "seed") if name not in payoff]
    if missing or set(payoff["settings"]) != {"default", "tuned"} or payoff.duplicated(["settings", "seed"]).any():
        expected = "settings ('default' and 'tuned'), seed and metrics, a row for each seed and settings"
        raise DataError("not the payoff of a search", expected=expected, received=list(payoff.columns))
    names = [str(name) for name in payoff if name not in ("settings", "seed")]
    known = [name for name in names if _described(name).better and np.isfinite(payoff[name]).all()]
    if not known:
        raise DataError("no metric of the payoff has a known better direction and finite values", received=names)
    return known


def _described(metric: str) -> Metric:
    """Describes a metric of the payoff; `validation_` stands before those of the validation rows."""
    found = describe(metric.removeprefix("validation_"), "")
    return replace(found, label=f"{found.label}, validation") if metric.startswith("validation_") else found


def _spread(row: Mapping[Hashable, Any]) -> str:
    spread = f" ± {number(row['std'], like=row['mean'])}" if np.isfinite(row["std"]) else ""
    return f"{number(row['mean'])}{spread}"
