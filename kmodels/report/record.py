"""What `metrics.json` holds: the numbers of one model, or of the variants that a recipe compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kmodels.errors import ConfigurationError, DataError

METRICS = "metrics.json"
TIMINGS = ("load_s", "prepare_s", "fit_s", "epochs", "samples_per_s", "evaluate_s")
COMMON: dict[str, tuple[str, ...]] = {
    "recipe": (),
    "backend": (),
    "data": ("source", "rows", "sha256"),
    "seed": (),
    "baselines": (),
    "versions": (),
}
VARIANT: dict[str, tuple[str, ...]] = {
    "model": ("name", "parameters"),
    "test": (),
    "validation": (),
    "timing": TIMINGS,
}
REQUIRED = COMMON | VARIANT
_ABOUT_ALL = ("variants", "best", "choice", "warnings")
_NO_MAPPING = ("recipe", "backend", "seed")


Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Timing:
    """How long the steps of a run took, in seconds.

    Attributes:
        load_s: Reading the data.
        prepare_s: Splitting and encoding it.
        fit_s: All epochs of training, those before a resume included.
        epochs: Number of epochs run.
        samples_per_s: Training rows per second, None where nothing was trained.
        evaluate_s: Predicting and computing the metrics.
    """

    load_s: float | None
    prepare_s: float | None
    fit_s: float | None
    epochs: int
    samples_per_s: float | None
    evaluate_s: float | None


@dataclass(frozen=True)
class VariantRecord:
    """The figures of one trained model.

    Attributes:
        name: The model's name.
        parameters: Number of its parameters.
        test: Metrics on the test rows.
        validation: Metrics on the validation rows.
        timing: What took how long.
        train: Metrics on the training rows, where they were computed. Default {}.
        cost: What it costs beside parameters and training time, such as {"latency_ms": 0.7}. Default {}.
        warnings: Sentences a reader must not overlook. Default ().
        more: Further keys of its record. Default {}.

    Raises:
        DataError: If a metric or a cost is no number, or a warning no text.
    """

    name: str
    parameters: int
    test: Metrics
    validation: Metrics
    timing: Timing
    train: Metrics = field(default_factory=dict)
    cost: Metrics = field(default_factory=dict)
    warnings: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for group in ("test", "validation", "train", "cost"):
            _check_numbers(f"{self.name}.{group}", getattr(self, group))
        _check_texts(f"{self.name}.warnings", self.warnings)

    def to_dict(self) -> dict[str, Any]:
        """The record as `metrics.json` holds it; what is empty is left out."""
        optional = {"train": dict(self.train), "cost": dict(self.cost)}
        return {
            "model": {"name": self.name, "parameters": self.parameters},
            "test": dict(self.test),
            "validation": dict(self.validation),
            "timing": asdict(self.timing),
            **{name: value for name, value in optional.items() if value},
            "warnings": list(self.warnings),
            **self.more,
        }


@dataclass(frozen=True)
class RunRecord:
    """The figures of a run, of one model or of several variants.

    Attributes:
        recipe: Name of the recipe.
        backend: "jax", "torch" or "tensorflow".
        seed: The seed.
        data: Facts of the data: `source`, `rows` and `sha256`, and any others. The report also knows `synthetic`,
            `unit` (of errors), `floors`, `split` and `split_name`, and counts under names ending in `_counts`.
        baselines: Baseline -> its test metrics.
        versions: Package -> version.
        model: The one model, or None where there are variants.
        variants: Variant -> its record; empty where there is one model.
        best: The chosen variant.
        choice: The sentence that justifies it.
        warnings: Sentences about the run as a whole. Default ().
        more: Further keys of the record, such as `search`. Default {}.

    Raises:
        DataError: If a fact of the data is missing, a metric is no number, `best` is no variant, or a variant and a
            baseline share a name.

    Example:
        >>> timing = Timing(0.1, 0.2, 3.0, 5, 1000.0, 0.3)
        >>> net = VariantRecord("net", 900, {"rmse": 0.9}, {"rmse": 0.8}, timing)
        >>> data = {"source": "sample", "rows": 100, "sha256": "50d2"}
        >>> run = RunRecord("ratings", "jax", 0, data, {"mean": {"rmse": 1.1}}, {}, model=net)
        >>> run.to_dict()["test"]
        {'rmse': 0.9}
    """

    recipe: str
    backend: str
    seed: int
    data: Mapping[str, Any]
    baselines: Mapping[str, Metrics]
    versions: Mapping[str, str]
    model: VariantRecord | None = None
    variants: Mapping[str, VariantRecord] = field(default_factory=dict)
    best: str | None = None
    choice: str = ""
    warnings: Sequence[str] = ()
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        absent = [name for name in COMMON["data"] if name not in self.data]
        if absent:
            raise DataError("the record lacks facts of the data", file=METRICS, expected=", ".join(absent))
        for name, values in self.baselines.items():
            _check_numbers(f"baselines.{name}", values)
        _check_texts("warnings", self.warnings)
        if (self.model is None) != bool(self.variants):
            raise DataError("a record is of one model or of variants", file=METRICS, expected="one of the two")
        if self.variants and self.best not in self.variants:
            one_of = f"one of the variants: {', '.join(self.variants)}"
            raise DataError("no such variant", file=METRICS, column="best", expected=one_of, received=self.best)
        if shared := set(self.variants) & set(self.baselines):
            raise DataError("a variant and a baseline share a name", file=METRICS, received=min(shared))

    @property
    def models(self) -> dict[str, VariantRecord]:
        """Each model of the run by name: the variants, or the one model."""
        return {self.model.name: self.model} if self.model else dict(self.variants)

    @property
    def chosen(self) -> VariantRecord:
        """The best variant, or the one model."""
        return self.model if self.model else self.variants[str(self.best)]

    def to_dict(self) -> dict[str, Any]:
        """The record as `metrics.json` holds it, in JSON's types."""
        own: dict[str, Any] = self.model.to_dict() if self.model else {}
        if self.variants:
            own = {"variants": {name: each.to_dict() for name, each in self.variants.items()}}
            own |= {"best": self.best, "choice": self.choice}
        warnings = [*self.warnings, *own.pop("warnings", ())]
        return plain(
            {
                "recipe": self.recipe,
                "backend": self.backend,
                "data": self.data,
                "seed": self.seed,
                **own,
                "baselines": self.baselines,
                "warnings": warnings,
                **self.more,
                "versions": self.versions,
            },
            "record",
        )


