"""Baselines on small images: constant predictions and scikit-learn's classifiers of plain pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from kmodels import checks
from kmodels.evaluation.tabular import class_shares, probabilities

FloatArray = npt.NDArray[np.float64]

_COMPONENTS = 150  # they keep 97 % of Fashion-MNIST's variance at a tenth of the time


def image_baselines(
    images: npt.NDArray[Any], labels: npt.ArrayLike, test_images: npt.NDArray[Any], n_classes: int, *, seed: int = 0
) -> dict[str, FloatArray]:
    """Fits three classifiers to small images, a pixel a column, and predicts others.

    `majority` gives every image the shares of the classes in training; `logistic_regression` works on the first 150
    principal components; `random_forest` is 100 trees on the pixels.

    Args:
        images: (rows, ...) training images, values from 0 to 255.
        labels: (rows,) classes, integers from 0.
        test_images: (test rows, ...) images to predict, of the same shape.
        n_classes: Number of classes; one without a training row has probability 0.
        seed: Seed of the components and of the trees. Default 0.

    Returns:
        Name -> probabilities of the test images, float64 (test rows, n_classes).

    Raises:
        DataError: If images and labels differ in number, a label is out of range, or only one class has rows.

    Example:
        >>> dark, bright = np.zeros((5, 2, 2, 1), np.uint8), np.full((5, 2, 2, 1), 255, np.uint8)
        >>> found = image_baselines(np.concatenate([dark, bright]), [0] * 5 + [1] * 5, bright[:1], 2)
        >>> {name: int(probability.argmax()) for name, probability in found.items() if name != "majority"}
        {'logistic_regression': 1, 'random_forest': 1}
    """
    checks.same_length(images=images, labels=np.asarray(labels))
    target, shares = class_shares(labels, n_classes)
    x, test = _flat(images), _flat(test_images)
    components = PCA(min(_COMPONENTS, *x.shape), svd_solver="randomized", random_state=seed)
    linear = make_pipeline(components, LogisticRegression(max_iter=300, tol=1e-3)).fit(x, target)
    forest = RandomForestClassifier(100, random_state=seed, n_jobs=-1).fit(x, target)
    return {
        "majority": np.tile(shares, (len(test), 1)),
        "logistic_regression": probabilities(linear, test, n_classes),
        "random_forest": probabilities(forest, test, n_classes),
    }


def _flat(images: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
