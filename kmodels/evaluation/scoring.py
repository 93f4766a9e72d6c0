"""The metrics of predictions of either kind, part by part."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from kmodels.evaluation import classification, regression


def score_parts(
    true: npt.ArrayLike, predicted: Mapping[str, npt.ArrayLike], parts: Mapping[str, npt.NDArray[np.int64]]
) -> dict[str, dict[str, float]]:
    """Part -> `classification.evaluate` of probabilities, or the errors of amounts, of the part's rows of `true`."""
    values, found = np.asarray(true), {}
    for part, predictions in predicted.items():
        metrics = classification.evaluate if np.ndim(predictions) == 2 else regression.regression_metrics
        found[part] = metrics(values[parts[part]], predictions)
    return found
