"""Inputs of a model by name, as many rows each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from kmodels.errors import DataError

Arrays = Mapping[str, npt.NDArray[Any]]


def same_length(inputs: Mapping[str, Any], *, least: int = 1) -> dict[str, npt.NDArray[Any]]:
    """The inputs as arrays; refuses those that differ in length or are too short."""
    arrays = {name: np.asarray(array) for name, array in inputs.items()}
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1 or min(lengths.values()) < least:
        raise DataError("the inputs need as many rows each", expected=f"{least} or more", received=lengths)
    return arrays
