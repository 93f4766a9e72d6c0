import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from kmodels.errors import DataError
from kmodels.evaluation import classification, image_baselines


@pytest.fixture(scope="module")
def stripes():
    """Images of 6 × 6 with one brighter row (class 0), column (1) or neither (2), in noise."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=600)
    images = rng.integers(0, 120, (600, 6, 6, 1))
    for image, label, at in zip(images, labels, rng.integers(6, size=600), strict=True):
        if label < 2:
            image[(at, slice(None)) if label == 0 else (slice(None), at)] += 100
    return images.astype(np.uint8), labels


def test_each_baseline_gives_probabilities_of_every_class(stripes):
    images, labels = stripes
    found = image_baselines(images[:400], labels[:400], images[400:], 3)
    assert list(found) == ["majority", "logistic_regression", "random_forest"]
    for share in found.values():
        assert share.shape == (200, 3)
        np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(found["majority"][0], np.bincount(labels[:400]) / 400)
    # Which row is bright is no linear question, so that the forest is ahead.
    accuracy = {name: classification.evaluate(labels[400:], share)["accuracy"] for name, share in found.items()}
    assert accuracy["random_forest"] > accuracy["majority"] + 0.2


def test_with_all_components_it_is_scikit_learns_logistic_regression(stripes):
    images, labels = stripes
    ours = image_baselines(images, labels, images, 3)["logistic_regression"]
    x = images.reshape(600, -1) / 255
    theirs = (
        LogisticRegression(max_iter=300, tol=1e-3).fit(x - x.mean(axis=0), labels).predict_proba(x - x.mean(axis=0))
    )
    np.testing.assert_allclose(ours, theirs, atol=0.01)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros(3, int), "images and labels differ in number"),
        (np.array([0, 0, 1, 1]), "each class needs a training row"),
        (np.array([0, 1, 2, 3]), "each class needs a training row"),
    ],
)
def test_wrong_labels_are_refused(labels, message):
    with pytest.raises(DataError, match=message):
        image_baselines(np.zeros((4, 2, 2, 1), np.uint8), labels, np.zeros((1, 2, 2, 1), np.uint8), 3)
