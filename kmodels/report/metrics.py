"""The registry of metrics and costs: label, better direction, group and meaning, and numbers as text."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

Better = Literal["lower", "higher"]
CATALOGUE, OTHER = "Ranking the whole catalogue", "Other figures"
GROUPS = (
    "Prediction error",
    "Classes",
    "Probabilities of the classes",
    "Ranking the rated test items",
    CATALOGUE,
    OTHER,
)
CATALOGUE_MEANING = (
    "The ranking figures with every item the user has not rated in training as a candidate, not only the rated test "
    "items: far harder, so far lower."
)


@dataclass(frozen=True)
class Metric:
    """A metric's label, better direction (None where unknown), table (of `GROUPS`, or a new one), meaning and unit."""

    label: str
    better: Better | None
    group: str
    meaning: str
    unit: str = ""


def _registered() -> dict[str, Metric]:
    """The metrics of `metrics.csv`, a line each."""
    with Path(__file__).with_name("metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = {row.pop("name"): row for row in csv.DictReader(file)}
    better: dict[str, Better | None] = {"lower": "lower", "higher": "higher", "": None}
    return {name: Metric(**row | {"better": better[row["better"]]}) for name, row in rows.items()}  # type: ignore[arg-type]


#: A recipe with metrics of its own adds them: `METRICS["lift"] = Metric(…)`.
METRICS = _registered()
# What a model costs: name in a sentence, and unit.
COSTS = {
    "parameters": ("parameters", ""),
    "fit_s": ("training time", "s"),
    "s_per_epoch": ("time per epoch", "s"),
    "latency_ms": ("time of one prediction", "ms"),
    "file_kib": ("model file", "KiB"),
}


def describe(name: str, unit: str = "") -> Metric:
    """A metric by its name, with the unit of the data's errors; `catalogue_`: every unseen item was ranked."""
    if name in METRICS:
        return replace(METRICS[name], unit=unit) if name in ("rmse", "mae") else METRICS[name]
    ranked = METRICS.get(name.removeprefix("catalogue_"))
    if ranked is not None:
        return replace(ranked, label=f"Catalogue {ranked.label}", group=CATALOGUE)
    return Metric(name, None, OTHER, "")


def cost_label(name: str) -> str:
    """Name a cost with its unit, as an axis or a heading has it: "training time (s)"."""
    text, unit = COSTS.get(name, (name.replace("_", " "), ""))
    return f"{text} ({unit})" if unit else text


def number(value: object, *, like: float | None = None) -> str:
    """Write a value of a table: four decimals, fewer from ten on, as many as `like` has; a dash for None and NaN."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        size = abs(value if like is None else like)
        if 1e-12 < size < 1e-3:  # what is smaller is the rounding of a zero
            return f"{value:.2g}"
        decimals = 4 if size < 10 else 2 if size < 1000 else 1
        return f"{value:,.{decimals}f}"
    if isinstance(value, list | tuple):
        return ", ".join(number(item) for item in value)
    return str(value)


def spread(mean: float, std: float) -> str:
    """Write a mean with its standard deviation, where there is one."""
    return f"{number(mean)} ± {number(std, like=mean)}" if math.isfinite(std) else number(mean)


def best(values: Mapping[str, float | None], better: Better | None) -> str | None:
    """Name the entry with the best value, the first of equals; None and NaN take no part, nor does no direction."""
    finite = {name: value for name, value in values.items() if value is not None and not math.isnan(value)}
    if better is None or not finite:
        return None
    return (min if better == "lower" else max)(finite, key=lambda name: finite[name])


def by_group(names: Iterable[str]) -> dict[str, list[str]]:
    """Sort metrics, repeats among them, into tables by group: `GROUPS` first, inside in the registry's order."""
    order = {name: position for position, name in enumerate(METRICS)}
    unique = sorted(dict.fromkeys(names), key=lambda name: order.get(name.removeprefix("catalogue_"), len(order)))
    found: dict[str, list[str]] = {group: [] for group in GROUPS}
    for name in unique:
        found.setdefault(describe(name).group, []).append(name)
    return {group: members for group, members in found.items() if members}