def _check_numbers(where: str, values: Metrics) -> None:
    for name, value in values.items():
        if value is not None and not isinstance(value, int | float | np.number):
            raise DataError("not a number", file=METRICS, column=f"{where}.{name}", received=value)


def _check_texts(where: str, texts: Sequence[str]) -> None:
    if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise DataError("not a list of sentences", file=METRICS, column=where, received=texts)


def check_record(record: Mapping[str, Any]) -> None:
    """Check that a record has every key that `metrics.json` promises.

    A record of one model has the keys of `REQUIRED`. One that compares variants has those of `COMMON`, and
    `variants`, {name: {model, test, validation, timing}}, of which `best` names one. A variant may hold any of the
    common keys too, where its own differ. The optional keys that the report reads are checked as well: `train`
    ({metric: value}) and `cost` ({name: number}, such as `latency_ms`) of a model, `choice` (the sentence that
    justifies `best`) and `warnings` (a list of sentences, of the record and of each variant).

    Args:
        record: See `run_folder.write_metrics`.

    Raises:
        DataError: Naming each missing key as `group.key`, the group that is no mapping, the metric that is
            no number, or the variant that `best` names and that is not there.

    Example:
        >>> check_record({"recipe": "movielens"})
        Traceback (most recent call last):
        ...
        kmodels.errors.DataError: metrics.json: the record lacks keys; expected ...
    """
    if "variants" not in record:
        _check_groups(record, REQUIRED)
        return
    _check_groups(record, COMMON)
    variants = record["variants"]
    _check_mapping("variants", variants)
    if not variants:
        raise DataError("no variant", file=METRICS, column="variants", expected="{name: record}, at least one")
    for name, values in variants.items():
        _check_mapping(f"variants.{name}", values)
        _check_groups(values, VARIANT, prefix=f"variants.{name}.")
        if name in record["baselines"]:
            raise DataError("a variant and a baseline share a name", file=METRICS, column=f"variants.{name}")
    if record.get("best") not in variants:
        one_of = f"one of the variants: {', '.join(map(str, variants))}"
        raise DataError("names no variant", file=METRICS, column="best", expected=one_of, received=record.get("best"))
    if not isinstance(record.get("choice", ""), str):
        raise DataError("not a text", file=METRICS, column="choice", expected="a sentence", received=record["choice"])


