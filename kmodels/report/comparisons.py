"""The tables that compare models with each other and with baselines, as values: page, card and terminal write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from kmodels.errors import DataError
from kmodels.evaluation.selection import mean_and_std
from kmodels.report.metrics import best, by_group, cost_label, describe, spread
from kmodels.report.record import RunRecord, VariantRecord

_PARTS = {"test": "test", "validation": "validation", "train": "training"}
#: Model -> of each fold: part, or "at_threshold" -> metric -> value.
Folds = Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]]
_NO_CONTEST = ("ece",)  # a model that gives every row the classes' shares is calibrated, and predicts nothing


@dataclass(frozen=True)
class Table:
    """Values by row, with the row of the best one of each column, and how a row looks: "model", "aside" or plain."""

    columns: Sequence[str]
    rows: Mapping[str, Sequence[object]]
    caption: str = ""
    best: Sequence[str | None] = ()
    classes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: pd.DataFrame, *, caption: str = "", name: str = "") -> Table:
        """A DataFrame as a table: its index as the first column, missing values as None, underscores as spaces."""
        if not frame.index.is_unique:
            twice = str(frame.index[frame.index.duplicated()][0])
            raise DataError("two rows of a table have the same name", expected="unique names", received=twice)
        rows = {
            str(label): [None if pd.isna(value) else value for value in values]
            for label, values in zip(frame.index, frame.astype(object).to_numpy(), strict=True)
        }
        heading = name or str(frame.index.name or "")
        return cls([heading, *(str(column).replace("_", " ") for column in frame.columns)], rows, caption)


def contests(record: RunRecord, part: str) -> list[Table]:
    """A table for each group of metrics; of the test part with the baselines, and one model's other parts aside."""
    found: dict[str, Mapping[str, Any]] = {name: getattr(each, part) for name, each in record.models.items()}
    aside: dict[str, Mapping[str, Any]] = {}
    if part == "test":
        found |= record.baselines
        if record.model:
            aside = {"model on validation": record.model.validation, "model on training": record.model.train}
    looks = {record.best or record.chosen.name: "model", **dict.fromkeys(aside, "aside")}
    tables = []
    for group, names in by_group([name for each in found.values() for name in each]).items():
        labels = (metric_label(name, record.unit).removeprefix("Catalogue ") for name in names)
        rows = {who: list(map(each.get, names)) for who, each in {**found, **aside}.items() if {*names} & {*each}}
        better = {name: None if name in _NO_CONTEST else describe(name).better for name in names}
        winners = [best({who: each.get(name) for who, each in found.items()}, better[name]) for name in names]
        tables.append(Table([f"on the {_PARTS[part]} split", *labels], rows, group, winners, looks))
    return tables


def costs(record: RunRecord, caption: str = "") -> Table:
    """What each model costs; the cheapest of each column is the best one."""
    each = {name: costs_of(model) for name, model in record.models.items()}
    names = list(dict.fromkeys(cost for values in each.values() for cost in values))
    rows = {
        name: [model.timing.epochs, *(_rounded(each[name].get(cost)) for cost in names)]
        for name, model in record.models.items()
    }
    winners = [None, *(best({name: values.get(cost) for name, values in each.items()}, "lower") for cost in names)]
    columns = ["variant", "epochs", *map(cost_label, names)]
    return Table(columns, rows, caption, winners, {str(record.best): "model"})


def costs_of(model: VariantRecord) -> dict[str, float]:
    """Cost by name: parameters, training time, and what the record's `cost` holds."""
    known = {"parameters": model.parameters, "fit_s": model.timing.fit_s, **model.cost}
    return {name: value for name, value in known.items() if value is not None}


def by_part(
    parts: Mapping[str, Mapping[str, Mapping[str, Any]]], metrics: Sequence[str], unit: str = ""
) -> pd.DataFrame:
    """A row for each model, a column for each metric of each part -> model -> metrics; the first part goes unnamed."""
    first = next(iter(parts))
    columns = {
        describe(name, unit).label + ("" if part == first else f", {part}"): pd.Series(
            {model: values.get(name) for model, values in models.items()}, dtype=float
        )
        for part, models in parts.items()
        for name in metrics
    }
    names = [name for name, values in parts[first].items() if values.get(metrics[0]) is not None]
    return pd.DataFrame(columns).reindex(names).dropna(axis="columns", how="all")


def unseen_ids(
    record: RunRecord, metrics: Sequence[str], limits: Mapping[str, Mapping[str, float]] | None = None
) -> pd.DataFrame:
    """`by_part` of the test rows, with limits, and of those of unseen ids."""
    models = {name: model.test for name, model in record.models.items()}
    parts = {"test": {**models, **record.baselines, **(limits or {})}, "unseen ids": record.more["unseen_ids"]}
    return by_part(parts, metrics, str(record.data.get("unit", "")))


def means_table(folds: Folds, metrics: Sequence[str]) -> pd.DataFrame:
    """A row for each model and a column for each metric of the test rows, as text: mean ± standard deviation."""
    rows = {}
    for name, every in folds.items():
        mean, std = mean_and_std([fold["test"] for fold in every])
        rows[name] = {describe(metric).label: spread(mean[metric], std[metric]) for metric in metrics}
    return pd.DataFrame.from_dict(rows, orient="index")


def paired_table(paired: pd.DataFrame) -> pd.DataFrame:
    """What `evaluation.selection.paired` gives, its differences with their sign and `significant` as yes or no."""
    gaps = {name: paired[name].map("{:+.4f}".format, na_action="ignore") for name in ("difference", "low", "high")}
    significant = paired["significant"].map({True: "yes", False: "no"}).where(paired["difference"].notna())
    return paired[["mean", "std"]].assign(**gaps, better_in=paired["better_in"], significant=significant)


def threshold_table(folds: Folds) -> pd.DataFrame:
    """Means over the folds of what `classification.evaluate_with_threshold` gives, with and without the threshold."""
    rows = {}
    for name, every in folds.items():
        plain, _ = mean_and_std([fold["test"] for fold in every])
        decided, std = mean_and_std([fold["at_threshold"] for fold in every])
        row: dict[str, object] = {"threshold": spread(decided.pop("threshold"), std["threshold"])}
        for metric, value in decided.items():
            label = describe(metric).label
            row |= {f"{label} at 0.5": plain[metric], f"{label} at the threshold": value}
        rows[name] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def split_table(
    folds: Folds, other: Mapping[str, Mapping[str, float]], metrics: Sequence[str], name: str
) -> pd.DataFrame:
    """The means over random folds and the test metrics of one other split, column by column."""
    table = means_table(folds, metrics).add_suffix(", random")
    for position, metric in enumerate(metrics):
        values = [other[model][metric] for model in table.index]
        table.insert(2 * position + 1, f"{describe(metric).label}, {name}", values)
    return table


def metric_label(name: str, unit: str = "") -> str:
    """A metric with its unit and an arrow to where it is better."""
    metric = describe(name, unit)
    arrow = {"lower": "\N{NO-BREAK SPACE}↓", "higher": "\N{NO-BREAK SPACE}↑", None: ""}[metric.better]
    return f"{metric.label} ({metric.unit}){arrow}" if metric.unit else f"{metric.label}{arrow}"


def _rounded(value: float | None) -> object:
    return value if value is None or isinstance(value, int) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
