"""Sentences that page, terminal and `metrics.json` share, made from the facts of `evaluation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from kmodels.evaluation.selection import Choice
from kmodels.report.metrics import COSTS, describe, number
from kmodels.report.style import signed

_OPENINGS = {
    "better": "The search paid",
    "worse": "The search did harm",
    "not significant": "The search brought no significant gain",
    "one seed": "Whether the search paid cannot be said from one seed",
}
_CLOSINGS = {
    "not significant": "the 95 % interval of their difference holds 0",
    "one seed": "their difference may be chance",
}


def choice(found: Choice, metric: str, cost: str = "parameters") -> str:
    """Say which model was chosen by a validation metric, and why."""
    label = describe(metric).label
    label = label if label[:2].isupper() else label[0].lower() + label[1:]
    named, unit = COSTS.get(cost, (cost.replace("_", " "), ""))
    costs = {name: f"{_figure(value)} {unit}".strip() for name, value in found.costs.items()}
    values = {name: _figure(value) for name, value in found.values.items()}
    opening = f"{found.name} was chosen: its validation {label} of {values[found.name]}"
    if found.name != found.best:
        other = found.costs[found.best]
        share = 100 * found.costs[found.name] / other if other else 100.0
        return (
            f"{opening} lies within {_tolerance(found)} of the best, {values[found.best]} of {found.best}, at "
            f"{share:.0f} % of its {named} ({costs[found.name]} against {costs[found.best]})."
        )
    if found.nearest is None:
        return f"{opening} is the best of {len(values)}, and none costs less ({named}: {costs[found.name]})."
    return (
        f"{opening} is the best of {len(values)}, and none that costs less ({named}, here {costs[found.name]}) comes "
        f"within {_tolerance(found)} of it: the nearest is {found.nearest} with {values[found.nearest]}."
    )


def payoff(summary: pd.DataFrame, seeds: int) -> str:
    """Say whether a search paid, by the first metric of `selection.payoff_summary`."""
    metric, row = str(summary.index[0]), summary.iloc[0]
    label, tuned, default = metric_label(metric), number(row["tuned_mean"]), number(row["default_mean"])
    if row["outcome"] == "same settings":
        return (
            "The search found nothing better than the default settings, its first trial: with them, the "
            f"{label} on test rows is {tuned}."
        )
    closing = _CLOSINGS.get(row["outcome"], "the 95 % interval of their difference leaves out 0")
    over = "with the same seed" if seeds == 1 else f"over the same {seeds} seeds"
    return (
        f"{_OPENINGS[row['outcome']]}: {over}, the {label} on test rows is {tuned} with the tuned settings and "
        f"{default} with the default ones, and {closing}."
    )


def significance(paired: pd.DataFrame, baselines: Sequence[str], metric: str, folds: int) -> str:
    """Say whether a model is ahead of the best baseline; `paired` compares all with it, by `selection.paired`."""
    best = str(paired.index[paired["difference"].isna()][0])
    other = str(paired.loc[list(baselines), "mean"].idxmax())
    row = paired.to_dict("index")[other]
    side = "ahead of" if row["difference"] < 0 else "behind"
    gap, low, high = (signed(-float(row[name])) for name in ("difference", "high", "low"))
    verdict = "significant" if row["significant"] else "not significant"
    return (
        f"In {describe(metric).label}, {best} is {side} the best baseline, {other}, by {gap} (95 % interval {low} to "
        f"{high} over {folds} folds): the difference is {verdict}."
    )


def metric_label(name: str) -> str:
    """Label a metric of a payoff, where `validation_` stands before those of the validation rows."""
    label = describe(name.removeprefix("validation_")).label
    return f"{label}, validation" if name.startswith("validation_") else label


def _tolerance(found: Choice) -> str:
    source = "the tolerance set beforehand"
    if found.rows is not None:
        source = f"one standard error over {found.rows:,} rows"
    if found.repeats is not None:
        source = f"one standard error over {found.repeats} repeats"
    return f"{found.tolerance:.2g} ({source})"


def _figure(value: float) -> str:
    return number(int(value) if abs(value) > 1 and float(value).is_integer() else value)


def decision(found: Mapping[str, Any]) -> str:
    """What `workflow.Task.decide` measured, in words; "" where that is nothing."""
    if at := found.get("at_threshold"):
        share, cut = at["balanced_accuracy"], at["threshold"]
        return f"With the second class predicted from a probability of {cut:.3f} on, balanced accuracy is {share:.3f}."
    if at := found.get("intervals"):
        share, asked = 100 * at["coverage"], 100 * at["asked"]
        return f"Predictions ± {at['half_width']:,.4g} hold {share:.1f} % of the test rows, {asked:g} % asked for."
    return ""
