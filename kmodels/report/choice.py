"""Which variant to take, and why: a metric against what it costs, and differences told apart from luck."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from kmodels.errors import ConfigurationError, DataError
from kmodels.report.glossary import COSTS, Better, best, describe
from kmodels.report.record import costs_of


def choose(
    variants: Mapping[str, Mapping[str, Any]],
    metric: str,
    *,
    cost: str = "parameters",
    tolerance: float | None = None,
    rows: int | None = None,
    repeats: pd.DataFrame | None = None,
) -> tuple[str, str]:
    """Choose the cheapest variant that cannot be told from the best one, by its figures on the validation split.

    This is the one-standard-error rule (Breiman, Friedman, Olshen and Stone 1984, section 3.4.3). How far below the
    best still counts as equal is said by exactly one of `tolerance`, `rows` and `repeats`.

    Args:
        variants: `record["variants"]`: each with `validation`, `model.parameters`, `timing.fit_s` and perhaps `cost`.
        metric: Name of a validation metric with a known better direction, such as "accuracy" or "rmse".
        cost: "parameters" (default), "fit_s", or a name in every variant's `cost`; less is better.
        tolerance: The greatest difference from the best that counts as equal, in the metric's unit.
        rows: Number of validation rows, for a metric that is a share of them ("accuracy"): the tolerance is the
            standard error of the best one's share, sqrt(p (1 - p) / rows).
        repeats: Validation metric of each repeat (row) and variant (column), two repeats or more: the means are
            compared, and the tolerance is the standard error of the best one's mean.

    Returns:
        The variant's name, and a sentence with the numbers that justify it.

    Raises:
        ConfigurationError: The metric has no known better direction, or not exactly one tolerance is given.
        DataError: A variant lacks the metric or the cost, or `repeats` lacks a variant or has fewer than two rows.

    Example:
        >>> variants = {
        ...     "small": {"validation": {"accuracy": 0.93}, "model": {"parameters": 60_000}, "timing": {"fit_s": 9}},
        ...     "wide": {"validation": {"accuracy": 0.932}, "model": {"parameters": 270_000}, "timing": {"fit_s": 30}},
        ... }
        >>> name, why = choose(variants, "accuracy", rows=6000)
        >>> name
        'small'
        >>> print(why)
        small was chosen: its validation accuracy of 0.9300 lies within 0.0033 (one standard error over 6,000 rows) of
        the best, 0.9320 of wide, at 22 % of its parameters (60,000 against 270,000).
    """
    better = describe(metric, "").better
    if better is None:
        raise ConfigurationError(f"{metric!r} cannot choose: whether lower or higher is better is not known")
    values = _values(variants, metric, repeats)
    first = best(values, better)
    assert first is not None  # `_values` holds finite numbers, at least one
    allowed, how = _tolerance(values[first], first, tolerance, rows, repeats)
    prices: dict[str, float] = {}
    for name, record in variants.items():
        known = costs_of(record)
        if cost not in known:
            raise DataError("a variant has no such cost", column=f"{name}.{cost}", received=sorted(known))
        prices[name] = known[cost]
    sign = 1 if better == "lower" else -1
    equal = [name for name in values if sign * (values[name] - values[first]) <= allowed + 1e-12]
    chosen = min(equal, key=lambda name: (prices[name], sign * values[name]))
    return chosen, _sentence(values, prices, chosen, first, metric, cost, f"{allowed:.2g} ({how})")


def paired(
    table: pd.DataFrame, baseline: str, *, better: Better = "higher", test_to_train: float = 0.0
) -> pd.DataFrame:
    """Set each variant's repeats beside those of one of them, repeat by repeat, so that luck of the split cancels.

    Args:
        table: (repeats, variants) one metric: a row for each seed or fold, the same for every variant; finite.
        baseline: The column the others are set beside.
        better: Whether "higher" (default) or "lower" values are better.
        test_to_train: Rows tested over rows trained on where the repeats are folds or splits of the same rows (0.25
            for five folds): such repeats are not independent, and the interval is widened accordingly (Nadeau and
            Bengio 2003, the corrected resampled t-test). 0, the default, is for independent repeats.

    Returns:
        A row for each variant: `mean` and `std` (of the sample; NaN for one repeat), `difference` (mean of variant
        less baseline), `low` and `high` (95 % interval of the difference by Student's t), `better_in` (repeats in
        which it is ahead of the baseline) and `beyond_luck` (whether the interval leaves out 0). The baseline's own
        difference and interval are NaN.

    Raises:
        DataError: `baseline` is no column, the table is empty, or a value is not finite.

    Example:
        >>> repeats = pd.DataFrame({"majority": [0.5, 0.6, 0.55], "net": [0.6, 0.71, 0.64]})
        >>> paired(repeats, "majority").round(3).loc["net", ["difference", "low", "high"]].to_dict()
        {'difference': 0.1, 'low': 0.075, 'high': 0.125}
    """
    if baseline not in table:
        raise DataError("no such variant", column=baseline, expected=f"one of {', '.join(map(str, table.columns))}")
    values = table.to_numpy(dtype=np.float64)
    if not len(values) or not np.isfinite(values).all():
        raise DataError("every variant needs a finite value in every repeat", received=table.shape)
    repeats, sign = len(values), 1 if better == "higher" else -1
    rows: dict[str, dict[str, object]] = {}
    for name, own in zip(map(str, table.columns), values.T, strict=True):
        gap = own - table[baseline].to_numpy(dtype=np.float64)
        half = np.nan
        if repeats > 1:
            error = gap.std(ddof=1) * np.sqrt(1 / repeats + test_to_train)
            half = float(stats.t.ppf(0.975, repeats - 1) * error)
        mean = float(gap.mean())
        itself = name == baseline
        rows[name] = {
            "mean": float(own.mean()),
            "std": float(own.std(ddof=1)) if repeats > 1 else np.nan,
            "difference": np.nan if itself else mean,
            "low": np.nan if itself else mean - half,
            "high": np.nan if itself else mean + half,
            "better_in": int((sign * gap > 0).sum()),
            "beyond_luck": bool(not itself and abs(mean) > half),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("variant")


def _values(variants: Mapping[str, Mapping[str, Any]], metric: str, repeats: pd.DataFrame | None) -> dict[str, float]:
    """Collect what is compared: each variant's validation figure, or the mean of its repeats."""
    if not variants:
        raise DataError("there is no variant to choose from", expected="at least one")
    values: dict[str, float] = {}
    for name, record in variants.items():
        if repeats is not None and name not in repeats:
            raise DataError("the repeats lack a variant", column=name, received=list(repeats.columns))
        value = record["validation"].get(metric) if repeats is None else repeats[name].mean(skipna=False)
        if value is None or not np.isfinite(value):
            raise DataError("a variant has no such figure", column=f"{name}.validation.{metric}", received=value)
        values[name] = float(value)
    return values


