"""A trained model and its training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from kmodels.report.page import layers_of


@dataclass(frozen=True)
class Fitted:
    """A trained model and its training.

    Attributes:
        name: Its name in the record: the folder's, such as "deep".
        model: The Keras model.
        history: One row per epoch, as `training.fit` gives it.
        rows: Number of training rows.
        folder: Where its checkpoint lies.
    """

    name: str
    model: Any
    history: pd.DataFrame
    rows: int
    folder: Path

    @property
    def layers(self) -> str:
        """The table of its layers; what is no Keras model is text that stands for it."""
        return self.model if isinstance(self.model, str) else layers_of(self.model)
