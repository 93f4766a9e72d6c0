from dataclasses import replace

import numpy as np
import pytest

from kmodels.datasets import fashion_mnist
from kmodels.errors import DataError
from kmodels.pipelines.garments import Garments


@pytest.fixture(scope="module")
def data():
    return fashion_mnist.load("sample")


@pytest.fixture(scope="module")
def garments(data):
    return Garments.of(data, seed=3)


def test_train_and_validation_share_the_training_part_and_the_test_part_is_whole(data, garments):
    both = np.concatenate([garments.images["train"], garments.images["validation"]]).reshape(4000, -1)
    assert np.array_equal(np.unique(both, axis=0), np.unique(data.train_images.reshape(4000, -1), axis=0))
    assert np.bincount(garments.labels["validation"]).tolist() == [40] * 10
    assert garments.images["test"] is data.test_images
    assert garments.labels["test"] is data.test_labels


def test_pictures_keep_their_labels(data, garments):
    known = {image.tobytes(): label for image, label in zip(data.train_images, data.train_labels, strict=True)}
    for part in ("train", "validation"):
        for image, label in zip(garments.images[part], garments.labels[part], strict=True):
            assert known[image.tobytes()] == label


def test_training_batches_are_of_one_size_in_an_order_of_their_own_each_epoch(garments):
    batches = garments.training(batch_size=1000, seed=0)
    assert len(batches) == 3
    (first,), target = batches[0][0].values(), batches[0][1]
    assert first.shape == (1000, 28, 28, 1)
    assert target.dtype == np.float32
    np.testing.assert_array_equal(target.sum(axis=1), 1)
    batches.set_epoch(1)
    assert not np.array_equal(batches[0][1], target)


def test_judged_batches_come_in_the_files_order(data, garments):
    batches = garments.batches("test")
    target = np.concatenate([batches[i][1] for i in range(len(batches))])
    np.testing.assert_array_equal(target.argmax(axis=1), data.test_labels)


def test_a_class_without_rows_is_named(data):
    kept = data.train_labels != 4
    less = replace(data, train_images=data.train_images[kept], train_labels=data.train_labels[kept])
    with pytest.raises(DataError, match="class 'Coat' has no row in the train part"):
        Garments.of(less, seed=0)
