"""A fitted model with the encoders of its table and its target: from rows to labels or amounts."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import pandas as pd

from kmodels import training
from kmodels.errors import ConfigurationError, DataError
from kmodels.evaluation import classification, regression
from kmodels.files import DAMAGE, refuse_bomb
from kmodels.pipelines import Batches
from kmodels.preprocessing import TableEncoder, Target, load_encoders, save_encoders
from kmodels.preprocessing.target import Decision

_ROWS = 512  # of a batch: those of a network of many members still fit a core's cache


@dataclass(frozen=True)
class TablePredictor:
    """Predicts rows of a table as it came, before any encoding.

    Args:
        model: A fitted model whose inputs are `table.features`, with logits of `target.size` classes, or one amount.
        table: The encoder of its inputs.
        target: The encoder of its target.
        decision: What validation rows say of how to use its predictions. Default: nothing.

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
    decision: Decision = field(default_factory=Decision)

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        """Predicts rows.

        Args:
            frame: Rows with the columns of the training table; the target's own is not needed.

        Returns:
            Labels, object (rows,); or amounts, float64 (rows,), in the unit of the training values.

        Raises:
            DataError: As `TableEncoder.transform` raises it.
        """
        return self._restored(self._outputs(frame))

    def score(self, frame: pd.DataFrame, *, balanced: bool = False) -> pd.DataFrame:
        """Predicts rows, with all that is known of each prediction.

        Args:
            frame: Rows as for `predict`.
            balanced: Whether to predict the second of two classes from the threshold of `decision` on, for which the
                balanced accuracy was highest, in place of the more probable one. Default False.

        Returns:
            A row for each row, with its index. Of classes `prediction` and `probability_<label>` of each; of amounts
            `prediction` and, with intervals, their ends `prediction_low` and `prediction_high`.

        Raises:
            ConfigurationError: `balanced` without a threshold.
            DataError: As `TableEncoder.transform` raises it.
        """
        cut = self.decision.threshold
        if balanced and cut is None:
            raise ConfigurationError("there is no threshold, which a run of two classes has")
        outputs = self._outputs(frame)
        found: dict[str, Any] = {"prediction": self._restored(outputs)}
        if self.target.labels:
            shares = classification.softmax(outputs) if len(outputs) else np.empty((0, self.target.size))
            if cut is not None and balanced:
                found["prediction"] = self.target.inverse((shares[:, 1] >= cut).astype(np.int64))
            found |= {f"probability_{label}": share for label, share in zip(self.target.labels, shares.T, strict=True)}
        elif (half := self.decision.half_width) is not None:
            least = -np.inf if self.decision.least is None else self.decision.least
            found["prediction_low"] = np.maximum(found["prediction"] - half, least)
            found["prediction_high"] = found["prediction"] + half
        return pd.DataFrame(found, index=frame.index)

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
        encoders = {"table": self.table, "target": self.target, "decision": self.decision}
        save_encoders(encoders, folder / "encoders.json")
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
        encoders, model = load_encoders(Path(folder) / "encoders.json"), load_model(Path(folder) / "model.keras")
        if pictures := [tensor.name for tensor in model.inputs if len(tensor.shape) == 4]:
            raise DataError("the model reads pictures, not a table alone", file=folder, received=", ".join(pictures))
        table, target, decision = (encoders.get(name) for name in ("table", "target", "decision"))
        if not isinstance(table, TableEncoder) or not isinstance(target, Target):
            raise DataError("no encoders of a table and its target", file=Path(folder) / "encoders.json")
        return cls(model, table, target, decision if isinstance(decision, Decision) else Decision())

    def _restored(self, outputs: np.ndarray) -> np.ndarray:
        predicted = self.target.inverse(outputs)
        return predicted if self.decision.least is None else np.maximum(predicted, self.decision.least)

    def _outputs(self, frame: pd.DataFrame) -> np.ndarray:
        return training.predict(self.model, Batches(self.table.transform(frame), batch_size=_ROWS))


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
