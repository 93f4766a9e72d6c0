"""A fitted model with the encoders of its table and its target: from rows to labels or amounts."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels import training
from kmodels.errors import DataError
from kmodels.evaluation import classification, regression
from kmodels.files import DAMAGE, refuse_bomb
from kmodels.pipelines import Batches
from kmodels.preprocessing import TableEncoder, Target, load_encoders, save_encoders


@dataclass(frozen=True)
class TablePredictor:
    """Predicts rows of a table as it came, before any encoding.

    Args:
        model: A fitted model whose inputs are `table.features`, with logits of `target.size` classes, or one amount.
        table: The encoder of its inputs.
        target: The encoder of its target.

    Example:
        >>> from kmodels import models
        >>> frame = pd.DataFrame({"rooms": [1, 2, 3], "city": ["Oslo", "Rome", "Oslo"]})
        >>> table, target = TableEncoder.fit(frame), Target.amount([10.0, 20.0, 30.0])
        >>> predictor = TablePredictor(models.embedding_regressor(table.features), table, target)
        >>> predictor.predict(frame).shape
        (3,)
    """

    model: Any
    table: TableEncoder
    target: Target

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Predicts rows.

        Args:
            frame: Rows with the columns of the training table; the target's own is not needed.

        Returns:
            Labels, object (rows,); or amounts, float64 (rows,), in the unit of the training values.

        Raises:
            DataError: As `TableEncoder.transform` raises it.
        """
        return self.target.inverse(self._outputs(frame))

    def probabilities(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Predicts the probability of each class, (rows, classes) in the order of `target.labels`."""
        return np.asarray(classification.softmax(self._outputs(frame)), np.float64)

    def evaluate(self, frame: pd.DataFrame, values: Any) -> dict[str, float]:
        """Computes test metrics.

        Args:
            frame: Rows as for `predict`.
            values: Their true labels or amounts, shape (rows,).

        Returns:
            For classes the metrics of `classification.evaluate`; for amounts `rmse`, `mae` and `r2`, in the values'
            unit.

        Raises:
            DataError: As `Target.transform` and `TableEncoder.transform` raise it.
        """
        true = self.target.transform(values)
        if self.target.labels:
            return classification.evaluate(true, self.probabilities(frame))
        return regression.regression_metrics(np.asarray(values, np.float64), self.predict(frame))

    def save(self, folder: str | Path) -> Self:
        """Writes `model.keras` and `encoders.json`.

        Args:
            folder: Where to; made if need be.

        Returns:
            The predictor itself.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        training.save(self.model, folder / "model.keras")
        save_encoders({"table": self.table, "target": self.target}, folder / "encoders.json")
        return self

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Reads what `save` wrote, on any backend.

        Args:
            folder: Where it was written.

        Returns:
            A predictor of the same predictions.

        Raises:
            DataError: If a file is missing or damaged.
        """
        encoders, path = load_encoders(Path(folder) / "encoders.json"), Path(folder) / "model.keras"
        table, target = encoders.get("table"), encoders.get("target")
        if not isinstance(table, TableEncoder) or not isinstance(target, Target):
            raise DataError("no encoders of a table and its target", file=Path(folder) / "encoders.json")
        return cls(load_model(path), table, target)

    def _outputs(self, frame: pd.DataFrame) -> np.ndarray:
        return training.predict(self.model, Batches(self.table.transform(frame), batch_size=4096))


def load_model(path: str | Path) -> keras.Model:
    """Reads a saved model, its checksums first, which Keras does not look at; DataError where it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_bomb(path, sum(entry.file_size for entry in archive.infolist()))
            if archive.testzip():
                raise ValueError("not what was saved")
        return keras.saving.load_model(path, compile=False)
    except DataError:
        raise
    except (OSError, *DAMAGE) as error:
        raise DataError("no Keras model can be read from it", file=path) from error