def _tolerance(
    value: float,
    first: str,
    tolerance: float | None,
    rows: int | None,
    repeats: pd.DataFrame | None,
) -> tuple[float, str]:
    """Say how far from the best counts as equal, and in words why."""
    if sum(given is not None for given in (tolerance, rows, repeats)) != 1:
        raise ConfigurationError("give exactly one of tolerance, rows and repeats: it says what counts as equal")
    if tolerance is not None:
        if tolerance < 0:
            raise ConfigurationError(f"tolerance must not be negative. Received: tolerance={tolerance}")
        return tolerance, "the tolerance set beforehand"
    if rows is not None:
        if not 0 <= value <= 1 or rows < 1:
            raise ConfigurationError(f"rows go with a share from 0 to 1. Received: rows={rows}, value={value}")
        return float(np.sqrt(value * (1 - value) / rows)), f"one standard error over {rows:,} rows"
    assert repeats is not None
    if len(repeats) < 2:
        raise DataError("one repeat has no standard error", expected="two repeats or more", received=len(repeats))
    error = float(repeats[first].std(ddof=1) / np.sqrt(len(repeats)))
    return error, f"one standard error over {len(repeats)} repeats"


def _sentence(
    values: Mapping[str, float],
    prices: Mapping[str, float],
    chosen: str,
    first: str,
    metric: str,
    cost: str,
    allowed: str,
) -> str:
    """Say in one sentence what was chosen and why."""
    label = describe(metric, "").label
    label = label if label[:2].isupper() else label[0].lower() + label[1:]
    named, unit = COSTS.get(cost, (cost.replace("_", " "), ""))
    price = f"{_figure(prices[chosen])}{' ' + unit if unit else ''}"
    figure = f"validation {label} of {_figure(values[chosen])}"
    if chosen != first:
        share = 100 * prices[chosen] / prices[first] if prices[first] else 100.0
        rival = f"{_figure(prices[first])}{' ' + unit if unit else ''}"
        return (
            f"{chosen} was chosen: its {figure} lies within {allowed} of the best, {_figure(values[first])} of "
            f"{first}, at {share:.0f} % of its {named} ({price} against {rival})."
        )
    cheaper = {name: value for name, value in values.items() if prices[name] < prices[chosen]}
    opening = f"{chosen} was chosen: its {figure} is the best of {len(values)}"
    if not cheaper:
        return f"{opening}, and none costs less ({named}: {price})."
    runner = best(cheaper, describe(metric, "").better)
    assert runner is not None
    return (
        f"{opening}, and none that costs less ({named}, here {price}) comes within {allowed} of it: the "
        f"nearest is {runner} with {_figure(values[runner])}."
    )


def _figure(value: float) -> str:
    """Write a metric or a cost: a count whole, a fraction with four decimals, what is larger with one."""
    if abs(value) > 1 and float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.4f}" if abs(value) < 10 else f"{value:,.1f}"
