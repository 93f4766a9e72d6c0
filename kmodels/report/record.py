"""What `metrics.json` holds: the numbers of one model, or of the variants that a recipe compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kmodels.errors import ConfigurationError, DataError
from kmodels.files import read_json

CONFIG, METRICS = "config.json", "metrics.json"
_FACTS = ("source", "rows", "sha256")  # of the data
Metrics = Mapping[str, float | None]


@dataclass(frozen=True)
class Timing:
    """Seconds of a run's steps; `fit_s` and `epochs` count those before a resume too, `samples_per_s` training rows."""

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
        cost: What it costs besides parameters and training time, such as {"latency_ms": 0.7}. Default {}.
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
        metrics = {name: getattr(self, name) for name in ("test", "validation", "train", "cost")}
        _check(self.name, metrics, self.warnings)

    def to_dict(self) -> dict[str, Any]:
        """The record as `metrics.json` holds it; what is empty is left out."""
        return {
            "model": {"name": self.name, "parameters": self.parameters},
            "test": self.test,
            "validation": self.validation,
            "timing": asdict(self.timing),
            **{name: value for name, value in {"train": self.train, "cost": self.cost}.items() if value},
            "warnings": self.warnings,
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
        absent = [name for name in _FACTS if name not in self.data]
        if absent:
            raise DataError("the record lacks facts of the data", file=METRICS, expected=", ".join(absent))
        _check("baselines", self.baselines, self.warnings)
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

    def tested(self, metric: str) -> dict[str, float | None]:
        """A test metric of each model and each baseline, None where there is none."""
        models = {name: each.test for name, each in self.models.items()}
        return {name: values.get(metric) for name, values in {**models, **self.baselines}.items()}

    @property
    def all_warnings(self) -> list[str]:
        """The warnings of the run and of each model, each once."""
        own = [text for each in self.models.values() for text in each.warnings]
        return list(dict.fromkeys([*self.warnings, *own]))

    @property
    def unit(self) -> str:
        """The unit of the data's errors, or ""."""
        return str(self.data.get("unit", ""))

    @property
    def chosen(self) -> VariantRecord:
        """The best variant, or the one model."""
        return self.model if self.model else self.variants[str(self.best)]

    def limits(self, floors: Mapping[str, float | str]) -> dict[str, float]:
        """Floors by name; a text names one of the data's `floors`, and is left out where there is none."""
        known = self.data.get("floors", {})
        found = {name: known.get(each) if isinstance(each, str) else each for name, each in floors.items()}
        return {name: each for name, each in found.items() if each is not None}

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


def _check(where: str, metrics: Mapping[str, Metrics], warnings: Sequence[str]) -> None:
    for group, values in metrics.items():
        for name, value in values.items():
            if value is not None and not isinstance(value, int | float | np.number):
                raise DataError("not a number", file=METRICS, column=f"{where}.{group}.{name}", received=value)
    if isinstance(warnings, str) or not all(isinstance(text, str) for text in warnings):
        raise DataError("warnings are no list of sentences", file=METRICS, column=where, received=warnings)


def plain(value: Any, where: str) -> Any:
    """A value as JSON can hold it, NumPy's, tuples and paths too; NaN and infinities become None."""
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


def read_config(folder: str | Path) -> dict[str, Any]:
    """The settings of the run in a folder, in JSON's types."""
    path = Path(folder) / CONFIG
    if not path.is_file():
        raise ConfigurationError(f"{folder} holds no run: there is no {CONFIG} in it")
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise DataError("no settings", file=path, expected="a JSON object", received=type(settings).__name__)
    return settings
