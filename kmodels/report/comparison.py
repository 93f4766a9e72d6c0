"""The tables of a page that set models beside each other and their baselines, and the words that explain them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from kmodels.report.fragments import fold
from kmodels.report.glossary import (
    CATALOGUE,
    CATALOGUE_MEANING,
    COSTS,
    FLATTERING,
    best,
    by_group,
    describe,
)
from kmodels.report.record import costs_of, unit_of
from kmodels.report.tables import table

_ASIDE = {"validation": "model on validation", "train": "model on training"}
_FOLDED = {
    "validation": "The variants on the validation split, on which the choice was made",
    "train": "The variants on the training split",
}
_NO_CONTEST = ("ece",)  # whoever gives every row the classes' shares is calibrated, and knows nothing
_PARTS = {"test": "on the test split", "validation": "on the validation split", "train": "on the training split"}


def comparison(record: Mapping[str, Any]) -> str:
    """Make the tables that set a model, or each variant, beside the baselines, one for each kind of metric.

    Args:
        record: A record of `metrics.json`, in JSON's types.

    Returns:
        Markup. Arrows say which direction is better, the best test value of a column is bold with a star (not
        among the flattering figures). The figures on the validation split, and on the training split where the
        record has them, stand outside the contest: below one model, folded away below variants.

    Example:
        >>> record = {"model": {"name": "NeuMF"}, "test": {"rmse": 0.89}, "validation": {"rmse": 0.88},
        ...           "baselines": {"biases": {"rmse": 0.94}}, "data": {"unit": "stars"}}
        >>> "RMSE (stars)" in comparison(record)
        True
    """
    unit, baselines = unit_of(record), record["baselines"]
    if "variants" not in record:
        model = f"{record['model']['name']}"
        aside = {words: record[split] for split, words in _ASIDE.items() if record.get(split)}
        return "\n".join(_contest("test", {model: record["test"], **baselines}, unit, chosen=model, aside=aside))
    variants, chosen = record["variants"], record["best"]
    main = _contest("test", {name: each["test"] for name, each in variants.items()} | baselines, unit, chosen=chosen)
    for split, summary in _FOLDED.items():
        values = {name: each[split] for name, each in variants.items() if each.get(split)}
        if values:
            main.append(fold(summary, "\n".join(_contest(split, values, unit, chosen=chosen))))
    return "\n".join(main)


def costs(record: Mapping[str, Any]) -> str:
    """Make the table of what each variant costs, the cheapest of each column bold.

    Args:
        record: A record of variants, in JSON's types.

    Returns:
        Markup: parameters, training time and what each variant's `cost` holds, and the epochs run.

    Example:
        >>> one = {"model": {"name": "cnn", "parameters": 900}, "timing": {"fit_s": 2.5, "epochs": 3}}
        >>> "time (s)" in costs({"variants": {"small": one}, "best": "small"})
        True
    """
    variants = record["variants"]
    each = {name: costs_of(values) for name, values in variants.items()}
    names = list(dict.fromkeys(cost for values in each.values() for cost in values))
    rows: dict[str, list[object]] = {
        name: [variants[name]["timing"]["epochs"], *(_cost(values.get(cost)) for cost in names)]
        for name, values in each.items()
    }
    bold = [None, *(best({name: values.get(cost) for name, values in each.items()}, "lower") for cost in names)]
    head = ["variant", "epochs", *map(cost_label, names)]
    return table(head, rows, caption="What each costs", bold=bold, classes={record["best"]: "model"})


def _cost(value: float | None) -> object:
    return value if value is None or isinstance(value, int) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def cost_label(name: str) -> str:
    """Name a cost with its unit, as an axis or a heading shows it.

    Args:
        name: A key of `glossary.COSTS`, or any other.

    Returns:
        The label; a name that is not known is shown with its underscores as spaces.

    Example:
        >>> cost_label("fit_s"), cost_label("energy_kwh")
        ('training time (s)', 'energy kwh')
    """
    label, unit = COSTS.get(name, (name.replace("_", " "), ""))
    return f"{label} ({unit})" if unit else label


def metric_label(name: str, unit: str = "") -> str:
    """Name a metric with its unit and an arrow to where it is better.

    Args:
        name: The metric's name in `metrics.json`.
        unit: Unit of the data's errors.

    Returns:
        The heading of its column.

    Example:
        >>> metric_label("rmse", "INR").split()
        ['RMSE', '(INR)', '↓']
    """
    metric = describe(name, unit)
    arrow = {"lower": "\N{NO-BREAK SPACE}↓", "higher": "\N{NO-BREAK SPACE}↑", None: ""}[metric.better]
    return f"{metric.label} ({metric.unit}){arrow}" if metric.unit else f"{metric.label}{arrow}"


def definitions(names: Sequence[str], unit: str = "stars") -> str:
    """Make the glossary of the metrics a page shows.

    Args:
        names: Metric names; those without a known meaning are left out.
        unit: Unit of the data's errors.

    Returns:
        Markup, with the names as `metrics.json` has them.

    Example:
        >>> "flatters" in definitions(["ndcg_at_10_retrieved_ideal"])
        True
    """
    entries = []
    for group, members in by_group(names, unit).items():
        if group == CATALOGUE:
            entries.append(("Catalogue figures", "catalogue_…", CATALOGUE_MEANING))
        else:
            entries += [(describe(name, unit).label, name, describe(name, unit).meaning) for name in members]
    lines = [
        f"<div><dt>{escape(label)} <code>{escape(name)}</code></dt><dd>{escape(meaning)}</dd></div>"
        for label, name, meaning in entries
        if meaning
    ]
    return f"<dl>{''.join(lines)}</dl>" if lines else ""


def _contest(
    split: str,
    contest: Mapping[str, Mapping[str, float | None]],
    unit: str,
    *,
    chosen: str,
    aside: Mapping[str, Mapping[str, float | None]] | None = None,
) -> list[str]:
    """Make one table for each kind of metric; only who has a figure of that kind stands in it."""
    tables = []
    below = aside or {}
    for group, names in by_group([name for each in contest.values() for name in each], unit).items():
        rows = {
            who: [values.get(name) for name in names]
            for who, values in [*contest.items(), *below.items()]
            if any(name in values for name in names)
        }
        winners = [
            best({who: values.get(name) for who, values in contest.items()}, describe(name, unit).better)
            if group != FLATTERING and name not in _NO_CONTEST
            else None
            for name in names
        ]
        # That they are the catalogue's, the caption says.
        head = [_PARTS[split], *(metric_label(name, unit).removeprefix("Catalogue ") for name in names)]
        looks = {chosen: "model", **dict.fromkeys(below, "aside")}
        tables.append(table(head, rows, caption=group, bold=winners, classes=looks))
    return tables
