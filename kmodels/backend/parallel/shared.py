"""What the engines share: the devices that train together, and what a launcher says of several processes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from kmodels.backend.internals import SWITCH, find_missing, is_stock
from kmodels.backend.running import name
from kmodels.errors import ConfigurationError


@dataclass(frozen=True)
class Distribution:
    """The devices that train a model together: `devices` of them in all, in `processes`, of which this is `process`."""

    devices: int
    process: int = 0
    processes: int = 1
    engine: Any = None  # TensorFlow's strategy

    @property
    def whole_batches(self) -> bool:
        """Whether a model sees all rows of a batch, wherever they are."""
        return name() == "jax"


def are_possible(processes: int) -> bool:
    """Whether several devices can train together; where not, one trains with a warning, but not several processes."""
    missing = f"{SWITCH}=1" if is_stock() else find_missing("several devices")
    if missing and processes > 1:
        raise ConfigurationError(f"several processes cannot train together: {missing}")
    if missing:
        warnings.warn(f"kmodels trains on one device instead of several: {missing}", stacklevel=2)
    return not missing


def count(wanted: int | None, there: int, kind: str) -> int:
    """The number of devices to take of those there are."""
    if wanted is not None and wanted > there:
        raise ConfigurationError(
            f"more devices than there are: this process finds {there} ({kind}). Received: devices={wanted}"
        )
    return wanted or there


def launched(*names: str) -> list[str] | None:
    """What a launcher has set in the environment for each of its processes; None where there is no launcher."""
    values = [os.environ.get(each) for each in names]
    if missing := [each for each, value in zip(names, values, strict=True) if not value]:
        if len(missing) == len(names):
            return None
        raise ConfigurationError(
            f"several processes need {', '.join(names)} in the environment. Missing: {', '.join(missing)}"
        )
    return [str(value) for value in values]


def integers(**values: str) -> list[int]:
    """Reads whole numbers that a launcher has set."""
    for each, value in values.items():
        if not value.isdigit():
            raise ConfigurationError(f"{each} must be a whole number. Received: {each}={value!r}")
    return [int(value) for value in values.values()]


class Mapped(keras.utils.PyDataset):
    """Batches, each changed by a function."""

    def __init__(self, batches: Any, function: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> None:
        super().__init__()
        self.batches, self.function = batches, function

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.function(self.batches[index])