def variant_record(record: Mapping[str, Any], name: str | None = None) -> dict[str, Any]:
    """Give the record of one variant as if it had been trained alone.

    Args:
        record: A record that passes `check_record`, of one model or of variants.
        name: The variant; the best one by default.

    Returns:
        A record of one model: the common keys, overlaid by the variant's own. The record of one model is
        returned as it is. Warnings about the comparison as a whole stand before the variant's own.

    Raises:
        ConfigurationError: There is no variant of that name.

    Example:
        >>> record = {"seed": 1, "best": "small", "variants": {"small": {"test": {"accuracy": 0.9}}}}
        >>> variant_record(record)
        {'seed': 1, 'test': {'accuracy': 0.9}}
    """
    if "variants" not in record:
        if name is not None:
            raise ConfigurationError(f"the record has no variants, and so no {name!r}")
        return dict(record)
    name = record["best"] if name is None else name
    if name not in record["variants"]:
        raise ConfigurationError(f"no variant {name!r}; the record has {', '.join(record['variants'])}")
    own = record["variants"][name]
    alone = {key: value for key, value in record.items() if key not in _ABOUT_ALL} | dict(own)
    warnings = [*record.get("warnings", ()), *own.get("warnings", ())]
    return alone | ({"warnings": warnings} if warnings else {})


def unit_of(record: Mapping[str, Any]) -> str:
    """Name the unit of a record's errors.

    Args:
        record: A record of `metrics.json`.

    Returns:
        `data.unit`. Without it: "stars" where the data counts ratings (`data.rating_counts`), else "".

    Example:
        >>> unit_of({"data": {"unit": "INR"}}), unit_of({"data": {"rating_counts": {"5": 3}}})
        ('INR', 'stars')
    """
    data = record.get("data", {})
    return str(data.get("unit", "stars" if "rating_counts" in data else ""))


def costs_of(record: Mapping[str, Any]) -> dict[str, float]:
    """List what one model costs.

    Args:
        record: A variant's record, or that of one model.

    Returns:
        Cost by name: `parameters`, `fit_s`, and what the record's own `cost` holds; those without a value are left
        out.

    Example:
        >>> costs_of({"model": {"parameters": 900}, "timing": {"fit_s": 2.5}, "cost": {"latency_ms": 0.7}})
        {'parameters': 900, 'fit_s': 2.5, 'latency_ms': 0.7}
    """
    known = {"parameters": record["model"]["parameters"], "fit_s": record["timing"]["fit_s"], **record.get("cost", {})}
    return {name: value for name, value in known.items() if value is not None and math.isfinite(value)}


def plain(value: Any, where: str) -> Any:
    """Turn a value into what JSON can hold: NumPy scalars and arrays, tuples and paths included.

    Args:
        value: Any nesting of mappings, sequences, numbers, strings, paths and None.
        where: What the value is, for the error message.

    Returns:
        The same in dicts with string keys, lists, str, bool, int, float and None; NaN and infinities become
        None.

    Raises:
        DataError: Something in it has no counterpart in JSON.

    Example:
        >>> plain({"rmse": np.float32(0.5), "r2": float("nan"), "hidden": (64, 32)}, "record")
        {'rmse': 0.5, 'r2': None, 'hidden': [64, 32]}
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, str | int):
        return value
    raise DataError(f"{where} cannot be written as JSON", expected="a number, text, list or mapping", received=value)


def _check_groups(record: Mapping[str, Any], required: Mapping[str, tuple[str, ...]], prefix: str = "") -> None:
    """Check the groups of a record, or of one variant in it, and the numbers in them."""
    absent = [f"{prefix}{key}" for key in required if key not in record]
    if absent:
        raise DataError("the record lacks keys", file=METRICS, expected=", ".join(absent), received=sorted(record))
    for name in REQUIRED:
        if name in record and name not in _NO_MAPPING:
            _check_mapping(f"{prefix}{name}", record[name])
    metrics = {name: record[name] for name in ("test", "validation", "train", "cost") if name in record}
    metrics |= {f"baselines.{name}": values for name, values in record.get("baselines", {}).items()}
    for name, values in metrics.items():
        _check_mapping(f"{prefix}{name}", values)
        for metric, value in values.items():
            if value is not None and not isinstance(value, int | float | np.number):
                column = f"{prefix}{name}.{metric}"
                raise DataError("not a number", file=METRICS, column=column, expected="a number", received=value)
    lacking = [f"{prefix}{name}.{key}" for name, keys in required.items() for key in keys if key not in record[name]]
    if lacking:
        raise DataError("the record lacks keys", file=METRICS, expected=", ".join(lacking))
    warnings = record.get("warnings", [])
    if not isinstance(warnings, list | tuple) or not all(isinstance(line, str) for line in warnings):
        column = f"{prefix}warnings"
        raise DataError("not a list of texts", file=METRICS, column=column, expected="sentences", received=warnings)


def _check_mapping(name: str, group: object) -> None:
    if not isinstance(group, Mapping):
        raise DataError("not a mapping", file=METRICS, column=name, expected="{name: value}", received=group)
