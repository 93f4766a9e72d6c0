"""Quantile bins and clusters: against pandas and scikit-learn, what they refuse, and that they reload."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans

from kmodels.errors import ConfigurationError, DataError
from kmodels.preprocessing.bins import Clusters, QuantileBins
from kmodels.preprocessing.encoders import load_encoders, save_encoders


@pytest.mark.parametrize("bins", [2, 3, 7])
def test_bins_are_those_of_qcut(bins):
    values = np.random.default_rng(0).lognormal(size=500).round(2)
    fitted = QuantileBins.fit(values, bins)
    classes = fitted.transform(values)
    assert classes.dtype == np.int32
    assert fitted.size == bins
    assert classes.tolist() == pd.qcut(values, bins, labels=False).tolist()


def test_bins_beyond_the_fitted_range_and_on_an_edge():
    fitted = QuantileBins.fit([0, 1, 2, 3, 4, 5, 6], 3)
    assert fitted.edges == (2.0, 4.0)
    assert fitted.transform([-1e9, 2, 2.0000001, 4, 1e9]).tolist() == [0, 0, 1, 1, 2]
    assert fitted.transform(np.array([], float)).tolist() == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "no numbers to learn"),
        ([1.0, np.nan, 2.0], "row 2, column 'values': a value is missing"),
        (pd.Series([1.0, np.inf], name="score"), "row 2, column 'score'"),
        ([[1.0, 2.0]], "not a column"),
        (["a", "b", "c"], "not a table of numbers"),
        ([5.0] * 9, r"expected 3 classes with rows in each; received 'rows per class \[9, 0, 0\]'"),
        ([1.0] * 8 + [2.0], "too many values are equal"),
    ],
)
def test_bins_refuse(values, words):
    with pytest.raises(DataError, match=words):
        QuantileBins.fit(values, 3)


def test_numbers_of_classes_are_checked():
    with pytest.raises(ConfigurationError, match="bins must be 2 or more; received 1"):
        QuantileBins.fit([1.0, 2.0], 1)
    with pytest.raises(ConfigurationError, match="clusters must be 1 or more; received 0"):
        Clusters.fit([[1.0, 2.0]], 0, seed=0)


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(1)
    return rng.uniform(-3, 3, (4, 2))[rng.integers(0, 4, 200)] + rng.normal(0, 0.4, (200, 2))


@pytest.mark.parametrize("clusters", [1, 3, 4, 5])
def test_clusters_are_those_of_kmeans(points, clusters):
    fitted = Clusters.fit(points, clusters, seed=3)
    reference = KMeans(clusters, n_init=10, random_state=3).fit(points)
    assert fitted.size == clusters
    assert list(fitted.centres) == sorted(fitted.centres)
    assert np.allclose(fitted.centres, sorted(reference.cluster_centers_.tolist()))
    # The same parts, under other numbers.
    new = np.random.default_rng(2).uniform(-5, 5, (300, 2))
    ours, theirs = fitted.transform(new), reference.predict(new)
    assert ours.dtype == np.int32
    assert len(set(zip(ours.tolist(), theirs.tolist(), strict=True))) == len(set(ours.tolist()))


def test_numbers_of_clusters_do_not_depend_on_the_seed(points):
    first, second = (Clusters.fit(points, 4, seed=seed).transform(points) for seed in (0, 9))
    assert np.array_equal(first, second)


def test_one_kind_of_table_or_another(points):
    frame = pd.DataFrame(points, columns=["longitude", "latitude"])
    assert Clusters.fit(frame, 3, seed=0) == Clusters.fit(points, 3, seed=0)


def test_clusters_refuse(points):
    with pytest.raises(DataError, match="fewer distinct points than clusters; expected 3 or more; received 2"):
        Clusters.fit([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]], 3, seed=0)
    with pytest.raises(DataError, match="row 2, column 'latitude'"):
        Clusters.fit(pd.DataFrame({"longitude": [1.0, 2.0], "latitude": [1.0, np.nan]}), 1, seed=0)
    with pytest.raises(DataError, match="columns differ in number; expected 2; received 3"):
        Clusters.fit(points, 2, seed=0).transform([[1.0, 2.0, 3.0]])


def test_saved_and_loaded(tmp_path, points):
    saved = {"engagement": QuantileBins.fit(points[:, 0], 3), "towns": Clusters.fit(points, 4, seed=0)}
    save_encoders(saved, tmp_path / "e.json")
    assert load_encoders(tmp_path / "e.json") == saved


@pytest.mark.parametrize(
    "entry",
    [
        {"type": "QuantileBins"},
        {"type": "QuantileBins", "edges": []},
        {"type": "QuantileBins", "edges": [2.0, 1.0]},
        {"type": "QuantileBins", "edges": ["1"]},
        {"type": "Clusters", "centres": []},
        {"type": "Clusters", "centres": [[]]},
        {"type": "Clusters", "centres": [[1.0, 2.0], [1.0]]},
        {"type": "Clusters", "centres": [1.0]},
        {"type": "Clusters", "centres": [["1", 2.0]]},
    ],
)
def test_damaged_files_are_refused(tmp_path, entry):
    (tmp_path / "e.json").write_text(json.dumps({"x": entry}))
    with pytest.raises(DataError, match=r"e\.json: encoder 'x'"):
        load_encoders(tmp_path / "e.json")
