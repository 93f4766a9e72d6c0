"""Points of interest as a problem: parts that share no row, inputs by name, classes that weigh the same."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from kmodels.errors import DataError
from kmodels.pipelines.places import Places
from kmodels.preprocessing import pois

ROWS = 120


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Places whose picture's colour and visits tell which row they are."""
    folder, rows = tmp_path_factory.mktemp("places"), np.arange(ROWS)
    for row in rows.tolist():
        Image.new("RGB", (8, 8), (row, 0, 0)).save(folder / f"{row}.png")
    return pd.DataFrame(
        {
            "image": [folder / f"{row}.png" for row in rows],
            "categories": [("Park",) if row % 2 else ("Museum", "Art") for row in rows],
            "tags": [("quiet",) * (row % 3) for row in rows],
            "tier": rows % 4 + 1,
            "longitude": rows % 2 * 5.0 + 0.01 * rows,
            "latitude": 50.0,
            "xps": rows,
            "visits": 100,
            "likes": rows + 10,
            "dislikes": 1,
            "bookmarks": 5,
        }
    )


@pytest.fixture(scope="module")
def problem(table):
    return Places.of(table, seed=0, side=4, clusters=2)


def test_every_row_is_in_one_part(problem):
    assert {part: len(rows) for part, rows in problem.parts.items()} == {"train": 84, "validation": 12, "test": 24}
    np.testing.assert_array_equal(np.sort(np.concatenate(list(problem.parts.values()))), np.arange(ROWS))
    assert problem.summary()["split"] == {"train": 84, "validation": 12, "test": 24}
    assert sum(problem.summary()["class_counts"].values()) == ROWS


def test_what_is_fitted_is_fitted_on_the_training_rows(problem, table):
    expected = pois.encode_pois(table, problem.parts["train"], clusters=2, seed=0)
    np.testing.assert_array_equal(problem.encoded.target, expected.target)
    np.testing.assert_array_equal(problem.encoded.metadata, expected.metadata)


def test_batches_hold_what_the_model_reads_of_the_rows_of_the_part(problem):
    rows = problem.parts["test"]
    inputs, target = problem.batches("test")[0]
    assert inputs["image"][:, 0, 0, 0].tolist() == rows.tolist()  # the colour is the row's number
    np.testing.assert_array_equal(inputs["metadata"], problem.encoded.metadata[rows])
    np.testing.assert_array_equal(target, problem.target("test"))
    assert set(problem.batches("test", ["image"])[0][0]) == {"image"}
    assert set(problem.batches("test", ["metadata"])[0][0]) == {"metadata"}
    first = problem.arrays("test", 5)
    assert first["image"].shape == (5, 4, 4, 3)
    np.testing.assert_array_equal(first["metadata"], problem.encoded.metadata[rows[:5]])


def test_training_goes_through_its_rows_in_an_order_of_its_own(problem):
    batches = problem.training(batch_size=7, seed=3)
    seen = np.concatenate([batches[i][0]["image"][:, 0, 0, 0] for i in range(len(batches))])
    assert seen.tolist() != problem.parts["train"].tolist()
    assert sorted(seen.tolist()) == problem.parts["train"].tolist()


def test_balanced_classes_weigh_the_same_in_all(problem):
    batches = problem.training(["metadata"], balanced=True, batch_size=84)
    _, target, weight = batches[0]
    sums = np.bincount(target, weights=weight)
    np.testing.assert_allclose(sums, 84 / 3, rtol=1e-6)


def test_groups_and_clusters_are_those_of_the_columns(problem, table):
    assert sorted(column for group in problem.groups().values() for column in group) == list(range(11))
    town = (table["longitude"] > 3).to_numpy()
    assert len(set(zip(problem.cluster().tolist(), town.tolist(), strict=True))) == 2


def test_the_pictures_statistics_are_those_of_the_training_rows(problem):
    red = problem.parts["train"] / 255
    found = problem.picture_statistics()
    assert found["mean"][0] == pytest.approx(red.mean(), abs=1e-6)
    assert found["mean"][1:] == pytest.approx([0, 0])


def test_baselines_are_judged_on_the_test_rows(problem):
    found = problem.baselines()
    assert set(found) == {"majority", "logistic_regression on metadata", "gradient_boosting on metadata"}
    # Likes grow with xps alone.
    assert found["logistic_regression on metadata"]["accuracy"] > found["majority"]["accuracy"]


def test_a_class_without_rows_is_named(table):
    with pytest.raises(DataError, match="has no row in the"):
        Places.of(table.iloc[:12], seed=0, side=4, clusters=2)
