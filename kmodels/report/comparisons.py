"""The tables that compare models with each other and with baselines, as values: page, card and terminal write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from kmodels.errors import DataError
from kmodels.report.metrics import METRICS, Metric, best, by_group, cost_label, describe
from kmodels.report.record import RunRecord, VariantRecord

_PARTS = {"test": "test", "validation": "validation", "train": "training"}
_NO_CONTEST = ("ece",)  # a model that gives every row the classes' shares is calibrated, and predicts nothing


@dataclass(frozen=True)
class Table:
    """A table of values.

    Attributes:
        columns: Headings, the first column's included.
        rows: Row name -> its values.
        caption: What stands above it.
        best: For each column of values the row with the best one, or None; or nothing.
        classes: Row name -> how the row looks: "model" (stands out) or "aside" (pale).
    """

    columns: Sequence[str]
    rows: Mapping[str, Sequence[object]]
    caption: str = ""
    best: Sequence[str | None] = ()
    classes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: pd.DataFrame, *, caption: str = "", name: str = "", best: Sequence[str | None] = ()) -> Table:
        """A DataFrame as a table: its index as the first column, missing values as None, underscores as spaces."""
        if not frame.index.is_unique:
            twice = str(frame.index[frame.index.duplicated()][0])
            raise DataError("two rows of a table have the same name", expected="unique names", received=twice)
        rows = {
            str(label): [None if pd.isna(value) else value for value in values]
            for label, values in zip(frame.index, frame.astype(object).to_numpy(), strict=True)
        }
        heading = name or str(frame.index.name or "")
        return cls([heading, *(str(column).replace("_", " ") for column in frame.columns)], rows, caption, best)


def contests(record: RunRecord, part: str, known: Mapping[str, Metric] = METRICS) -> list[Table]:
    """One table per group of metrics of a part; baselines stand in those of the test part.

    Below one model's test figures stand its own on validation and training, outside the contest.
    """
    found: dict[str, Mapping[str, Any]] = {name: getattr(each, part) for name, each in record.models.items()}
    aside: dict[str, Mapping[str, Any]] = {}
    if part == "test":
        found |= record.baselines
        if record.model:
            aside = {"model on validation": record.model.validation, "model on training": record.model.train}
    looks = {record.best or record.chosen.name: "model", **dict.fromkeys(aside, "aside")}
    tables = []
    for group, names in by_group([name for each in found.values() for name in each], known=known).items():
        labels = (metric_label(name, record.unit, known).removeprefix("Catalogue ") for name in names)
        rows = {who: list(map(each.get, names)) for who, each in {**found, **aside}.items() if {*names} & {*each}}
        better = {name: None if name in _NO_CONTEST else describe(name, known=known).better for name in names}
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


def figures(record: RunRecord, metrics: Sequence[str], limits: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """The test figures of models, baselines and limits, and the models' costs, for a terminal."""
    prices = {
        name: {cost_label(cost): each for cost, each in model.cost.items()} for name, model in record.models.items()
    }
    rows = {name: {**model.test, **prices[name]} for name, model in record.models.items()}
    table = pd.DataFrame.from_dict({**rows, **record.baselines, **limits}, orient="index")
    labels = dict.fromkeys(label for each in prices.values() for label in each)
    table = table.reindex(columns=[*metrics, *labels]).astype(float)
    return table.dropna(axis="columns", how="all").dropna(axis="index", how="all")


def by_part(
    parts: Mapping[str, Mapping[str, Mapping[str, Any]]], metrics: Sequence[str], unit: str = ""
) -> pd.DataFrame:
    """A row for each model, a column for each metric of each part; `parts` is part -> model -> metrics.

    The first part's columns bear the metric's label alone.

    Example:
        >>> by_part({"test": {"net": {"rmse": 2.0}}, "unseen": {"net": {"rmse": 3.0}}}, ["rmse"]).to_dict("index")
        {'net': {'RMSE': 2.0, 'RMSE, unseen': 3.0}}
    """
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


def metric_label(name: str, unit: str = "", known: Mapping[str, Metric] = METRICS) -> str:
    """A metric with its unit and an arrow to where it is better."""
    metric = describe(name, unit, known=known)
    arrow = {"lower": "\N{NO-BREAK SPACE}↓", "higher": "\N{NO-BREAK SPACE}↑", None: ""}[metric.better]
    return f"{metric.label} ({metric.unit}){arrow}" if metric.unit else f"{metric.label}{arrow}"


def _rounded(value: float | None) -> object:
    return value if value is None or isinstance(value, int) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
