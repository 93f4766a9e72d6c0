"""Numbers to mean 0 and standard deviation 1, learnt from the training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import StandardScaler

from kmodels.errors import DataError


@dataclass(frozen=True)
class Standardizer:
    """Mean and standard deviation (divisor n) of each column; a scale of 0 encodes a constant column as 0 always."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.scale) or min(self.scale) < 0:
            raise DataError("mean and scale are not equally many numbers, with no scale below 0")

    @classmethod
    def fit(cls, table: npt.NDArray[np.float64]) -> Self:
        """Learns mean and standard deviation of finite numbers (rows, columns)."""
        scaler = StandardScaler().fit(table)
        # scikit-learn divides a constant column by 1: another value would reach the model unscaled.
        scale = np.where(np.ptp(table, axis=0) == 0, 0.0, scaler.scale_)
        return cls(tuple(scaler.mean_.tolist()), tuple(scale.tolist()))

    def transform(self, table: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Shifts and scales numbers (rows, columns)."""
        scale = np.array(self.scale)
        factor = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
        return ((table - np.array(self.mean)) * factor).astype(np.float32)
